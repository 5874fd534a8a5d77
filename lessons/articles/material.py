"""What the corrected programs share: faces to learn from, one training loop, one way to measure.

几个改正后的程序共用的部分：人脸数据、一个训练循环、一种测量方法。
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minidl as dl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.data import DataLoader, TensorDataset, transforms
from minidl.faces import FaceError, datasets, protocol
from minidl.faces.generated import generated_faces
from minidl.faces.metrics import accuracy

FAST = os.environ.get("MINIDL_FAST") == "1"
"""Less training; every shape, count and comparison is still checked."""


@dataclass(frozen=True)
class Faces:
    """Pictures (n, C, H, W) float32 of the first people of a data set, in a training and a test part."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray

    @property
    def people(self) -> int:
        return int(self.train_y.max()) + 1


def faces(people: int, size: tuple[int, int], color: bool = False) -> Faces:
    """Five pictures a person to learn from, five others to be tested on, standardised with the numbers of the first.

    ORL where $MINIDL_DATA or `minidl faces download orl` has put it; generated faces otherwise, and where colour is
    needed, because ORL is grey. Which of the two is printed.
    """
    try:
        if color:
            raise FaceError("ORL is grey, this program needs colour")
        data = datasets.load("orl", image_size=size)
        images, labels, where = data.images, data.codes, data.description
    except FaceError as reason:
        drawn = generated_faces(people=people, per_person=10, size=size, seed=0, difficulty="normal", color=color)
        images, labels, where = drawn.images, drawn.labels, f"generated faces ({str(reason).split(':')[0]})"
    chosen = labels < people
    images, labels = images[chosen], labels[chosen]
    print(f"data 数据: {where}; {people} people, {size[0]}×{size[1]}{'×3' if color else ''}")
    x = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    # ERRATA 001-C1a, 002-C1c: bytes become float32 between 0 and 1, then standard scores
    x = transforms.ToFloat()(np.ascontiguousarray(x))
    train, test = protocol.split(labels, seed=0, per_person=5)
    scale = transforms.Normalize([float(x[train].mean())], [float(x[train].std())])
    x = scale(x) if x.shape[1] == 1 else (x - x[train].mean()) / x[train].std()
    return Faces(x[train], labels[train], x[test], labels[test])


def fit(
    model: nn.Module, x: Any, y: Any, epochs: int, *, lr: float = 1e-3, batch_size: int = 10, clip: float | None = None,
    loss: Callable[[Any, Any], Any] = F.cross_entropy, seed: int = 0,
) -> list[float]:  # fmt: skip
    """Train with Adam and return the mean loss of every epoch.

    ERRATA 003-C3: one function, where document 003 has three equal ones. ERRATA 001-T16, 001-C6: forward, loss,
    backward, one update, for each mini-batch.
    """
    loader = DataLoader(TensorDataset(x, y), batch_size=batch_size, shuffle=True, seed=seed)
    optimizer = optim.Adam(model.parameters(), lr=lr)  # ERRATA 000-C1h: the argument is lr
    model.train()
    history, began = [], time.perf_counter()
    for _ in range(epochs):
        total = 0.0
        for inputs, labels in loader:
            optimizer.zero_grad()
            value = loss(model(inputs), labels)
            value.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)  # ERRATA 001-F11
            optimizer.step()
            total += value.item() * len(inputs)
        history.append(total / len(x))
    print(f"  loss 损失 {history[0]:.3f} → {history[-1]:.3f}, {epochs} epochs, {time.perf_counter() - began:.1f} s")
    return history


def predict(model: nn.Module, x: Any) -> np.ndarray:
    """The class with the largest logit: classifying is one pass forward (ERRATA 002-T8)."""
    with nn.evaluating(model), dl.no_grad():
        return model(dl.tensor(x)).argmax(-1).numpy()


def measured(name: str, model: nn.Module, data: Faces) -> float:
    """Print and return the share of test pictures whose person is found."""
    found = accuracy(data.test_y, predict(model, data.test_x))
    count = sum(p.numel() for p in model.parameters())
    print(f"  {name}: {count:,} parameters 参数, test accuracy 测试准确率 {100 * found:.1f} % "
          f"(chance 随机 {100 / data.people:.1f} %)")  # fmt: skip
    return found
