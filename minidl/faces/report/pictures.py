"""Pictures inside the page: small, and as part of its text."""

from __future__ import annotations

import base64
import html

import numpy as np

from minidl.backend import Array
from minidl.faces.images import encode_png
from minidl.faces.normalise import area_mean

MOST_ROWS = 128
"""A larger picture is shrunk: a page of a few megabytes should hold all of them."""


def picture(pixels: Array, words: str) -> str:
    """An image element that holds its picture.

    Arguments:
        pixels: uint8 (h, w) or (h, w, 3).
        words: what it shows, for those who cannot see it.
    """
    small = _small(pixels)
    h, w = small.shape[:2]
    data = base64.b64encode(encode_png(small)).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{html.escape(words)}" width="{w}" height="{h}">'


def _small(pixels: Array) -> Array:
    h, w = pixels.shape[:2]
    if h <= MOST_ROWS:
        return pixels
    size = MOST_ROWS, max(1, round(w * MOST_ROWS / h))
    planes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
    shrunk = (area_mean(np.ascontiguousarray(planes), size) * 255 + 0.5).astype(np.uint8)
    return shrunk[0] if pixels.ndim == 2 else np.ascontiguousarray(np.moveaxis(shrunk, 0, 2))
