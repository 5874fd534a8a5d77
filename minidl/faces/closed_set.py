"""Closed-set figures: everybody on the probes is in the gallery, and is named rightly or not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.errors import BadScores

Floats = NDArray[np.float64]


def accuracy(labels: Array, predicted: Array) -> float:
    """The share of predictions that are right.

    Arguments:
        labels: (n,) the truth.
        predicted: (n,) what was said.

    Returns:
        Between 0 and 1.

    Raises:
        BadScores: there is nothing to compare, or the lengths differ.

    >>> accuracy(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 3]))
    0.75
    """
    labels, predicted = _paired(labels, predicted)
    return float(np.mean(labels == predicted))


def confusion(labels: Array, predicted: Array) -> tuple[list[Any], NDArray[np.int64]]:
    """Who was taken for whom.

    Arguments:
        labels: (n,) the truth.
        predicted: (n,) what was said.

    Returns:
        (people, counts): all labels of either kind, sorted, and the (p, p) table in which row i, column j
        counts the images of people[i] that were called people[j].

    Raises:
        BadScores: there is nothing to compare, or the lengths differ.
    """
    labels, predicted = _paired(labels, predicted)
    names, codes = np.unique(np.concatenate([labels, predicted]), return_inverse=True)
    n, p = len(labels), len(names)
    counts = np.bincount(codes[:n] * p + codes[n:], minlength=p * p).reshape(p, p)
    return names.tolist(), counts.astype(np.int64)


def recall(labels: Array, predicted: Array) -> dict[Any, float]:
    """For every person, the share of this person's images that were recognized.

    Arguments:
        labels: (n,) the truth.
        predicted: (n,) what was said.

    Returns:
        One share for each person in `labels`, in sorted order.

    Raises:
        BadScores: there is nothing to compare, or the lengths differ.

    >>> recall(np.array(["ann", "ann", "bob"]), np.array(["ann", "bob", "bob"]))
    {'ann': 0.5, 'bob': 1.0}
    """
    names, counts = confusion(labels, predicted)
    shown = counts.sum(1)
    return {name: float(counts[i, i] / shown[i]) for i, name in enumerate(names) if shown[i]}


def precision(labels: Array, predicted: Array) -> dict[Any, float]:
    """For every person, the share of the images called by this name that do show this person.

    Arguments:
        labels: (n,) the truth.
        predicted: (n,) what was said.

    Returns:
        One share for each person in `labels`, in sorted order; nan for whom nobody was taken.

    Raises:
        BadScores: there is nothing to compare, or the lengths differ.

    >>> precision(np.array(["ann", "ann", "bob"]), np.array(["ann", "bob", "bob"]))
    {'ann': 1.0, 'bob': 0.5}
    """
    names, counts = confusion(labels, predicted)
    said, shown = counts.sum(0), counts.sum(1)
    return {n: float(counts[i, i] / said[i]) if said[i] else float("nan") for i, n in enumerate(names) if shown[i]}


def cmc(scores: Array, probes: Array, gallery: Array) -> Floats:
    """The cumulative match characteristic: how often the right person is among the k best.

    A person's score is the best of that person's gallery entries. Where `worse` people score lower and
    `tied` others score the same as the right person, every rank among the ties counts alike.

    Arguments:
        scores: (n, g) similarity of every probe to every gallery entry.
        probes: (n,) who the probes show; each of them must be in the gallery.
        gallery: (g,) who the entries show.

    Returns:
        (people,) float64: entry k-1 is the share of probes whose person is among the best k.

    Raises:
        BadScores: shapes disagree, a score is not finite, or a probe shows somebody not in the gallery.
    """
    scores, probes, gallery = score_table(scores, probes, gallery)
    names = np.unique(gallery)
    strangers = np.setdiff1d(probes, names)
    if len(strangers):
        raise BadScores(
            f"a rank needs the right person in the gallery, but {strangers[0]} is not in it: "
            "enrol this person or leave the images out"
        )
    best = np.stack([scores[:, gallery == name].max(1) for name in names], 1)
    own = best[np.arange(len(probes)), np.searchsorted(names, probes)][:, None]
    better = (best > own).sum(1)
    tied = (best == own).sum(1)  # the right person among them
    ranks = np.arange(1, len(names) + 1)
    found = np.clip((ranks - better[:, None]) / tied[:, None], 0, 1)
    return np.asarray(found.mean(0), np.float64)


def rank1(scores: Array, probes: Array, gallery: Array) -> float:
    """How often the best match is the right person: the first entry of `cmc`.

    Arguments, Raises: as `cmc`.

    Returns:
        Between 0 and 1.
    """
    return float(cmc(scores, probes, gallery)[0])


def genuine_and_impostor(scores: Array, probes: Array, gallery: Array) -> tuple[Floats, Floats]:
    """The scores of a table parted by whether the pair shows one person.

    Arguments:
        scores: (n, g) similarity of every probe to every gallery entry.
        probes, gallery: (n,), (g,) who they show.

    Returns:
        (genuine, impostor), flat; either may be empty.

    Raises:
        BadScores: shapes disagree or a score is not finite.
    """
    scores, probes, gallery = score_table(scores, probes, gallery)
    same = probes[:, None] == gallery[None, :]
    return scores[same], scores[~same]


def _paired(labels: Array, predicted: Array) -> tuple[Array, Array]:
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    if labels.ndim != 1 or labels.shape != predicted.shape:
        raise BadScores(
            "labels and predictions must be two lists of one length, but their shapes are "
            f"{labels.shape} and {predicted.shape}"
        )
    if not len(labels):
        raise BadScores("there is no image to evaluate: give at least one labelled image")
    return labels, predicted


def score_table(scores: Array, probes: Array, gallery: Array) -> tuple[Floats, Array, Array]:
    """Finite scores (probes, gallery entries) and who they are of, as arrays; BadScores where they do not fit."""
    scores, probes, gallery = np.asarray(scores, np.float64), np.asarray(probes), np.asarray(gallery)
    if scores.shape != (len(probes), len(gallery)) or not scores.size:
        raise BadScores(
            f"{len(probes)} probes and {len(gallery)} gallery entries need scores of shape "
            f"({len(probes)}, {len(gallery)}), not empty, but the shape is {scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise BadScores(
            f"similarity scores must be finite, but {np.sum(~np.isfinite(scores))} of {scores.size} are not"
        )
    return scores, probes, gallery
