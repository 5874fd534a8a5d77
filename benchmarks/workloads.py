"""The workloads, written once: the same text runs on minidl and on PyTorch, because the names are the same.

`workloads(engine)` takes the package (`minidl` or `torch`) and gives, for each name, a function that builds
everything and returns one step.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeAlias

Step: TypeAlias = Callable[[], object]


class Workloads:
    """The workloads on one engine."""

    def __init__(self, engine: str) -> None:
        self.dl: Any = importlib.import_module(engine)
        self.nn: Any = importlib.import_module(f"{engine}.nn")
        self.F: Any = importlib.import_module(f"{engine}.nn.functional")
        self.optim: Any = importlib.import_module(f"{engine}.optim")

    def face_cnn(self) -> Any:
        """Three times convolution, ReLU and max-pooling, then two dense layers, for images 1×112×92."""
        nn = self.nn
        return nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(64, 128, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(128 * 12 * 9, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 40),
        )  # fmt: skip

    def training_step(self, model: Any, x: Any, labels: Any, optimizer: Any) -> Step:
        """Forward, loss, backward, update."""

        def step() -> None:
            optimizer.zero_grad()
            self.F.cross_entropy(model(x), labels).backward()
            optimizer.step()

        return step

    def train_face_cnn(self) -> Step:
        model, labels = self.face_cnn(), self.dl.randint(0, 40, (32,))
        optimizer = self.optim.Adam(model.parameters(), lr=1e-3)
        return self.training_step(model, self.dl.randn(32, 1, 112, 92), labels, optimizer)

    def infer_face_cnn(self, batch: int) -> Step:
        model, x = self.face_cnn().eval(), self.dl.randn(batch, 1, 112, 92)

        def step() -> None:
            with self.dl.no_grad():
                model(x)

        return step

    def train_mlp(self) -> Step:
        nn = self.nn
        model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16))
        labels, optimizer = self.dl.randint(0, 16, (16,)), self.optim.SGD(model.parameters(), lr=1e-2)
        return self.training_step(model, self.dl.randn(16, 16), labels, optimizer)

    def builders(self) -> dict[str, Callable[[], Step]]:
        """What there is to measure, by name."""
        return {
            "face-cnn": self.train_face_cnn,
            "face-cnn-infer-1": lambda: self.infer_face_cnn(1),
            "face-cnn-infer-32": lambda: self.infer_face_cnn(32),
            "mlp": self.train_mlp,
        }
