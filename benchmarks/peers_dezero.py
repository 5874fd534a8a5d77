"""The workloads on DeZero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workloads import CONVOLUTIONS, PASSES, Step

for _name, _type in (("int", int), ("float", float), ("bool", bool)):  # names it uses that NumPy no longer has
    if _name not in vars(np):
        setattr(np, _name, _type)

import dezero  # noqa: E402
import dezero.functions as F  # noqa: E402
import dezero.layers as L  # noqa: E402
from dezero import optimizers  # noqa: E402
from dezero.models import MLP  # noqa: E402

_rng = np.random.default_rng(0)


def _normal(*shape: int) -> Any:
    return _rng.standard_normal(shape, np.float32)


class _FaceCNN(dezero.Model):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2, self.c3 = L.Conv2d(32, 3), L.Conv2d(64, 3), L.Conv2d(128, 3)
        self.l1, self.l2 = L.Linear(128), L.Linear(40)

    def forward(self, x: Any) -> Any:
        for convolution in (self.c1, self.c2, self.c3):
            x = F.pooling(F.relu(convolution(x)), 2, 2)
        return self.l2(F.dropout(F.relu(self.l1(F.reshape(x, (x.shape[0], -1)))), 0.5))


def _training(model: Any, x: Any, classes: int, optimizer: Any) -> Step:
    labels = _rng.integers(0, classes, len(x))
    model(x)  # creates the parameters
    optimizer.setup(model)

    def step() -> None:
        loss = F.softmax_cross_entropy(model(x), labels)
        model.cleargrads()
        loss.backward()
        optimizer.update()

    return step


def _inference(batch: int) -> Step:
    model, x = _FaceCNN(), _normal(batch, 1, 112, 92)

    def step() -> None:
        with dezero.no_grad(), dezero.test_mode():
            model(x)

    return step


def _convolution(name: str) -> Step:
    c, o, h, w, k, stride, padding = CONVOLUTIONS[name]
    x, weight = dezero.Variable(_normal(32, c, h, w)), dezero.Variable(_normal(o, c, k, k))

    def step() -> None:
        with dezero.no_grad():
            F.conv2d(x, weight, None, stride, padding)

    return step


def _cross_entropy() -> Step:
    x, labels = dezero.Variable(_normal(256, 10000)), _rng.integers(0, 10000, 256)

    def step() -> None:
        x.cleargrad()
        F.softmax_cross_entropy(x, labels).backward()

    return step


def builders() -> dict[str, Callable[[], Step]]:
    """What DeZero is asked, by name; it differentiates a convolution for all inputs at once, so only forward is."""
    return {
        "face-cnn": lambda: _training(_FaceCNN(), _normal(32, 1, 112, 92), 40, optimizers.Adam()),
        "face-cnn-infer-1": lambda: _inference(1),
        "face-cnn-infer-32": lambda: _inference(32),
        "mlp": lambda: _training(MLP((16, 16), activation=F.relu), _normal(16, 16), 16, optimizers.SGD()),
        "softmax-xent": _cross_entropy,
        **{f"{name}-{PASSES[0]}": (lambda name=name: _convolution(name)) for name in CONVOLUTIONS},  # type: ignore[misc]
    }
