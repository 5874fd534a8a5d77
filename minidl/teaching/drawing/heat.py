"""Matrices and pictures: a cell a number."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np

from minidl.backend import Array
from minidl.teaching import symbols
from minidl.teaching.drawing.canvas import Canvas, Drawing
from minidl.teaching.values import aligned, array_of, number

LARGEST = 48
TINTS = 12


def heat(
    matrix: Any, name: str = "", *, rows: list[str] | None = None, columns: list[str] | None = None, digits: int = 2
) -> Drawing:
    """A matrix as tinted cells: one colour for positive, one for negative, with the numbers where there is room.

    Arguments:
        matrix: two axes; at most 48 cells a side are drawn, larger ones are sampled.
        name: its symbol.
        rows, columns: symbols of the rows and columns.
        digits: digits after the point.
    """
    array = _sampled(array_of(matrix).astype(float))
    R, C = array.shape
    numbers = R <= 10 and C <= 10
    size = (46.0, 30.0) if numbers else (max(8.0, 420 // max(R, C)),) * 2
    left, top = (44.0 if rows else 6.0), 24.0 if name or columns else 6.0
    canvas = Canvas(left + C * size[0] + 6, top + R * size[1] + 6)
    if numbers:
        _matrix(canvas, array, left, top, size, digits)
    else:
        _tints(canvas, array, left, top, size[0])
    if name and not columns:
        canvas.symbol(left, 16, name, "start")
    for i, label in enumerate(rows or []):
        canvas.symbol(left - 6, top + (i + 0.5) * size[1] + 4, label, "end")
    for j, label in enumerate(columns or []):
        canvas.symbol(left + (j + 0.5) * size[0], 16, label)
    text = (
        aligned(array, digits) if R <= 16 and C <= 16 else f"  {R}×{C}, {number(array.min())} … {number(array.max())}"
    )
    return canvas.drawing((f"{symbols.plain(name)}\n" if name else "") + text)


def image(pixels: Any, name: str = "", *, low: float | None = None, high: float | None = None) -> Drawing:
    """A picture in shades of grey, or in colours.

    Arguments:
        pixels: shape (H, W), (1, H, W) or (3, H, W).
        name: its symbol.
        low, high: what is black and what is white; by default the smallest and the largest number.
    """
    array = array_of(pixels).astype(float)
    array = array[0] if array.ndim == 3 and array.shape[0] == 1 else array
    planes = array if array.ndim == 3 else np.stack([array] * 3)
    low = float(array.min()) if low is None else low
    high = float(array.max()) if high is None else high
    levels = np.clip((planes - low) / ((high - low) or 1) * 255, 0, 255).round().astype(int)
    _, H, W = levels.shape
    size = max(2.0, min(16.0, 320.0 / max(H, W)))
    top = 24.0 if name else 4.0
    canvas = Canvas(W * size + 8, H * size + top + 4)
    if name:
        canvas.symbol(4, 16, name, "start")
    canvas.raw(
        f'<image x="4" y="{top:.0f}" width="{W * size:.1f}" height="{H * size:.1f}" style="image-rendering:pixelated" '
        f'preserveAspectRatio="none" href="data:image/png;base64,{base64.b64encode(png(levels)).decode()}"/>'
    )
    shades = " ░▒▓█"
    step = max(1, H // 24, W // 48)
    grey = levels.mean(axis=0)[:: 2 * step, ::step]
    text = "\n".join("  " + "".join(shades[round(4 * v / 255)] for v in row) for row in grey.tolist())
    return canvas.drawing(f"{symbols.plain(name)} ({H}×{W})\n{text}")


def png(levels: Array) -> bytes:
    """Levels from 0 to 255, shape (3, H, W), as a PNG file."""
    _, H, W = levels.shape
    rows = np.zeros((H, 1 + 3 * W), np.uint8)  # each row begins with the number of its filter: none
    rows[:, 1:] = levels.transpose(1, 2, 0).reshape(H, 3 * W)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", W, H, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def window(x: Any, w: Any, y: Any, at: tuple[int, int], *, stride: int = 1, padding: int = 0) -> Drawing:
    """One step of a convolution or a pooling: the window on the input, the kernel, the output it makes.

    Arguments:
        x: the input, shape (H, W).
        w: the kernel, shape (K, K); None for a pooling of the window of `y`'s step.
        y: the output.
        at: row and column of the output that is being computed.
        stride, padding: of the operation; the padding is drawn as zeros.
    """
    x, w, y = array_of(x).astype(float), array_of(w).astype(float), array_of(y).astype(float)
    padded = np.pad(x, padding)
    cell = 40.0
    gap = 34.0
    (H, W), (K, L), (P, Q) = padded.shape, w.shape, y.shape
    top = 26.0
    canvas = Canvas(12 + (W + L + Q) * cell + 2 * gap, top + max(H, K, P) * cell + 8)
    places = (6.0, 6 + W * cell + gap, 6 + (W + L) * cell + 2 * gap)
    for array, left, name, sign in ((padded, places[0], "x", "⋆"), (w, places[1], "w", "="), (y, places[2], "y", "")):
        _matrix(canvas, array, left, top, (cell, cell), None if array.size > 144 else 2)
        canvas.symbol(left + array.shape[1] * cell / 2, 17, name)
        canvas.symbol(left + array.shape[1] * cell + gap / 2, top + max(H, K, P) * cell / 2, sign, size=16)
    i, j = at
    canvas.rect(places[0] + j * stride * cell, top + i * stride * cell, L * cell, K * cell, "frame f0")
    canvas.rect(places[1], top, L * cell, K * cell, "frame f1")
    canvas.rect(places[2] + j * cell, top + i * cell, cell, cell, "frame f0")
    part = padded[i * stride : i * stride + K, j * stride : j * stride + L]
    terms = " + ".join(
        f"{number(a)}·{number(b)}" for a, b in zip(part.ravel().tolist(), w.ravel().tolist(), strict=True)
    )
    return canvas.drawing(f"  y[{i},{j}] = {terms} = {number(y[i, j])}")


def _matrix(
    canvas: Canvas, array: Array, left: float, top: float, size: tuple[float, float], digits: int | None
) -> None:
    largest = float(np.abs(array[np.isfinite(array)]).max(initial=0)) or 1.0
    for i, row in enumerate(array.tolist()):
        for j, value in enumerate(row):
            share = min(1.0, abs(value) / largest) if np.isfinite(value) else 0.0
            x, y = left + j * size[0], top + i * size[1]
            canvas.rect(x, y, size[0], size[1], "cell plus" if value >= 0 else "cell minus", f"--share:{share:.2f}")
            if digits is not None:
                shown = number(value) if float(value).is_integer() else number(value, f".{digits}f")
                canvas.symbol(x + size[0] / 2, y + size[1] / 2 + 4, shown, css="digits", size=12)


def _tints(canvas: Canvas, array: Array, left: float, top: float, size: float) -> None:
    """Many cells without numbers: one path for all cells of one tint."""
    largest = float(np.abs(array[np.isfinite(array)]).max(initial=0)) or 1.0
    levels = np.nan_to_num(array / largest * TINTS, posinf=TINTS, neginf=-TINTS).round().astype(int)
    for level in sorted(set(levels.ravel().tolist()) - {0}):
        cells = "".join(
            f"M{left + j * size:.0f} {top + i * size:.0f}h{size:.0f}v{size:.0f}h-{size:.0f}z"
            for i, j in np.argwhere(levels == level).tolist()
        )
        sign = "plus" if level > 0 else "minus"
        canvas.raw(f'<path d="{cells}" class="cell {sign} bare" style="--share:{abs(level) / TINTS:.2f}"/>')
    R, C = array.shape
    canvas.rect(left, top, C * size, R * size, "frame thin")


def _sampled(array: Array) -> Array:
    if array.ndim != 2:
        raise ValueError(f"heat: expected two axes, got shape {array.shape}")
    rows, columns = (max(1, -(-n // LARGEST)) for n in array.shape)
    return array[::rows, ::columns]
