"""DataLoader: batches of a dataset in an order that only (seed, epoch) decide, read ahead by threads."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from minidl.backend import Generator, default_generator
from minidl.data.collate import default_collate
from minidl.data.dataset import Sized, item, rows
from minidl.data.sampler import BatchSampler, Indices, RandomSampler, Sampler, SequentialSampler


class DataLoader:
    """Goes through a dataset in batches; every `for` loop over it is another epoch with an order of its own.

    Arguments:
        dataset: items by position; a plain list will do.
        batch_size: items in a batch.
        shuffle: visit the items in random order.
        sampler: another order; excludes shuffle. Anything that can be iterated over will do, but only a `Sampler`
            has an order for each epoch.
        batch_sampler: whole batches of positions; excludes batch_size, shuffle, sampler and drop_last.
        num_workers: threads that read items ahead; 0 reads them when asked. The batches are the same.
        collate_fn: makes a batch of a list of items; `default_collate` unless given.
        drop_last: leave out a last batch that is not full.
        generator: where the seed is drawn from, once, here; minidl's default generator unless given.
        seed: the seed itself. With the epoch it decides the order, with epoch and position every random transform.
        prefetch_factor: batches read ahead by each thread.

    Threads, not processes: a dataset must allow `dataset[i]` from several threads, and reading gains by them where
    it waits for a disk or computes without the GIL (NumPy, OpenCV).
    """

    def __init__(
        self,
        dataset: Sized[Any],
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        drop_last: bool = False,
        *,
        generator: Generator | None = None,
        seed: int | None = None,
        prefetch_factor: int = 2,
    ) -> None:
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise TypeError(f"DataLoader: a dataset has a length and items, a {type(dataset).__name__} does not")
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: give either a sampler or shuffle=True; a sampler decides the order alone")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError("DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last")
        if num_workers < 0 or prefetch_factor < 1:
            raise ValueError(
                f"DataLoader: expected num_workers ≥ 0 and prefetch_factor ≥ 1, got {num_workers} and {prefetch_factor}"
            )
        if seed is not None and seed < 0:
            raise ValueError(f"DataLoader: seed must be ≥ 0, got {seed}")
        self.dataset, self.num_workers, self.prefetch_factor = dataset, num_workers, prefetch_factor
        self.seed = int((generator or default_generator).numpy.integers(2**63)) if seed is None else seed
        self.collate_fn = collate_fn
        self._shuffler = RandomSampler(dataset, seed=self.seed) if shuffle else None
        self.sampler = sampler if sampler is not None else self._shuffler or SequentialSampler(dataset)
        self.batch_sampler = batch_sampler
        if batch_sampler is None:
            as_sampler = self.sampler if isinstance(self.sampler, Sampler) else _Listed(self.sampler)
            self.batch_sampler = BatchSampler(as_sampler, batch_size, drop_last)
        self.epoch = 0
        self._skip = 0
        self._progress: _Progress | None = None

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Any]:
        progress = _Progress(self.seed, self.epoch, self._skip)
        self.epoch, self._skip = self.epoch + 1, 0
        iterator = self._batches(progress)
        progress.iterator = weakref.ref(iterator)
        self._progress = progress
        return iterator

    # ── where it stands ───────────────────────────────────────────────────────────────────────

    def state_dict(self) -> dict[str, int]:
        """Where the iteration that began last stands: seed, epoch, and position, the number of batches it has given.

        An iteration that ended, or was left by `break` or dropped, is over: the state is then the start of the next.
        """
        progress = self._progress
        epoch, position = self.epoch, self._skip
        if progress is not None and not progress.over and progress.iterator() is not None:
            epoch, position = progress.epoch, progress.position
        return {"seed": self.seed, "epoch": epoch, "position": position, "batches": len(self)}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Let the next iteration go on where a saved one stood.

        Raises:
            ValueError: the saved loader had another number of batches.
        """
        expected = {"seed", "epoch", "position", "batches"}
        if set(state_dict) != expected:
            raise ValueError(f"DataLoader: the saved state holds {sorted(state_dict)}, expected {sorted(expected)}")
        if state_dict["batches"] != len(self):
            raise ValueError(
                f"DataLoader: saved with {state_dict['batches']} batches an epoch, this one has {len(self)}; "
                f"dataset, batch size and drop_last must be the same"
            )
        self.seed = int(state_dict["seed"])
        if self._shuffler is not None:
            self._shuffler.seed = self.seed
        self.epoch, self._skip = int(state_dict["epoch"]), int(state_dict["position"])
        self._progress = None

    # ── reading ───────────────────────────────────────────────────────────────────────────────

    def _batches(self, progress: _Progress) -> Iterator[Any]:
        seed, epoch = progress.seed, progress.epoch
        plan = _plan(self.batch_sampler, epoch)[progress.position :]
        fetch = self._read(plan, seed, epoch) if self.num_workers == 0 else self._read_ahead(plan, seed, epoch)
        for batch in fetch:
            progress.position += 1
            yield batch
        progress.over = True

    def _read(self, plan: list[Indices], seed: int, epoch: int) -> Iterator[Any]:
        for indices in plan:
            yield self._batch(indices, seed, epoch)

    def _read_ahead(self, plan: list[Indices], seed: int, epoch: int) -> Iterator[Any]:
        pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="minidl-data")
        ahead, todo = deque[Future[Any]](), iter(plan)
        try:
            for indices in todo:
                ahead.append(pool.submit(self._batch, indices, seed, epoch))
                if len(ahead) >= self.num_workers * self.prefetch_factor:
                    break
            while ahead:
                batch = ahead.popleft().result()
                for indices in todo:
                    ahead.append(pool.submit(self._batch, indices, seed, epoch))
                    break
                yield batch
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _batch(self, indices: Indices, seed: int, epoch: int) -> Any:
        if self.collate_fn is None and (batch := rows(self.dataset, indices)) is not None:
            return batch
        items = []
        for index in indices.tolist():
            try:
                items.append(item(self.dataset, index, (seed, epoch, index)))
            except Exception as error:
                error.add_note(f"DataLoader: this came from item {index} of the dataset (epoch {epoch})")
                raise
        return (self.collate_fn or default_collate)(items)


class _Progress:
    """How far one iteration has come; it knows its iterator without keeping it alive."""

    def __init__(self, seed: int, epoch: int, position: int) -> None:
        self.seed, self.epoch, self.position, self.over = seed, epoch, position, False
        self.iterator: Callable[[], Any] = lambda: None


class _Listed(Sampler):
    """Any iterable with a length, as a sampler: its order is whatever it gives when asked."""

    def __init__(self, positions: Any) -> None:
        self.positions = positions

    def __len__(self) -> int:
        return len(self.positions)

    def order(self, epoch: int) -> Indices:
        return np.asarray(list(self.positions), dtype=np.int64)


def _plan(batch_sampler: Any, epoch: int) -> list[Indices]:
    if hasattr(batch_sampler, "batches"):
        plan: list[Indices] = batch_sampler.batches(epoch)
        return plan
    return [np.asarray(list(batch), dtype=np.int64) for batch in batch_sampler]
