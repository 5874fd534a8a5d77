"""People who do not exist, made of those who do: to learn what tells people apart, not who these are.

Twenty people are too few to learn which differences matter. Two of them make others: the upper half of one and the
lower half of the other, the mean of both, anybody in the mirror. Each is a person of his own, in as many images as the
two have pairs of images. (Twice as many, by mirroring also those made of two, were no better: see `purposes`.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from minidl.faces.augment import Augmentation
from minidl.faces.batches import Batch, Faces, Indices
from minidl.faces.normalise import zscore

SEAM: Final = 0.52
"""Where the upper half ends, as a share of the height: below the eyes, above the tip of the nose."""
SOFT: Final = 0.03
"""How wide the seam is."""
REAL: Final = 0.4
"""The share of a batch that shows real people."""
GREY, CONTRAST = 0.5, 0.2
"""Mean and spread of the grey levels of a blended face."""


class VirtualPeople:
    """Batches of real and of made-up people; codes below the number of real people are theirs.

    Arguments:
        faces: (n, H, W) float32, grey levels in 0..1.
        codes: (n,) who each image shows, 0 … people - 1.
        prepare: from grey levels (batch, H, W) to what the network takes, (batch, 1, H, W).
        batch: images a batch.
        change: how they are changed, or None for not at all. Never mirrored: that is somebody else.
        most: at most so many people are made up, chosen by the seed.
        each: how many images of a person stand together in a batch.
        seed: of everything drawn.
    """

    def __init__(
        self,
        faces: Faces,
        codes: Indices,
        prepare: Callable[[Faces], Faces],
        batch: int,
        change: Augmentation | None,
        most: int,
        each: int = 1,
        seed: int = 0,
    ) -> None:
        self.faces, self.prepare, self.change, self.seed = faces, prepare, change, seed
        self.shown, self.each = max(2, batch // each), each
        self._even = GREY + CONTRAST * zscore(faces)
        self._images = [np.flatnonzero(codes == code) for code in range(int(codes.max()) + 1)]
        self.people = len(self._images)
        self._weights, self._made = self._parents(most)

    def _parents(self, most: int) -> tuple[Faces, Indices]:
        """The weights of the first parent by kind and row, (kinds, H, 1), and (made, 4) of everybody made up: kind,
        first parent, second parent, mirrored."""
        height = (np.arange(self.faces.shape[1]) + 0.5) / self.faces.shape[1]
        upper = 1 / (1 + np.exp((height - SEAM) / SOFT))
        weights = np.stack([np.ones_like(height), upper, np.full_like(height, 0.5)])[:, :, None]
        everybody = range(self.people)
        made = [(0, a, a, 1) for a in everybody]
        made += [(1, a, b, 0) for a in everybody for b in everybody if a != b]
        made += [(2, a, b, 0) for a in everybody for b in range(a)]
        chosen = np.random.default_rng(self.seed).permutation(len(made))[:most]
        return weights.astype(np.float32), np.array(made, np.int64).reshape(-1, 4)[chosen]

    @property
    def classes(self) -> int:
        """How many people there are, real and made up."""
        return self.people + len(self._made)

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        rng = np.random.default_rng([self.seed, step])
        codes = rng.integers(self.people, size=self.shown)
        if len(self._made):
            made_up = rng.random(self.shown) >= REAL
            codes[made_up] = rng.integers(self.people, self.classes, int(made_up.sum()))
        codes = np.repeat(codes, self.each)
        shown = np.stack([self._one(code, rng) for code in codes.tolist()])
        if self.change is not None:
            at = np.arange(len(codes))
            shown = self.change(shown, np.stack([np.full_like(at, self.seed), np.full_like(at, step), at], 1))
        return self.prepare(shown), codes

    def _one(self, code: int, rng: np.random.Generator) -> Faces:
        """One image of somebody."""
        if code < self.people:
            return np.asarray(self.faces[rng.choice(self._images[code])], np.float32)
        kind, a, b, mirrored = self._made[code - self.people].tolist()
        one, other = (self._even[rng.choice(self._images[parent])] for parent in (a, b))
        mixed = other + self._weights[kind] * (one - other)
        return np.asarray(np.clip(mixed[:, ::-1] if mirrored else mixed, 0, 1), np.float32)
