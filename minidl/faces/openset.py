"""Open-set identification: the trade between strangers who are given a name and known people who are not.

A probe is searched in a gallery of people; the best person is named if the score reaches the threshold. FPIR, the
false-positive identification rate, is the share of strangers who are named; FNIR, the false-negative identification
rate, is the share of enrolled people who are not given their own name: the score is too low, or another scores as high.
(ISO/IEC 19795-1; Grother, Ngan, Hanaoka, "Face recognition vendor test, part 2: identification", NISTIR 8271.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.closed_set import score_table
from minidl.faces.errors import BadScores

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class OpenSet:
    """FPIR and FNIR over all thresholds.

    Attributes:
        fpir: (k,) float64 rising from 0 to 1, the first point naming nobody.
        fnir: (k,) float64 falling from 1.
        thresholds: (k,) float64 falling; point i names scores >= thresholds[i]; the first is infinite.
        strangers, known: how many probes of either kind the figures rest on.
    """

    fpir: Floats
    fnir: Floats
    thresholds: Floats
    strangers: int
    known: int

    def fnir_at_fpir(self, fpir: float) -> float:
        """The share of enrolled people missed when at most the share `fpir` of strangers is named."""
        return float(self.fnir[self._last_within(fpir)])

    def threshold_at_fpir(self, fpir: float) -> float:
        """The lowest threshold among the scores that names at most the share `fpir` of strangers; perhaps infinite."""
        return float(self.thresholds[self._last_within(fpir)])

    def to_dict(self, fpirs: Sequence[float]) -> dict[str, Any]:
        """The curve, and FNIR at some FPIR, in plain values for JSON (an infinite threshold is null)."""
        return {
            "fpir": self.fpir.tolist(),
            "fnir": self.fnir.tolist(),
            "thresholds": [t if np.isfinite(t) else None for t in self.thresholds.tolist()],
            "fnir_at_fpir": {f"{x:g}": self.fnir_at_fpir(x) for x in fpirs},
            "strangers": self.strangers,
            "known": self.known,
        }

    def _last_within(self, fpir: float) -> int:
        if not 0 <= fpir <= 1:
            raise BadScores(f"a false-positive identification rate lies between 0 and 1, but {fpir} was asked for")
        return int(np.searchsorted(self.fpir, fpir, "right")) - 1


def open_set(scores: Array, probes: Array, gallery: Array) -> OpenSet:
    """The curve of FNIR over FPIR, one point a distinct score.

    Arguments:
        scores: (n, g) similarity of every probe to every gallery entry; no entry may be a probe itself.
        probes: (n,) who the probes show; those who are not in the gallery are the strangers.
        gallery: (g,) who the entries show.

    Returns:
        The curve.

    Raises:
        BadScores: shapes disagree, a score is not finite, or there are no strangers or no known people.

    >>> curve = open_set(np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.3]]), np.array([0, 1, 2]), np.array([0, 1]))
    >>> curve.threshold_at_fpir(0.0), curve.fnir_at_fpir(0.0)
    (0.8, 0.0)
    """
    scores, probes, gallery = score_table(scores, probes, gallery)
    same = probes[:, None] == gallery[None, :]
    own, other = (np.where(which, scores, -np.inf).max(1) for which in (same, ~same))
    known = same.any(1)
    for count, who in ((known.sum(), "show somebody in the gallery"), ((~known).sum(), "show a stranger to it")):
        if not count:
            raise BadScores(f"open-set figures need both kinds of probes, but none of the {len(probes)} {who}")
    right = np.sort(np.where(own > other, own, -np.inf)[known])
    named = np.sort(other[~known])
    thresholds = np.unique(np.r_[own[known & (own > other)], named])[::-1]
    fpir = (len(named) - np.searchsorted(named, thresholds)) / len(named)
    fnir = np.searchsorted(right, thresholds) / len(right)
    return OpenSet(np.r_[0.0, fpir], np.r_[1.0, fnir], np.r_[np.inf, thresholds], len(named), len(right))
