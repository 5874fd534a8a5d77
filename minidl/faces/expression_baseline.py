"""What expressions are without a network: local binary patterns and one linear layer, solved in one step.

The yardstick for `ExpressionClassifier`: hand-made features and a linear classifier, as before networks.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.errors import NotFitted
from minidl.faces.expression_report import ExpressionReport, held_out, report_of
from minidl.faces.inputs import codes_of, in_order, plain_labels
from minidl.faces.patterns import pattern_histograms
from minidl.kernels.threads import single_threaded_blas

RIDGES: Final = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Weights of the penalty that are tried on the validation part, in mean squares of the features."""
USUAL: Final = 3.0
"""The weight where there is no validation part."""


class PatternExpressions:
    """Ridge regression from histograms of local binary patterns to one number an expression.

        W = argmin Σ_i c_i |x_i W - t_i|² + λ |W|²,    c_i = 1 / (how often the expression of i occurs)

    Attributes:
        ridge: λ over the mean square of the features, chosen on the validation part.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed, self.ridge = seed, float("nan")
        self.classes: tuple[str, ...] = ()
        self._mean: NDArray[np.float64] | None = None
        self._weight: NDArray[np.float64] = np.empty((0, 0))

    @single_threaded_blas()
    def fit(
        self,
        images: Array,
        labels: Iterable[Hashable],
        people: Iterable[Hashable] | None = None,
        validation: float = 0.1,
    ) -> Self:
        """Choose λ on the validation part, then solve on all images.

        Arguments:
            images: (n, h, w) uint8.
            labels: n names of expressions.
            people: n of them, where known; see `held_out`.
            validation: its share of the images.

        Returns:
            Itself.
        """
        named = [str(label) for label in plain_labels(labels, len(images))]
        self.classes = tuple(str(name) for name in in_order(named))
        codes = codes_of(named, {name: k for k, name in enumerate(self.classes)})
        who = None
        if people is not None:
            shown = plain_labels(people, len(images))
            who = codes_of(shown, {person: k for k, person in enumerate(dict.fromkeys(shown))})
        out = held_out(codes, who, validation, self.seed)
        x = pattern_histograms(images).astype(np.float64)
        self.ridge = USUAL
        if out.any():
            scores = []
            for ridge in RIDGES:
                self._solve(x[~out], codes[~out], ridge)
                scores.append(report_of(codes[out], self._said(x[out]), self.classes).macro_accuracy)
            self.ridge = RIDGES[int(np.argmax(scores))]
        self._solve(x, codes, self.ridge)
        return self

    def predict(self, images: Array) -> NDArray[np.int64]:
        """(n,) numbers of the classes.

        Raises:
            NotFitted: `fit` was not called.
        """
        return self._said(pattern_histograms(images).astype(np.float64))

    def evaluate(self, images: Array, labels: Iterable[Hashable]) -> ExpressionReport:
        """How well expressions are named; as `ExpressionClassifier.evaluate`."""
        named = [str(label) for label in plain_labels(labels, len(images))]
        truth = codes_of(named, {name: k for k, name in enumerate(self.classes)})
        return report_of(truth, self.predict(images), self.classes)

    def _said(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        if self._mean is None:
            raise NotFitted("these expressions have learned nothing yet: call fit(images, labels) first")
        return np.asarray(((x - self._mean) @ self._weight).argmax(1), np.int64)

    def _solve(self, x: NDArray[np.float64], codes: Array, ridge: float) -> None:
        weights = 1 / np.bincount(codes)[codes]
        weights = weights / weights.mean()
        self._mean = np.average(x, 0, weights)
        root = np.sqrt(weights)[:, None]
        a = (x - self._mean) * root
        t = (np.eye(len(self.classes))[codes] - 1 / len(self.classes)) * root
        gram = a.T @ a
        gram[np.diag_indices_from(gram)] += ridge * np.trace(gram) / len(gram)
        self._weight = np.linalg.solve(gram, a.T @ t)
