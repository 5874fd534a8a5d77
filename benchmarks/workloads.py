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

    def both_passes(self, layer: Any, *inputs: Any) -> Step:
        """Forward, and the gradients of every parameter and of every floating input for a given gradient."""
        parameters = list(layer.parameters()) if hasattr(layer, "parameters") else []
        wanted = [x for x in (*inputs, *parameters) if x.requires_grad]
        given: list[Any] = []

        def step() -> None:
            y = layer(*inputs)
            if not given:
                given.append(self.dl.randn(*y.shape))
            self.dl.autograd.grad(y, wanted, given[0])

        return step

    def drawn(self, *shape: int) -> Any:
        """Normal numbers that a gradient is wanted of."""
        return self.dl.randn(*shape, requires_grad=True)

    def recurrent(self, kind: str) -> Step:
        layer = getattr(self.nn, kind)(92, 128)
        return self.both_passes(lambda x, *_: layer(x)[0], self.drawn(112, 32, 92), *layer.parameters())

    def attend(self, T: int) -> Step:
        layer = self.nn.MultiheadAttention(128, 4, batch_first=True)
        x = self.drawn(32, T, 128)
        return self.both_passes(lambda x, *_: layer(x, x, x, need_weights=False)[0], x, *layer.parameters())

    def cross_entropy(self) -> Step:
        x, labels = self.drawn(256, 10000), self.dl.randint(0, 10000, (256,))

        def step() -> None:
            self.dl.autograd.grad(self.F.cross_entropy(x, labels), [x])

        return step

    def pool(self, backward: bool) -> Step:
        """2×2 max-pooling of 32×64×56×56, or only its gradient."""
        x = self.drawn(32, 64, 56, 56)
        if not backward:
            return lambda: self.F.max_pool2d(x, 2)
        y = self.F.max_pool2d(x, 2)
        gy = self.dl.randn(*y.shape)
        return lambda: self.dl.autograd.grad(y, [x], gy, retain_graph=True)

    def update(self, optimizer: str, **options: Any) -> Step:
        """One step over 2 million parameters in 20 tensors."""
        parameters = [self.drawn(100, 1000) for _ in range(20)]
        for parameter in parameters:
            parameter.grad = self.dl.randn(100, 1000)
        return getattr(self.optim, optimizer)(parameters, lr=1e-3, **options).step

    def builders(self) -> dict[str, Callable[[], Step]]:
        """What there is to measure, by name."""
        return {
            "face-cnn": self.train_face_cnn,
            "face-cnn-infer-1": lambda: self.infer_face_cnn(1),
            "face-cnn-infer-32": lambda: self.infer_face_cnn(32),
            "mlp": self.train_mlp,
            "rnn": lambda: self.recurrent("RNN"),
            "gru": lambda: self.recurrent("GRU"),
            "lstm": lambda: self.recurrent("LSTM"),
            "attention-128": lambda: self.attend(128),
            "attention-512": lambda: self.attend(512),
            "softmax-xent": self.cross_entropy,
            "layernorm": lambda: self.both_passes(self.nn.LayerNorm(512), self.drawn(4096, 512)),
            "batchnorm": lambda: self.both_passes(self.nn.BatchNorm2d(64), self.drawn(32, 64, 28, 28)),
            "maxpool": lambda: self.pool(False),
            "maxpool-back": lambda: self.pool(True),
            "sgd": lambda: self.update("SGD", momentum=0.9),
            "adamw": lambda: self.update("AdamW"),
            "adam": lambda: self.update("Adam"),
            "adam-fused": lambda: self.update("Adam", **({"fused": True} if self.dl.__name__ == "torch" else {})),
        }
