"""Datasets: things with a length and items, and ways to cut and join them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np

from minidl.backend import Array, Generator, array_module, default_generator
from minidl.tensor import Tensor

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Key: TypeAlias = tuple[int, ...]
"""Integers that name a draw: (seed, epoch, index). The same key always draws the same."""


class Sized(Protocol[T_co]):
    """What may stand where a dataset is expected: anything with a length and items, a list for example."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> T_co: ...


class Dataset(Generic[T_co]):
    """Items by position. A subclass defines `__len__` and `__getitem__`, which may be called from several threads."""

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must say how many items it has: def __len__(self)")

    def __getitem__(self, index: int, /) -> T_co:
        raise NotImplementedError(f"{type(self).__name__} must give its items: def __getitem__(self, index)")

    def keyed(self, index: int, key: Key) -> T_co:
        """The item as the draw `key` shows it; the item itself where nothing is random."""
        return self[index]

    def __add__(self, other: Sized[Any]) -> ConcatDataset[Any]:
        return ConcatDataset([self, other])


def item(dataset: Sized[T], index: int, key: Key) -> T:
    """One item of any dataset, as the draw `key` shows it."""
    return dataset.keyed(index, key) if isinstance(dataset, Dataset) else dataset[index]


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Rows of tensors of the same length: item i is (a[i], b[i], …).

    Arguments:
        tensors: tensors or arrays whose first dimensions agree.

    Raises:
        ValueError: there is none, or the lengths differ.
    """

    def __init__(self, *tensors: Any) -> None:
        self.tensors = tuple([x if isinstance(x, Tensor) else Tensor(x) for x in tensors])
        lengths = [x.shape[0] if x.ndim else None for x in self.tensors]
        if not lengths or None in lengths or len(set(lengths)) > 1:
            raise ValueError(
                f"TensorDataset: expected tensors of one length, got shapes {[x.shape for x in self.tensors]}"
            )

    def __len__(self) -> int:
        return self.tensors[0].shape[0]

    def __getitem__(self, index: int, /) -> tuple[Tensor, ...]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"TensorDataset: item {index} of {len(self)}")
        return tuple([Tensor(x.array[index]) for x in self.tensors])

    def batch(self, indices: Array) -> tuple[Tensor, ...]:
        """Several items at once, already collated: one copy a tensor."""
        return tuple([Tensor(x.array[array_module(x.array).asarray(indices)]) for x in self.tensors])


class Subset(Dataset[T_co]):
    """The items of a dataset at some positions, in their order."""

    def __init__(self, dataset: Sized[T_co], indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, np.asarray(indices, dtype=np.int64)
        n = len(dataset)
        if self.indices.size and (self.indices.min() < 0 or self.indices.max() >= n):
            raise IndexError(f"Subset: positions {self.indices.min()} … {self.indices.max()} of a dataset of {n} items")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> T_co:
        return self.dataset[int(self.indices[index])]

    def keyed(self, index: int, key: Key) -> T_co:
        return item(self.dataset, int(self.indices[index]), key)


class ConcatDataset(Dataset[T_co]):
    """One dataset after the other."""

    def __init__(self, datasets: Sequence[Sized[T_co]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: there must be at least one dataset")
        self._ends = list(accumulate(len(dataset) for dataset in self.datasets))

    def __len__(self) -> int:
        return self._ends[-1]

    def _place(self, index: int) -> tuple[Sized[T_co], int]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"ConcatDataset: item {index} of {len(self)}")
        index %= len(self)
        which = bisect_right(self._ends, index)
        return self.datasets[which], index - (self._ends[which - 1] if which else 0)

    def __getitem__(self, index: int, /) -> T_co:
        dataset, place = self._place(index)
        return dataset[place]

    def keyed(self, index: int, key: Key) -> T_co:
        dataset, place = self._place(index)
        return item(dataset, place, key)


class TransformedDataset(Dataset[Any]):
    """A dataset whose items pass a transform on their way out.

    Arguments:
        dataset: the items as they are stored.
        transform: called as `transform(value, key=key)`; see `minidl.data.transforms`.
        part: which part of an item that is a tuple the transform changes; None passes the whole item.

    A DataLoader gives every item its key (seed, epoch, index). `dataset[i]` shows it with the key (0, 0, i).
    """

    def __init__(self, dataset: Sized[Any], transform: Callable[..., Any], part: int | None = 0) -> None:
        self.dataset, self.transform, self.part = dataset, transform, part

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int, /) -> Any:
        return self.keyed(index, (0, 0, index % len(self)))

    def keyed(self, index: int, key: Key) -> Any:
        value = item(self.dataset, index, key)
        if self.part is None or not isinstance(value, tuple):
            return self.transform(value, key=key)
        changed = self.transform(value[self.part], key=key)
        return (*value[: self.part], changed, *value[self.part :][1:])


def random_split(dataset: Sized[T], lengths: Sequence[float], generator: Generator | None = None) -> list[Subset[T]]:
    """Cut a dataset into parts at random, without overlap.

    Arguments:
        dataset: what is cut.
        lengths: integers, the items in each part, summing to len(dataset); or fractions summing to 1, where items
            left over by rounding down go to the first parts, one each.
        generator: where the order is drawn from.

    Raises:
        ValueError: the lengths do not sum to that.
    """
    n, sizes = len(dataset), list(lengths)
    whole, total = all(isinstance(size, int | np.integer) for size in sizes), sum(sizes)
    if min(sizes) < 0 or abs(total - (n if whole else 1)) > 1e-9:
        raise ValueError(f"random_split: lengths {sizes} sum to {total}; expected {n}, or fractions that sum to 1")
    parts = [int(size if whole else size * n) for size in sizes]
    for i in range(n - sum(parts)):
        parts[i % len(parts)] += 1
    order = (generator or default_generator).numpy.permutation(n)
    return [Subset(dataset, order[end - part : end].tolist()) for part, end in zip(parts, accumulate(parts))]


def rows(dataset: Any, indices: Array) -> tuple[Tensor, ...] | None:
    """A whole batch at once where the dataset is made of tensors, or a subset of one that is; None where it is not."""
    while isinstance(dataset, Subset):
        dataset, indices = dataset.dataset, dataset.indices[indices]
    return dataset.batch(indices) if type(dataset) is TensorDataset else None
