"""Comparisons whose outcome is known, to calibrate a recognizer by: each image against all the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from minidl.faces.errors import BadDataset

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

SAME_PICTURE: Final = 1 - 1e-5
"""The cosine above which two embeddings are of one and the same picture."""
AT_ONCE: Final = 256
"""How many images are compared with all others together; bounds the memory."""
MOST_PAIRS: Final = 200_000
"""About so many pairs of two people are kept."""
BLENDS: Final = 100
"""How many made-up strangers the rule of thumb looks at."""


@dataclass(frozen=True)
class Scores:
    """Similarities, and whose image each was measured on."""

    similarity: Floats
    person: Numbers


@dataclass(frozen=True)
class Trials:
    """What came out of the comparisons.

    Attributes:
        own: for each image of a person with others: the best similarity to those.
        rival: for the same images: the best similarity to anybody else.
        strangers: for each image, as if its person were not enrolled: the best similarity to anybody else.
        same, different: pairs of two images of one person, of two people.
        people: how many people a stranger was compared with.
    """

    own: Scores
    rival: Scores
    strangers: Scores
    same: Scores
    different: Scores
    people: int


def leave_one_out(embeddings: NDArray[np.float32], codes: Numbers) -> Trials:
    """Each image is searched among all the other images: with its own person enrolled, and without.

    Arguments:
        embeddings: (n, d) float32, rows of length 1.
        codes: (n,) int64, who each shows.

    Returns:
        The trials; a picture that is there twice is never compared with itself.

    Raises:
        BadDataset: there are not two people, or nobody has two different images.
    """
    return search(embeddings, codes, embeddings, codes)


def search(probes: NDArray[np.float32], shown: Numbers, gallery: NDArray[np.float32], codes: Numbers) -> Trials:
    """The probes are searched in a gallery that may contain them; an entry of the same picture does not count.

    Arguments:
        probes: (n, d) float32, rows of length 1.
        shown: (n,) int64, who they show; a negative number is nobody in the gallery.
        gallery, codes: the same of the gallery.

    Raises:
        BadDataset: as `leave_one_out`.
    """
    order = np.argsort(codes, kind="stable")
    gallery, codes = gallery[order], codes[order]
    names, starts = np.unique(codes, return_index=True)
    if len(names) < 2:
        raise BadDataset("calibration compares people with each other, but these images show one person: add others")
    step = max(1, len(probes) * len(gallery) // MOST_PAIRS)
    own, rival, strangers, same, different = (_Found() for _ in range(5))
    for begin in range(0, len(probes), AT_ONCE):
        part, who = probes[begin : begin + AT_ONCE], shown[begin : begin + AT_ONCE]
        scores = (part @ gallery.T).astype(np.float64)
        mine = who[:, None] == codes[None, :]
        itself = mine & (scores > SAME_PICTURE)
        for keep, pairs in ((mine & ~itself, same), (~mine, different)):
            i, j = np.nonzero(keep)
            some = slice(begin % step, None, step if pairs is different else 1)
            pairs.add(scores[i, j][some], who[i][some])
        scores[itself] = -np.inf
        per_person = np.maximum.reduceat(scores, starts, axis=1)
        me = names[None, :] == who[:, None]
        mine_best = np.where(me, per_person, -np.inf).max(1)
        other_best = np.where(me, -np.inf, per_person).max(1)
        several = np.isfinite(mine_best)
        own.add(mine_best[several], who[several])
        rival.add(other_best[several], who[several])
        strangers.add(other_best, who)
    if not len(own.all().similarity):
        raise BadDataset("calibration needs people with at least two different images: add images")
    people = len(names) - (1 if (shown >= 0).all() else 0)
    return Trials(own.all(), rival.all(), strangers.all(), same.all(), different.all(), people)


class _Found:
    """Scores that come batch by batch."""

    def __init__(self) -> None:
        self._similarity: list[Floats] = []
        self._person: list[Numbers] = []

    def add(self, similarity: Floats, person: Numbers) -> None:
        self._similarity.append(similarity)
        self._person.append(person)

    def all(self) -> Scores:
        return Scores(np.concatenate(self._similarity), np.concatenate(self._person))


def rule_of_thumb(
    represent: Callable[[NDArray[np.uint8]], NDArray[np.float32]], images: NDArray[np.uint8], codes: Numbers, seed: int
) -> Trials:
    """Trials on the images of the training, for as long as there are no others.

    A model tells the people of its training apart far better than strangers: on ORL, a threshold that keeps them from
    each other lets 84 % of strangers in. So faces half one person and half another stand for strangers; and where
    nobody has two images, an image moved by a few pixels stands for the second.

    Arguments:
        represent: (n, h, w) images to (n, d) embeddings.
        images, codes: of the training.
        seed: of the choice of pairs.
    """
    known = represent(images)
    h, w = images.shape[1:]
    if len(np.unique(codes)) < len(codes):
        trials = leave_one_out(known, codes)
    else:
        moved = represent(np.roll(images, (max(1, h // 28), max(1, w // 28)), (1, 2)))
        trials = search(moved, codes, known, codes)
    first, second = np.random.default_rng(seed).integers(0, len(images), (2, 4 * BLENDS))
    two = np.flatnonzero(codes[first] != codes[second])[:BLENDS]
    blends = (images[first[two]].astype(np.uint16) + images[second[two]] + 1) // 2
    scores = (represent(blends.astype(np.uint8)) @ known.T).astype(np.float64)
    who = codes[first[two]]
    pairs = Scores(scores.ravel(), np.repeat(who, len(known)))
    return replace(trials, strangers=Scores(scores.max(1), who), different=pairs, people=len(np.unique(codes)))
