"""How good a face is to be recognized by: sharp, rich in contrast, large, looking into the camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from minidl.faces.errors import BadImage
from minidl.faces.images import Pixels
from minidl.faces.normalise import area_mean, local_contrast

GOOD_SHARPNESS: Final = 0.10
GOOD_CONTRAST: Final = 0.15
GOOD_DISTANCE: Final = 34.0
"""Pixels between the eyes of an aligned face of 112 × 92: fewer in the photograph mean that detail was lost."""
GOOD_SYMMETRY: Final = 0.60


@dataclass(frozen=True)
class Quality:
    """What an aligned face is worth, each from 0 (useless) to 1 (as good as it needs to be).

    Attributes:
        sharpness: of edges: min(1, s / 0.10), s = mean |x - blur x| / std x, where blur is the mean over 3 × 3 pixels.
        contrast: min(1, std x / 0.15), with grey levels from 0 to 1; low when dark, washed out or in fog.
        size: min(1, distance of the eyes in the photograph / 34 pixels).
        symmetry: of the pose: min(1, max(0, r) / 0.60), r the correlation of the left half with the mirrored right
            half, shrunk to a quarter and its local contrast evened out. It falls while a head turns by some 15° and
            stays low from there on; a face half hidden is low too.

    All but the size are taken over the middle of the face, from brow to chin.
    """

    sharpness: float
    contrast: float
    size: float
    symmetry: float

    @property
    def score(self) -> float:
        """The geometric mean of the four, 0 to 1: one that is 0 makes it 0."""
        return float((self.sharpness * self.contrast * self.size * self.symmetry) ** 0.25)


def quality(face: Pixels, eye_distance: float) -> Quality:
    """The quality of an aligned face.

    Arguments:
        face: (h, w) uint8, at least 16 pixels a side, of `align`.
        eye_distance: between the eyes in the photograph, in pixels.

    Raises:
        BadImage: the face is not grey uint8, or too small.
    """
    if face.ndim != 2 or face.dtype != np.uint8 or min(face.shape) < 16:
        raise BadImage(
            f"quality takes an aligned grey face, uint8 (h, w) of 16×16 pixels or more, but got {face.dtype} of shape "
            f"{face.shape}"
        )
    x = face.astype(np.float32) / np.float32(255)
    h, w = x.shape
    part = (slice(round(0.22 * h), round(0.92 * h)), slice(round(0.15 * w), w - round(0.15 * w)))
    middle = x[part]
    spread = float(middle.std())
    # The mean over 3 × 3 pixels, as sums of shifted copies.
    wide = np.pad(x, 1, mode="edge")
    blurred = sum(wide[i : i + h, j : j + w] for i in range(3) for j in range(3)) / np.float32(9)
    edges = float(np.abs(x - blurred)[part].mean())
    small = area_mean(face, (max(16, h // 4), max(16, w // 4)))
    even = local_contrast(small)
    rows, columns = even.shape
    even = even[round(0.22 * rows) : round(0.92 * rows), round(0.15 * columns) : columns - round(0.15 * columns)]
    half = even.shape[1] // 2
    left, right = even[:, :half].ravel(), even[:, ::-1][:, :half].ravel()
    left, right = left - left.mean(), right - right.mean()
    length = float(np.sqrt((left @ left) * (right @ right)))
    mirrored = float(left @ right) / length if length > 0 else 0.0
    return Quality(
        sharpness=min(1.0, edges / spread / GOOD_SHARPNESS) if spread > 1e-4 else 0.0,
        contrast=min(1.0, spread / GOOD_CONTRAST),
        size=min(1.0, max(0.0, eye_distance) / GOOD_DISTANCE),
        symmetry=min(1.0, max(0.0, mirrored) / GOOD_SYMMETRY),
    )
