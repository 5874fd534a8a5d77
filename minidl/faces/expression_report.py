"""How expressions are measured: which images are kept from training, and how well the others were named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.errors import BadDataset


@dataclass(frozen=True)
class ExpressionReport:
    """How well expressions were named.

    Attributes:
        classes: the expressions, in the order of the confusion.
        confusion: (K, K) int64, row the truth, column what was said.
    """

    classes: tuple[str, ...]
    confusion: NDArray[np.int64]

    @property
    def images(self) -> int:
        """How many faces were shown."""
        return int(self.confusion.sum())

    @property
    def recall(self) -> dict[str, float]:
        """Of each expression that was shown, the share that was named."""
        shown = self.confusion.sum(1)
        return {name: float(self.confusion[k, k] / shown[k]) for k, name in enumerate(self.classes) if shown[k]}

    @property
    def macro_accuracy(self) -> float:
        """The mean of the recalls: rare expressions count as much as frequent ones; chance is 1 / K."""
        return float(np.mean(list(self.recall.values())))

    @property
    def accuracy(self) -> float:
        """The share of faces named rightly."""
        return float(np.trace(self.confusion) / max(1, self.images))

    def to_dict(self) -> dict[str, Any]:
        """Everything, as json can hold it."""
        return {
            "images": self.images,
            "accuracy": self.accuracy,
            "macro_accuracy": self.macro_accuracy,
            "recall": self.recall,
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
        }


def report_of(truth: Array, said: Array, classes: tuple[str, ...]) -> ExpressionReport:
    """The report of what was said, both as numbers of classes.

    Arguments:
        truth, said: (n,) int64.
        classes: K names.
    """
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (truth, said), 1)
    return ExpressionReport(classes, confusion)


def held_out(codes: Array, people: Array | None, share: float, seed: int) -> NDArray[np.bool_]:
    """Which images are kept from the training to measure and to calibrate on.

    Whoever is known by name is on one side with all images: a network that has seen a person frown knows the person.

    Arguments:
        codes: (n,) int64 expressions.
        people: (n,) int64 who each image shows, or None where nobody knows: then the same share of each expression.
        share: 0 to 0.5 of the images.
        seed: of the choice.

    Returns:
        (n,) bool; False everywhere where each person alone has more than the share.

    Raises:
        BadDataset: an expression would be left without a training image.
    """
    rng = np.random.default_rng([seed, 3])
    out = np.zeros(len(codes), bool)
    if people is None:
        for code in np.unique(codes):
            of_it = np.flatnonzero(codes == code)
            out[rng.permutation(of_it)[: int(share * len(of_it))]] = True
    else:
        for person in rng.permutation(np.unique(people)).tolist():
            theirs = people == person
            if out.sum() + theirs.sum() <= share * len(codes):
                out |= theirs
    if missing := set(codes.tolist()) - set(codes[~out].tolist()):
        raise BadDataset(
            f"with validation={share} no training image is left of expression number {min(missing)}: add images of "
            "more people, or set validation=0"
        )
    return out
