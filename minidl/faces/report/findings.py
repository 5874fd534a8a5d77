"""Everything that a report says of a recognizer, measured on one set of faces."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces import protocol
from minidl.faces.calibration import Calibration
from minidl.faces.datasets import FaceDataset
from minidl.faces.errors import BadDataset, FaceError
from minidl.faces.explain import Explanation, WorstPairs, worst_pairs
from minidl.faces.metrics import Reliability, Report, Roc, reliability, roc
from minidl.faces.recognizer import FaceRecognizer
from minidl.faces.trials import AT_ONCE, SAME_PICTURE, Scores, Trials, leave_one_out, search

Numbers = NDArray[np.int64]
Advance: TypeAlias = Callable[[str], None]

PAIRS: Final = 6
"""How many of the worst pairs of either kind are kept."""
EXPLAINED: Final = 6
"""How many faces are explained."""
WAYS: Final = ("occlusion", "grad-cam", "gradient", "rollout")
"""The explanations shown, as far as a model has them."""
MOST_FOR_PAIRS: Final = 2000
"""Among so many images at most the worst pairs are looked for: their number grows as the square."""


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


def measure(
    recognizer: FaceRecognizer,
    data: FaceDataset,
    strangers: FaceDataset | None = None,
    *,
    name: str | None = None,
    details: bool = True,
    advance: Advance | None = None,
) -> Findings:
    """Measure a recognizer on faces that were not in its training.

    Arguments:
        recognizer: fitted, with people enrolled.
        data: faces of its size. People who are not enrolled serve as strangers.
        strangers: more faces, none of whose people is enrolled, whatever they are called there.
        name: how to call the model; by default as it is called.
        details: whether to damage images and to explain answers as well, which takes longest.
        advance: called with a line of text before each step.

    Raises:
        NotFitted: nothing was learned.
        BadDataset: too few people or images, or nobody is enrolled.
        BadImage: the faces have another size.
    """
    say = advance or (lambda _: None)
    called = name or recognizer.model
    people = recognizer.people()
    if not people:
        raise BadDataset(f"{called} knows nobody, so there is nobody to recognize: enrol people first")
    say("embeddings")
    place: dict[Hashable, int] = {person: k for k, person in enumerate(people)}
    images, shown = data.images, data.labels.tolist()
    codes = np.array([place.get(label, -1) for label in shown], np.int64)
    embeddings = recognizer.represent(images)
    rows = [recognizer.gallery.templates(person) for person in people]
    gallery, owners = np.concatenate(rows), np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    apart = not (codes >= 0).any()
    if apart and strangers is not None:
        raise BadDataset(
            f"strangers are searched among known people, but nobody in {data.description} is known to {called}: give "
            "data of people whom it knows, or leave the strangers out"
        )
    everybody, everybody_shown = embeddings, codes
    if strangers is not None:
        everybody = np.concatenate([embeddings, recognizer.represent(strangers.images)])
        everybody_shown = np.r_[codes, np.full(len(strangers), -1)]
    trials = leave_one_out(embeddings, data.codes) if apart else search(everybody, everybody_shown, gallery, owners)
    real = not apart and bool((everybody_shown < 0).any())
    trials = _of_strangers(trials, real)
    learned = set(recognizer.classes)
    trained = np.array([label in learned for label in shown])
    report = None
    if trained.any() and len(set(np.asarray(shown, object)[trained])) > 1:
        say("error rates")
        report = recognizer.evaluate(images[trained], data.labels[trained])
    parts = [embeddings[k : k + AT_ONCE] for k in range(0, len(embeddings), AT_ONCE)]
    seen = sum(int(((part @ gallery.T).max(1) > SAME_PICTURE).sum()) for part in parts)
    damages: tuple[Damaged, ...] = ()
    explained: tuple[Explained, ...] = ()
    if details and report is not None:
        damages = _damaged(recognizer, data, trained, say)
        explained = _explained(recognizer, data, trained, say)
    some = np.arange(len(images))[:: -(-len(images) // MOST_FOR_PAIRS)]
    return Findings(
        name=called,
        about={
            "model": recognizer.model,
            "purpose": recognizer.purpose,
            "loss": recognizer.loss,
            "image_size": recognizer.image_size,
            "parameters": recognizer.parameter_count,
            "training_people": len(recognizer.classes),
        },
        data=data.description if strangers is None else f"{data.description}; strangers: {strangers.description}",
        images=len(everybody),
        people=len(data.names) + (len(strangers.names) if strangers is not None else 0),
        known=int((everybody_shown >= 0).sum()),
        strangers=int((everybody_shown < 0).sum()),
        enrolled=len(people),
        real_strangers=real,
        apart=apart,
        seen=seen,
        report=report,
        roc=report.roc if report is not None else roc(trials.same.similarity, trials.different.similarity),
        trials=trials,
        calibration=recognizer.calibration,
        operation=operation(trials, recognizer.calibration.threshold, recognizer.calibration.pair_threshold),
        probabilities=_probabilities(trials, recognizer.calibration),
        pairs=worst_pairs(embeddings[some], data.codes[some], PAIRS),
        faces=images[some],
        shown=tuple(shown[i] for i in some.tolist()),
        damages=damages,
        explained=explained,
    )


def operation(trials: Trials, threshold: float, pair_threshold: float) -> Operation:
    """What two thresholds do: who is named, missed, accepted, refused.

    Arguments:
        trials: searches and pairs.
        threshold: the least similarity at which `identify` names somebody.
        pair_threshold: the least at which `verify` says that two are one.
    """
    own, rival = trials.own.similarity, trials.rival.similarity
    return Operation(
        named=_share(trials.strangers.similarity >= threshold),
        missed=_share((own < threshold) | (own <= rival)),
        accepted=_share(trials.different.similarity >= pair_threshold),
        refused=_share(trials.same.similarity < pair_threshold),
    )


def _share(which: Array) -> Share:
    return Share(int(which.sum()), len(which))


def _of_strangers(trials: Trials, real: bool) -> Trials:
    """The same trials, whose strangers are only those of nobody enrolled."""
    if not real:
        return trials
    found = trials.strangers
    nobody = found.person < 0
    return replace(trials, strangers=Scores(found.similarity[nobody], found.person[nobody]))


def _probabilities(trials: Trials, calibration: Calibration) -> Reliability:
    right, wrong = trials.own.similarity, trials.strangers.similarity
    said = np.array([calibration.match(float(x)) for x in np.r_[right, wrong]])
    so = np.r_[np.ones(len(right), bool), np.zeros(len(wrong), bool)]
    weights = np.r_[np.full(len(right), 1 / len(right)), np.full(len(wrong), 1 / len(wrong))]
    return reliability(said, so, weights=weights)


def _damaged(recognizer: FaceRecognizer, data: FaceDataset, which: Array, say: Advance) -> tuple[Damaged, ...]:
    found = []
    truth = data.labels[which]
    for kind in protocol.DAMAGES:
        say(f"damage: {kind}")
        images = protocol.damage(data.images, kind)[which]
        said = np.asarray(recognizer.predict(images))
        found.append(Damaged(kind, _share(said != truth), images[0]))
    return tuple(found)


def _explained(recognizer: FaceRecognizer, data: FaceDataset, which: Array, say: Advance) -> tuple[Explained, ...]:
    """Half mistakes, as far as there are any, and faces of different people that were named rightly."""
    at = np.flatnonzero(which)
    said = np.asarray(recognizer.predict(data.images[at]))
    wrong = at[said != data.labels[at]][: EXPLAINED // 2]
    right = at[said == data.labels[at]]
    _, first = np.unique(data.codes[right], return_index=True)
    right = right[np.sort(first)]
    room = EXPLAINED - len(wrong)
    right = right[np.linspace(0, len(right) - 1, min(room, len(right))).astype(int)] if len(right) else right
    answer = dict(zip(at.tolist(), said.tolist(), strict=True))
    found = []
    for i in [*wrong.tolist(), *right.tolist()]:
        say("explanations")
        maps = []
        for way in WAYS:
            try:
                maps.append(recognizer.explain(data.images[i], way))
            except FaceError:  # this model has no such explanation
                continue
        found.append(Explained(data.labels[i].item(), answer[i], tuple(maps)))
    return tuple(found)
