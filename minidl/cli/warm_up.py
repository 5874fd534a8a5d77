"""`minidl warm-up`: compile the kernels now, so that nobody waits for them later."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, Final

import minidl as dl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.tensor import Tensor


def add_to(commands: Any) -> None:
    """Add the command to the command line."""
    command = commands.add_parser("warm-up", help="compile the kernels ahead of their first use")
    command.add_argument("groups", nargs="*", metavar="group", help=f"which of {', '.join(GROUPS)} (default: all)")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=run)


def _backward(y: Tensor) -> None:
    y.mean().backward()


def _images(channels: int, dtype: Any) -> Tensor:
    return dl.randn(4, channels, 20, 20, dtype=dtype, requires_grad=True)


def convolutions(dtype: Any) -> Iterator[None]:
    """Every size of window, step and channel count that has a kernel of its own, with all gradients."""
    for channels, (k, stride) in product((1, 3, 16), ((1, 1), (3, 1), (3, 2), (5, 1))):
        layer = nn.Conv2d(channels, 32, k, stride=stride, padding=k // 2, dtype=dtype)
        _backward(layer(_images(channels, dtype)))
        yield
    _backward(nn.Conv2d(16, 16, 3, groups=16, dtype=dtype)(_images(16, dtype)))
    _backward(nn.ConvTranspose2d(16, 8, 3, stride=2, dtype=dtype)(_images(16, dtype)))
    yield
    for channels in (1, 16):
        block = nn.Sequential(nn.Conv2d(channels, 32, 3, dtype=dtype), nn.ReLU(), nn.MaxPool2d(2))
        _backward(block(_images(channels, dtype)))
        with dl.no_grad():
            block(_images(channels, dtype))
        yield


def pooling(dtype: Any) -> Iterator[None]:
    """Max and average pooling, and rectifying."""
    for layer in (nn.MaxPool2d(2), nn.MaxPool2d(3, stride=2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.ReLU()):
        _backward(layer(_images(4, dtype)))
        yield


def normalization(dtype: Any) -> Iterator[None]:
    """Batch and layer normalization, training and evaluation."""
    norm = nn.BatchNorm2d(4, dtype=dtype)
    _backward(norm(_images(4, dtype)))
    norm.eval()(_images(4, dtype))
    yield
    _backward(nn.LayerNorm(20, dtype=dtype)(_images(4, dtype)))
    yield


def recurrence(dtype: Any) -> Iterator[None]:
    """RNN, LSTM and GRU over a sequence."""
    for kind in (nn.RNN, nn.LSTM, nn.GRU):
        layer = kind(24, 32, batch_first=True, dtype=dtype)
        _backward(layer(dl.randn(4, 6, 24, dtype=dtype, requires_grad=True))[0])
        yield


def attention(dtype: Any) -> Iterator[None]:
    """Scaled dot-product attention, plain and causal."""
    for causal in (False, True):
        q, k, v = (dl.randn(2, 4, 70, 16, dtype=dtype, requires_grad=True) for _ in range(3))
        _backward(F.scaled_dot_product_attention(q, k, v, is_causal=causal))
        yield


def training(dtype: Any) -> Iterator[None]:
    """Cross-entropy and the optimizers."""
    for make in (optim.SGD, optim.Adam, optim.AdamW):
        layer = nn.Linear(16, 10, dtype=dtype)
        optimizer = make(layer.parameters(), lr=1e-3)
        F.cross_entropy(layer(dl.randn(8, 16, dtype=dtype)), dl.randint(0, 10, (8,))).backward()
        optimizer.step()
        yield


GROUPS: Final[dict[str, Callable[[Any], Iterator[None]]]] = {
    "convolutions": convolutions, "pooling": pooling, "normalization": normalization, "recurrence": recurrence,
    "attention": attention, "training": training,
}  # fmt: skip
"""What can be compiled ahead, by name."""


def run(options: argparse.Namespace) -> int:
    """Run every kernel once on small arrays, in float32 and float64."""
    unknown = [group for group in options.groups if group not in GROUPS]
    if unknown:
        print(f"minidl: {unknown[0]!r} is none of {', '.join(GROUPS)}", file=sys.stderr)
        return 2
    if importlib.util.find_spec("numba") is None:
        print("minidl: Numba is not installed, so there is nothing to compile; NumPy computes", file=sys.stderr)
        return 2
    seconds: dict[str, float] = {}
    for name in options.groups or GROUPS:
        started = time.perf_counter()
        for dtype in (dl.float32, dl.float64):
            for _ in GROUPS[name](dtype):
                pass
        seconds[name] = round(time.perf_counter() - started, 2)
        if not options.json:
            print(f"{name:<14}{seconds[name]:7.2f} s", flush=True)
    if options.json:
        print(json.dumps({"seconds": seconds}))
    return 0
