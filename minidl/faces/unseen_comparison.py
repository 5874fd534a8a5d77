"""How well each model tells apart people who were not in its training: is it the same person on both images?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from minidl.faces import protocol
from minidl.faces.comparison import Advance, trained_in, untrained
from minidl.faces.datasets import FaceDataset


@dataclass(frozen=True)
class UnseenRun:
    """One model, trained on some of the people and asked about pairs of images of the others.

    Fields:
        figures: "eer", "auc", "tar@far=1%", "tar@far=0.1%"; see `protocol.verification`.
        seconds: wall-clock time of `fit`.
    """

    model: str
    seed: int
    figures: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class UnseenComparison:
    """All runs: model after model, seed after seed.

    Fields:
        description: which data.
        fit_people, test_people: how many were learned from, and how many compared.
        same, different: pairs of images of one person and of two.
        purpose: that networks were trained for.
    """

    description: str
    fit_people: int
    test_people: int
    same: int
    different: int
    purpose: str
    runs: tuple[UnseenRun, ...]

    def summary(self, model: str) -> dict[str, float]:
        """The mean of every figure over the seeds, and the standard deviation (n − 1) of the EER."""
        runs = [run for run in self.runs if run.model == model]
        found = {name: float(np.mean([run.figures[name] for run in runs])) for name in runs[0].figures}
        found["eer sd"] = float(np.std([run.figures["eer"] for run in runs], ddof=1)) if len(runs) > 1 else float("nan")
        found["seconds"] = float(np.median([run.seconds for run in runs]))
        return found

    def table(self) -> str:
        """The comparison as text for a terminal."""
        seeds = sorted({run.seed for run in self.runs})
        lines = [
            self.description,
            f"learned from {self.fit_people} people, compared {self.test_people} others ({self.same:,} pairs of one "
            f"person, {self.different:,} of two); networks for {self.purpose}, seed {', '.join(map(str, seeds))}",
            "",
            f"{'model':<12}{'EER %':>8}{'± sd':>8}{'AUC':>9}{'TAR % at FAR 1 %':>19}{'at 0.1 %':>11}{'seconds':>10}",
        ]
        for model in dict.fromkeys(run.model for run in self.runs):
            row = self.summary(model)
            spread = f"{100 * row['eer sd']:>8.2f}" if row["eer sd"] == row["eer sd"] else f"{'–':>8}"
            lines.append(
                f"{model:<12}{100 * row['eer']:>8.2f}{spread}{row['auc']:>9.4f}{100 * row['tar@far=1%']:>19.1f}"
                f"{100 * row['tar@far=0.1%']:>11.1f}{row['seconds']:>10.1f}"
            )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain values for JSON."""
        models = dict.fromkeys(run.model for run in self.runs)
        rows = {m: {k: v if v == v else None for k, v in self.summary(m).items()} for m in models}
        return {"data": self.description, "fit_people": self.fit_people, "test_people": self.test_people,
                "pairs": {"same": self.same, "different": self.different}, "purpose": self.purpose, "models": rows,
                "runs": [asdict(run) for run in self.runs]}  # fmt: skip


def compare_unseen(
    data: FaceDataset,
    models: Sequence[str],
    *,
    fit_people: int | None = None,
    seeds: Sequence[int] = (0,),
    epochs: int | None = None,
    device: str = "cpu",
    purpose: str = "verification",
    advance: Advance | None = None,
) -> UnseenComparison:
    """Train every model on all images of the first people, and compare all pairs of images of the others.

    Arguments:
        data: the faces.
        models: names as `FaceRecognizer` takes them.
        fit_people: how many to learn from; half of them by default.
        seeds: of the models; the people are the same for all.
        epochs: passes over the training images; the model's own recipe by default.
        device: "cpu" or "cuda".
        purpose: that networks are trained for.
        advance: called with a line of text after each run.

    Raises:
        FaceError: there are too few people, or there is no such model.
    """
    everybody = len(protocol.people(data.labels))
    fit_people = fit_people if fit_people is not None else everybody // 2
    pairs = protocol.unseen_people(data.labels, fit_people)
    for name in models:
        untrained(name, data, purpose, device)
    runs: list[UnseenRun] = []
    for name in models:
        for seed in seeds:
            model = untrained(name, data, purpose, device, seed)
            seconds = trained_in(model, data, pairs.fit, epochs)
            embeddings = model.represent(data.images[pairs.test])
            scores = np.sum(embeddings[pairs.first] * embeddings[pairs.second], 1)
            figures = protocol.verification(scores[pairs.same], scores[~pairs.same])
            runs.append(UnseenRun(name, seed, figures, seconds))
            if advance is not None:
                advance(f"{name}, seed {seed}: EER {100 * figures['eer']:.1f} % after {seconds:.1f} s")
    same = int(pairs.same.sum())
    return UnseenComparison(
        data.description, fit_people, everybody - fit_people, same, len(pairs.same) - same, purpose, tuple(runs)
    )
