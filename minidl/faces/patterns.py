"""Local binary patterns: a face as histograms of small patterns of light and dark, without anything learned.

Every pixel gets eight bits, one a neighbour: whether that is at least as bright. Such a code does not change when all
grey levels rise, or are stretched by any increasing curve. Where in the face a pattern occurs is kept by one histogram
for each cell of a grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.classical import check_training
from minidl.faces.errors import BadImage, BadModelFile
from minidl.faces.normalise import area_mean
from minidl.faces.remembered import Remembered
from minidl.kernels.threads import single_threaded_blas

ROWS: Final = 56
"""Faces are shrunk to about so many rows, so that a pattern means the same at every size of image."""
GRID: Final = (5, 4)
"""Cells down and across. Chosen among four, with `ROWS` and the border of one pixel, on the training images of ORL
alone (fit on three of each person, tried on the other two)."""
PATTERNS: Final = 59
"""58 uniform patterns (at most two changes between light and dark around the circle), and one for all others."""
NEIGHBOURS: Final = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
"""(rows, columns) from a pixel to those around it, in the order of the circle."""


@lru_cache(maxsize=1)
def _pattern_of_code() -> NDArray[np.uint8]:
    """(256,) which of the `PATTERNS` each code of eight bits is."""
    codes = np.arange(256)
    turned = (codes >> 1) | (codes & 1) << 7
    changes = np.bitwise_count(codes ^ turned)
    found = np.full(256, PATTERNS - 1, np.uint8)
    uniform = np.flatnonzero(changes <= 2)
    found[uniform] = np.arange(len(uniform))
    return found


@lru_cache(maxsize=16)
def _shares(size: int, cells: int) -> NDArray[np.float32]:
    """(cells, size): how much of each pixel belongs to each cell, falling linearly towards the next cell's middle.

    With hard borders a face that moves by a pixel changes histograms; then 8 % are mistaken instead of 5.8 %.
    """
    at = (np.arange(size) + 0.5) * cells / size - 0.5
    away = np.abs(np.clip(at, 0, cells - 1) - np.arange(cells)[:, None])
    shares: NDArray[np.float32] = np.maximum(1 - away, 0).astype(np.float32)
    shares.flags.writeable = False  # the cache hands the same array to everybody
    return shares


def local_binary_patterns(images: Array) -> NDArray[np.uint8]:
    """The pattern at every pixel that has all its neighbours.

    Arguments:
        images: (n, h, w) numbers.

    Returns:
        (n, h - 2, w - 2) uint8, 0 … `PATTERNS` - 1.

    >>> face = np.random.default_rng(0).random((1, 9, 7))
    >>> bool((local_binary_patterns(face) == local_binary_patterns(np.sqrt(0.2 * face))).all())
    True
    """
    _, h, w = images.shape
    centre = images[:, 1:-1, 1:-1]
    code = np.zeros(centre.shape, np.uint8)
    for bit, (dy, dx) in enumerate(NEIGHBOURS):
        brighter = images[:, 1 + dy : h - 1 + dy, 1 + dx : w - 1 + dx] >= centre
        code |= brighter.astype(np.uint8) << np.uint8(bit)
    return _pattern_of_code()[code]


@single_threaded_blas()
def pattern_histograms(images: Array) -> NDArray[np.float32]:
    """The square roots of the share of every pattern in every cell, as one direction.

    The cosine between two of them is the mean Bhattacharyya coefficient of their cells, Σ √(p q): the similarity that
    belongs to the chi-square distance of histograms, in which it is 1 - χ² / 8 to first order.

    Arguments:
        images: (n, h, w) uint8.

    Returns:
        (n, cells · `PATTERNS`) float32, rows of length 1.
    """
    factor = max(1, round(images.shape[1] / ROWS))
    patterns = local_binary_patterns(area_mean(images, (images.shape[1] // factor, images.shape[2] // factor)))
    n, h, w = patterns.shape
    down, across = _shares(h, GRID[0]), _shares(w, GRID[1]).T
    counts = np.stack([down @ (patterns == k).astype(np.float32) @ across for k in range(PATTERNS)], -1)
    shares = counts / counts.sum(-1, keepdims=True)
    return np.asarray(np.sqrt(shares / (GRID[0] * GRID[1])).reshape(n, -1), np.float32)


class LocalBinaryPatterns(Remembered):
    """The training image whose patterns are most alike.

    Source: document 003, section 1, means such features by those made by hand; Ahonen, Hadid, Pietikäinen, "Face
    description with local binary patterns", IEEE TPAMI 2006.
    """

    name: Final = "lbp"
    needed = ("size", "gallery", "labels")
    parameter_count: Final = 0

    def fit(self, images: Array, labels: Array) -> Self:
        """Remember every image by its histograms.

        Arguments:
            images: (n, h, w) uint8.
            labels: (n,) integers, who each image shows.

        Returns:
            Itself.

        Raises:
            BadImage: the images are not grey uint8, too small, or not as many as the labels.
            BadDataset: there are not two images.
        """
        check_training(images, labels)
        _check_size(images.shape[1:])
        self._state = {
            "size": np.array(images.shape[1:], np.int64),
            "gallery": pattern_histograms(images),
            "labels": np.asarray(labels, np.int64).copy(),
        }
        return self

    @single_threaded_blas()
    def predict(self, images: Array) -> NDArray[np.int64]:
        """Whose training image is most alike, by the cosine.

        Arguments:
            images: (n, h, w) uint8.

        Returns:
            (n,) int64.

        Raises:
            NotFitted, BadImage: as `represent`.
        """
        state = self._fitted()
        return np.asarray(state["labels"][(self.represent(images) @ state["gallery"].T).argmax(1)], np.int64)

    def represent(self, images: Array) -> NDArray[np.float32]:
        """The square roots of the histograms; see `pattern_histograms`.

        Arguments:
            images: (n, h, w) uint8, of the size that was fitted.

        Returns:
            (n, d) float32, rows of length 1.

        Raises:
            NotFitted: `fit` was not called.
            BadImage: the images have another size.
        """
        self._check_images(images)
        return pattern_histograms(images)

    @property
    def gallery(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The embeddings of the training images, (n, d), and who they show, (n,)."""
        state = self._fitted()
        return state["gallery"], np.asarray(state["labels"], np.int64)

    @classmethod
    def from_state(cls, state: Mapping[str, Array]) -> Self:
        """The recognizer whose `state()` this was.

        Arguments:
            state: named arrays.

        Raises:
            BadModelFile: an array is missing or its shape does not fit the others.
        """
        kept = cls._complete(state)
        expected = (kept["labels"].size, GRID[0] * GRID[1] * PATTERNS)
        if kept["size"].shape != (2,) or kept["labels"].ndim != 1 or kept["gallery"].shape != expected:
            raise BadModelFile(
                f"this lbp model is damaged: its histograms have shape {kept['gallery'].shape}, expected {expected}; "
                "train it again"
            )
        return cls._with(kept)


def _check_size(size: tuple[int, ...]) -> None:
    if size[0] < GRID[0] + 2 or size[1] < GRID[1] + 2:
        raise BadImage(
            f"images of {size[0]}×{size[1]} pixels (rows × columns) are too small for local binary patterns, which "
            f"need {GRID[0] + 2}×{GRID[1] + 2}: use larger images"
        )
