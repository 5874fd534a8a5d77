"""Every figure of one evaluation, for people to read and for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.closed_set import accuracy, cmc, confusion, genuine_and_impostor, precision, recall
from minidl.faces.openset import OpenSet, open_set
from minidl.faces.roc import Roc, roc

Floats = NDArray[np.float64]
REPORTED_FARS = (0.01, 0.001)
"""The rates of false alarms at which a report states what is found."""


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
