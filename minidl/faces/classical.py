"""Eigenfaces and Fisherfaces: recognition by learned linear projections, without a network.

Eigenfaces (Sirovich & Kirby 1987; Turk & Pentland 1991) keep the directions in which faces vary most.
Fisherfaces (Belhumeur, Hespanha, Kriegman 1997) keep the directions in which people differ most
compared with how one person's images differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.errors import BadDataset, BadImage, BadModelFile
from minidl.faces.normalise import area_mean, zscore
from minidl.faces.projections import Projection as Projection
from minidl.faces.projections import lda as lda
from minidl.faces.projections import pca as pca
from minidl.faces.remembered import Remembered
from minidl.kernels.threads import single_threaded_blas

ROWS = 56
"""Faces are shrunk by a whole factor to about so many rows. On the training images of ORL alone (fit on three
of each person, tried on two others, ten seeds) eigenfaces then err on 12.3 % instead of 13.4 %."""


class _Projected(Remembered):
    """What both recognizers are: a projection, and the training images in it."""

    needed = ("components", "gallery", "labels", "mean", "size", "standard")

    def represent(self, images: Array) -> NDArray[np.float32]:
        """The images in the projection, as directions.

        Arguments:
            images: (n, h, w) uint8, of the size that was fitted.

        Returns:
            (n, d) float32, rows of length 1 (of 0 where an image is exactly the mean face).

        Raises:
            NotFitted: `fit` was not called.
            BadImage: the images have another size.
        """
        return _unit(self._project(images))

    @property
    def parameter_count(self) -> int:
        """How many numbers were learned, the coordinates of the training images not counted."""
        state = self._fitted()
        return int(state["mean"].size + state["components"].size)

    @property
    def gallery(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The embeddings of the training images, (n, d), and who they show, (n,)."""
        state = self._fitted()
        return _unit(state["gallery"]), np.asarray(state["labels"], np.int64)

    @classmethod
    def from_state(cls, state: Mapping[str, Array]) -> Self:
        """The recognizer whose `state()` this was.

        Arguments:
            state: named arrays.

        Raises:
            BadModelFile: an array is missing or its shape does not fit the others.
        """
        kept = cls._complete(state)
        people, d = kept["labels"].size, kept["components"].shape[-1] if kept["components"].ndim else 0
        pixels = int(np.prod(_shrunk(*kept["size"].tolist()))) if kept["size"].shape == (2,) else 0
        shapes = {
            "size": (2,),
            "standard": (1,),
            "mean": (pixels,),
            "components": (pixels, d),
            "labels": (people,),
            "gallery": (people, d),
        }
        for key, shape in shapes.items():
            if kept[key].shape != shape:
                raise BadModelFile(
                    f"this {cls.name} model is damaged: {key} has shape {kept[key].shape}, "
                    f"expected {shape}; train it again"
                )
        return cls._with(kept)

    def _keep(self, images: Array, labels: Array, found: Projection, standard: bool) -> None:
        self._state = {
            "size": np.array(images.shape[1:], np.int64),
            "standard": np.array([standard], np.uint8),
            "mean": found.mean.astype(np.float32),
            "components": np.ascontiguousarray(found.components, np.float32),
            "labels": np.asarray(labels, np.int64).copy(),
        }
        self._state["gallery"] = self._project(images)

    @single_threaded_blas()
    def _project(self, images: Array) -> NDArray[np.float32]:
        state = self._fitted()
        self._check_images(images)
        flat = _flat(images, bool(state["standard"][0])) - state["mean"]
        return np.asarray(flat @ state["components"], np.float32)


class Eigenfaces(_Projected):
    """The nearest training image in the space of the eigenfaces.

    Pixels / 255, shrunk to about 56 rows, the first principal directions, Euclidean distance.

    Arguments:
        components: how many eigenfaces at most.
    """

    name: Final = "eigen"

    def __init__(self, components: int = 40) -> None:
        super().__init__()
        self.components = components

    def fit(self, images: Array, labels: Array) -> Self:
        """Learn the eigenfaces and remember every image by its coordinates.

        Arguments:
            images: (n, h, w) uint8.
            labels: (n,) integers, who each image shows.

        Returns:
            Itself.

        Raises:
            BadImage: the images are not grey uint8, or not as many as the labels.
            BadDataset: there are not two different images.
        """
        check_training(images, labels)
        self._keep(images, labels, pca(_flat(images, False), self.components), False)
        return self

    def predict(self, images: Array) -> NDArray[np.int64]:
        """Whose training image is nearest, by Euclidean distance.

        Arguments:
            images: (n, h, w) uint8.

        Returns:
            (n,) int64.

        Raises:
            NotFitted, BadImage: as `represent`.
        """
        state = self._fitted()
        return np.asarray(state["labels"][_nearest(self._project(images), state["gallery"])], np.int64)


class Fisherfaces(_Projected):
    """The training image at the smallest angle in the space where people differ most.

    Pixels / 255, shrunk to about 56 rows, each image at mean 0 and spread 1; PCA to min(n - c, 80) numbers for
    n images of c people, so that the spread inside a person can be estimated; LDA with Ledoit-Wolf shrinkage;
    the largest cosine. With one image a person there is no spread inside a person to learn from: then it is
    the eigenfaces. (On the training images of ORL, three of each person to fit and two to try, ten seeds, the
    standard scores err on 7.6 % instead of 7.4 %, and still on 7.6 % when the light is 0.3 times as strong,
    where plain pixels err on 97 %.)

    Arguments:
        components: how many principal directions at most before LDA.
    """

    name: Final = "fisher"

    def __init__(self, components: int = 80) -> None:
        super().__init__()
        self.components = components

    def fit(self, images: Array, labels: Array) -> Self:
        """Learn the directions and remember every image by its coordinates.

        Arguments:
            images: (n, h, w) uint8.
            labels: (n,) integers, who each image shows.

        Returns:
            Itself.

        Raises:
            BadImage: the images are not grey uint8, or not as many as the labels.
            BadDataset: there are not two people or two different images.
        """
        check_training(images, labels)
        n, c = len(images), len(np.unique(labels))
        if n == c:
            self._keep(images, labels, pca(_flat(images, False), Eigenfaces().components), False)
            return self
        # Where few people have a second image, n - c is too few numbers to tell c people apart.
        x = _flat(images, True)
        first = pca(x, min(max(n - c, c - 1), self.components))
        second = lda((x - first.mean) @ first.components, labels)
        both = Projection(first.mean, first.components @ second.components, second.values)
        self._keep(images, labels, both, True)
        return self

    def predict(self, images: Array) -> NDArray[np.int64]:
        """Whose training image is nearest: by cosine, or by Euclidean distance where each has one image.

        Arguments:
            images: (n, h, w) uint8.

        Returns:
            (n,) int64.

        Raises:
            NotFitted, BadImage: as `represent`.
        """
        state = self._fitted()
        probes, gallery = self._project(images), state["gallery"]
        if len(np.unique(state["labels"])) < len(gallery):
            probes, gallery = _unit(probes), _unit(gallery)
        return np.asarray(state["labels"][_nearest(probes, gallery)], np.int64)


def _shrunk(h: int, w: int) -> tuple[int, int]:
    factor = max(1, round(h / ROWS))
    return max(1, h // factor), max(1, w // factor)


def _flat(images: Array, standard: bool) -> NDArray[np.float32]:
    """(n, pixels) in 0..1 or as standard scores, the faces shrunk to about `ROWS` rows."""
    small = area_mean(images, _shrunk(*images.shape[1:]))
    return (zscore(small) if standard else small).reshape(len(images), -1)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1), np.float32)


@single_threaded_blas()
def _nearest(probes: NDArray[np.float32], gallery: NDArray[np.float32]) -> NDArray[np.int64]:
    """The nearest gallery row; among rows of length 1 that is the one of largest cosine."""
    half = 0.5 * np.sum(gallery.astype(np.float64) ** 2, 1)
    likeness = probes.astype(np.float64) @ gallery.T.astype(np.float64) - half
    return np.asarray(likeness.argmax(1), np.int64)


def check_training(images: Array, labels: Array) -> None:
    if images.ndim != 3 or images.dtype != np.uint8:
        raise BadImage(
            f"training images must be uint8 of shape (n, h, w), but got {images.dtype} of shape {images.shape}"
        )
    if len(labels) != len(images):
        raise BadDataset(f"every image needs a label, but there are {len(images)} images and {len(labels)} labels")
    if len(images) < 2:
        raise BadDataset(f"training needs at least two images, but there is {len(images)}: add images")
