"""Pictures in other numbers: scales, colours, light, noise. Functions on arrays (..., C, H, W).

A uint8 picture holds 0 … 255, a floating one 0 … 1; functions that change the light keep the dtype and the range.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minidl.backend import Array
from minidl.data.transforms_geometry import computed, like

LUMA = (0.299, 0.587, 0.114)
"""What red, green and blue contribute to the brightness seen; ITU-R BT.601."""


def channels_first(image: Array) -> Array:
    """A picture as files give it, (H, W) or (H, W, C), as networks take it: (C, H, W).

    Raises:
        ValueError: it has another shape.
    """
    if image.ndim == 2:
        return image[None].copy()
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise ValueError(f"channels_first: expected (H, W) or (H, W, C) with C = 1, 3 or 4, got shape {image.shape}")
    return np.ascontiguousarray(np.moveaxis(image, 2, 0))


def to_float(image: Array) -> Array:
    """Integers as float32 between 0 and 1: uint8 divided by 255, uint16 by 65535. Floating pictures stay.

    >>> to_float(np.array([[[0, 51, 255]]], np.uint8)).tolist()
    [[[0.0, 0.20000000298023224, 1.0]]]
    """
    if image.dtype.kind == "f":
        return image
    if image.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"to_float: expected uint8, uint16 or floating values, got {image.dtype.name}")
    return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)


def to_uint8(image: Array) -> Array:
    """Values between 0 and 1 as 0 … 255, rounded; what lies outside is cut off."""
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind != "f":
        raise TypeError(f"to_uint8: expected floating values between 0 and 1, got {image.dtype.name}")
    return np.rint(np.clip(image, 0, 1).astype(np.float32) * 255).astype(np.uint8)


def to_gray(image: Array) -> Array:
    """Brightness, in one channel: (..., 3, H, W) → (..., 1, H, W); a grey picture stays, alpha is dropped."""
    channels = _channels("to_gray", image)
    if channels == 1:
        return image
    work = computed(image[..., :3, :, :])
    weights = np.asarray(LUMA, work.dtype)[:, None, None]
    return like((work * weights).sum(axis=-3, keepdims=True), image)


def to_rgb(image: Array) -> Array:
    """Three channels: a grey picture three times; an alpha channel is dropped."""
    if _channels("to_rgb", image) == 1:
        return np.repeat(image, 3, axis=-3)
    return image[..., :3, :, :]


def normalize(image: Array, mean: float | Sequence[float], std: float | Sequence[float]) -> Array:
    """(x − mean) / std, of all channels alike or of each.

    Raises:
        TypeError: the picture holds integers: `to_float` comes first.
        ValueError: a standard deviation that is not > 0.
    """
    if image.dtype.kind != "f":
        raise TypeError(f"normalize: the picture holds {image.dtype.name}; make it floating first, with to_float")
    shift, spread = (np.asarray(v, image.dtype) for v in (mean, std))
    if not (spread > 0).all():
        raise ValueError(f"normalize: std must be > 0, got {std}")
    if shift.ndim:
        shift = shift[:, None, None]
    if spread.ndim:
        spread = spread[:, None, None]
    return (image - shift) / spread


def brightness_contrast(image: Array, brightness: float = 0, contrast: float = 1) -> Array:
    """Distances from the picture's mean times contrast, brightness (a part of the full range) added; then cut off."""
    x, full = _working(image)
    mean = x.mean(axis=(-3, -2, -1) if x.ndim > 2 else None, keepdims=True)
    return like(np.clip((x - mean) * contrast + mean + brightness * full, 0, full), image)


def gamma(image: Array, exponent: float) -> Array:
    """x^exponent on the scale 0 … 1: above 1 darkens the middle, below 1 lightens it; black and white stay."""
    if not exponent > 0:
        raise ValueError(f"gamma: the exponent must be > 0, got {exponent}")
    x, full = _working(image)
    return like(np.clip(x / full, 0, 1) ** np.asarray(exponent, x.dtype) * full, image)


def add_noise(image: Array, noise: Array) -> Array:
    """The picture plus noise (in parts of the full range), cut off at the ends of the range."""
    x, full = _working(image)
    return like(np.clip(x + noise.astype(x.dtype) * full, 0, full), image)


def erase(image: Array, top: int, left: int, size: tuple[int, int], value: float | Array = 0) -> Array:
    """The picture with a rectangle overwritten by a value, or by an array of the rectangle's shape."""
    erased = image.copy()
    erased[..., top : top + size[0], left : left + size[1]] = value
    return erased


def _working(image: Array) -> tuple[Array, float]:
    """The picture in float32 or float64, and the value of white."""
    white = 1 if image.dtype.kind == "f" else int(np.iinfo(image.dtype).max)
    return computed(image), white


def _channels(what: str, image: Array) -> int:
    if image.ndim < 3 or image.shape[-3] not in (1, 3, 4):
        raise ValueError(f"{what}: expected (..., C, H, W) with C = 1, 3 or 4, got shape {image.shape}")
    return image.shape[-3]
