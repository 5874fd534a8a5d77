"""From similarities to decisions: a threshold for a wanted rate of false alarms, and honest probabilities."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from minidl.faces.errors import BadDataset
from minidl.faces.reliability import expected_calibration_error
from minidl.faces.trials import Scores, Trials

Floats = NDArray[np.float64]

RATES: Final = (0.1, 0.05, 0.02, 0.01, 0.005, 0.001)
"""The false-alarm rates of the table."""
FOLDS: Final = 5


@dataclass(frozen=True)
class Logistic:
    """The probability that a similarity comes from one person: 1 / (1 + exp(-(slope · similarity + offset)))."""

    slope: float
    offset: float

    def __call__(self, similarity: float) -> float:
        return float(_sigmoid(np.array(self.slope * similarity + self.offset)))

    @classmethod
    def fit(cls, right: Floats, wrong: Floats) -> Self:
        """The likeliest curve, both kinds counting alike however many there are, by Newton's method.

        Arguments:
            right, wrong: similarities of the one and of the other kind; neither is empty.

        Source: Platt, "Probabilistic outputs for support vector machines", 1999, with his softened targets.
        """
        x = np.r_[right, wrong]
        target = np.r_[np.full(len(right), 1 - 1 / (len(right) + 2)), np.full(len(wrong), 1 / (len(wrong) + 2))]
        weight = np.r_[np.full(len(right), 0.5 / len(right)), np.full(len(wrong), 0.5 / len(wrong))]
        center, spread = x.mean(), max(float(x.std()), 1e-6)
        design = np.stack([(x - center) / spread, np.ones(len(x))], 1)
        beta = np.zeros(2)
        for _ in range(100):
            p = _sigmoid(design @ beta)
            slope = design.T @ (weight * (p - target)) + 1e-6 * beta
            curve = (design.T * (weight * p * (1 - p))) @ design + 1e-6 * np.eye(2)
            step = np.linalg.solve(curve, slope)
            beta = beta - step * min(1.0, 5 / max(float(np.abs(step).max()), 1e-12))
            if np.abs(step).max() < 1e-10:
                break
        # A similarity that speaks against itself is noise: then every similarity says one half.
        scaled = max(float(beta[0]), 0.0) / spread
        return cls(scaled, float(beta[1]) - scaled * float(center) if scaled else 0.0)


@dataclass(frozen=True)
class Row:
    """What the thresholds for one rate of false alarms do.

    Attributes:
        far: the rate that was allowed.
        threshold: of the similarity, to be named.
        named: the share of strangers that was named (FPIR).
        missed: the share of known people who were not given their name (FNIR).
        pair_threshold: of the similarity, to pass for one person.
        pair_far, pair_frr: the share of pairs of two people accepted, of one person refused (FAR, FRR).
    """

    far: float
    threshold: float
    named: float
    missed: float
    pair_threshold: float
    pair_far: float
    pair_frr: float


@dataclass(frozen=True)
class Calibration:
    """A threshold, what it costs, and how similarities become probabilities.

    Attributes:
        threshold: the least similarity at which a person is named.
        pair_threshold: the least similarity at which two pictures show one person; lower, as one comparison has one
            chance to go wrong and a search has many.
        far: the share of strangers that may be named, when searched among `people` people, and the share of pairs of
            two people that may pass for one.
        people: see `far`.
        source: "given images", "training images" (a rule of thumb), see `FaceRecognizer.calibrate`.
        images: how many the figures rest on.
        enough: whether there were enough strangers to keep `far`; if not, the threshold is above all of them.
        match: the probability that the best candidate is right, if strangers are as likely as known people.
        pair: the probability that two pictures show one person, if both are as likely.
        match_error, pair_error: the expected calibration error of both, measured on people they were not fitted to;
            nan if there are too few people.
        rows: the table.
    """

    threshold: float
    pair_threshold: float
    far: float
    people: int
    source: str
    images: int
    enough: bool
    match: Logistic
    pair: Logistic
    match_error: float
    pair_error: float
    rows: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same in plain values for JSON; nan is null."""
        plain = asdict(self)
        plain["rows"] = list(plain["rows"])
        for key in ("match_error", "pair_error"):
            plain[key] = plain[key] if plain[key] == plain[key] else None
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What `to_dict` was taken from. Raises KeyError or TypeError where it is something else."""
        errors = {k: math.nan if plain[k] is None else float(plain[k]) for k in ("match_error", "pair_error")}
        curves = {k: Logistic(**plain[k]) for k in ("match", "pair")}
        return cls(**{**plain, **errors, **curves, "rows": tuple(Row(**row) for row in plain["rows"])})

    def table(self) -> str:
        """The error rates at several thresholds, as text for a terminal."""
        lines = [
            f"who is it: threshold {self.threshold:.4f}; of strangers searched among {self.people} people, "
            f"{self.far:.2%} may be given a name",
            f"are these two one: threshold {self.pair_threshold:.4f}; of pairs of two people, {self.far:.2%} may pass",
            f"measured on {self.images} images ({self.source})",
            "",
            " allowed  threshold  strangers named  known missed   threshold  pair FAR  pair FRR",
        ]
        for row in self.rows:
            lines.append(
                f"{row.far:>8.2%}{row.threshold:>11.4f}{row.named:>17.2%}{row.missed:>14.2%}"
                f"{row.pair_threshold:>12.4f}{row.pair_far:>10.2%}{row.pair_frr:>10.2%}"
            )
        if not self.enough:
            lines += ["", f"too few strangers to promise {self.far:.2%} of them: the threshold is above all"]
        if self.match_error == self.match_error:
            lines += ["", f"probabilities: expected calibration error {self.match_error:.3f} (who is it), "
                          f"{self.pair_error:.3f} (are these two one)"]  # fmt: skip
        return "\n".join(lines)


def calibrate(trials: Trials, far: float, people: int | None, source: str) -> Calibration:
    """The thresholds at which at most the share `far` of strangers is named, and of pairs of two people accepted.

    The first lies just above the k-th best stranger, k = ⌊far' · (strangers + 1)⌋: then a further stranger of the same
    kind is named with a probability of at most far' (Vovk, Gammerman, Shafer, "Algorithmic learning in a random
    world", 2005, section 2.2). If a stranger will be searched among N people, and here was among M,

        far' = 1 - (1 - far)^(M / N)

    as if each person were another chance to be taken for somebody. The second is found in the same way, from pairs.

    Arguments:
        trials: outcomes.
        far: between 0 and 1.
        people: N; by default M.
        source: what the images were.

    Raises:
        BadDataset: `far` or `people` is out of range.
    """
    if isinstance(far, bool) or not isinstance(far, int | float | np.number) or not 0 < far < 1:
        raise BadDataset(f"the rate of false alarms must lie between 0 and 1, but it is {far!r}: try 0.01")
    if people is not None and (isinstance(people, bool) or not isinstance(people, int) or people < 1):
        raise BadDataset(f"people must be an integer ≥ 1, but it is {people!r}")
    among = trials.people if people is None else people
    strangers = np.sort(trials.strangers.similarity)[::-1]
    different = np.sort(trials.different.similarity)[::-1]
    share = trials.people / among
    threshold, enough = _above(strangers, float(far), share)
    return Calibration(
        threshold=threshold,
        pair_threshold=_above(different, float(far), 1)[0],
        far=float(far),
        people=among,
        source=source,
        images=len(strangers),
        enough=enough,
        match=Logistic.fit(trials.own.similarity, trials.strangers.similarity),
        pair=Logistic.fit(trials.same.similarity, trials.different.similarity),
        match_error=_held_out_error(trials.own, trials.strangers),
        pair_error=_held_out_error(trials.same, trials.different),
        rows=tuple(
            _row(trials, rate, _above(strangers, rate, share)[0], _above(different, rate, 1)[0], among)
            for rate in RATES
        ),
    )


def _above(strangers: Floats, far: float, share: float) -> tuple[float, bool]:
    """(threshold, whether `far` can be kept) from the strangers' similarities, falling."""
    k = math.floor((1 - (1 - far) ** share) * (len(strangers) + 1))
    return float(np.nextafter(np.float32(strangers[max(k, 1) - 1]), np.float32(2))), k >= 1


def _row(trials: Trials, far: float, threshold: float, pair_threshold: float, people: int) -> Row:
    named = float(np.mean(trials.strangers.similarity >= threshold))
    own, rival = trials.own.similarity, trials.rival.similarity
    return Row(
        far=far,
        threshold=threshold,
        named=1 - (1 - named) ** (people / trials.people),
        missed=float(np.mean((own < threshold) | (own <= rival))),
        pair_threshold=pair_threshold,
        pair_far=float(np.mean(trials.different.similarity >= pair_threshold)),
        pair_frr=float(np.mean(trials.same.similarity < pair_threshold)),
    )


def _held_out_error(right: Scores, wrong: Scores) -> float:
    """The expected calibration error where the curve is fitted to some people and asked about the others."""
    people = np.union1d(right.person, wrong.person)
    fold = {person: k % FOLDS for k, person in enumerate(people.tolist())}
    said, so, weight = [], [], []
    for k in range(FOLDS):
        asked = [np.array([fold[p] == k for p in scores.person.tolist()], bool) for scores in (right, wrong)]
        if any(not held.any() or held.all() for held in asked):
            return math.nan
        curve = Logistic.fit(*(s.similarity[~held] for s, held in zip((right, wrong), asked, strict=True)))
        for scores, held, answer in ((right, asked[0], True), (wrong, asked[1], False)):
            said.append(_sigmoid(curve.slope * scores.similarity[held] + curve.offset))
            so.append(np.full(int(held.sum()), answer))
            weight.append(np.full(int(held.sum()), 1 / len(scores.similarity)))
    return expected_calibration_error(np.concatenate(said), np.concatenate(so), weights=np.concatenate(weight))


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))
