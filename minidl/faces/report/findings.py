"""Everything that a report says of a recognizer, measured on one set of faces."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidl.faces.calibration import Calibration
from minidl.faces.explain import Explanation, WorstPairs
from minidl.faces.metrics import Reliability, Report, Roc
from minidl.faces.trials import Trials


@dataclass(frozen=True)
class Share:
    """A measured share: `count` of `of`."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """The share, 0 to 1; nan where nothing was measured."""
        return self.count / self.of if self.of else float("nan")

    def interval(self) -> tuple[float, float]:
        """Where the true share lies, in 95 of 100 such measurements.

        (p̂ + z²/2n ± z √(p̂(1-p̂)/n + z²/4n²)) / (1 + z²/n),  z = 1.96

        Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927. It takes the
        trials to be independent; those of one person's images are not quite, so the truth is a little wider.

        >>> tuple(round(end, 3) for end in Share(0, 100).interval())
        (0.0, 0.037)
        """
        if not self.of:
            return 0.0, 1.0
        z2 = 1.96**2 / self.of
        middle = (self.value + z2 / 2) / (1 + z2)
        reach = 1.96 * np.sqrt(self.value * (1 - self.value) / self.of + z2 / (4 * self.of)) / (1 + z2)
        return max(0.0, float(middle - reach)), min(1.0, float(middle + reach))


@dataclass(frozen=True)
class Operation:
    """What the thresholds of the recognizer do on these faces.

    Attributes:
        named: strangers who are given a name (FPIR).
        missed: images of known people that are not given their name (FNIR).
        accepted: pairs of two people that pass for one (FAR).
        refused: pairs of one person that do not (FRR).
    """

    named: Share
    missed: Share
    accepted: Share
    refused: Share


@dataclass(frozen=True)
class Damaged:
    """One damage: its name in `protocol.damage`, how many of the images were named wrongly, and the first of them."""

    kind: str
    wrong: Share
    example: NDArray[np.uint8]


@dataclass(frozen=True)
class Explained:
    """A face, who it is, who it was taken for, and why, in several ways."""

    truth: Hashable
    said: Hashable
    maps: tuple[Explanation, ...]


@dataclass(frozen=True)
class Findings:
    """What was measured on one recognizer.

    Attributes:
        name: how it is called on the page.
        about: the model: "model", "purpose", "loss", "image_size", "parameters", "training_people".
        data: the line that describes the faces.
        images, people: how many faces were looked at, of how many people.
        known, strangers: how many of these images show somebody enrolled, somebody who is not.
        enrolled: how many people the recognizer knows.
        real_strangers: whether strangers are people who were not enrolled; otherwise each known person was left out
            of the gallery in turn.
        apart: no image shows anybody enrolled: the images were searched among each other.
        seen: how many of the images are enrolled themselves, as those of the training are.
        report: identification and verification by `FaceRecognizer.evaluate`; None where nobody of the training is
            shown.
        roc: of verification.
        trials: searches and pairs, see `trials.Trials`; the strangers are those of `real_strangers`.
        calibration: the thresholds in use and where they come from.
        operation: what they do here.
        probabilities: what "this person" was said with against what was so, strangers as frequent as known people.
        pairs: the worst pairs, by position in `faces`.
        faces: the images that the pairs count in; `shown`, who they are.
        damages, explained: see there; empty where nobody of the training is shown, or it was not asked for.
    """

    name: str
    about: dict[str, Any]
    data: str
    images: int
    people: int
    known: int
    strangers: int
    enrolled: int
    real_strangers: bool
    apart: bool
    seen: int
    report: Report | None
    roc: Roc
    trials: Trials
    calibration: Calibration
    operation: Operation
    probabilities: Reliability
    pairs: WorstPairs
    faces: NDArray[np.uint8]
    shown: tuple[Hashable, ...]
    damages: tuple[Damaged, ...]
    explained: tuple[Explained, ...]

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values for JSON, without pictures."""
        here = self.operation
        shares = {"named": here.named, "missed": here.missed, "accepted": here.accepted, "refused": here.refused}
        return {
            **self.about,
            "image_size": list(self.about["image_size"]),
            "data": self.data,
            "images": self.images,
            "known": self.known,
            "strangers": self.strangers,
            "real_strangers": self.real_strangers,
            "enrolled": self.enrolled,
            "seen": self.seen,
            "report": None if self.report is None else self.report.to_dict(),
            "eer": self.roc.eer(),
            "auc": self.roc.auc(),
            "calibration": self.calibration.to_dict(),
            "operation": {key: {"count": share.count, "of": share.of} for key, share in shares.items()},
            "calibration_error": self.probabilities.error,
            "damage": {one.kind: one.wrong.value for one in self.damages},
        }
