"""Sequences of different lengths in one batch: padded to one length, or packed without padding.

A packed batch holds step 0 of every sequence, then step 1 of all that have one, and so on; the sequences are sorted,
the longest first, so that step t belongs to the first `batch_sizes[t]` of them.

    abc              padded  abc   packed  adf be c,   batch_sizes 3 2 1
    de                       de·
    f                        f··
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minidl import ops
from minidl.backend import CPU, Array, array_module, to_device
from minidl.tensor import Tensor


class PackedSequence(NamedTuple):
    """A batch of sequences without padding, as the functions below make it and recurrent layers take and give it.

    Fields:
        data: (ΣT, …), the steps of all sequences.
        batch_sizes: (T,) int64, how many sequences have a step t.
        sorted_indices: (N,) int64, which sequence of the batch came at each place in the sorting; None if sorted.
        unsorted_indices: (N,) int64, the place of each sequence of the batch in the sorting; None if sorted.
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same sequences in another dtype or on another device; arguments as in `Tensor.to`."""
        return self._replace(data=self.data.to(*args, **kwargs))


def _host(numbers: Any) -> Array:
    """Integers as a NumPy array, wherever they were."""
    array = numbers.array if isinstance(numbers, Tensor) else np.asarray(numbers)
    return np.asarray(to_device(array, CPU))


def _sizes(lengths: Array) -> Array:
    """How many sequences have a step t."""
    counts: Array = (lengths[None, :] > np.arange(int(lengths.max()))[:, None]).sum(axis=1)
    return counts


def lengths_of(batch_sizes: Any) -> Array:
    """The lengths of the sorted sequences, the longest first."""
    counts = _host(batch_sizes)
    lengths: Array = (counts[None, :] > np.arange(int(counts[0]))[:, None]).sum(axis=1)
    return lengths


def _picked(table: Tensor, index: Array) -> Tensor:
    return ops.index_select(table, 0, Tensor(array_module(table.array).asarray(index)))


def flat_steps(batch_sizes: Any, N: int) -> Array:
    """Where the steps of a packed batch lie in a padded one (T, N, …) whose first two dimensions are merged."""
    counts = _host(batch_sizes)
    return np.concatenate([t * N + np.arange(count) for t, count in enumerate(counts)])


def spread(data: Tensor, batch_sizes: Any, T: int, padding_value: float = 0.0, order: Array | None = None) -> Tensor:
    """Packed steps as a padded batch (T, N, …), its sequences sorted, or in the given order."""
    counts = _host(batch_sizes)
    N = int(counts[0])
    columns = np.arange(N) if order is None else order
    starts = np.zeros(T, np.int64)
    starts[1 : counts.size] = np.cumsum(counts[:-1])
    alive = np.zeros((T, N), bool)
    alive[: counts.size] = columns < counts[:, None]
    rows = np.where(alive, starts[:, None] + columns, 0)
    shape = data.array.shape[1:]
    padded = _picked(data, rows.reshape(-1)).reshape((T, N, *shape))
    if alive.all():
        return padded
    xp = array_module(data.array)
    outside = Tensor(xp.asarray(np.asarray(padding_value, data.array.dtype)))
    return ops.where(Tensor(xp.asarray(alive.reshape(T, N, *(1,) * len(shape)))), padded, outside)


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Take the padding out of a batch of sequences.

    Arguments:
        input: (T, N, …), with `batch_first` (N, T, …).
        lengths: the length of each sequence, N integers from 1 to T.
        enforce_sorted: whether the sequences must come with the longest first; otherwise they are sorted here, and
            whatever a layer returns is back in the order of the batch.

    Raises:
        RuntimeError: lengths that do not fit, or are not sorted.
    """
    n = _host(lengths)
    if input.ndim < 2:
        raise RuntimeError(f"pack_padded_sequence: expected (T, N, …), got shape {tuple(input.shape)}")
    T, N = input.shape[:2][::-1] if batch_first else input.shape[:2]
    if n.shape != (N,) or n.dtype.kind not in "iu" or not N:
        raise RuntimeError(
            f"pack_padded_sequence: lengths must be {N} integers, one for each of the N={N} sequences, got "
            f"{n.dtype.name} of shape {n.shape}"
        )
    if n.min() < 1 or n.max() > T:
        raise RuntimeError(
            f"pack_padded_sequence: lengths must lie between 1 and T={T}, got {int(n.min())} to {int(n.max())}"
        )
    order = np.arange(N) if enforce_sorted else np.argsort(-n.astype(np.int64), kind="stable")
    ordered = n[order]
    if (ordered[1:] > ordered[:-1]).any():
        raise RuntimeError(
            f"pack_padded_sequence: the lengths {n.tolist()} are not sorted, the longest first; sort them, or pass "
            "enforce_sorted=False"
        )
    counts = _sizes(ordered)
    t = np.repeat(np.arange(counts.size), counts)
    column = order[np.concatenate([np.arange(count) for count in counts])]
    table = input.reshape((T * N, *input.shape[2:]))
    data = _picked(table, column * T + t if batch_first else t * N + column)
    sizes = Tensor(counts.astype(np.int64))
    if enforce_sorted:
        return PackedSequence(data, sizes)
    return PackedSequence(data, sizes, Tensor(order.astype(np.int64)), Tensor(np.argsort(order).astype(np.int64)))


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """The inverse of `pack_padded_sequence`.

    Arguments:
        sequence: a packed batch.
        batch_first: (N, T, …) instead of (T, N, …).
        padding_value: what stands behind the end of a sequence.
        total_length: T; by default the length of the longest sequence.

    Returns:
        The padded batch in the order of the batch that was packed, and the lengths (N,), int64.

    Raises:
        ValueError: total_length is shorter than the longest sequence.
    """
    lengths = lengths_of(sequence.batch_sizes)
    T = sequence.batch_sizes.array.size if total_length is None else total_length
    if int(lengths[0]) > T:
        raise ValueError(f"pad_packed_sequence: total_length={T}, but the longest sequence has {lengths[0]} steps")
    back = None if sequence.unsorted_indices is None else _host(sequence.unsorted_indices)
    padded = spread(sequence.data, sequence.batch_sizes, T, padding_value, back)
    lengths = lengths if back is None else lengths[back]
    return ops.transpose(padded, 0, 1) if batch_first else padded, Tensor(lengths.astype(np.int64))


def pad_sequence(
    sequences: Sequence[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Sequences (Tₙ, …) stacked into one batch (T, N, …), the shorter ones filled up.

    Arguments:
        sequences: tensors that differ in their first dimension only.
        batch_first: (N, T, …) instead.
        padding_value: what they are filled up with.
        padding_side: "right" fills behind the end, "left" before the start.
    """
    if padding_side not in ("left", "right"):
        raise ValueError(f"pad_sequence: padding_side must be 'left' or 'right', got {padding_side!r}")
    if not sequences:
        raise ValueError("pad_sequence: expected at least one sequence")
    for i, x in enumerate(sequences):
        if x.ndim == 0 or x.shape[1:] != sequences[0].shape[1:]:
            raise RuntimeError(
                f"pad_sequence: sequence {i} of shape {tuple(x.shape)} differs from sequence 0 of shape "
                f"{tuple(sequences[0].shape)} in more than its length"
            )
    T = max([x.shape[0] for x in sequences])
    padded = []
    for x in sequences:
        missing = T - x.shape[0]
        widths = (missing, 0) if padding_side == "left" else (0, missing)
        padded.append(ops.pad(x, (*(0, 0) * (x.ndim - 1), *widths), value=padding_value) if missing else x)
    return ops.stack(padded, 0 if batch_first else 1)


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences (Tₙ, …) as one packed batch; arguments as in `pack_padded_sequence`."""
    lengths = [x.shape[0] for x in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpad_sequence(padded_sequences: Tensor, lengths: Any, batch_first: bool = False) -> list[Tensor]:
    """The sequences of a padded batch, each cut to its own length."""
    rows = ops.unbind(padded_sequences, 0 if batch_first else 1)
    return [x[: int(n)] for x, n in zip(rows, _host(lengths), strict=True)]
