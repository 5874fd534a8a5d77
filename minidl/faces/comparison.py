"""Several models under one protocol, side by side: how often each is wrong, how long it learned, how large it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np

from minidl.backend import Array
from minidl.faces import protocol
from minidl.faces.datasets import FaceDataset
from minidl.faces.recognizer import CLASSICAL, FaceRecognizer

Advance: TypeAlias = Callable[[str], None]
Keep: TypeAlias = "Callable[[Run, FaceRecognizer, protocol.Indices], None]"


@dataclass(frozen=True)
class Mistake:
    """A test image that was taken for somebody else: indices into the data set, and the two people."""

    image: int
    truth: Any
    said: Any


@dataclass(frozen=True)
class Run:
    """One model, trained on one split.

    Fields:
        error: the share of test images named wrongly, 0 to 1.
        seconds: wall-clock time of `fit`.
        parameters: how many numbers the model learned.
    """

    model: str
    seed: int
    error: float
    seconds: float
    parameters: int
    mistakes: tuple[Mistake, ...]


@dataclass(frozen=True)
class Comparison:
    """All runs of a comparison.

    Fields:
        description: which data.
        train: training images a person; the images from the sixth on are the test.
        people, tests: how many people, and test images a split.
        runs: model after model, seed after seed.
    """

    description: str
    train: int
    people: int
    tests: int
    runs: tuple[Run, ...]

    @property
    def models(self) -> list[str]:
        """The models in the order they ran."""
        return list(dict.fromkeys(run.model for run in self.runs))

    def of(self, model: str) -> list[Run]:
        """The runs of one model."""
        return [run for run in self.runs if run.model == model]

    def summary(self, model: str) -> dict[str, float]:
        """Mean and standard deviation (over seeds, n − 1) of the error in percent, median seconds, parameters."""
        runs = self.of(model)
        errors = 100 * np.array([run.error for run in runs])
        return {
            "error": float(errors.mean()),
            "sd": float(errors.std(ddof=1)) if len(errors) > 1 else float("nan"),
            "seconds": float(np.median([run.seconds for run in runs])),
            "parameters": runs[0].parameters,
        }

    def table(self) -> str:
        """The comparison as text for a terminal."""
        seeds = sorted({run.seed for run in self.runs})
        lines = [
            f"{self.description}",
            f"{self.people} people, {self.train} training images each, {self.tests} test images a split, "
            f"{len(seeds)} split{'s' if len(seeds) > 1 else ''} (seed {', '.join(map(str, seeds))})",
            "",
            f"{'model':<12}{'error %':>9}{'± sd':>8}{'seconds':>10}{'parameters':>13}",
        ]
        for model in self.models:
            row = self.summary(model)
            spread = f"{row['sd']:>8.2f}" if row["sd"] == row["sd"] else f"{'–':>8}"
            lines.append(f"{model:<12}{row['error']:>9.2f}{spread}{row['seconds']:>10.1f}{row['parameters']:>13,.0f}")
        chance = 100 * (1 - 1 / self.people)
        return "\n".join([*lines, "", f"(guessing would be wrong {chance:.1f} % of the time)"])

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain values for JSON."""
        rows = {m: {k: v if v == v else None for k, v in self.summary(m).items()} for m in self.models}
        runs = [{**asdict(run), "mistakes": [mistake.image for mistake in run.mistakes]} for run in self.runs]
        return {"data": self.description, "train": self.train, "people": self.people, "tests": self.tests,
                "models": rows, "runs": runs}  # fmt: skip


def compare(
    data: FaceDataset,
    models: Sequence[str],
    *,
    train: int = 5,
    seeds: Sequence[int] = (0, 1),
    epochs: int | None = None,
    device: str = "cpu",
    purpose: str = "identification",
    advance: Advance | None = None,
    keep: Keep | None = None,
) -> Comparison:
    """Train and test every model on the same splits.

    Arguments:
        data: the faces.
        models: names as `FaceRecognizer` takes them.
        train: training images a person, 1 to 5.
        seeds: one split each, by `protocol.split`; also the seed of the model.
        epochs: passes over the training images; the model's own recipe by default.
        device: "cpu" or "cuda".
        purpose: that networks are trained for.
        advance: called with a line of text after each run.
        keep: called after each run with it, the trained recognizer and where its test images are in `data`.

    Raises:
        FaceError: the data does not suit the protocol, or there is no such model.
    """
    for name in models:
        untrained(name, data, purpose, device)  # says what is wrong before anything is trained
    runs: list[Run] = []
    tests = 0
    for name in models:
        for seed in seeds:
            learn, test = protocol.split(data.labels, seed, train)
            tests = len(test)
            model = untrained(name, data, purpose, device, seed)
            seconds = trained_in(model, data, learn, epochs)
            said = np.asarray(model.predict(data.images[test]))
            truth = data.labels[test]
            wrong = np.flatnonzero(said != truth)
            mistakes = tuple([Mistake(int(test[i]), truth[i].item(), said[i].item()) for i in wrong])
            runs.append(Run(model.model, seed, len(wrong) / len(test), seconds, model.parameter_count, mistakes))
            if keep is not None:
                keep(runs[-1], model, test)
            if advance is not None:
                advance(f"{model.model}, seed {seed}: {100 * runs[-1].error:.1f} % wrong after {seconds:.1f} s")
    return Comparison(data.description, train, len(data.names), tests, tuple(runs))


def untrained(name: str, data: FaceDataset, purpose: str, device: str = "cpu", seed: int = 0) -> FaceRecognizer:
    """A recognizer for images of this size; a purpose concerns networks only.

    Arguments:
        name: of the model.
        data: whose images it will take.
        purpose: that a network is trained for.
        device: "cpu" or "cuda".
        seed: of everything random.

    Raises:
        FaceError: there is no such model or purpose, or the images are too small for it.
    """
    purpose = purpose if name not in CLASSICAL else "identification"
    return FaceRecognizer(name, image_size=data.images.shape[1:3], device=device, seed=seed, purpose=purpose)


@contextmanager
def progress_bar(show: bool, total: int) -> Iterator[Advance | None]:
    """A bar on the terminal that moves with every run; nothing where `show` is False."""
    if not show:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("training", total=total)

        def advance(text: str) -> None:
            bar.console.print(f"  {text}", highlight=False)
            bar.advance(task)

        yield advance


def trained_in(model: FaceRecognizer, data: FaceDataset, learn: Array, epochs: int | None = None) -> float:
    """Fit a recognizer to some of the images; the wall-clock seconds that it took.

    Arguments:
        model: the recognizer.
        data: the faces.
        learn: (n,) integers, which of them to learn from.
        epochs: passes over the images; the model's own recipe by default.
    """
    started = time.perf_counter()
    model.fit(data.images[learn], data.labels[learn], epochs=epochs, progress=False)
    return time.perf_counter() - started
