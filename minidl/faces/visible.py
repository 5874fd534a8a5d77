"""Which pixels show anything: a hand, a black bar or a cut-off half is a place without texture.

What hides a face is no part of it. Left in, its brightness shifts the mean of the whole image and its edge is the
strongest line in it; left out, the visible part looks as it does in a whole face.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Faces = NDArray[np.float32]

WINDOW: Final = 5
"""So many rows and columns of one grey level are nothing that a camera sees of skin or hair."""
SAME: Final = 1e-3
"""Grey levels (from 0 to 1) that differ by less are one: a quarter of a step of uint8."""


def visible(x: Faces) -> Faces:
    """Where the image shows something: not inside, nor within a pixel of, a square of one grey level.

    Arguments:
        x: (n, h, w) float32, grey levels in 0..1, at least `WINDOW` rows and columns.

    Returns:
        (n, h, w) float32 of 0 and 1. An image that shows nothing anywhere counts as visible.

    >>> face = np.random.default_rng(0).random((1, 20, 20), np.float32)
    >>> face[:, 10:] = 0
    >>> visible(face)[0, :, 0].tolist() == [1] * 9 + [0] * 11
    True
    """
    flat = _spread(x, WINDOW, np.maximum) - _spread(x, WINDOW, np.minimum) < SAME
    # The middle of a flat square hides the square, and one more pixel: shrinking mixed its border with the face.
    hidden = _spread(flat.astype(np.float32), WINDOW + 2, np.maximum)
    hidden[hidden.min((1, 2)) == 1] = 0
    return np.asarray(1 - hidden, np.float32)


def _spread(x: Faces, width: int, extreme: np.ufunc) -> Faces:
    """The largest or smallest of width × width pixels around each, the border repeated outwards."""
    before = width // 2
    for axis in (1, 2):
        size = x.shape[axis]
        wide = np.pad(x, [(before, before) if k == axis else (0, 0) for k in range(3)], mode="edge")
        parts = [wide[:, k : k + size] if axis == 1 else wide[:, :, k : k + size] for k in range(width)]
        x = np.asarray(extreme.reduce(parts), np.float32)
    return x
