"""Faults in what slides over images, and in normalisation, losses and dropout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from planting import Patch, fault, instead, rule

from minidl import kernels, ops
from minidl.ops import (
    convolution,
    loss,
    normalization,
    pooling,
)
from minidl.ops.dropout import Dropout

# ── windows ───────────────────────────────────────────────────────────────────────────────────────


def _conv_backward(change: Callable[[Any], Any]) -> Any:
    """A backward rule of conv2d in which `change` has altered the geometry."""

    def backward(self: Any, gy: Any, needs: Any) -> Any:
        c = change(self)
        x, w = self.saved_inputs[:2]
        gx = convolution.Conv2dInputGrad(c["slide"], self.image)(gy, w) if needs[0] else None
        gw = convolution.Conv2dWeightGrad(c["slide"], c["kernel"])(x, gy) if needs[1] else None
        return gx, gw, ops.sum(gy, c["over"]) if needs[2] else None

    return backward


for _name, _change in {
    "conv2d: KH and KW exchanged": lambda s: {"slide": s.slide, "kernel": s.kernel[::-1], "over": (0, 2, 3)},
    "conv2d: SH and SW exchanged": lambda s: {
        "slide": s.slide._replace(stride=s.slide.stride[::-1]), "kernel": s.kernel, "over": (0, 2, 3)},
    "conv2d: dilation ignored on the way back": lambda s: {
        "slide": s.slide._replace(dilation=(1, 1)), "kernel": s.kernel, "over": (0, 2, 3)},
    "conv2d: padding of height and width exchanged": lambda s: {
        "slide": s.slide._replace(padding=s.slide.padding[2:] + s.slide.padding[:2]), "kernel": s.kernel,
        "over": (0, 2, 3)},
    "conv2d: bias gradient not summed over the batch": lambda s: {
        "slide": s.slide, "kernel": s.kernel, "over": (2, 3)},
}.items():  # fmt: skip
    rule(_name, "conv2d", convolution.Conv2d)(_conv_backward(_change))


@rule("conv2d: filters not turned round for the input gradient", "conv2d", convolution.Conv2d)
def _(self: Any, gy: Any, needs: Any) -> Any:
    x, w = self.saved_inputs[:2]
    turned = None if w is None else ops.flip(w, (2, 3))
    gx = convolution.Conv2dInputGrad(self.slide, self.image)(gy, turned) if needs[0] else None
    gw = convolution.Conv2dWeightGrad(self.slide, self.kernel)(x, gy) if needs[1] else None
    return gx, gw, ops.sum(gy, (0, 2, 3)) if needs[2] else None


@fault("max_pool2d: padded with zeros", "max_pool2d", only="shifts_with_its_input")
def _(patch: Patch) -> None:
    real = kernels.kernels_for

    class Room:
        def __init__(self, room: Any) -> None:
            self.room = room

        def __getattr__(self, name: str) -> Any:
            return getattr(self.room, name)

        def max_pool2d(self, x: Any, kernel: Any, stride: Any, padding: Any, *rest: Any) -> Any:
            y, winners = self.room.max_pool2d(x, kernel, stride, padding, *rest)
            y[:, :, 0] = np.maximum(y[:, :, 0], 0)  # the first row of windows lies over the border
            return y, winners

    patch.setattr(pooling, "kernels_for", lambda x: Room(real(x)))


@rule("max_pool2d: windows that share a winner overwrite each other", "max_pool2d", pooling.ScatterWindows, "forward")
def _(self: Any, x: Any) -> Any:
    y = np.zeros((*x.shape[:2], self.image[0] * self.image[1]), x.dtype)
    np.put_along_axis(y, self.buffers[0].reshape(*x.shape[:2], -1), x.reshape(*x.shape[:2], -1), axis=2)
    return y.reshape(*x.shape[:2], *self.image)


@rule("avg_pool2d: not divided on the way back", "avg_pool2d", pooling.AvgPool2d)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (pooling.AvgPool2dGrad(self.windows, self.image, (True, 1))(gy),)


@rule("avg_pool2d: padding counted on the way back only", "avg_pool2d", pooling.AvgPool2d)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (pooling.AvgPool2dGrad(self.windows, self.image, (True, None))(gy),)


# ── normalisation, losses, dropout ────────────────────────────────────────────────────────────────


@fault("batch norm: x̂ term of the gradient dropped", "batch_norm")
def _(patch: Patch) -> None:
    def fast_backward(self: Any, gy: Any, needs: Any) -> Any:
        x, w, _ = self.saved_arrays
        inv_std = 1 / np.sqrt(x.var((0, 2, 3), keepdims=True) + self.eps)
        gx = (gy - gy.mean((0, 2, 3), keepdims=True)) * w.reshape(-1, 1, 1) * inv_std
        return (gx, None, gy.sum((0, 2, 3)))

    patch.setattr(normalization.BatchNorm, "fast_backward", fast_backward)


@rule("layer norm: mean of the gradient not removed", "layer_norm", normalization.LayerNorm, "fast_backward")
def _(self: Any, gy: Any, needs: Any) -> Any:
    x, w, _ = self.saved_arrays
    mean, inv_std = [m.reshape(*x.shape[:-1], 1) for m in self.buffers]
    y, g, rows = (x - mean) * inv_std, gy * w, (-1, x.shape[-1])
    gx = (g - y * (g * y).mean(-1, keepdims=True)) * inv_std
    return (gx, (gy * y).reshape(rows).sum(0), gy.reshape(rows).sum(0))


@rule("cross entropy: 1 not taken off at the label", "cross_entropy", loss.SoftmaxCrossEntropy, "fast_backward")
def _(self: Any, gy: Any, needs: Any) -> Any:
    p = np.exp(self.saved_arrays[0])
    p /= p.sum(axis=1, keepdims=True)
    return (p * (gy[:, None] if gy.ndim else gy / len(p)),)


@instead("cross entropy: ignored labels count in the mean on the way back", "cross_entropy")
def _(input: Any, target: Any) -> Any:
    y = ops.cross_entropy(input, target)
    share = float((ops.as_tensor(target).array >= 0).mean())
    return y * share + y.detach() * (1 - share)


@rule("dropout: a fresh mask on the way back", "dropout", Dropout)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (Dropout(np.roll(self.buffers[0], 1))(gy),)
