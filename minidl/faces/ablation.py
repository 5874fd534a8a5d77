"""What each trick of a recipe buys: the same training with one thing changed.

Measured on inner splits: fitted on some of a person's training images and tried on the others, so that the test images
stay unseen and the table may be chosen by.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from minidl.faces import protocol
from minidl.faces.comparison import Advance
from minidl.faces.datasets import FaceDataset
from minidl.faces.errors import BadDataset
from minidl.faces.network_classifier import NetworkClassifier
from minidl.faces.networks import NETWORKS
from minidl.faces.purposes import PURPOSES, with_loss
from minidl.faces.training import Recipe


def _changing(**settings: float) -> Callable[[Recipe], Recipe]:
    """The recipe with other augmentation."""

    def change(recipe: Recipe) -> Recipe:
        several, single = (replace(now, **settings) for now in (recipe.several, recipe.single))  # type: ignore[arg-type]
        return replace(recipe, several=several, single=single)

    return change


STILL: Final = dict.fromkeys(("shift", "scale", "aspect", "rotation", "elastic", "turn", "nod"), 0.0)
EVEN: Final = {"gamma": 0.0, "light": 0.0, "noisy": 0.0, "dim": 0.0}
WHOLE: Final = {"erased": 0.0, "block": 0.0}

CHANGES: Final[dict[str, Callable[[Recipe], Recipe]]] = {
    "the recipe": lambda recipe: recipe,
    "no augmentation": _changing(**STILL, **EVEN, **WHOLE, flip=0.0),
    "never moved, turned or bent": _changing(**STILL),
    "never mirrored in training": _changing(flip=0.0),
    "never lit otherwise, no noise": _changing(**EVEN),
    "never partly hidden": _changing(**WHOLE),
    "bent twice as much": lambda recipe: _changing(elastic=2 * recipe.several.elastic)(recipe),
    "whole-image z-scores": lambda recipe: replace(recipe, light="zscore"),
    "what is hidden counts as light": lambda recipe: replace(recipe, blind=False),
    "no mirror image when asked": lambda recipe: replace(recipe, mirror=False),
    "half the steps": lambda recipe: replace(recipe, steps=max(1, recipe.steps // 2)),
    "twice the steps": lambda recipe: replace(recipe, steps=2 * recipe.steps),
    "no weight decay": lambda recipe: replace(recipe, weight_decay=0.0),
    "no warm-up": lambda recipe: replace(recipe, warm_up=0.0),
    "ArcFace": lambda recipe: with_loss(recipe, "arcface"),
    "triplet loss": lambda recipe: with_loss(recipe, "triplet"),
}
"""From a recipe to the one with a thing changed, by a name for the table."""


@dataclass(frozen=True)
class AblationRun:
    """One training on one inner split.

    Fields:
        error: the share of the images it was tried on that were named wrongly, 0 to 1.
        likelihood: the mean log-probability of the right person, finer than errors where these are few.
        seconds: of the training, by the clock.
    """

    change: str
    seed: int
    error: float
    likelihood: float
    seconds: float


@dataclass(frozen=True)
class Ablation:
    """All runs: change after change, seed after seed.

    Fields:
        description: which data.
        model, purpose: which recipe was changed.
        train, tried: images a person to fit on, and images a split that it was tried on.
    """

    description: str
    model: str
    purpose: str
    train: int
    tried: int
    runs: tuple[AblationRun, ...]

    def summary(self, change: str) -> dict[str, float]:
        """Mean and standard deviation (over seeds, n − 1) of the error in percent, likelihood, median seconds."""
        runs = [run for run in self.runs if run.change == change]
        errors = 100 * np.array([run.error for run in runs])
        return {
            "error": float(errors.mean()),
            "sd": float(errors.std(ddof=1)) if len(errors) > 1 else float("nan"),
            "likelihood": float(np.mean([run.likelihood for run in runs])),
            "seconds": float(np.median([run.seconds for run in runs])),
        }

    def table(self) -> str:
        """The ablation as text for a terminal."""
        changes = list(dict.fromkeys(run.change for run in self.runs))
        seeds = sorted({run.seed for run in self.runs})
        lines = [
            self.description,
            f"{self.model} for {self.purpose}, fitted on {self.train} training images a person and tried on "
            f"{self.tried} others (no test images), seed {', '.join(map(str, seeds))}",
            "",
            f"{'one thing changed':<32}{'error %':>9}{'± sd':>8}{'log-likelihood':>16}{'seconds':>10}",
        ]
        for change in changes:
            row = self.summary(change)
            spread = f"{row['sd']:>8.2f}" if row["sd"] == row["sd"] else f"{'–':>8}"
            lines.append(f"{change:<32}{row['error']:>9.2f}{spread}{row['likelihood']:>16.3f}{row['seconds']:>10.1f}")
        one = 100 / self.tried
        return "\n".join([*lines, "", f"(one image of one split is {one:.2f} %)"])

    def to_dict(self) -> dict[str, Any]:
        """The ablation as plain values for JSON."""
        rows = {}
        for change in dict.fromkeys(run.change for run in self.runs):
            rows[change] = {k: v if v == v else None for k, v in self.summary(change).items()}
        return {"data": self.description, "model": self.model, "purpose": self.purpose, "train": self.train,
                "tried": self.tried, "changes": rows, "runs": [asdict(run) for run in self.runs]}  # fmt: skip


def ablate(
    data: FaceDataset,
    model: str = "cnn",
    changes: Sequence[str] = tuple(CHANGES),
    *,
    train: int = 3,
    seeds: Sequence[int] = (0, 1),
    purpose: str = "identification",
    epochs: int | None = None,
    device: str = "cpu",
    advance: Advance | None = None,
) -> Ablation:
    """Train by a recipe and by the same with one thing changed, on inner splits.

    Arguments:
        data: the faces.
        model: a network, as `FaceRecognizer` takes it.
        changes: names of `CHANGES`.
        train: images a person to fit on, 1 to 4; it is tried on the others of the first five.
        seeds: one split each; also the seed of the network.
        purpose: whose recipe is changed.
        epochs: passes over the images; the recipe's own steps by default.
        device: "cpu" or "cuda".
        advance: called with a line of text after each run.

    Raises:
        BadDataset: there is no such network, purpose or change, or the data does not suit the protocol.
    """
    for what, name, known in (("network", model, NETWORKS), ("purpose", purpose, PURPOSES)):
        if name not in known:
            raise BadDataset(f"there is no {what} {name!r}: choose one of {', '.join(known)}")
    for change in changes:
        if change not in CHANGES:
            raise BadDataset(f"there is no change {change!r}: choose one of {', '.join(CHANGES)}")
    recipe = PURPOSES[purpose](NETWORKS[model].recipe)
    codes, tried = data.codes, 0
    runs: list[AblationRun] = []
    for change in changes:
        for seed in seeds:
            fit, held = protocol.inner_split(data.labels, seed, train)
            tried = len(held)
            network = NetworkClassifier(model, data.images.shape[1:3], device, seed, CHANGES[change](recipe))
            started = time.perf_counter()
            network.fit(data.images[fit], codes[fit], epochs)
            seconds = time.perf_counter() - started
            chances = network.log_probabilities(data.images[held])
            error = float(np.mean(chances.argmax(1) != codes[held]))
            likelihood = float(chances[np.arange(tried), codes[held]].mean())
            runs.append(AblationRun(change, seed, error, likelihood, seconds))
            if advance is not None:
                advance(f"{change}, seed {seed}: {100 * error:.2f} % wrong after {seconds:.1f} s")
    return Ablation(data.description, model, purpose, train, tried, tuple(runs))
