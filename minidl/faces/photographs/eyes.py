"""Where the eyes are in a face that was found: two cascades for eyes, and a check whether the pair can be a pair."""

from __future__ import annotations

from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from minidl.faces.images import Pixels, opencv
from minidl.faces.photographs.detection import Box, cascade

Points = NDArray[np.float32]

CASCADES: Final = ("haarcascade_eye_tree_eyeglasses.xml", "haarcascade_eye.xml")
SIDE: Final = 180
"""The face is brought to so many pixels before its eyes are looked for."""
APART: Final = (0.398, 0.045)
"""Distance of the eyes in widths of the box: mean and standard deviation, on cropped faces where a pair was found."""
MIDDLE: Final = ((0.500, 0.040), (0.392, 0.045))
"""Where the point between the eyes lies in the box, across and down: mean and standard deviation."""
LEVEL: Final = 8.0
"""Standard deviation of the slope of the line through the eyes, in degrees, after a tilt was taken out."""
UNLIKELY: Final = 3.0
"""A pair that lies further out in any of these, in standard deviations, is none."""


def usual_eyes(box: Box) -> Points:
    """Where the eyes of a face lie on average: (2, 2) pixels (x, y), the one on the picture's left first.

    Arguments:
        box: round the face.
    """
    across, down = APART[0] / 2, MIDDLE[1][0] - 0.5
    return (_turn(box.tilt) @ np.array([[-across, down], [across, down]]).T).T.astype(np.float32) * max(
        box.w, box.h
    ) + _middle(box)


def find_eyes(grey: Pixels, box: Box) -> Points | None:
    """The middles of both eyes. Under dark lenses none are found; in closed ones the brows may be taken for them.

    Arguments:
        grey: (h, w) uint8, the photograph.
        box: round the face.

    Returns:
        (2, 2) float32 pixels (x, y) of the photograph, the eye on the picture's left first; a pixel's centre has whole
        coordinates. None where no two places that look like eyes lie as the eyes of a face do.

    Raises:
        MissingLibrary: OpenCV 4 is not installed.
    """
    cv2 = opencv("finding eyes")
    scale = SIDE / max(box.w, box.h)
    turn = _turn(-box.tilt) * scale
    there = np.hstack([turn, (SIDE / 2 - turn @ _middle(box))[:, None]])
    face = cv2.warpAffine(grey, there, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    top, bottom = round(0.15 * SIDE), round(0.65 * SIDE)
    strip = np.ascontiguousarray(face[top:bottom])
    for name in CASCADES:
        boxes, votes = cascade(cv2, name).detectMultiScale2(
            strip, 1.05, 3, minSize=(SIDE // 9, SIDE // 9), maxSize=(SIDE // 2, SIDE // 2)
        )
        places = [
            (x + w / 2, y + h / 2 + top, int(n))
            for (x, y, w, h), n in zip(np.asarray(boxes).tolist(), votes, strict=True)
        ]
        pair = _likeliest(places)
        if pair is not None:
            inverse = np.linalg.inv(turn)
            return ((pair - there[:, 2]) @ inverse.T).astype(np.float32)
    return None


def _likeliest(places: list[tuple[float, float, int]]) -> Points | None:
    """The pair that lies most as eyes do: the least sum of squared standard scores, less the logarithm of the votes."""
    best: tuple[float, Points] | None = None
    for one, other in combinations(sorted(places), 2):
        a, b = np.array(one[:2]) / SIDE, np.array(other[:2]) / SIDE
        across, down = b - a
        middle = (a + b) / 2
        scores = np.array(
            [
                (np.hypot(across, down) - APART[0]) / APART[1],
                (middle[0] - MIDDLE[0][0]) / MIDDLE[0][1],
                (middle[1] - MIDDLE[1][0]) / MIDDLE[1][1],
                np.degrees(np.arctan2(down, across)) / LEVEL,
            ]
        )
        if np.abs(scores).max() > UNLIKELY:
            continue
        cost = float(scores @ scores) - np.log(one[2] * other[2])
        if best is None or cost < best[0]:
            best = cost, np.array([one[:2], other[:2]], np.float32)
    return None if best is None else best[1]


def _middle(box: Box) -> NDArray[np.float64]:
    return np.array([box.x + (box.w - 1) / 2, box.y + (box.h - 1) / 2])


def _turn(degrees: float) -> NDArray[np.float64]:
    """The rotation clockwise as one sees it, for (x, y) with y downwards."""
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
