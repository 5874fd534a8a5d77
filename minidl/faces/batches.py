"""What a network is shown: which image comes when, as often from everybody, and what happens to it on the way.

Everything is keyed by (seed, epoch, position), so that a batch does not depend on those before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minidl.faces.augment import Augmentation

Faces: TypeAlias = NDArray[np.float32]
Indices: TypeAlias = NDArray[np.int64]
Batch: TypeAlias = tuple[Faces, Indices]
"""Faces (batch, 1, H, W), ready for the network, and who they show (batch,)."""


class Plan(NamedTuple):
    """Which positions a batch shows, and in which epoch each of them stands."""

    epochs: Indices
    indices: Indices


def plan(step: int, images: int, batch: int, seed: int) -> Plan:
    """The positions of one step: every epoch is all of them in a new order, and a batch may reach into the next epoch.

    Arguments:
        step: counted from 0.
        images: how many positions there are.
        batch: how many a step takes.
        seed: of the orders.

    >>> plan(1, images=3, batch=2, seed=0).epochs.tolist()
    [0, 1]
    """
    at = np.arange(step * batch, (step + 1) * batch)
    epochs = at // images
    orders = {int(epoch): np.random.default_rng([seed, epoch]).permutation(images) for epoch in np.unique(epochs)}
    indices = np.array([orders[epoch][k % images] for epoch, k in zip(epochs.tolist(), at.tolist(), strict=True)])
    return Plan(epochs, indices)


def balanced(codes: Indices) -> Indices:
    """Indices of images in which everybody occurs equally often: who has few images is repeated.

    Arguments:
        codes: (n,) who each image shows.

    Returns:
        (m,) indices, m ≥ n; 0 … n - 1 in order where everybody has as many images as the others.

    >>> balanced(np.array([7, 7, 7, 9])).tolist()
    [0, 1, 2, 3, 3, 3]
    """
    of_each = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    most = max(len(images) for images in of_each)
    return np.sort(np.concatenate([np.resize(images, most) for images in of_each]))


class ImageBatches:
    """Batches of the images themselves, changed anew each time they are shown.

    Arguments:
        faces: (n, H, W) float32, grey levels in 0..1.
        codes: (n,) who each image shows, 0 … people - 1.
        prepare: from grey levels (batch, H, W) to what the network takes, (batch, 1, H, W).
        batch: images a batch.
        change: how they are changed, or None for not at all.
        each: how many images of a person stand together in a batch; a loss that compares faces needs at least two.
        seed: of orders and changes.
    """

    def __init__(
        self,
        faces: Faces,
        codes: Indices,
        prepare: Callable[[Faces], Faces],
        batch: int,
        change: Augmentation | None,
        each: int = 1,
        seed: int = 0,
    ) -> None:
        self.faces, self.codes, self.prepare, self.change = faces, codes, prepare, change
        self.batch, self.each, self.seed = batch, each, seed
        self._positions = balanced(codes)
        self._of_each = [np.flatnonzero(codes[self._positions] == code) for code in np.unique(codes)]

    @property
    def classes(self) -> int:
        """How many people there are."""
        return len(self._of_each)

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        epochs, positions = self._plan(step)
        indices = self._positions[positions]
        shown = self.faces[indices]
        if self.change is not None:
            shown = self.change(shown, np.stack([np.full_like(epochs, self.seed), epochs, positions], 1))
        return self.prepare(shown), self.codes[indices]

    def _plan(self, step: int) -> Plan:
        if self.each == 1:
            return plan(step, len(self._positions), self.batch, self.seed)
        # A batch of people in a new order each epoch, and of each of them some positions by chance.
        chosen = plan(step, len(self._of_each), max(2, self.batch // self.each), self.seed)
        rng = np.random.default_rng([self.seed, step, 1])
        positions = np.concatenate([rng.choice(self._of_each[k], self.each) for k in chosen.indices])
        # The step stands for the epoch: with few images a position can come twice in a batch, but changed alike.
        return Plan(np.full(len(positions), step), positions)
