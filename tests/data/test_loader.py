"""DataLoader: fresh iterators, one order for (seed, epoch), resuming, threads that end."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest

from minidl import Tensor
from minidl.backend import Generator
from minidl.data import (
    BatchSampler,
    ClassBatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    Subset,
    TensorDataset,
    TransformedDataset,
    WeightedRandomSampler,
)


class Squares(Dataset):
    """Item i is (i, i²); reading may be slow, and may fail at one item."""

    def __init__(self, n, delay=0.0, bad=None, error=None):
        self.n, self.delay, self.bad, self.error = n, delay, bad, error
        self.read = []

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        self.read.append(i)
        if self.delay:
            time.sleep(self.delay * (1 + i % 3))
        if i == self.bad:
            raise self.error
        return i, float(i * i)


def positions(loader):
    return [batch[0].tolist() for batch in loader]


def fail_in_a_loop(loader):
    for _ in loader:
        raise ZeroDivisionError


def data_threads():
    return [t for t in threading.enumerate() if t.name.startswith("minidl-data")]


@pytest.mark.parametrize("n", [0, 1, 7, 8])
@pytest.mark.parametrize("size", [1, 3, 8, 20])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_T37_sizes_sum_to_len_and_every_item_comes_once(n, size, drop_last, workers):
    loader = DataLoader(Squares(n), size, shuffle=True, seed=3, drop_last=drop_last, num_workers=workers)
    for _ in range(2):
        batches = positions(loader)
        assert len(batches) == len(loader)
        seen = [i for batch in batches for i in batch]
        assert len(seen) == len(set(seen)) == (n // size * size if drop_last else n)
        assert all(len(batch) == size for batch in batches[:-1])


def test_T37_each_loop_is_fresh_after_a_break_and_inside_another():
    loader = DataLoader(Squares(6), 2)
    for _ in loader:
        break
    assert positions(loader) == [[0, 1], [2, 3], [4, 5]]
    pairs = [(a[0].tolist(), b[0].tolist()) for a in loader for b in loader]
    assert pairs == list(itertools.product([[0, 1], [2, 3], [4, 5]], repeat=2))


def test_the_order_depends_on_seed_and_epoch_alone():
    one, two = (DataLoader(Squares(20), 4, shuffle=True, seed=5) for _ in range(2))
    first = [positions(one) for _ in range(3)]
    two.epoch = 2
    assert positions(two) == first[2]
    assert first[0] != first[1] != first[2]
    assert positions(DataLoader(Squares(20), 4, shuffle=True, seed=6)) != first[0]
    drawn = [positions(DataLoader(Squares(20), 4, shuffle=True, generator=Generator(1))) for _ in range(2)]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("workers", [1, 4])
def test_threads_give_the_same_batches_in_the_same_order(workers):
    keyed = TransformedDataset(Squares(23, delay=0.001), lambda x, key: x + sum(key) % 7)
    plain, threaded = (DataLoader(keyed, 4, shuffle=True, seed=9, num_workers=w) for w in (0, workers))
    for _ in range(2):
        for a, b in zip(plain, threaded, strict=True):
            assert [x.tolist() for x in a] == [x.tolist() for x in b]


@pytest.mark.parametrize("workers", [0, 3])
def test_an_error_reaches_the_consumer_with_the_index_of_its_item(workers):
    loader = DataLoader(Squares(12, bad=7, error=OSError("disk gone")), 2, num_workers=workers)
    seen = []
    with pytest.raises(OSError, match="disk gone") as caught:
        seen.extend(iter(loader))
    assert len(seen) == 3
    assert "item 7 of the dataset" in caught.value.__notes__[0]
    del caught
    assert not data_threads()


@pytest.mark.parametrize("end", ["exhausted", "break", "dropped", "error"])
def test_no_thread_is_left_behind(end):
    loader = DataLoader(Squares(40, delay=0.001), 2, num_workers=4)
    if end == "exhausted":
        positions(loader)
    elif end == "break":
        for _ in loader:
            assert data_threads()
            break
    elif end == "dropped":
        iterator = iter(loader)
        next(iterator)
        del iterator
    else:
        with pytest.raises(ZeroDivisionError):
            fail_in_a_loop(loader)
    assert not data_threads()


def test_reading_ahead_is_bounded():
    dataset = Squares(100)
    iterator = iter(DataLoader(dataset, 2, num_workers=2, prefetch_factor=3))
    next(iterator)
    time.sleep(0.1)
    assert 2 < len(dataset.read) <= 2 * (2 * 3 + 1)
    iterator.close()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop", [0, 1, 3, 5])
def test_T26_a_saved_loader_goes_on_where_it_stood(stop, workers):
    def make():
        keyed = TransformedDataset(Squares(10), lambda x, key: x * 1000 + sum(key))
        return DataLoader(keyed, 2, shuffle=True, generator=Generator(stop), num_workers=workers)

    whole = make()
    expected = [b[0].tolist() for _ in range(3) for b in whole]
    interrupted = make()
    seen = [b[0].tolist() for b in interrupted]
    state = interrupted.state_dict()
    for k, batch in enumerate(interrupted):
        if k == stop:
            break
        seen.append(batch[0].tolist())
        state = interrupted.state_dict()
    resumed = DataLoader(
        TransformedDataset(Squares(10), lambda x, key: x * 1000 + sum(key)), 2, shuffle=True, num_workers=workers
    )
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    seen += [b[0].tolist() for _ in range(2) for b in resumed][: 15 - len(seen)]
    assert seen == expected


def test_a_loop_that_ended_or_was_left_is_over():
    loader = DataLoader(Squares(6), 2, seed=0)
    for batch in loader:
        if batch[0].tolist() == [2, 3]:
            assert loader.state_dict() == {"seed": 0, "epoch": 0, "position": 2, "batches": 3}
            break
    assert loader.state_dict()["epoch"] == 1
    assert loader.state_dict()["position"] == 0
    held = iter(loader)
    assert [batch[0].tolist() for batch in held] == [[0, 1], [2, 3], [4, 5]]
    assert loader.state_dict() == {"seed": 0, "epoch": 2, "position": 0, "batches": 3}
    del held


def test_a_state_of_another_loader_is_refused_and_changes_nothing():
    loader = DataLoader(Squares(6), 2, seed=0)
    before = loader.state_dict()
    with pytest.raises(ValueError, match="saved with 6 batches an epoch, this one has 3"):
        loader.load_state_dict(DataLoader(Squares(6), 1, seed=4).state_dict())
    with pytest.raises(ValueError, match="expected"):
        loader.load_state_dict({"seed": 1})
    assert loader.state_dict() == before


def test_rows_of_tensors_are_batched_as_one_by_one():
    x, y = np.arange(24, dtype="f4").reshape(12, 2), np.arange(12)
    data = TensorDataset(x, y)
    for dataset in (data, Subset(data, [7, 3, 5, 0, 11]), Subset(Subset(data, [7, 3, 5, 0, 11]), [4, 0, 2])):
        fast = DataLoader(dataset, 2, shuffle=True, seed=1)
        slow = DataLoader([dataset[i] for i in range(len(dataset))], 2, shuffle=True, seed=1)
        for a, b in zip(fast, slow, strict=True):
            assert [u.dtype for u in a] == [np.float32, np.int64]
            assert all(u.equal(v) for u, v in zip(a, b, strict=True))
            assert not np.shares_memory(a[0].array, x)


def test_other_orders_and_whole_batches():
    assert positions(DataLoader(Squares(9), 2, sampler=[8, 1, 1])) == [[8, 1], [1]]
    weighted = WeightedRandomSampler([0, 0, 1, 0], 5, seed=0)
    assert positions(DataLoader(Squares(4), 5, sampler=weighted)) == [[2] * 5]
    cut = BatchSampler(RandomSampler(range(9), seed=2), 4)
    loader = DataLoader(Squares(9), batch_sampler=cut)
    assert [len(b) for b in positions(loader)] == [4, 4, 1]
    assert positions(loader) == [b.tolist() for b in cut.batches(1)]
    assert positions(DataLoader(Squares(4), batch_sampler=[[0, 3], [1]])) == [[0, 3], [1]]
    labels = np.repeat(np.arange(5), 3)
    for batch in DataLoader(TensorDataset(labels), batch_sampler=ClassBatchSampler(labels, 2, 2, seed=0)):
        assert np.unique(batch[0].array, return_counts=True)[1].tolist() == [2, 2]


def test_wrong_arguments_are_named():
    data = Squares(4)
    with pytest.raises(ValueError, match="batch_size must be an integer ≥ 1, got 0"):
        DataLoader(data, 0)
    with pytest.raises(ValueError, match="either a sampler or shuffle"):
        DataLoader(data, sampler=[0], shuffle=True)
    with pytest.raises(ValueError, match="excludes"):
        DataLoader(data, 2, batch_sampler=[[0]])
    with pytest.raises(TypeError, match="a generator does not"):
        DataLoader(i for i in range(3))
    with pytest.raises(ValueError, match="num_workers"):
        DataLoader(data, num_workers=-1)


def test_a_collate_fn_sees_the_items():
    assert list(DataLoader([1, 2, 3], 2, collate_fn=tuple)) == [(1, 2), (3,)]
    assert isinstance(next(iter(DataLoader([1.0, 2.0], 2))), Tensor)
