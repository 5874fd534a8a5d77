"""New tensors: values, dtypes, memory, streams; beside PyTorch where both exist."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl.backend import Generator, default_generator


@pytest.mark.oracle
@pytest.mark.parametrize(
    "make",
    [
        lambda d: d.tensor([1.0, 2.0]),
        lambda d: d.tensor([1, 2]),
        lambda d: d.tensor([True, False]),
        lambda d: d.tensor(3),
        lambda d: d.tensor(2.5),
        lambda d: d.tensor(True),
        lambda d: d.tensor([[1, 2.5], [3, 4]]),
        lambda d: d.tensor([]),
        lambda d: d.tensor(np.arange(3, dtype="i2")),
        lambda d: d.tensor(np.float64(1.5)),
        lambda d: d.zeros(2, 3),
        lambda d: d.zeros((2, 3)),
        lambda d: d.ones(0, 2),
        lambda d: d.ones(()),
        lambda d: d.full((2,), 3),
        lambda d: d.full((2,), 3.5),
        lambda d: d.full((2,), True),
        lambda d: d.full((), 7),
        lambda d: d.arange(5),
        lambda d: d.arange(1, 5),
        lambda d: d.arange(5, 1, -2),
        lambda d: d.arange(0, 1, 0.25),
        lambda d: d.arange(3.0),
        lambda d: d.linspace(0, 1, 5),
        lambda d: d.linspace(2, -2, 1),
        lambda d: d.eye(3),
        lambda d: d.eye(2, 3),
        lambda d: d.zeros_like(d.ones(2, 1)),
        lambda d: d.ones_like(d.tensor([1, 2])),
        lambda d: d.full_like(d.zeros(2), 4.0),
        lambda d: d.tensor([1.0], requires_grad=True),
        lambda d: d.tensor([1, 2]).float(),
        lambda d: d.tensor([1.7, -1.7]).long(),
        lambda d: d.tensor([0.0, 2.0]).bool(),
        lambda d: d.tensor([1.0]).double(),
        lambda d: d.tensor([1.0]).half(),
        lambda d: d.tensor([[1, 2], [3, 4]]).T,
        lambda d: d.tensor([[1.0, 2], [3, 4]])[..., 0],
        lambda d: d.as_tensor([1.0, 2.0]),
        lambda d: d.from_numpy(np.ones(2)),
    ],
)
def test_values_shapes_and_dtypes_are_pytorch_s(make: Any) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = make(dl), make(torch)
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
    assert ours.requires_grad == theirs.requires_grad
    np.testing.assert_array_equal(ours.detach().numpy(), theirs.detach().numpy())


def test_tensor_copies_and_as_tensor_does_not() -> None:
    array = np.arange(3.0)
    assert not np.shares_memory(dl.tensor(array).array, array)
    assert np.shares_memory(dl.as_tensor(array).array, array)
    assert np.shares_memory(dl.from_numpy(array).array, array)
    x = dl.tensor(array)
    assert dl.as_tensor(x) is x
    assert not np.shares_memory(dl.tensor(x).array, x.array)


def test_a_tensor_made_from_a_tensor_is_a_leaf() -> None:
    x = dl.tensor([1.0, 2.0], requires_grad=True) * 2
    y = dl.tensor(x)
    assert y.is_leaf
    assert not y.requires_grad


def test_lists_may_hold_tensors() -> None:
    x = dl.tensor([[dl.tensor(1.0), 2.0], [3.0, dl.tensor(4.0)]])
    np.testing.assert_array_equal(x.array, [[1, 2], [3, 4]])
    assert x.dtype == dl.float32
    assert dl.tensor([dl.tensor([1.0, 2.0]), dl.tensor([3.0, 4.0])]).shape == (2, 2)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: dl.tensor([[1.0], [1.0, 2.0]]), ValueError, "inhomogeneous|different lengths"),
        (lambda: dl.tensor(["a"]), TypeError, "expected numbers"),
        (lambda: dl.tensor(None), TypeError, "expected numbers"),
        (lambda: dl.zeros(2, -1), ValueError, r"expected sizes ≥ 0, got \(2, -1\)"),
        (lambda: dl.zeros(2.5), ValueError, "expected sizes"),
        (lambda: dl.arange(1, 2, 0), RuntimeError, "step must not be 0"),
        (lambda: dl.randint(3, 3, (2,)), RuntimeError, "low < high, got 3 and 3"),
        (lambda: dl.from_numpy([1.0]), TypeError, "expected a NumPy array, got list"),
        (lambda: dl.zeros(1, device="tpu"), ValueError, "expected 'cpu', 'cuda' or 'cuda:N', got 'tpu'"),
        (lambda: dl.tensor([1], requires_grad=True), RuntimeError, "only floating tensors have gradients"),
    ],
)
def test_bad_input_is_one_clear_sentence(make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


# ── drawn ─────────────────────────────────────────────────────────────────────────────────────────

DRAWS = {
    "randn": lambda g: dl.randn(1000, generator=g),
    "rand": lambda g: dl.rand(1000, generator=g),
    "randint": lambda g: dl.randint(0, 10, (1000,), generator=g),
    "randperm": lambda g: dl.randperm(1000, generator=g),
    "bernoulli": lambda g: dl.bernoulli(dl.full((1000,), 0.3), generator=g),
    "normal_": lambda g: dl.zeros(1000).normal_(1.0, 2.0, generator=g),
    "uniform_": lambda g: dl.zeros(1000).uniform_(-1.0, 1.0, generator=g),
    "randn_like": lambda g: dl.randn_like(dl.zeros(1000), generator=g),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_seed_repeats_and_a_stream_goes_on(name: str) -> None:
    draw = DRAWS[name]
    g = Generator(7)
    first, second = draw(g), draw(g)
    assert not np.array_equal(first.array, second.array)
    np.testing.assert_array_equal(draw(Generator(7)).array, first.array)
    state = Generator(7)
    draw(state)
    saved = state.get_state()
    expected = draw(state).array
    restored = Generator(0)
    restored.set_state(saved)
    np.testing.assert_array_equal(draw(restored).array, expected)


def test_the_default_generator_is_seeded_and_not_numpy_s() -> None:
    before = default_generator.get_state()
    np_state = np.random.get_state()[1].copy()  # noqa: NPY002
    dl.manual_seed(3)
    a = dl.randn(4)
    dl.manual_seed(3)
    np.testing.assert_array_equal(dl.randn(4).array, a.array)
    np.testing.assert_array_equal(np.random.get_state()[1], np_state)  # noqa: NPY002
    default_generator.set_state(before)


def test_draws_have_the_moments_they_should() -> None:
    g = Generator(0)
    x = dl.randn(100_000, generator=g).array
    assert abs(x.mean()) < 0.02
    assert abs(x.std() - 1) < 0.02
    u = dl.rand(100_000, generator=g).array
    assert 0 <= u.min() < 0.01
    assert 0.99 < u.max() < 1
    assert abs(u.var() - 1 / 12) < 0.002
    k = np.bincount(dl.randint(2, 6, (100_000,), generator=g).array)
    assert k[:2].sum() == 0
    assert abs(k[2:] / 100_000 - 0.25).max() < 0.01
    assert sorted(dl.randperm(100, generator=g).tolist()) == list(range(100))
    b = dl.bernoulli(dl.full((100_000,), 0.3), generator=g).array
    assert set(np.unique(b)) == {0.0, 1.0}
    assert abs(b.mean() - 0.3) < 0.01


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_rand_never_rounds_up_to_one(dtype: str) -> None:
    """A draw of exactly 1 would be a probability outside [0, 1)."""
    x = dl.rand(200_000, generator=Generator(1), dtype=dtype)
    assert x.dtype == np.dtype(dtype)
    assert x.array.max() < 1


@pytest.mark.parametrize("replacement", [True, False])
def test_multinomial_draws_in_proportion_and_never_what_has_no_weight(replacement: bool) -> None:
    weights = dl.tensor([[1.0, 0.0, 3.0], [0.0, 5.0, 5.0]])
    drawn = dl.multinomial(
        weights.expand(1, 2, 3).repeat(20_000, 1, 1).reshape(-1, 3), 1, replacement, generator=Generator(4)
    )
    assert drawn.shape == (40_000, 1)
    assert drawn.dtype == np.int64
    for row, share in enumerate(([0.25, 0.0, 0.75], [0.0, 0.5, 0.5])):
        seen = np.bincount(drawn.array[row::2, 0], minlength=3) / 20_000
        np.testing.assert_allclose(seen, share, atol=0.02)
        assert (seen[np.array(share) == 0] == 0).all()


def test_multinomial_without_replacement_draws_nothing_twice() -> None:
    drawn = dl.multinomial(dl.tensor([0.0, 9.0, 1.0, 1e-12]), 3, generator=Generator(0))
    assert sorted(drawn.tolist()) == [1, 2, 3]


@pytest.mark.parametrize(
    ("weights", "count", "message"),
    [
        ([1.0, -1.0], 1, "finite and ≥ 0"),
        ([1.0, math.nan], 1, "finite and ≥ 0"),
        ([0.0, 0.0], 1, "only 0 weights > 0"),
        ([1.0, 0.0], 2, "2 samples asked of a row that has only 1"),
        (2.0, 1, r"got \(\) and 1"),
        ([], 1, "only 0 weights > 0"),
        ([1.0], 0, "num_samples ≥ 1"),
    ],
)
def test_multinomial_says_which_weights_it_cannot_use(weights: Any, count: int, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        dl.multinomial(dl.tensor(weights), count)
