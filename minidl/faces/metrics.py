"""How good a recognizer is: identification (accuracy, precision, recall, CMC) and verification (ROC, EER, TAR at FAR).

Terms: a *probe* is compared with a *gallery*; a *genuine* pair shows one person, an *impostor* pair two;
FAR is the share of impostor pairs accepted, FRR that of genuine pairs refused, TAR = 1 - FRR.
A pair is accepted when its score reaches the threshold; higher scores mean more alike. Tied scores are
never told apart: they are accepted together, and a rank among ties is averaged over all orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.errors import BadScores
from minidl.faces.openset import OpenSet as OpenSet
from minidl.faces.openset import open_set as open_set
from minidl.faces.reliability import Reliability as Reliability
from minidl.faces.reliability import expected_calibration_error as expected_calibration_error
from minidl.faces.reliability import reliability as reliability
from minidl.faces.roc import Roc as Roc
from minidl.faces.roc import auc as auc
from minidl.faces.roc import eer as eer
from minidl.faces.roc import roc as roc
from minidl.faces.roc import tar_at_far as tar_at_far

Floats = NDArray[np.float64]
REPORTED_FARS = (0.01, 0.001)
"""The false-accept rates at which a report states the true-accept rate."""


# ── identification ────────────────────────────────────────────────────────────────────────────────


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
    scores, probes, gallery = _score_table(scores, probes, gallery)
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


# ── both ──────────────────────────────────────────────────────────────────────────────────────────


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
    scores, probes, gallery = _score_table(scores, probes, gallery)
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


def _score_table(scores: Array, probes: Array, gallery: Array) -> tuple[Floats, Array, Array]:
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


@dataclass(frozen=True)
class Report:
    """All figures of one evaluation.

    Attributes:
        accuracy: share of images given the right name, closed set.
        recall: for each person, the share of this person's images given the right name.
        precision: for each person, the share of the images given this name that are right; nan where none was.
        rank1: share of probes whose best gallery match is the right person.
        cmc: (people,) share of probes whose person is among the best k.
        roc: the curve of verification.
        auc, eer: area under it, equal error rate.
        tar_at_far: true-accept rate at each false-accept rate of `REPORTED_FARS`.
        people: who the rows and columns of `confusion` are.
        confusion: (p, p) int64, row the truth, column what was said.
        images, genuine, impostor: how many images and pairs the figures rest on.
        open_set: what happens to strangers, if some were shown; otherwise None.
    """

    accuracy: float
    recall: dict[Any, float]
    precision: dict[Any, float]
    rank1: float
    cmc: Floats
    roc: Roc
    auc: float
    eer: float
    tar_at_far: dict[float, float]
    people: list[Any]
    confusion: NDArray[np.int64]
    images: int
    genuine: int
    impostor: int
    open_set: OpenSet | None = None

    def to_dict(self) -> dict[str, Any]:
        """The same in plain numbers, lists and strings, for JSON (an infinite threshold is null)."""
        return {
            "accuracy": self.accuracy,
            "error": 1 - self.accuracy,
            "recall": {str(name): share for name, share in self.recall.items()},
            "precision": {str(n): share if share == share else None for n, share in self.precision.items()},
            "rank1": self.rank1,
            "cmc": self.cmc.tolist(),
            "roc": {
                "far": self.roc.far.tolist(),
                "tar": self.roc.tar.tolist(),
                "thresholds": [t if np.isfinite(t) else None for t in self.roc.thresholds.tolist()],
            },
            "auc": self.auc,
            "eer": self.eer,
            "tar_at_far": {f"{far:g}": tar for far, tar in self.tar_at_far.items()},
            "people": [str(name) for name in self.people],
            "confusion": self.confusion.tolist(),
            "images": self.images,
            "pairs": {"genuine": self.genuine, "impostor": self.impostor},
            "open_set": None if self.open_set is None else self.open_set.to_dict(REPORTED_FARS),
        }

    def table(self) -> str:
        """The figures as a few lines of plain text, in percent."""
        worst = sorted(self.recall.items(), key=lambda item: item[1])[:3]
        said = sorted((item for item in self.precision.items() if item[1] == item[1]), key=lambda item: item[1])[:3]
        rows = [
            ("accuracy", f"{self.accuracy:7.2%}", f"{self.images} images, {len(self.recall)} people"),
            ("rank 1", f"{self.rank1:7.2%}", "the best match is the right person"),
            *[(f"rank {k}", f"{self.cmc[k - 1]:7.2%}", "") for k in (3, 5) if k <= len(self.cmc)],
            ("EER", f"{self.eer:7.2%}", f"{self.genuine} genuine, {self.impostor} impostor pairs"),
            ("AUC", f"{self.auc:7.4f}", ""),
            *[(f"TAR at FAR {far:g}", f"{tar:7.2%}", "") for far, tar in self.tar_at_far.items()],
            *self._strangers(),
            (
                "lowest recall",
                f"{worst[0][1]:7.2%}",
                ", ".join(f"{name} {share:.0%}" for name, share in worst),
            ),
            (
                "lowest precision",
                f"{said[0][1]:7.2%}" if said else "",
                ", ".join(f"{name} {share:.0%}" for name, share in said),
            ),
        ]
        return "\n".join(f"{name:<18}{value:>8}  {note}".rstrip() for name, value, note in rows)

    def _strangers(self) -> list[tuple[str, str, str]]:
        if (curve := self.open_set) is None:
            return []
        note = f"{curve.strangers} images of strangers, {curve.known} of known people"
        return [(f"FNIR at FPIR {x:g}", f"{curve.fnir_at_fpir(x):7.2%}", note) for x in REPORTED_FARS]

    def __str__(self) -> str:
        return self.table()


def report(
    labels: Array, predicted: Array, scores: Array, gallery: Array | Sequence[Any], strangers: Array | None = None
) -> Report:
    """Every figure from one set of probes.

    Arguments:
        labels: (n,) who the probes show.
        predicted: (n,) the names given to them.
        scores: (n, g) similarity of every probe to every gallery entry; no entry may be a probe itself.
        gallery: (g,) who the entries show.
        strangers: (m, g) similarity of images of people who are not in the gallery to every entry, if there are such.

    Returns:
        The report.

    Raises:
        BadScores: shapes disagree, scores are not finite, a probe's person is not in the gallery,
            or there are not two people.
    """
    labels = np.asarray(labels)
    ranks = cmc(scores, labels, np.asarray(gallery))
    genuine, impostor = genuine_and_impostor(scores, labels, np.asarray(gallery))
    curve = roc(genuine, impostor)
    names, counts = confusion(labels, predicted)
    shown = np.unique(np.asarray(gallery), return_inverse=True)[1]
    searched = None
    if strangers is not None:
        who = np.unique(np.asarray(gallery))
        probes = np.r_[np.searchsorted(who, labels), np.full(len(strangers), len(who))]
        searched = open_set(np.concatenate([scores, strangers]), probes, shown)
    return Report(
        accuracy=accuracy(labels, predicted),
        recall=recall(labels, predicted),
        precision=precision(labels, predicted),
        rank1=float(ranks[0]),
        cmc=ranks,
        roc=curve,
        auc=curve.auc(),
        eer=curve.eer(),
        tar_at_far={far: curve.tar_at_far(far) for far in REPORTED_FARS},
        people=names,
        confusion=counts,
        images=len(labels),
        genuine=len(genuine),
        impostor=len(impostor),
        open_set=searched,
    )
