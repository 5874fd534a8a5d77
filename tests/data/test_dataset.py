"""Datasets, the orders of samplers, and collating."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

from minidl import Tensor
from minidl.backend import Generator
from minidl.data import (
    BalancedSampler,
    ClassBatchSampler,
    ConcatDataset,
    Dataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    TransformedDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)

# ── datasets ──────────────────────────────────────────────────────────────────────────────────────


def test_tensor_dataset():
    data = TensorDataset(Tensor([[1.0], [2.0]]), np.array([5, 6]))
    assert len(data) == 2
    x, y = data[-1]
    assert (x.tolist(), y.item(), y.dtype) == ([2.0], 6, np.int64)
    with pytest.raises(IndexError, match="item 2 of 2"):
        data[2]
    assert [y.item() for _, y in data] == [5, 6], "a for loop ends"
    with pytest.raises(ValueError, match=r"one length, got shapes \[\(2,\), \(3,\)\]"):
        TensorDataset([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="one length"):
        TensorDataset()
    with pytest.raises(ValueError, match="one length"):
        TensorDataset(3.0)


def test_subsets_and_concatenations_find_the_right_item():
    joined = ConcatDataset([[0, 1], [], [2, 3, 4]])
    assert [joined[i] for i in range(-5, 5)] == [0, 1, 2, 3, 4] * 2
    with pytest.raises(IndexError, match="item 5 of 5"):
        joined[5]
    part = Subset(Subset(joined, [4, 2, 0]), [2, 0])
    assert [part[i] for i in range(2)] == [0, 4]
    with pytest.raises(IndexError, match="positions 3 … 9 of a dataset of 5 items"):
        Subset(joined, [3, 9])
    summed = TensorDataset([1]) + TensorDataset([2])
    assert [summed[i][0].item() for i in range(2)] == [1, 2]
    with pytest.raises(ValueError, match="at least one"):
        ConcatDataset([])


def test_keys_pass_through_subsets_and_concatenations():
    keyed = TransformedDataset([10, 20], lambda x, key: (x, key), part=None)
    assert ConcatDataset([[0], keyed]).keyed(2, (1, 2, 3)) == (20, (1, 2, 3))
    assert Subset(keyed, [1]).keyed(0, (7,)) == (20, (7,))
    assert keyed[-1] == (20, (0, 0, 1))
    pairs = TransformedDataset([(1, 2, 3)], lambda x, key: -x, part=1)
    assert pairs[0] == (1, -2, 3)
    last = TransformedDataset([(1, 2, 3)], lambda x, key: -x, part=2)
    assert last[0] == (1, 2, -3)


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([6, 4], [6, 4]),
        ([0.75, 0.25], [8, 2]),
        ([10], [10]),
        ([1.0], [10]),
        ([1 / 3] * 3, [4, 3, 3]),
        ([0, 10], [0, 10]),
    ],
)
def test_random_split_cuts_without_overlap(lengths, expected):
    parts = random_split(range(10), lengths, Generator(1))
    assert [len(part) for part in parts] == expected
    assert sorted(part[i] for part in parts for i in range(len(part))) == list(range(10))
    again = random_split(range(10), lengths, Generator(1))
    assert [p.indices.tolist() for p in parts] == [p.indices.tolist() for p in again]
    assert [p.indices.tolist() for p in parts] != [
        p.indices.tolist() for p in random_split(range(10), lengths, Generator(2))
    ]


@pytest.mark.parametrize("lengths", [[5, 4], [12, -2], [0.5, 0.4], [1.5, -0.5]])
def test_random_split_refuses_lengths_that_do_not_sum(lengths):
    with pytest.raises(ValueError, match="expected 10, or fractions that sum to 1"):
        random_split(range(10), lengths, Generator(1))


def test_a_dataset_says_what_it_lacks():
    class Empty(Dataset):
        pass

    with pytest.raises(NotImplementedError, match="Empty must say how many items"):
        len(Empty())
    with pytest.raises(NotImplementedError, match="Empty must give its items"):
        Empty()[0]


# ── samplers ──────────────────────────────────────────────────────────────────────────────────────

SAMPLERS = [
    RandomSampler(range(50), seed=1),
    RandomSampler(range(50), replacement=True, seed=1),
    RandomSampler(range(50), num_samples=120, seed=1),
    WeightedRandomSampler(np.arange(50), 80, seed=1),
    WeightedRandomSampler(np.arange(50), 20, replacement=False, seed=1),
    BalancedSampler(np.arange(50) % 7, seed=1),
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
def test_orders_depend_on_seed_and_epoch_alone(sampler):
    first, second = sampler.order(0), sampler.order(1)
    assert len(first) == len(second) == len(sampler) == len(list(sampler))
    assert first.dtype == np.int64
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(sampler.order(0), first)
    seed, sampler.seed = sampler.seed, 2
    assert not np.array_equal(sampler.order(0), first)
    sampler.seed = seed


def test_sequential_and_shuffled_orders():
    assert list(SequentialSampler(range(4))) == [0, 1, 2, 3]
    assert sorted(RandomSampler(range(20))) == list(range(20))
    twice = RandomSampler(range(20), num_samples=50).order(0)
    assert set(np.bincount(twice)) == {2, 3}
    assert len(set(RandomSampler(range(1000), replacement=True))) < 700


def test_weights_are_followed():
    drawn = WeightedRandomSampler([1, 0, 3], 4000).order(0)
    share = np.bincount(drawn, minlength=3) / 4000
    np.testing.assert_allclose(share, [0.25, 0, 0.75], atol=0.03)
    assert sorted(WeightedRandomSampler([1, 0, 3], 2, replacement=False)) == [0, 2]


def test_balanced_draws_every_class_equally_and_every_item_before_repeating():
    labels = np.array(["b"] * 10 + ["a"] * 2 + ["c"] * 5)
    sampler = BalancedSampler(labels, seed=3)
    order = sampler.order(0)
    assert len(order) == len(sampler) == 30
    assert sorted(np.unique(labels[order], return_counts=True)[1].tolist()) == [10, 10, 10]
    counts = np.bincount(order, minlength=17)
    assert counts.tolist() == [1] * 10 + [5] * 2 + [2] * 5
    short = labels[BalancedSampler(labels, 7).order(0)]
    assert sorted(np.unique(short, return_counts=True)[1].tolist()) == [2, 2, 3]


def test_class_batches():
    labels = np.repeat(np.arange(7), [3, 4, 5, 1, 6, 2, 4])
    sampler = ClassBatchSampler(labels, 3, 2, seed=1)
    batches = sampler.batches(0)
    assert len(batches) == len(sampler) == 2
    seen = [set(labels[b]) for b in batches]
    assert all(len(b) == 6 and len(s) == 3 for b, s in zip(batches, seen, strict=True))
    assert not seen[0] & seen[1]
    for batch in ClassBatchSampler(labels, 2, 2, num_batches=9).batches(4):
        for c in set(labels[batch]):
            members = batch[labels[batch] == c]
            assert len(members) == 2
            assert len(set(members)) == min(2, (labels == c).sum())
    assert [b.tolist() for b in batches] == [b.tolist() for b in ClassBatchSampler(labels, 3, 2, seed=1).batches(0)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomSampler(range(3), num_samples=0), "num_samples must be ≥ 1, got 0"),
        (lambda: RandomSampler([], num_samples=3).order(0), "nothing can be drawn from an empty dataset"),
        (lambda: WeightedRandomSampler([1, -1], 3), "finite numbers ≥ 0"),
        (lambda: WeightedRandomSampler([1, float("nan")], 3), "finite numbers ≥ 0"),
        (lambda: WeightedRandomSampler([0, 0], 3), "cannot draw 3 positions with replacement from 0"),
        (lambda: WeightedRandomSampler([1, 0], 2, replacement=False), "2 positions without replacement from 1"),
        (lambda: BalancedSampler([]), "one label for each item"),
        (lambda: ClassBatchSampler([0, 1], 3, 1), "3 classes of 1 items, but there are 2 classes"),
    ],
)
def test_orders_that_cannot_be_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ── collating ─────────────────────────────────────────────────────────────────────────────────────


def test_collating_by_kind():
    x = default_collate([Tensor([1.0, 2.0]), Tensor([3.0, 4.0])])
    assert x.tolist() == [[1, 2], [3, 4]]
    assert default_collate([np.zeros((2, 3), "f8")] * 4).dtype == np.float64
    assert default_collate([np.float16(1)] * 2).dtype == np.float16
    assert default_collate([1, 2]).dtype == np.int64
    assert default_collate([True, False]).dtype == np.bool_
    assert default_collate([1.0, 2.0]).dtype == np.float32
    assert default_collate(["a", "b"]) == ["a", "b"]
    Pair = namedtuple("Pair", "x y")
    pair = default_collate([Pair(1, "a"), Pair(2, "b")])
    assert isinstance(pair, Pair)
    assert (pair.x.tolist(), pair.y) == ([1, 2], ["a", "b"])
    nested = default_collate([{"x": (1, [2.0])}, {"x": (3, [4.0])}])
    assert nested["x"][0].tolist() == [1, 3]
    assert nested["x"][1][0].tolist() == [2, 4]


def test_collating_what_has_no_batch():
    with pytest.raises(ValueError, match=r"different shapes: \[\(1,\), \(2,\)\]; resize or pad them"):
        default_collate([np.zeros(1), np.zeros(2)])
    with pytest.raises(ValueError, match=r"different lengths: \[1, 2\]"):
        default_collate([(1,), (1, 2)])
    with pytest.raises(TypeError, match="a set has no batch; give the loader a collate_fn"):
        default_collate([{1}, {2}])


@pytest.mark.oracle
def test_collating_agrees_with_pytorch_but_for_floats():
    torch = pytest.importorskip("torch")
    from torch.utils.data import default_collate as theirs

    items = [(np.arange(3, dtype="f4"), 1, True, "a"), (np.ones(3, "f4"), 2, False, "b")]
    for ours, other in zip(default_collate(items), theirs(items), strict=True):
        if isinstance(other, torch.Tensor):
            np.testing.assert_array_equal(ours.array, other.numpy())
            assert ours.dtype == other.numpy().dtype
        else:
            assert list(ours) == list(other)
