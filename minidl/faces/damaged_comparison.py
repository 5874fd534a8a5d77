"""How often each model is wrong on images that are dark, noisy or half hidden, when it was trained on clean ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from minidl.faces import protocol
from minidl.faces.comparison import Advance, trained_in, untrained
from minidl.faces.datasets import FaceDataset


@dataclass(frozen=True)
class DamagedRun:
    """One model, trained on the clean images of one split and tested on every damage.

    Fields:
        errors: damage → the share of damaged test images named wrongly, 0 to 1.
        seconds: wall-clock time of `fit`.
    """

    model: str
    seed: int
    errors: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class DamagedComparison:
    """All runs: model after model, seed after seed.

    Fields:
        description: which data.
        train: training images a person.
        purpose: that networks were trained for.
    """

    description: str
    train: int
    purpose: str
    runs: tuple[DamagedRun, ...]

    def summary(self, model: str) -> dict[str, tuple[float, float]]:
        """damage → mean and standard deviation (over seeds, n − 1) of the error in percent."""
        runs = [run for run in self.runs if run.model == model]
        found = {}
        for kind in protocol.DAMAGES:
            errors = 100 * np.array([run.errors[kind] for run in runs])
            found[kind] = float(errors.mean()), float(errors.std(ddof=1)) if len(errors) > 1 else float("nan")
        return found

    def table(self) -> str:
        """The comparison as text for a terminal: mean errors in percent."""
        models = list(dict.fromkeys(run.model for run in self.runs))
        seeds = sorted({run.seed for run in self.runs})
        lines = [
            self.description,
            f"{self.train} clean training images a person, networks trained for {self.purpose}, "
            f"seed {', '.join(map(str, seeds))}; errors in %",
            "",
            f"{'model':<11}" + "".join(f"{kind:>11}" for kind in protocol.DAMAGES),
        ]
        for model in models:
            lines.append(f"{model:<11}" + "".join(f"{mean:>11.2f}" for mean, _ in self.summary(model).values()))
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain values for JSON."""
        models = list(dict.fromkeys(run.model for run in self.runs))
        rows = {
            model: {kind: {"error": mean, "sd": sd if sd == sd else None} for kind, (mean, sd) in row.items()}
            for model, row in zip(models, map(self.summary, models), strict=True)
        }
        return {"data": self.description, "train": self.train, "purpose": self.purpose, "models": rows,
                "runs": [asdict(run) for run in self.runs]}  # fmt: skip


def compare_damaged(
    data: FaceDataset,
    models: Sequence[str],
    *,
    train: int = 5,
    seeds: Sequence[int] = (0,),
    epochs: int | None = None,
    device: str = "cpu",
    purpose: str = "damage",
    advance: Advance | None = None,
) -> DamagedComparison:
    """Train every model on clean images and test it on the same images damaged in every way of `protocol.damage`.

    Arguments:
        data: the faces.
        models: names as `FaceRecognizer` takes them.
        train: training images a person, 1 to 5.
        seeds: one split each; also the seed of the model.
        epochs: passes over the training images; the model's own recipe by default.
        device: "cpu" or "cuda".
        purpose: that networks are trained for.
        advance: called with a line of text after each run.

    Raises:
        FaceError: the data does not suit the protocol, or there is no such model.
    """
    for name in models:
        untrained(name, data, purpose, device)
    damaged = {kind: protocol.damage(data.images, kind) for kind in protocol.DAMAGES}
    runs: list[DamagedRun] = []
    for name in models:
        for seed in seeds:
            learn, test = protocol.split(data.labels, seed, train)
            model = untrained(name, data, purpose, device, seed)
            seconds = trained_in(model, data, learn, epochs)
            errors = {
                kind: float(np.mean(np.asarray(model.predict(images[test])) != data.labels[test]))
                for kind, images in damaged.items()
            }
            runs.append(DamagedRun(name, seed, errors, seconds))
            if advance is not None:
                worst = max(errors, key=lambda kind: errors[kind])
                advance(f"{name}, seed {seed}: at most {100 * errors[worst]:.1f} % wrong ({worst}), {seconds:.1f} s")
    return DamagedComparison(data.description, train, purpose, tuple(runs))
