"""What an explanation is: a number at every pixel, and a picture of it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.errors import BadImage
from minidl.faces.images import Pixels

Map = NDArray[np.float32]

FOR: Final = (214, 69, 48)
"""Red, laid over pixels that speak for the answer."""
AGAINST: Final = (46, 110, 190)
"""Blue, over those that speak against it."""
STRONGEST: Final = 0.75
"""How much of the face the strongest colour hides."""


@dataclass(frozen=True)
class Explanation:
    """Which pixels of a face decided.

    Attributes:
        map: (h, w) float32, one number a pixel: positive where the pixel speaks for `target`, negative where it speaks
            against it, 0 where it does not matter. The unit depends on the method.
        method: "occlusion", "gradient", "gradient-input", "grad-cam" or "rollout".
        target: the answer that is explained.
        image: (h, w) uint8, the face.
    """

    map: Map
    method: str
    target: Hashable
    image: Pixels

    def picture(self) -> Pixels:
        """The face in grey under the map: red speaks for the answer, blue against it.

        Returns:
            (h, w, 3) uint8. The strongest number of the map, of either sign, has the strongest colour.
        """
        return overlay(self.image, self.map)


def overlay(image: Pixels, strength: Map) -> Pixels:
    """A grey picture under colours.

    Arguments:
        image: (h, w) uint8.
        strength: (h, w), positive red, negative blue; divided by its largest size.

    Returns:
        (h, w, 3) uint8.

    Raises:
        BadImage: the shapes differ.

    >>> overlay(np.array([[100, 100]], np.uint8), np.array([[0.0, 2.0]], np.float32)).tolist()
    [[[100, 100, 100], [186, 77, 61]]]
    """
    if image.shape != strength.shape:
        raise BadImage(f"a map of shape {strength.shape} does not fit a face of shape {image.shape}")
    most = float(np.abs(strength).max(initial=0))
    share = np.abs(strength)[..., None] * (STRONGEST / most if most > 0 else 0)
    colour = np.where(strength[..., None] > 0, np.array(FOR, np.float32), np.array(AGAINST, np.float32))
    return np.asarray(image[..., None] * (1 - share) + colour * share + 0.5, np.uint8)


def enlarged(small: Array, size: tuple[int, int]) -> Map:
    """A map at the size of the image, by straight lines between the middles of its cells.

    Arguments:
        small: (h, w).
        size: (rows, columns).

    >>> enlarged(np.array([[0.0, 4.0]]), (1, 4)).tolist()
    [[0.0, 1.0, 3.0, 4.0]]
    """
    down, across = (_straight(old, new) for old, new in zip(small.shape, size, strict=True))
    return np.asarray(down @ np.asarray(small, np.float64) @ across.T, np.float32)


def _straight(old: int, new: int) -> NDArray[np.float64]:
    """(new, old): row i says how much of each old cell the new cell i takes."""
    at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    return np.maximum(1 - np.abs(at[:, None] - np.arange(old)), 0)
