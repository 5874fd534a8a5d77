"""Borders round a plane, and the strided views that windows see through them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minidl.backend import Array, array_module
from minidl.kernels.geometry import Windows


def bordered_hw(v: Windows) -> tuple[int, int]:
    """(rows, columns) of the plane with its border, widened so that the last window fits (ceil_mode)."""
    rows = max(v.H + v.top + v.bottom, (v.OH - 1) * v.SH + (v.KH - 1) * v.DH + 1)
    columns = max(v.W + v.left + v.right, (v.OW - 1) * v.SW + (v.KW - 1) * v.DW + 1)
    return rows, columns


def with_border(x: Array, v: Windows, value: Any) -> Array:
    """x (…,H,W) inside a border of the given value; x itself where there is no border."""
    rows, columns = bordered_hw(v)
    if (rows, columns) == (v.H, v.W):
        return x
    padded: Array = array_module(x).full((*x.shape[:-2], rows, columns), value, x.dtype)
    padded[..., v.top : v.top + v.H, v.left : v.left + v.W] = x
    return padded


def inside_border(padded: Array, v: Windows) -> Array:
    """The plane inside its border, (…,H,W)."""
    return padded[..., v.top : v.top + v.H, v.left : v.left + v.W]


def kernel_positions(v: Windows) -> Iterator[tuple[int, int, tuple[Any, ...]]]:
    """For each kernel position (i, j): the index that picks pixel (i, j) of every window from a bordered plane."""
    for i in range(v.KH):
        for j in range(v.KW):
            top, left = i * v.DH, j * v.DW
            rows = slice(top, top + (v.OH - 1) * v.SH + 1, v.SH)
            columns = slice(left, left + (v.OW - 1) * v.SW + 1, v.SW)
            yield i, j, (..., rows, columns)
