"""Faces cut out of a photograph, upright and of one size, with the eyes always at the same place."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.errors import BadImage
from minidl.faces.images import Pixels, opencv, pixels_of, to_grey
from minidl.faces.inputs import size_of
from minidl.faces.photographs.detection import Box
from minidl.faces.photographs.eyes import Points, find_eyes, usual_eyes
from minidl.faces.photographs.quality import Quality, quality

SIZE: Final = (112, 92)
"""(rows, columns) of an aligned face, as in the AT&T database."""
EYES: Final = ((28.5, 52.4), (62.5, 52.4))
"""Where the eyes come to lie, pixel (x, y) of 92 × 112: the mean over the faces of the AT&T database (34.3 apart, at
row 52.4), which its photographers centred by hand."""


@dataclass(frozen=True)
class Face:
    """A face out of a photograph.

    Attributes:
        image: (112, 92) uint8, or another size that was asked for: upright, the eyes at `EYES`.
        box: where it is in the photograph.
        eyes: (2, 2) float32, pixel (x, y) of the eyes in the photograph, the one on the picture's left first.
        by: "eyes" if the eyes were found; "box" if they were not, and `eyes` are where a face usually has them.
        quality: how good it is to be recognized by.
    """

    image: Pixels
    box: Box
    eyes: Points
    by: Literal["eyes", "box"]
    quality: Quality


def align(photo: str | PathLike[str] | Array, box: Box, size: tuple[int, int] = SIZE) -> Face:
    """The face in a box, moved, turned and scaled so that the eyes come to their fixed places.

    Arguments:
        photo: a path or an array, as `detect` takes them.
        box: of `detect`, or anybody else's.
        size: (rows, columns) of the result; the eyes lie at the same part of it, so other proportions show more or
            less round the face and never stretch it.

    Returns:
        The face; `by` says whether the eyes were found.

    Raises:
        BadImage: the photograph or the size cannot be used, or the box lies outside.
        MissingLibrary: OpenCV 4 is not installed.
    """
    grey = to_grey(pixels_of(photo))
    h, w = grey.shape
    if min(box.w, box.h) < 1 or box.x >= w or box.y >= h or box.x + box.w <= 0 or box.y + box.h <= 0:
        raise BadImage(f"the box {box} lies outside the photograph of {w}×{h} pixels, or is empty")
    found = find_eyes(grey, box)
    eyes = usual_eyes(box) if found is None else found
    rows, columns = size_of(size)
    image = warp(grey, eyes, (rows, columns))
    at = warp(grey, eyes, SIZE) if (rows, columns) != SIZE else image
    distance = float(np.hypot(*(eyes[1] - eyes[0])))
    return Face(image, box, eyes, "box" if found is None else "eyes", quality(at, distance))


def fixed_eyes(size: tuple[int, int]) -> NDArray[np.float64]:
    """Where the eyes lie in an aligned face of this size: (2, 2) pixels (x, y).

    >>> fixed_eyes((112, 92)).tolist(), fixed_eyes((56, 46)).round(2).tolist()
    ([[28.5, 52.4], [62.5, 52.4]], [[14.0, 25.95], [31.0, 25.95]])
    """
    rows, columns = size
    scale = min(rows / SIZE[0], columns / SIZE[1])
    # In edges of pixels, not centres: twice the size has its middle at twice the edge.
    middle = np.array([columns / 2, rows * (EYES[0][1] + 0.5) / SIZE[0]])
    offset = (np.array(EYES) + 0.5 - (SIZE[1] / 2, EYES[0][1] + 0.5)) * scale
    return np.asarray(middle + offset - 0.5)


def warp(grey: Pixels, eyes: Array, size: tuple[int, int]) -> Pixels:
    """The picture moved, turned and scaled so that the eyes come to `fixed_eyes`; beyond its border, the border.

    The similarity z ↦ a z + b in the complex plane that takes the eyes e₁, e₂ to f₁, f₂ has
    a = (f₂ - f₁) / (e₂ - e₁), b = f₁ - a e₁. Where it shrinks, the picture is blurred first, or fine patterns alias.

    Arguments:
        grey: (h, w) uint8.
        eyes: (2, 2) pixels (x, y).
        size: (rows, columns) of the result.
    """
    cv2 = opencv("aligning a face")
    (e1, e2), (f1, f2) = ((p[:, 0] + 1j * p[:, 1]) for p in (np.asarray(eyes, np.float64), fixed_eyes(size)))
    if abs(e2 - e1) < 1e-6:
        raise BadImage(f"both eyes lie at {eyes[0][0]:.1f}, {eyes[0][1]:.1f}: a face cannot be aligned by them")
    a = (f2 - f1) / (e2 - e1)
    b = f1 - a * e1
    there = np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
    if abs(a) < 1:
        sigma = 0.5 * np.sqrt(1 / abs(a) ** 2 - 1)
        grey = cv2.GaussianBlur(grey, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE) if sigma > 0.2 else grey
    rows, columns = size
    flags = cv2.INTER_LINEAR if abs(a) <= 1 else cv2.INTER_CUBIC
    found = cv2.warpAffine(grey, there, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.uint8)
