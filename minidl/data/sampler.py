"""Samplers: in which order an epoch goes through a dataset. Every order is a function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def stream(*key: int) -> np.random.Generator:
    """Random numbers named by integers ≥ 0: the same numbers for the same integers, on every machine."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


class Sampler:
    """An order of positions for each epoch. A subclass defines `order` and `__len__`."""

    def order(self, epoch: int) -> Indices:
        """The positions to visit in an epoch, in order."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def __iter__(self) -> Iterator[int]:
        return iter(self.order(0).tolist())


class SequentialSampler(Sampler):
    """0, 1, 2, …"""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __len__(self) -> int:
        return len(self.data_source)

    def order(self, epoch: int) -> Indices:
        return np.arange(len(self))


class RandomSampler(Sampler):
    """Every position once, shuffled anew in every epoch; or drawn with replacement.

    Arguments:
        data_source: anything with a length.
        replacement: draw each position independently of the others.
        num_samples: how many positions an epoch visits; all unless given. Without replacement, more than there are
            means another shuffled round.
        seed: names the orders.
    """

    def __init__(
        self, data_source: Sized, replacement: bool = False, num_samples: int | None = None, *, seed: int = 0
    ) -> None:
        if num_samples is not None and num_samples < 1:
            raise ValueError(f"RandomSampler: num_samples must be ≥ 1, got {num_samples}")
        self.data_source, self.replacement, self.num_samples, self.seed = data_source, replacement, num_samples, seed

    def __len__(self) -> int:
        return len(self.data_source) if self.num_samples is None else self.num_samples

    def order(self, epoch: int) -> Indices:
        rng, n, wanted = stream(self.seed, epoch), len(self.data_source), len(self)
        if wanted and not n:
            raise ValueError("RandomSampler: nothing can be drawn from an empty dataset")
        if self.replacement:
            return rng.integers(n, size=wanted)
        rounds = [rng.permutation(n) for _ in range(-(-wanted // n) if n else 0)]
        return np.concatenate([np.empty(0, np.int64), *rounds])[:wanted]


class WeightedRandomSampler(Sampler):
    """Positions drawn with probabilities proportional to weights.

    Arguments:
        weights: one number ≥ 0 for each position.
        num_samples: how many positions an epoch visits.
        replacement: whether a position may come more than once.
        seed: names the orders.
    """

    def __init__(self, weights: Any, num_samples: int, replacement: bool = True, *, seed: int = 0) -> None:
        self.weights = np.asarray(weights, dtype=np.float64)
        if self.weights.ndim != 1 or not (np.isfinite(self.weights).all() and (self.weights >= 0).all()):
            raise ValueError("WeightedRandomSampler: weights must be a list of finite numbers ≥ 0")
        drawable = int((self.weights > 0).sum())
        if num_samples < 1 or not drawable or (not replacement and num_samples > drawable):
            raise ValueError(
                f"WeightedRandomSampler: cannot draw {num_samples} positions "
                f"{'with' if replacement else 'without'} replacement from {drawable} of positive weight"
            )
        self.num_samples, self.replacement, self.seed = num_samples, replacement, seed

    def __len__(self) -> int:
        return self.num_samples

    def order(self, epoch: int) -> Indices:
        p = self.weights / self.weights.sum()
        return stream(self.seed, epoch).choice(len(p), self.num_samples, replace=self.replacement, p=p)


class BalancedSampler(Sampler):
    """Every class equally often, however many items it has: round after round over the classes in shuffled order.

    The items of a class come in shuffled rounds too, so none comes twice before all have come once.

    Arguments:
        labels: the class of each item.
        num_samples: how many positions an epoch visits; the number of classes times the size of the largest one
            unless given.
        seed: names the orders.
    """

    def __init__(self, labels: Any, num_samples: int | None = None, *, seed: int = 0) -> None:
        self._members = members(labels)
        largest = max(len(m) for m in self._members)
        self.num_samples = len(self._members) * largest if num_samples is None else num_samples
        self.seed = seed

    def __len__(self) -> int:
        return self.num_samples

    def order(self, epoch: int) -> Indices:
        rng, n_classes = stream(self.seed, epoch), len(self._members)
        rounds = -(-self.num_samples // n_classes)
        classes = np.concatenate([rng.permutation(n_classes) for _ in range(rounds)])
        order = np.empty(len(classes), np.int64)
        for c, m in enumerate(self._members):
            order[classes == c] = np.concatenate([rng.permutation(m) for _ in range(-(-rounds // len(m)))])[:rounds]
        return order[: self.num_samples]


class BatchSampler:
    """The order of a sampler cut into batches."""

    def __init__(self, sampler: Sampler, batch_size: int, drop_last: bool = False) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise ValueError(f"batch_size must be an integer ≥ 1, got {batch_size!r}")
        self.sampler, self.batch_size, self.drop_last = sampler, int(batch_size), drop_last

    def __len__(self) -> int:
        n = len(self.sampler)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def batches(self, epoch: int) -> list[Indices]:
        """The batches of an epoch, in order."""
        order = self.sampler.order(epoch)
        return [order[i * self.batch_size : (i + 1) * self.batch_size] for i in range(len(self))]


class ClassBatchSampler:
    """Batches of P classes with K items each, as losses on pairs and triplets want them.

    Arguments:
        labels: the class of each item.
        classes_per_batch: P.
        items_per_class: K; a class with fewer items repeats some.
        num_batches: batches in an epoch; as many as go through all classes once unless given.
        seed: names the draws.
    """

    def __init__(
        self,
        labels: Any,
        classes_per_batch: int,
        items_per_class: int,
        num_batches: int | None = None,
        *,
        seed: int = 0,
    ) -> None:
        self._members = members(labels)
        if not 1 <= classes_per_batch <= len(self._members) or items_per_class < 1:
            raise ValueError(
                f"ClassBatchSampler: {classes_per_batch} classes of {items_per_class} items, "
                f"but there are {len(self._members)} classes"
            )
        self.classes_per_batch, self.items_per_class, self.seed = classes_per_batch, items_per_class, seed
        self.num_batches = len(self._members) // classes_per_batch if num_batches is None else num_batches

    def __len__(self) -> int:
        return self.num_batches

    def batches(self, epoch: int) -> list[Indices]:
        """The batches of an epoch, in order."""
        rng, k = stream(self.seed, epoch), self.items_per_class
        n_classes, p = len(self._members), self.classes_per_batch
        per_round = n_classes // p
        classes = [rng.permutation(n_classes)[: per_round * p] for _ in range(-(-self.num_batches // per_round))]
        chosen = np.concatenate(classes).reshape(-1, p)[: self.num_batches] if classes else np.empty((0, p), int)
        return [np.concatenate([self._draw(rng, self._members[c], k) for c in row]) for row in chosen]

    @staticmethod
    def _draw(rng: np.random.Generator, m: Indices, k: int) -> Indices:
        return np.concatenate([rng.permutation(m) for _ in range(-(-k // len(m)))])[:k]


def members(labels: Any) -> list[Indices]:
    """The positions of each class, classes in order of their labels."""
    array = np.asarray(getattr(labels, "array", labels))
    if array.ndim != 1 or not array.size:
        raise ValueError(f"expected one label for each item, got an array of shape {array.shape}")
    _, classes = np.unique(array, return_inverse=True)
    order = np.argsort(classes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(classes))[:-1])
