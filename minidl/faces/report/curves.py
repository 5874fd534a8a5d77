"""The curves of a report, from what was measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minidl.backend import Array
from minidl.faces.report.findings import Findings
from minidl.faces.report.plot import Plot, Scale
from minidl.faces.report.words import strings

RANKS = 20
LEAST_FAR = 1e-4
COLOURS = 6
"""How many colours there are for models; more begin again."""


def colour(k: int) -> str:
    """The class of the k-th model."""
    return f"s{k % COLOURS}"


def roc_plot(all_: Sequence[Findings]) -> str:
    """TAR over FAR, FAR in powers of ten, with a ring where each model's threshold for two pictures lies."""
    plot = Plot(Scale(LEAST_FAR, 1.0, log=True), Scale(0.0, 1.0), "ROC: true-accept rate over false-accept rate")
    for k, found in enumerate(all_):
        plot.line(found.roc.far, found.roc.tar, colour(k), steps=True)
        here = int(np.sum(found.roc.thresholds >= found.calibration.pair_threshold)) - 1
        plot.dot(float(found.roc.far[here]), float(found.roc.tar[here]), f"ring {colour(k)}")
    plot.name_axes("FAR", "TAR")
    return plot.svg()


def det_plot(all_: Sequence[Findings]) -> str:
    """FRR over FAR, both in powers of ten; the equal error rate of a model lies where its curve meets the diagonal."""
    axis = Scale(LEAST_FAR, 1.0, log=True)
    plot = Plot(axis, axis, "DET: false-reject rate over false-accept rate")
    ends = np.array([LEAST_FAR, 1.0])
    plot.line(ends, ends, "ideal")
    for k, found in enumerate(all_):
        plot.line(found.roc.far, 1 - found.roc.tar, colour(k), steps=True)
    plot.name_axes("FAR", "FRR")
    return plot.svg()


def cmc_plot(all_: Sequence[Findings]) -> str | None:
    """How often the right person is among the best k; None where nobody of a training is shown."""
    curves = [(k, found.report.cmc) for k, found in enumerate(all_) if found.report is not None]
    if not curves:
        return None
    most = min(RANKS, max(len(ranks) for _, ranks in curves))
    low = min(float(ranks[0]) for _, ranks in curves)
    floor = max(0.0, min(0.9, np.floor(10 * low - 0.5) / 10))
    ranks_named = tuple(float(k) for k in (1, 2, 3, 5, 10, 15, 20) if k <= max(2, most) and (k != 3 or most < 12))
    plot = Plot(
        Scale(1, max(2, most), named=ranks_named), Scale(floor, 1.0), "CMC: rank of the right person", x_percent=False
    )
    for k, ranks in curves:
        plot.line(np.arange(1, most + 1), ranks[:most], colour(k))
    plot.name_axes("k", "CMC(k)")
    return plot.svg()


def pairs_plot(found: Findings) -> str:
    """FAR and FRR of two pictures over the threshold, with the one in use."""
    same, different = found.trials.same.similarity, found.trials.different.similarity
    plot = _over_threshold(found, "FAR and FRR over the threshold", [same, different])
    plot.line(*_at_least(different), "wrong", steps=True)
    plot.line(*_below(same), "refused", steps=True)
    plot.upright(found.calibration.pair_threshold, f"{found.calibration.pair_threshold:.3f}")
    plot.name_axes(strings()["axis_threshold"], "")
    return plot.svg()


def search_plot(found: Findings) -> str:
    """The share of strangers named and of known people missed over the threshold, with the one in use."""
    t = found.trials
    own = np.where(t.own.similarity > t.rival.similarity, t.own.similarity, -1.0)
    plot = _over_threshold(found, "FPIR and FNIR over the threshold", [t.strangers.similarity, t.own.similarity])
    plot.line(*_at_least(t.strangers.similarity), "wrong", steps=True)
    plot.line(*_below(own), "refused", steps=True)
    plot.upright(found.calibration.threshold, f"{found.calibration.threshold:.3f}")
    plot.name_axes(strings()["axis_threshold"], "")
    return plot.svg()


def reliability_plot(found: Findings) -> str:
    """What was said against what was so, bin by bin; the straight line would be perfect."""
    plot = Plot(Scale(0.0, 1.0), Scale(0.0, 1.0), "Reliability diagram: probability said and share right")
    bins = found.probabilities
    for low, high, true in zip(bins.edges[:-1], bins.edges[1:], bins.true, strict=True):
        if np.isfinite(true):
            plot.bar(float(low), float(high), float(true), "bin")
    plot.line(np.array([0.0, 1.0]), np.array([0.0, 1.0]), "ideal")
    for said, true in zip(bins.said.tolist(), bins.true.tolist(), strict=True):
        if np.isfinite(true):
            plot.dot(said, true, "point")
    plot.name_axes(strings()["axis_said"], strings()["axis_true"])
    return plot.svg()


def _over_threshold(found: Findings, title: str, scores: list[Array]) -> Plot:
    every = np.concatenate(scores)
    low, high = float(np.quantile(every, 0.002)), float(every.max())
    marks = (found.calibration.threshold, found.calibration.pair_threshold)
    low, high = min(low, *marks) - 0.02, min(1.0, max(high, *marks) + 0.02)
    return Plot(Scale(low, high), Scale(0.0, 1.0), title, x_percent=False)


def _at_least(scores: Array) -> tuple[Array, Array]:
    """(thresholds, the share of scores that reach any just above each), rising."""
    x = np.sort(scores)
    return np.r_[-1.0, x, 1.0], np.r_[1.0, np.arange(len(x) - 1, -1, -1) / len(x), 0.0]


def _below(scores: Array) -> tuple[Array, Array]:
    """(thresholds, the share of scores below any just above each), rising."""
    x = np.sort(scores)
    return np.r_[-1.0, x, 1.0], np.r_[0.0, np.arange(1, len(x) + 1) / len(x), 1.0]
