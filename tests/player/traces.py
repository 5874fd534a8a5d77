"""Small recordings that several tests play."""

from __future__ import annotations

import functools

import numpy as np

import minidl as dl
from minidl import nn, optim, player
from minidl.nn import functional as F


@functools.cache
def square() -> player.Trace:
    """L = (wx + b − 1)² at x = 3, w = −2, b = 1, forward, backward, one step of SGD, and a check (LESSONS L01)."""
    x = dl.tensor(3.0, requires_grad=True)
    w = dl.tensor(-2.0, requires_grad=True)
    b = dl.tensor(1.0, requires_grad=True)
    with player.record() as tape:
        tape.check(lambda x, w, b: (w * x + b - 1) ** 2, x, w, b, name="L", names=["x", "w", "b"])
        y = w * x + b
        L = (y - 1) ** 2
        L.backward()
        optim.SGD([w, b], lr=0.01).step()
        tape.note("E01.1", {"zh": "练习一", "en": "Exercise one"}, passed=True)
    assert L.item() == 36.0
    return tape.trace()


@functools.cache
def gated() -> player.Trace:
    """Two steps of a GRU layer, recorded inside (LESSONS L16)."""
    dl.manual_seed(3)
    layer = nn.GRU(2, 2).double()
    x = dl.tensor(np.random.default_rng(0).normal(size=(2, 1, 2)))
    with player.record(inside=True) as tape:
        y, h = layer(x)
        (h * h).sum().backward()
    assert y.shape == (2, 1, 2)
    return tape.trace()


@functools.cache
def images() -> player.Trace:
    """A small convolutional network with dropout, trained for two epochs (LESSONS L08)."""
    dl.manual_seed(5)
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Dropout(0.5), nn.Flatten(),
        nn.Linear(8, 3),
    ).double()  # fmt: skip
    optimizer = optim.Adam(net.parameters(), lr=0.05)
    x = dl.tensor(np.random.default_rng(1).normal(size=(2, 1, 8, 8)))
    with player.record() as tape:
        for epoch in range(2):
            with tape.scope(f"epoch {epoch + 1}"):
                optimizer.zero_grad()
                loss = F.cross_entropy(net(x), dl.tensor([0, 2]))
                loss.backward()
                optimizer.step()
    return tape.trace()


@functools.cache
def attended() -> player.Trace:
    """Attention over three tokens as one operation (LESSONS L17)."""
    q = dl.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], requires_grad=True)
    v = dl.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True)
    with player.record() as tape:
        y = F.scaled_dot_product_attention(q, q, v)
        y.sum().backward()
    return tape.trace()


@functools.cache
def descent() -> player.Trace:
    """Momentum on ½(4a² + b²), with its landscape (LESSONS L09)."""
    a = dl.tensor(1.5, requires_grad=True)
    b = dl.tensor(-1.0, requires_grad=True)
    optimizer = optim.SGD([a, b], lr=0.1, momentum=0.5)
    with player.record() as tape:
        tape.landscape(lambda: 0.5 * (4 * a * a + b * b), a, b, points=21)
        for epoch in range(4):
            with tape.scope(f"epoch {epoch + 1}"):
                optimizer.zero_grad()
                loss = 0.5 * (4 * a * a + b * b)
                loss.backward()
                optimizer.step()
    return tape.trace()


@functools.cache
def large() -> player.Trace:
    """An array that is too large to be stored whole."""
    x = dl.tensor(np.random.default_rng(2).normal(size=(100, 100)), requires_grad=True)
    with player.record(limit=1000) as tape:
        (x * 2.0).tanh().sum().backward()
    return tape.trace()


ALL = {f.__name__: f for f in (square, gated, images, attended, descent, large)}
