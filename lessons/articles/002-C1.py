"""Document 002, section 4: face recognition in Python, with every function written.

The document's three functions are empty, its data set has no faces and its labels do not fit its loss. Here the same
functions do what their names say: a network learns people, and what it has learned is also tried on people it never saw.

文档 002 第 4 节：Python 人脸识别。原程序的三个函数是空的，数据集里没有人脸，标签与损失不配。
这里同名的函数各尽其职：网络学会辨认一些人，再拿没见过的人来检验。

Corrects 002-C1, 002-C1a … 002-C1f, 002-T6, 002-T8, 002-T11. CIFAR-10 has a program of its own: lessons/examples/cifar10.py.
"""

# %%
from __future__ import annotations

import numpy as np
from material import FAST

import minidl as dl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.data import DataLoader, TensorDataset, TransformedDataset, transforms
from minidl.faces import FaceError, datasets, roc
from minidl.faces.generated import generated_faces
from minidl.optim import EarlyStopping

H, W, EMBEDDING = 48, 40, 64
KNOWN, UNSEEN = 20, 10

# ERRATA 002-T6: preprocessing is for every picture, augmentation for training only; faces are not turned upside down
PREPROCESSING = transforms.ToFloat()
AUGMENTATION = transforms.Compose([transforms.HorizontalFlip(), transforms.ShiftScale(0.06, 0.05)])


def preprocess_image(image: np.ndarray) -> np.ndarray:
    """ERRATA 002-C1a, 002-C1c: (H, W) bytes → (1, H, W) float32 between 0 and 1."""
    return PREPROCESSING(image[None])


def build_model(people: int) -> nn.Sequential:
    """The document's layers, a little smaller: convolution, pooling, dense; the last layer gives logits."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(32 * (H // 2 - 1) * (W // 2 - 1), EMBEDDING), nn.ReLU(), nn.Linear(EMBEDDING, people),
    )  # fmt: skip


def extract_features(model: nn.Sequential, images: np.ndarray) -> np.ndarray:
    """ERRATA 002-C1a: what the trained network thinks of a picture, before its last layer, at length 1: (n, 64)."""
    with nn.evaluating(model), dl.no_grad():
        return F.normalize(model[:-1](dl.tensor(images)), dim=1).numpy()


def classify(model: nn.Sequential, images: np.ndarray) -> np.ndarray:
    """ERRATA 002-T8: one pass forward, the largest logit. (n,) class numbers."""
    with nn.evaluating(model), dl.no_grad():
        return model(dl.tensor(images)).argmax(1).numpy()


def load_faces() -> tuple[np.ndarray, np.ndarray, str]:
    """ERRATA 002-C1b, 002-T11: faces, where the document loads things and animals."""
    try:
        data = datasets.load("orl", image_size=(H, W))
        return data.images, data.codes, data.description
    except FaceError:
        drawn = generated_faces(people=KNOWN + UNSEEN, per_person=10, size=(H, W), seed=0)
        return drawn.images, drawn.labels, "generated faces (no ORL here 此处没有 ORL)"


def main() -> None:
    images, labels, where = load_faces()
    print(f"data 数据: {where}, {H}×{W}: {KNOWN} people to know, {UNSEEN} never seen")
    x, nth = np.stack([preprocess_image(image) for image in images]), np.arange(len(labels)) % 10
    known = labels < KNOWN
    train, val, test = known & (nth < 5), known & (nth == 5), known & (nth > 5)  # ERRATA 002-C1e: a validation part
    unseen = (labels >= KNOWN) & (labels < KNOWN + UNSEEN)
    mean, std = float(x[train].mean()), float(x[train].std())  # ERRATA 002-C1c: from the training part only
    x = ((x - mean) / std).astype(np.float32)

    dl.manual_seed(0)
    model = build_model(KNOWN)
    augmented = TransformedDataset(TensorDataset(x[train], labels[train]), AUGMENTATION)
    loader = DataLoader(augmented, batch_size=25, shuffle=True, seed=0)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    stopping = EarlyStopping(patience=6)
    best = model.state_dict()
    for _epoch in range(8 if FAST else 30):
        model.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            # ERRATA 002-C1d: integer labels (N,) and logits; the softmax is inside the loss
            F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
        with nn.evaluating(model), dl.no_grad():
            loss = F.cross_entropy(model(dl.tensor(x[val])), dl.tensor(labels[val])).item()
        done = stopping.step(loss)
        if stopping.improved:
            best = {name: value.clone() for name, value in model.state_dict().items()}
        if done:
            break
    model.load_state_dict(best)
    print(f"{stopping.epochs} epochs, validation loss 验证损失 {stopping.best:.3f}")

    right = float((classify(model, x[test]) == labels[test]).mean())
    print(f"test accuracy 测试准确率: {100 * right:.1f} % of {test.sum()} pictures (chance 随机 {100 / KNOWN:.0f} %)")
    assert right >= (0.5 if FAST else 0.7)

    # ERRATA 002-C1f: the accuracy says nothing about people never seen; two of their pictures are compared instead
    embedded, who = extract_features(model, x[unseen]), labels[unseen]
    scores = embedded @ embedded.T
    first, second = np.triu_indices(len(who), 1)
    same = who[first] == who[second]
    error = roc.eer(scores[first, second][same], scores[first, second][~same])
    print(f"unseen people 没见过的人: {same.sum()} genuine and {(~same).sum()} impostor pairs, equal error rate "
          f"等错误率 {100 * error:.1f} %")  # fmt: skip
    assert error < 0.4


if __name__ == "__main__":
    main()
