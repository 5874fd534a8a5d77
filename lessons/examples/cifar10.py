"""Document 002's network on the data set that document 002 loads, and a better one beside it.

CIFAR-10 shows ten kinds of things and animals, no faces (ERRATA 002-C1b). The program takes the official binary version
(`python cifar10.py FOLDER`, or a folder in $MINIDL_DATA), else cifar10_small.npz in $MINIDL_DATA, else shapes that it
draws itself: then its figures say nothing about CIFAR-10.

文档 002 的网络用在它所载入的数据集上，旁边是一个更好的网络。CIFAR-10 是十类物品和动物，没有人脸（勘误 002-C1b）。
程序优先用官方二进制版，其次用 $MINIDL_DATA 里的 cifar10_small.npz，都没有时用自己画的图形，那时的数字与 CIFAR-10 无关。
"""

# %%
from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

import minidl as dl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.data import DataLoader, TensorDataset, TransformedDataset, cifar10, transforms
from minidl.optim.lr_scheduler import WarmupCosine
from minidl.tensor import Tensor

FAST = os.environ.get("MINIDL_FAST") == "1"


# %% data 数据
def shapes(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ten kinds of drawn shapes in any two colours: (n, 3, 32, 32) uint8 and (n,) labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n)
    images = np.empty((n, 3, 32, 32), np.uint8)
    for image, label in zip(images, labels, strict=True):
        y, x = np.mgrid[-16:16, -16:16] - rng.uniform(-4, 4, (2, 1, 1))
        r, width = rng.uniform(6, 11), rng.uniform(3, 6)
        far = np.maximum(np.abs(x), np.abs(y))
        inside = [
            x**2 + y**2 < r**2, far < r * 0.85, np.abs(x) + np.abs(y) < r * 1.1, np.minimum(np.abs(x), np.abs(y)) < width / 2,
            (x**2 + y**2 < r**2) & (x**2 + y**2 > (r - width) ** 2), (far < r) & (far > r - width),
            np.sin(x * 6 / width) > 0, np.sin(y * 6 / width) > 0, np.sin((x + y) * 5 / width) > 0,
            (np.sin(x * 6 / width) > 0) ^ (np.sin(y * 6 / width) > 0),
        ][label]  # fmt: skip
        front, back = rng.uniform(0, 255, (2, 3, 1, 1))
        image[:] = np.clip(np.where(inside, front, back) + rng.normal(0, 25, (3, 32, 32)), 0, 255)
    return images, labels


def load() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, str]:
    """Training and test pictures (n, 3, 32, 32) uint8 with their labels, and where they are from."""
    home = Path(os.environ.get("MINIDL_DATA") or ".")
    given = [Path(argument) for argument in sys.argv[1:2] if "cifar10.py" not in argument]
    for place in [*given, home / cifar10.FOLDER, home / "cifar-10-binary.tar.gz"]:
        if place in given or place.exists():
            train, test = cifar10.CIFAR10(place), cifar10.CIFAR10(place, train=False)
            return train.images, train.labels, test.images, test.labels, f"CIFAR-10, {place}"
    if (home / "cifar10_small.npz").is_file():
        with np.load(home / "cifar10_small.npz") as small:
            images = [np.ascontiguousarray(small[part].transpose(0, 3, 1, 2)) for part in ("x_train", "x_test")]
            return images[0], small["y_train"], images[1], small["y_test"], "a part of CIFAR-10, cifar10_small.npz"
    return *shapes(2000, 0), *shapes(500, 1), "drawn shapes, NOT CIFAR-10 自己画的图形，不是 CIFAR-10"


x, y, test_x, test_y, where = load()
if FAST:
    every, every_test = len(x) // 1000, len(test_x) // 250
    x, y, test_x, test_y = x[::every], y[::every], test_x[::every_test], test_y[::every_test]
print(f"data 数据: {where}: {len(x):,} to learn from, {len(test_x):,} to be tested on")

# %% preprocessing for both parts, augmentation for training only 两部分都做预处理，只在训练时增强
scaled = x / np.float32(255)
normalise = transforms.Normalize(scaled.mean((0, 2, 3)).tolist(), scaled.std((0, 2, 3)).tolist())
preprocessing = transforms.Compose([transforms.ToFloat(), normalise])
augmentation = transforms.Compose(
    [preprocessing, transforms.HorizontalFlip(), transforms.RandomCrop((32, 32), padding=4)]
)
test_inputs = np.stack([preprocessing(image) for image in test_x])
inputs = np.stack([preprocessing(image) for image in x])


# %% networks 网络
def documents() -> nn.Module:
    """Document 002: one convolution, pooling, one dense layer. ERRATA 002-C1d: it ends in logits."""
    return nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 15 * 15, 10))


def deeper() -> nn.Module:
    """Three times convolution, ReLU and pooling, which run as one operation each, then one dense layer."""
    layers: list[nn.Module] = []
    for C, K in ((3, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(C, K, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 4 * 4, 10))


def accuracy(model: nn.Module, pictures: np.ndarray, labels: np.ndarray) -> float:
    """The share of pictures whose class has the largest logit."""
    with nn.evaluating(model), dl.no_grad():
        found = [model(dl.tensor(pictures[k : k + 250])).argmax(1).numpy() for k in range(0, len(pictures), 250)]
    return float((np.concatenate(found) == labels).mean())


def train(name: str, model: nn.Module, loader: DataLoader, epochs: int, optimizer: optim.Optimizer) -> float:
    """Train, print and return the test accuracy."""
    schedule, began = WarmupCosine(optimizer, len(loader), epochs * len(loader)), time.perf_counter()
    for _ in range(epochs):
        model.train()
        pictures: Tensor
        for pictures, labels in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(pictures), labels).backward()
            optimizer.step()
            schedule.step()
    seconds = time.perf_counter() - began
    found = accuracy(model, test_inputs, test_y)
    learned = accuracy(model, inputs, y)
    print(f"{name}: {sum(p.numel() for p in model.parameters()):,} parameters 参数, {epochs} epochs in {seconds:.1f} s, "
          f"training part 训练 {100 * learned:.1f} %, test 测试 {100 * found:.1f} %")  # fmt: skip
    return found


# %%
dl.manual_seed(0)
plain = DataLoader(TensorDataset(inputs, y), batch_size=32, shuffle=True, seed=0)
first = documents()
one = train("document 002 文档 002", first, plain, 2 if FAST else 10, optim.Adam(first.parameters()))

varied = DataLoader(TransformedDataset(TensorDataset(x, y), augmentation), batch_size=64, shuffle=True, seed=0)
second = deeper()
rate = optim.AdamW(second.parameters(), lr=3e-3, weight_decay=0.02)
other = train("deeper, with augmentation 更深，加增强", second, varied, 3 if FAST else 15, rate)

# %% which class is hardest 哪一类最难
with nn.evaluating(second), dl.no_grad():
    found = second(dl.tensor(test_inputs)).argmax(1).numpy()
each = {name: float((found[test_y == k] == k).mean()) for k, name in enumerate(cifar10.CLASSES)}
if "CIFAR-10" in where and "NOT" not in where:
    print("per class 各类:", ", ".join(f"{name} {100 * share:.0f} %" for name, share in each.items()))
assert one > 0.15
assert FAST or other > one
