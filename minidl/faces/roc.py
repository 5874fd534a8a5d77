"""Verification: the trade between strangers let in and friends turned away.

A pair is accepted when its score reaches the threshold. FAR is the share of impostor pairs (two people)
accepted, FRR the share of genuine pairs (one person) refused, TAR = 1 - FRR. Tied scores are accepted
together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.errors import BadScores

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Roc:
    """The trade between strangers let in and friends turned away, over all thresholds.

    Attributes:
        far, tar: (k,) float64 rising from 0 to 1, the first point accepting nobody.
        thresholds: (k,) float64 falling; point i accepts scores >= thresholds[i]; the first is infinite.
    """

    far: Floats
    tar: Floats
    thresholds: Floats

    def auc(self) -> float:
        """The area under the curve: the chance that a genuine pair outscores an impostor pair, ties half."""
        return float(np.trapezoid(self.tar, self.far))

    def eer(self) -> float:
        """The equal error rate: the mean of FAR and FRR at the threshold where they differ least."""
        gap = np.abs(self.far - (1 - self.tar))
        k = 1 + np.argmin(gap[1:])
        return float((self.far[k] + 1 - self.tar[k]) / 2)

    def tar_at_far(self, far: float) -> float:
        """The share of genuine pairs accepted when at most the share `far` of impostor pairs is."""
        return float(self.tar[self._last_within(far)])

    def threshold_at_far(self, far: float) -> float:
        """The lowest threshold among the scores that accepts at most the share `far` of impostor pairs.

        It is infinite where even the highest score admits too many.
        """
        return float(self.thresholds[self._last_within(far)])

    def _last_within(self, far: float) -> int:
        if not 0 <= far <= 1:
            raise BadScores(f"a false-accept rate lies between 0 and 1, but {far} was asked for")
        return int(np.searchsorted(self.far, far, "right")) - 1


def roc(genuine: Array, impostor: Array) -> Roc:
    """The curve of TAR over FAR, one point a distinct score.

    Arguments:
        genuine: scores of pairs of one person.
        impostor: scores of pairs of two people.

    Returns:
        The curve.

    Raises:
        BadScores: one kind of pair is missing, or a score is not finite.
    """
    genuine, impostor = np.ravel(genuine).astype(np.float64), np.ravel(impostor).astype(np.float64)
    for kind, found in (("genuine", genuine), ("impostor", impostor)):
        if not len(found):
            raise BadScores(
                f"verification needs pairs of both kinds, but there is no {kind} pair: "
                "give two images of a person, and at least two people"
            )
        if not np.isfinite(found).all():
            raise BadScores(
                f"similarity scores must be finite, but {np.sum(~np.isfinite(found))} of the "
                f"{len(found)} {kind} scores are not: the embeddings are broken"
            )
    thresholds = np.unique(np.concatenate([genuine, impostor]))[::-1]
    tar = (len(genuine) - np.searchsorted(np.sort(genuine), thresholds)) / len(genuine)
    far = (len(impostor) - np.searchsorted(np.sort(impostor), thresholds)) / len(impostor)
    return Roc(np.r_[0.0, far], np.r_[0.0, tar], np.r_[np.inf, thresholds])


def auc(genuine: Array, impostor: Array) -> float:
    """The area under the ROC curve; see `Roc.auc`.

    >>> auc(np.array([0.9, 0.5]), np.array([0.5, 0.1]))
    0.875
    """
    return roc(genuine, impostor).auc()


def eer(genuine: Array, impostor: Array) -> float:
    """The equal error rate; see `Roc.eer`.

    >>> eer(np.array([0.9, 0.8, 0.7, 0.4]), np.array([0.5, 0.3, 0.2, 0.1]))
    0.25
    """
    return roc(genuine, impostor).eer()


def tar_at_far(genuine: Array, impostor: Array, far: float) -> float:
    """The true-accept rate at a false-accept rate of at most `far`; see `Roc.tar_at_far`.

    >>> tar_at_far(np.array([0.9, 0.8, 0.7, 0.4]), np.array([0.5, 0.3, 0.2, 0.1]), far=0.01)
    0.75
    """
    return roc(genuine, impostor).tar_at_far(far)
