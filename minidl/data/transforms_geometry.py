"""Pictures made larger, smaller, cut, mirrored and turned: functions on arrays whose last two axes are H, W.

Pixels are squares of side 1 with their centres at ½, 1½, …; what stands before H, W (channels, a batch) is carried
along. The dtype is kept; uint8 is rounded to the nearest.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from minidl.backend import Array
from minidl.kernels.threads import single_threaded_blas

Size = tuple[int, int]


def resize(image: Array, size: Size, mode: str = "area") -> Array:
    """The picture in another size, its sides scaled independently.

    Arguments:
        image: (..., H, W).
        size: height and width wanted.
        mode: "area": every new pixel is the mean of the area it covers, right for making smaller; along a side
            that grows it is bilinear. "bilinear": between the four nearest centres, which skips pixels when a side
            shrinks by more than 2.

    Raises:
        ValueError: a size below 1, or an unknown mode.
    """
    if mode not in ("area", "bilinear"):
        raise ValueError(f"resize: mode is 'area' or 'bilinear', got {mode!r}")
    height, width = _checked("resize", image, size)
    if image.shape[-2:] == (height, width):
        return image.copy()
    x = computed(image)
    rows = _weights(image.shape[-2], height, mode == "area").astype(x.dtype)
    columns = _weights(image.shape[-1], width, mode == "area").astype(x.dtype)
    with single_threaded_blas():  # for pictures of this size waking its threads costs more than the whole product
        y = rows @ x @ columns.T
    return like(y, image)


@lru_cache(maxsize=64)
def _weights(n: int, m: int, area: bool) -> Array:
    """The matrix (m, n) that takes n pixels of a line to m; its rows sum to 1."""
    scale = n / m
    if area and m < n:
        edges = np.arange(m + 1) * scale
        low, high = edges[:-1, None], edges[1:, None]
        pixels = np.arange(n)
        covered = np.minimum(high, pixels + 1) - np.maximum(low, pixels)
        weights = np.maximum(covered, 0) / scale
    else:
        centres = np.clip((np.arange(m) + 0.5) * scale - 0.5, 0, n - 1)
        weights = np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(n)))
    weights.flags.writeable = False
    return weights


def crop(image: Array, top: int, left: int, size: Size) -> Array:
    """A copy of the rectangle of that size whose first pixel is (top, left).

    Raises:
        ValueError: it does not lie within the picture.
    """
    height, width = _checked("crop", image, size)
    rows, columns = image.shape[-2:]
    if not (0 <= top <= rows - height and 0 <= left <= columns - width):
        raise ValueError(
            f"crop: {height}×{width} pixels at ({top}, {left}) do not lie within a picture of {rows}×{columns}"
        )
    return image[..., top : top + height, left : left + width].copy()


def center_crop(image: Array, size: Size) -> Array:
    """The middle of the picture."""
    rows, columns = image.shape[-2:]
    return crop(image, (rows - size[0]) // 2, (columns - size[1]) // 2, size)


def pad(image: Array, padding: int, fill: float | None = 0) -> Array:
    """The picture with a margin on every side, of one value, or of repeated border pixels where fill is None."""
    widths = [(0, 0)] * (image.ndim - 2) + [(padding, padding)] * 2
    if fill is None:
        return np.pad(image, widths, mode="edge")
    return np.pad(image, widths, constant_values=fill)


def horizontal_flip(image: Array) -> Array:
    """Left and right exchanged."""
    return image[..., ::-1].copy()


def rotate(image: Array, degrees: float, fill: float | None = 0) -> Array:
    """The picture turned about its centre, counter-clockwise as seen, in a frame of the same size."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return warp(image, np.array([[c, s], [-s, c]]), (0.0, 0.0), fill)


def shift_scale(image: Array, shift: tuple[float, float] = (0, 0), scale: float = 1, fill: float | None = 0) -> Array:
    """The picture enlarged by a factor about its centre, then moved down and right by so many pixels."""
    if not scale > 0:
        raise ValueError(f"shift_scale: scale must be > 0, got {scale}")
    return warp(image, np.eye(2) / scale, (-shift[0] / scale, -shift[1] / scale), fill)


def warp(image: Array, matrix: Array, offset: tuple[float, float], fill: float | None = 0) -> Array:
    """A new picture whose pixel at y is the old one's value at matrix·y + offset, bilinearly between centres.

    Arguments:
        image: (..., H, W).
        matrix: (2, 2), acting on (row, column) counted from the centre of the picture.
        offset: added to the place, in pixels.
        fill: the value outside of the picture; None repeats its border.
    """
    rows, columns = image.shape[-2:]
    y, x = np.arange(rows) - (rows - 1) / 2, np.arange(columns) - (columns - 1) / 2
    at_y = matrix[0, 0] * y[:, None] + matrix[0, 1] * x[None, :] + (offset[0] + (rows - 1) / 2)
    at_x = matrix[1, 0] * y[:, None] + matrix[1, 1] * x[None, :] + (offset[1] + (columns - 1) / 2)
    source, margin = computed(image), 1
    if fill is None:
        at_y, at_x = np.clip(at_y, 0, rows - 1), np.clip(at_x, 0, columns - 1)
    source = pad(source, margin, fill)
    at_y = np.clip(at_y + margin, 0, rows + 2 * margin - 1)
    at_x = np.clip(at_x + margin, 0, columns + 2 * margin - 1)
    top = np.minimum(at_y.astype(np.intp), rows + 2 * margin - 2)
    left = np.minimum(at_x.astype(np.intp), columns + 2 * margin - 2)
    down, right = (at_y - top).astype(source.dtype), (at_x - left).astype(source.dtype)
    upper = source[..., top, left] * (1 - right) + source[..., top, left + 1] * right
    lower = source[..., top + 1, left] * (1 - right) + source[..., top + 1, left + 1] * right
    return like(upper * (1 - down) + lower * down, image)


def computed(image: Array) -> Array:
    """The picture in the dtype it is computed with: float64 as it is, all others float32."""
    return image.astype(np.float64 if image.dtype == np.float64 else np.float32, copy=False)


def like(x: Array, image: Array) -> Array:
    """Computed values in the dtype of the picture they came from: uint8 rounded and held within 0 … 255."""
    if image.dtype.kind in "iu":
        info = np.iinfo(image.dtype)
        return np.clip(np.rint(x), info.min, info.max).astype(image.dtype)
    return x.astype(image.dtype, copy=False)


def _checked(what: str, image: Array, size: Size) -> Size:
    height, width = size
    if image.ndim < 2 or image.shape[-1] < 1 or image.shape[-2] < 1:
        raise ValueError(f"{what}: expected a picture (..., H, W), got shape {image.shape}")
    if height < 1 or width < 1:
        raise ValueError(f"{what}: a picture of {height}×{width} pixels cannot be made")
    return height, width
