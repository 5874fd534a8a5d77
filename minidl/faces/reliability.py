"""Whether probabilities mean what they say: of all the times that "80 %" was said, 80 % should have been right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.errors import BadScores

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """Said and true shares, bin by bin.

    Attributes:
        edges: (bins + 1,) from 0 to 1.
        said: (bins,) mean probability of those in the bin; nan where it is empty.
        true: (bins,) share of them that was right; nan where it is empty.
        weight: (bins,) share of all that falls into the bin.
    """

    edges: Floats
    said: Floats
    true: Floats
    weight: Floats

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance between said and true."""
        full = self.weight > 0
        return float(np.sum(self.weight[full] * np.abs(self.said[full] - self.true[full])))


def reliability(probabilities: Array, right: Array, bins: int = 10, weights: Array | None = None) -> Reliability:
    """The reliability diagram, in bins of equal width.

    Arguments:
        probabilities: (n,) in 0..1, what was said.
        right: (n,) bool, what was so.
        bins: how many; a probability of 1 belongs to the last.
        weights: (n,) how much each counts; by default all alike.

    Returns:
        The diagram.

    Raises:
        BadScores: lengths differ, there is nothing, or a number is no probability.

    Source: Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", ICML 2017, section 2.

    >>> reliability(np.array([0.1, 0.1, 0.9, 0.9]), np.array([False, False, True, False])).error
    0.25
    """
    said, so = np.asarray(probabilities, np.float64), np.asarray(right, bool)
    counted = np.ones(said.shape) if weights is None else np.asarray(weights, np.float64)
    if said.ndim != 1 or said.shape != so.shape or said.shape != counted.shape or not len(said):
        raise BadScores(
            f"calibration needs lists of one length, not empty, but the shapes are {said.shape}, {so.shape} and "
            f"{counted.shape}"
        )
    if not ((said >= 0) & (said <= 1)).all():
        raise BadScores("a probability lies between 0 and 1, but not all of these do")
    if bins < 1 or not (counted >= 0).all() or not counted.sum() > 0:
        raise BadScores("calibration needs at least one bin, and weights that are not negative and not all 0")
    which = np.minimum((said * bins).astype(np.int64), bins - 1)
    total, of_said, of_right = (np.bincount(which, counted * x, bins) for x in (np.ones(len(said)), said, so))
    with np.errstate(invalid="ignore", divide="ignore"):
        return Reliability(np.linspace(0, 1, bins + 1), of_said / total, of_right / total, total / counted.sum())


def expected_calibration_error(
    probabilities: Array, right: Array, bins: int = 10, weights: Array | None = None
) -> float:
    """The mean distance between what was said and what was so; see `reliability`."""
    return reliability(probabilities, right, bins, weights).error
