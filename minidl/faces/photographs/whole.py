"""All faces of a photograph, ready to be recognized, or one sentence why there is none."""

from __future__ import annotations

from os import PathLike, fspath

import numpy as np

from minidl.backend import Array
from minidl.faces.errors import NoFaceFound
from minidl.faces.images import Pixels, pixels_of, to_grey
from minidl.faces.photographs.alignment import SIZE, Face, align
from minidl.faces.photographs.detection import detect

DARK, LITTLE = 30, 60


def faces_in(
    photo: str | PathLike[str] | Array,
    least: float = 0.5,
    smallest: float = 0.05,
    tilts: tuple[float, ...] = (0.0,),
    size: tuple[int, int] = SIZE,
) -> list[Face]:
    """Every face of a photograph: found, aligned by the eyes, judged.

    Arguments:
        photo: a path or an array, as `detect` takes them.
        least, smallest, tilts: of `detect`.
        size: (rows, columns) of each face.

    Returns:
        At least one face, the most certain first.

    Raises:
        NoFaceFound: there is none; the message says what may help.
        BadImage: the photograph cannot be used.
        MissingLibrary: OpenCV 4 is not installed.
    """
    grey = to_grey(pixels_of(photo))
    boxes = detect(grey, least, smallest, tilts)
    if not boxes:
        name = fspath(photo) if isinstance(photo, str | PathLike) else "the photograph"
        raise NoFaceFound(f"no face was found in {name}: {_hint(grey, least, smallest)}")
    return [align(grey, box, size) for box in boxes]


def _hint(grey: Pixels, least: float, smallest: float) -> str:
    """What stands in the way, as far as it can be told."""
    h, w = grey.shape
    if min(h, w) < LITTLE:
        return f"it has only {w}×{h} pixels, and a face needs about {LITTLE}: use a larger picture"
    if float(np.quantile(grey, 0.95)) < DARK:
        return "it is nearly black: use a picture with more light"
    sideways = {1: "anticlockwise", 2: "upside down", 3: "clockwise"}
    for quarter, how in sideways.items():
        # A second look finds more by chance: ask for more certainty.
        if detect(np.ascontiguousarray(np.rot90(grey, quarter)), max(least, 0.8), smallest):
            turn = "turn it by 180°" if quarter == 2 else f"turn it {how} by 90°"
            return f"one is there when the picture is turned: {turn}"
    return (
        "a face must look towards the camera, stand upright and be at least "
        f"{smallest:.0%} as wide as the longer side of the picture"
    )
