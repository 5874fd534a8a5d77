"""The fixed protocol of every error rate reported here: splits, damages and statistics of verification.

Two reports can be laid side by side only if they split, damage and count alike, to the last bit.
NumPy alone; every draw comes from `numpy.random.default_rng(seed)`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces import metrics
from minidl.faces.errors import BadDataset, BadImage

Indices: TypeAlias = NDArray[np.int64]
Labels: TypeAlias = Array
Pixels: TypeAlias = NDArray[np.uint8]

TEST_FROM = 5
"""Images from the sixth of a person's shuffled images on are for testing, whatever number trains."""


class UnseenPeople(NamedTuple):
    """Which images to fit on, which to verify, and every pair of the latter.

    Attributes:
        fit: indices of the images of the people to learn from.
        test: indices of the images of the people never seen in training.
        first, second: positions within `test` of the two images of each pair.
        same: bool, one a pair: whether both images show one person.
    """

    fit: Indices
    test: Indices
    first: Indices
    second: Indices
    same: NDArray[np.bool_]


def natural_order(names: Sequence[str]) -> list[str]:
    """The names sorted as a person would: numbers by value, so that s2 stands before s10.

    Arguments:
        names: any strings.

    Returns:
        A new sorted list.

    >>> natural_order(["s10", "s2", "s1"])
    ['s1', 's2', 's10']
    """

    def key(name: str) -> tuple[list[tuple[int, int, str]], str]:
        parts = re.split(r"([0-9]+)", name)
        return [(0, int(p), "") if p.isdecimal() else (1, 0, p.casefold()) for p in parts if p], name

    return sorted(names, key=key)


def people(labels: Labels) -> list[Any]:
    """The distinct labels in the order of the protocol: numbers by value, names naturally.

    Arguments:
        labels: (n,) integers or strings.

    Returns:
        Python ints or strings, each once.

    >>> people(np.array(["s10", "s2", "s10"]))
    ['s2', 's10']
    """
    found = np.unique(np.asarray(labels)).tolist()
    return natural_order(found) if found and isinstance(found[0], str) else found


def split(labels: Labels, seed: int, per_person: int) -> tuple[Indices, Indices]:
    """Training and test indices of one seed.

    Each person's images are shuffled; the first `per_person` of them train, those from the sixth on
    test. So the test images are the same for 1, 3 and 5 training images a person.

    Arguments:
        labels: (n,) who each image shows.
        seed: of the shuffle; the protocol uses 0 to 9.
        per_person: 1 to 5 training images a person.

    Returns:
        (train, test): int64 indices into `labels`, person after person.

    Raises:
        BadDataset: `per_person` would train on test images, or a person has fewer than six images.
    """
    if not 1 <= per_person <= TEST_FROM:
        raise BadDataset(
            f"the protocol trains on 1 to {TEST_FROM} images a person (the others are for testing), "
            f"but {per_person} were asked for"
        )
    labels = np.asarray(labels)
    rng = np.random.default_rng(seed)
    train: list[Indices] = []
    test: list[Indices] = []
    for person in people(labels):
        images = np.flatnonzero(labels == person)
        if len(images) <= TEST_FROM:
            raise BadDataset(
                f"the protocol needs at least {TEST_FROM + 1} images of every person, but {person} has "
                f"{len(images)}: add images of {person} or leave this person out"
            )
        shuffled = images[rng.permutation(len(images))]
        train.append(shuffled[:per_person])
        test.append(shuffled[TEST_FROM:])
    if not train:
        raise BadDataset("the protocol needs images of at least one person, but there are none")
    return np.concatenate(train), np.concatenate(test)


def inner_split(labels: Labels, seed: int, per_person: int = 3) -> tuple[Indices, Indices]:
    """A split of the training images of a seed, to choose by without a look at its test images.

    Arguments:
        labels: (n,) who each image shows.
        seed: as in `split`.
        per_person: 1 to 4 images a person to fit on; the rest of his first five are to try on.

    Returns:
        (fit, try): int64 indices into `labels`, person after person.

    Raises:
        BadDataset: as `split`, or nothing is left to try on.
    """
    if not 1 <= per_person < TEST_FROM:
        raise BadDataset(
            f"an inner split fits on 1 to {TEST_FROM - 1} of the first {TEST_FROM} images of a person and tries on the "
            f"others, but {per_person} to fit on were asked for"
        )
    learn, _ = split(labels, seed, TEST_FROM)
    each = learn.reshape(-1, TEST_FROM)
    return each[:, :per_person].ravel(), each[:, per_person:].ravel()


def _dark(face: Pixels, rng: np.random.Generator) -> None:
    face[:] = np.clip(face * 0.15 + rng.normal(0, 4, face.shape), 0, 255)


def _gamma(face: Pixels, rng: np.random.Generator) -> None:
    face[:] = 255 * (face / 255.0) ** 3


def _block(face: Pixels, rng: np.random.Generator) -> None:
    h, w = face.shape
    tall, wide = int(0.4 * h), int(0.4 * w)
    top = rng.integers(h - tall + 1)
    left = rng.integers(w - wide + 1)
    face[top : top + tall, left : left + wide] = 0


def _lower_half(face: Pixels, rng: np.random.Generator) -> None:
    face[len(face) // 2 :] = 0


def _eyes_band(face: Pixels, rng: np.random.Generator) -> None:
    face[int(0.3 * len(face)) : int(0.5 * len(face))] = 0


def _left_half(face: Pixels, rng: np.random.Generator) -> None:
    face[:, : face.shape[1] // 2] = 0


def _noise(face: Pixels, rng: np.random.Generator) -> None:
    face[:] = np.clip(face + rng.normal(0, 40, face.shape), 0, 255)


def _clean(face: Pixels, rng: np.random.Generator) -> None:
    return None


# Each changes one face in place, drawing from the generator that all faces of a call share.
_DAMAGE: dict[str, Callable[[Pixels, np.random.Generator], None]] = {
    "clean": _clean,
    "dark": _dark,
    "gamma": _gamma,
    "block": _block,
    "lower half": _lower_half,
    "eyes band": _eyes_band,
    "left half": _left_half,
    "noise": _noise,
}
DAMAGES = tuple(_DAMAGE)
"""The names of the damages: `clean` and seven kinds."""


def damage(images: Pixels, kind: str, seed: int = 123) -> Pixels:
    """A damaged copy of the images; what hides a face is black.

    The draws depend on the position of an image in the array, so damage the whole data set first
    and choose the test images after: `damage(images, kind)[test]`.

    Arguments:
        images: (n, h, w) uint8.
        kind: one of `DAMAGES`. dark: light x 0.15 and noise of sd 4 grey levels; gamma: cubed;
            block: 40 % x 40 % anywhere; eyes band: rows 30 to 50 %; noise: sd 40 grey levels.
        seed: of the noise and of the places of the blocks.

    Returns:
        (n, h, w) uint8, a copy.

    Raises:
        BadDataset: the kind is unknown.
        BadImage: the images are not a stack of grey uint8 images.
    """
    if kind not in _DAMAGE:
        raise BadDataset(f"unknown damage {kind!r}: choose one of {', '.join(DAMAGES)}")
    if images.ndim != 3 or images.dtype != np.uint8:
        raise BadImage(
            f"damage takes grey uint8 images of shape (n, h, w), but got {images.dtype} of shape {images.shape}"
        )
    rng = np.random.default_rng(seed)
    damaged = images.copy()
    for face in damaged:
        _DAMAGE[kind](face, rng)
    return damaged


def unseen_people(labels: Labels, fit_people: int = 20) -> UnseenPeople:
    """Who to learn from and which pairs to verify when nobody verified was seen in training.

    Arguments:
        labels: (n,) who each image shows.
        fit_people: the first so many people (20 of the 40 of ORL) are for fitting, all others for pairs.

    Returns:
        The indices and all pairs of test images (for ORL 900 same, 19,000 different).

    Raises:
        BadDataset: fewer than two people are left to verify.
    """
    labels = np.asarray(labels)
    everybody = people(labels)
    if len(everybody) < fit_people + 2:
        raise BadDataset(
            f"verification of unseen people fits on {fit_people} people and needs two more to compare, "
            f"but the data set has {len(everybody)}: use a larger one or a smaller fit_people"
        )
    known = np.isin(labels, np.array(everybody[:fit_people]))
    fit, test = np.flatnonzero(known), np.flatnonzero(~known)
    first, second = np.triu_indices(len(test), 1)
    return UnseenPeople(fit, test, first, second, labels[test[first]] == labels[test[second]])


def verification(genuine: Array, impostor: Array) -> dict[str, float]:
    """EER, AUC and TAR at FAR 1 % and 0.1 % of similarity scores.

    Arguments:
        genuine: scores of pairs of one person; higher means more alike.
        impostor: scores of pairs of two people.

    Returns:
        {"eer", "auc", "tar@far=1%", "tar@far=0.1%"}, each between 0 and 1.

    Raises:
        BadScores: one kind of pair is missing, or a score is not finite.
    """
    curve = metrics.roc(genuine, impostor)
    return {
        "eer": curve.eer(),
        "auc": curve.auc(),
        "tar@far=1%": curve.tar_at_far(0.01),
        "tar@far=0.1%": curve.tar_at_far(0.001),
    }
