"""All templates of a gallery in one matrix, so that searching is one product; changes are made in place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Numbers = NDArray[np.int64]

AT_ONCE = 16
"""How many probes are compared together; bounds the memory of their scores."""


class TemplateMatrix:
    """One row for each slot of the gallery: an embedding of length 1 and the number of its person, or zeros.

    Arguments:
        dimension: d, the length of a row.
    """

    def __init__(self, dimension: int) -> None:
        self._rows: Rows = np.zeros((0, dimension), np.float32)
        self._people: Numbers = np.zeros(0, np.int64)
        self._used = 0

    @property
    def dimension(self) -> int:
        """The length of a row."""
        return int(self._rows.shape[1])

    def put(self, slots: Numbers, people: Numbers, rows: Rows) -> None:
        """Fill slots, new ones or free ones; a row costs the same however many there are.

        Arguments:
            slots: (n,) int64, distinct, from 1 on.
            people: (n,) int64, who each row shows, from 1 on; 0 frees a slot.
            rows: (n, d) float32; zeros for what is freed, so that memory forgets too.
        """
        used = max(self._used, int(slots.max(initial=0)))
        if used > len(self._rows):
            room = max(used, self._used + self._used // 2, 64)
            grown, owners = np.zeros((room, self.dimension), np.float32), np.zeros(room, np.int64)
            grown[: self._used], owners[: self._used] = self._rows[: self._used], self._people[: self._used]
            self._rows[:] = 0
            self._rows, self._people = grown, owners
        self._rows[slots - 1], self._people[slots - 1] = rows, people
        self._used = used

    def slots_of(self, person: int) -> Numbers:
        """(n,) int64: the slots of one person, or with 0 the free ones."""
        return np.flatnonzero(self._people[: self._used] == person) + 1

    def rows(self, slots: Numbers) -> Rows:
        """(n, d): a copy of the rows in these slots."""
        return self._rows[slots - 1]

    def next_slot(self) -> int:
        """The number after the last slot."""
        return self._used + 1

    def best(self, probes: Rows, k: int) -> list[list[tuple[int, float]]]:
        """For each probe the k people with the most similar template.

        Arguments:
            probes: (m, d) float32.
            k: how many people.

        Returns:
            m lists of at most k (person, similarity), the best first; among equals the smaller number first.
        """
        people = self._people[: self._used]
        free = np.flatnonzero(people == 0)
        found: list[list[tuple[int, float]]] = []
        for start in range(0, len(probes), AT_ONCE):
            scores = probes[start : start + AT_ONCE] @ self._rows[: self._used].T
            scores[:, free] = -np.inf
            found.extend(_leaders(row, people, k) for row in scores)
        return found


def _leaders(scores: NDArray[np.float32], people: Numbers, k: int) -> list[tuple[int, float]]:
    """The first k distinct people by falling score, found among so few templates that sorting them costs nothing."""
    wanted = 4 * k
    while True:
        if wanted < len(scores):
            least = np.partition(scores, len(scores) - wanted)[len(scores) - wanted]
            near = np.flatnonzero(scores >= least)  # whoever ties with the last is in, so that the order is fair
        else:
            near = np.arange(len(scores))
        order = near[np.lexsort((people[near], -scores[near]))]
        best: dict[int, float] = {}
        for person, score in zip(people[order].tolist(), scores[order].tolist(), strict=True):
            if score == -np.inf:  # free slots come last
                return list(best.items())
            best.setdefault(person, score)
            if len(best) == k:
                return list(best.items())
        if len(near) == len(scores):
            return list(best.items())
        wanted *= 4
