"""Cover a part of the face and see whether the answer suffers: works for every model, whatever is inside."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.errors import BadImage
from minidl.faces.explain.explanation import Map
from minidl.faces.images import Pixels

AT_ONCE = 64


def occlusion_map(
    score: Callable[[Pixels], NDArray[np.floating]],
    image: Pixels,
    patch: int | None = None,
    step: int | None = None,
) -> Map:
    """How much the score falls when each place is covered.

        map[i, j] = mean over the patches P that cover (i, j) of (score(x) - score(x with P covered))

    A patch is covered with the mean grey level of the image.

    Arguments:
        score: from (n, h, w) uint8 to n numbers, larger where the answer is more likely.
        image: (h, w) uint8.
        patch: side of the covering square in pixels; by default a sixth of the longer side.
        step: by how much it moves; by default half the patch.

    Returns:
        (h, w) float32.

    Raises:
        BadImage: the image is not grey uint8, or a side or step is no whole number from 1 to the image's longer side.

    Source: Zeiler & Fergus, "Visualizing and understanding convolutional networks", ECCV 2014, section 4.2.

    >>> corner = lambda x: x[:, 0, 0].astype(float)
    >>> occlusion_map(corner, np.array([[9, 0], [0, 3]], np.uint8), patch=1, step=1).tolist()
    [[6.0, 0.0], [0.0, 0.0]]
    """
    if image.ndim != 2 or image.dtype != np.uint8 or not image.size:
        raise BadImage(f"occlusion_map: the image must be uint8 (h, w), but it is {image.dtype} of shape {image.shape}")
    h, w = image.shape
    side = max(1, round(max(h, w) / 6)) if patch is None else patch
    stride = max(1, side // 2) if step is None else step
    if not (1 <= side <= max(h, w) and 1 <= stride <= side):
        raise BadImage(
            f"occlusion_map: patch={side} must lie in 1..{max(h, w)}, and step={stride} in 1..patch, "
            "or pixels are left out"
        )
    # Patches start before the border, so that every pixel is covered by about as many of them.
    tops, lefts = (np.arange(stride - side, length, stride) for length in (h, w))
    places = [(top, left) for top in tops.tolist() for left in lefts.tolist()]
    whole = float(np.asarray(score(image[None]))[0])
    ink = np.uint8(round(float(image.mean())))
    falls, covers = np.zeros((h, w)), np.zeros((h, w))
    for start in range(0, len(places), AT_ONCE):
        some = places[start : start + AT_ONCE]
        covered = np.repeat(image[None], len(some), 0)
        parts = [
            (slice(max(0, top), max(0, top + side)), slice(max(0, left), max(0, left + side))) for top, left in some
        ]
        for one, part in zip(covered, parts, strict=True):
            one[part] = ink
        for value, part in zip(np.asarray(score(covered), np.float64).tolist(), parts, strict=True):
            falls[part] += whole - value
            covers[part] += 1
    return np.asarray(falls / covers, np.float32)


def likeness(represent: Callable[[Pixels], Array], known: Array) -> Callable[[Pixels], NDArray[np.floating]]:
    """The score that recognition rests on: the largest cosine between a face and known faces of a person.

    Arguments:
        represent: from faces to embeddings, rows of length 1.
        known: (m, d) embeddings of the person, rows of length 1.
    """

    def score(images: Pixels) -> NDArray[np.floating]:
        return np.asarray((represent(images) @ known.T).max(1))

    return score
