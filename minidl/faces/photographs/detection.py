"""Where the faces are: two cascades of OpenCV 4, and only what both of them see.

A cascade is a row of ever stricter tests on differences of brightness between rectangles; a window that passes them
all is a face. Faces pass in many overlapping windows, wallpaper and dogs in few, and what deceives one cascade rarely
deceives another that was trained on other pictures: the score rests on both observations.

Source: Viola & Jones, "Rapid object detection using a boosted cascade of simple features", CVPR 2001.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.errors import FaceError, MissingLibrary
from minidl.faces.images import Pixels, opencv, pixels_of, to_grey

FIRST, SECOND = "haarcascade_frontalface_alt2.xml", "haarcascade_frontalface_default.xml"
WINDOW: Final = 36
"""The photograph is shrunk so far that the smallest face wanted has so many pixels; the cascades know 20."""
ENLARGED: Final = 2.0
"""Small photographs are enlarged by this at most: more would invent nothing."""
MARGIN: Final = 0.1
"""The border is repeated outwards by this part of the longer side, so that a face may touch it."""
HALF: Final = 10.0
"""So many windows in agreement give a score of 1 - 1/e."""


@dataclass(frozen=True)
class Box:
    """A square (at the border of the photograph: what is left of it) round a face, from the brows to the chin.

    Attributes:
        x, y: column and row of its upper left pixel.
        w, h: width and height in pixels.
        score: 0 to 1, how sure the detector is; see `detect`.
        tilt: degrees by which the face leans, clockwise as one sees it: the angle at which it was looked for.
    """

    x: int
    y: int
    w: int
    h: int
    score: float
    tilt: float = 0.0


def detect(
    photo: str | PathLike[str] | Array,
    least: float = 0.5,
    smallest: float = 0.05,
    tilts: Sequence[float] = (0.0,),
) -> list[Box]:
    """The faces that look into the camera.

    Two cascades slide over the photograph at all sizes. Where both find a face, with n₁ and n₂ overlapping windows,

        score = 1 - exp(-min(n₁, n₂) / 10)

    Arguments:
        photo: a path, or an array (h, w), (h, w, 3) or (h, w, 4), uint8, uint16 or floating in 0..1.
        least: faces of a smaller score are left out. Of dogs, cars and wallpaper few reach 0.5, of faces nearly all.
        smallest: the width of the smallest face wanted, as a part of the photograph's longer side.
        tilts: degrees at which leaning heads are looked for, clockwise positive; upright ones alone by default. Each
            angle costs one more search and finds heads within about 15° of it.

    Returns:
        The boxes, the most certain first; an empty list where there is no face.

    Raises:
        BadImage: the photograph cannot be used.
        FaceError: `least` or `smallest` is no part of 1, or there is no tilt.
        MissingLibrary: OpenCV 4 is not installed.
    """
    if not 0 <= least <= 1 or not 0 < smallest <= 1:
        raise FaceError(f"detect: least={least} must lie in 0..1, and smallest={smallest} in 0..1 and not be 0")
    angles = [float(tilt) for tilt in tilts]
    if not angles or not np.isfinite(angles).all():
        raise FaceError(f"detect: tilts={tilts!r} must be at least one angle in degrees")
    cv2 = opencv("finding faces")
    grey = to_grey(pixels_of(photo))
    h, w = grey.shape
    scale = min(ENLARGED, WINDOW / (smallest * max(h, w)))
    size = max(1, round(w * scale)), max(1, round(h * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.resize(grey, size, interpolation=way)
    edge = max(1, round(MARGIN * max(size)))
    small = cv2.copyMakeBorder(small, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
    if min(small.shape) < WINDOW:
        return []
    found: list[tuple[float, float, float, Box]] = []
    for tilt in angles:
        turned, back = _turned(cv2, small, tilt)
        for x, y, side, votes in _agreed(cv2, turned):
            cx, cy = back @ (x + side / 2, y + side / 2, 1.0)
            cx, cy, reach = (cx - edge) * w / size[0], (cy - edge) * h / size[1], side * w / size[0]
            left, top = max(0, round(cx - reach / 2)), max(0, round(cy - reach / 2))
            right, bottom = min(w, round(cx + reach / 2)), min(h, round(cy + reach / 2))
            score = 1 - float(np.exp(-votes / HALF))
            if score >= least and right > left and bottom > top:
                box = Box(left, top, right - left, bottom - top, round(score, 4), tilt)
                found.append((cx, cy, reach, box))
    found.sort(key=lambda one: (-one[3].score, abs(one[3].tilt), one[3].y, one[3].x))
    kept: list[tuple[float, float, float, Box]] = []
    for one in found:
        if not any(_same(one[:3], other[:3]) for other in kept):
            kept.append(one)
    return [box for *_, box in kept]


def _turned(cv2: Any, grey: Pixels, tilt: float) -> tuple[Pixels, NDArray[np.float64]]:
    """The picture turned so that heads leaning by `tilt` stand upright, and the (2, 3) way back to its pixels."""
    if not tilt:
        return grey, np.eye(2, 3)
    h, w = grey.shape
    there = cv2.getRotationMatrix2D((w / 2, h / 2), tilt, 1.0)  # of OpenCV: positive is anticlockwise
    cos, sin = abs(there[0, 0]), abs(there[0, 1])
    wide, tall = int(np.ceil(w * cos + h * sin)), int(np.ceil(h * cos + w * sin))
    there[:, 2] += (wide - w) / 2, (tall - h) / 2
    turned = cv2.warpAffine(grey, there, (wide, tall), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return turned, cv2.invertAffineTransform(there)


def _agreed(cv2: Any, grey: Pixels) -> list[tuple[float, float, float, int]]:
    """(x, y, side, windows) of what both cascades take for a face."""
    first, second = (_windows(cv2, name, grey) for name in (FIRST, SECOND))
    both = []
    for x, y, side, votes in first:
        others = [
            n for u, v, s, n in second if _same((x + side / 2, y + side / 2, side), (u + s / 2, v + s / 2, s), 0.25)
        ]
        if others:
            both.append((x, y, side, min(votes, max(others))))
    return both


def _same(a: tuple[float, float, float], b: tuple[float, float, float], near: float = 0.5) -> bool:
    """Whether two squares (middle x, middle y, side) show one face."""
    reach = near * max(a[2], b[2])
    return abs(a[0] - b[0]) < reach and abs(a[1] - b[1]) < reach and 0.6 < a[2] / b[2] < 1 / 0.6


def _windows(cv2: Any, name: str, grey: Pixels) -> list[tuple[float, float, float, int]]:
    boxes, votes = cascade(cv2, name).detectMultiScale2(grey, 1.1, 1, minSize=(WINDOW - 4, WINDOW - 4))
    return [(float(x), float(y), float(w), int(n)) for (x, y, w, _), n in zip(boxes, votes, strict=True)]


_loaded = threading.local()


def cascade(cv2: Any, name: str) -> Any:
    """A cascade that comes with OpenCV; each thread has its own, for it keeps what it is looking at.

    Arguments:
        cv2: OpenCV.
        name: of the file.

    Raises:
        MissingLibrary: this OpenCV has none (version 5 dropped them).
    """
    known: dict[str, Any] = _loaded.__dict__.setdefault("cascades", {})
    if name not in known:
        file = Path(cv2.__file__).parent / "data" / name
        if not hasattr(cv2, "CascadeClassifier") or not file.is_file():
            raise MissingLibrary(
                f"finding faces needs the cascades of OpenCV 4, but this is OpenCV {cv2.__version__} without {name}: "
                "pip install 'minidl[faces]'"
            )
        known[name] = cv2.CascadeClassifier(str(file))
    return known[name]
