"""Measuring a recognizer on faces that it should not have seen before."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Final, TypeAlias

import numpy as np

from minidl.backend import Array
from minidl.faces import protocol
from minidl.faces.calibration import Calibration
from minidl.faces.datasets import FaceDataset
from minidl.faces.errors import BadDataset, FaceError
from minidl.faces.explain import worst_pairs
from minidl.faces.metrics import Reliability, reliability, roc
from minidl.faces.recognizer import FaceRecognizer
from minidl.faces.report.findings import Damaged, Explained, Findings, Operation, Share
from minidl.faces.trials import AT_ONCE, SAME_PICTURE, Scores, Trials, leave_one_out, search

Advance: TypeAlias = Callable[[str], None]

PAIRS: Final = 6
"""How many of the worst pairs of either kind are kept."""
EXPLAINED: Final = 6
"""How many faces are explained."""
WAYS: Final = ("occlusion", "grad-cam", "gradient", "rollout")
"""The explanations shown, as far as a model has them."""
MOST_FOR_PAIRS: Final = 2000
"""Among so many images at most the worst pairs are looked for: their number grows as the square."""


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
