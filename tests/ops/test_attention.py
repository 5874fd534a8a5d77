"""Attention: against PyTorch, against its own composite, and what must hold of any attention."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest

import minidl as dl
import minidl.nn.functional as F
from minidl.autograd import grad, gradcheck, gradgradcheck
from minidl.backend import Generator
from minidl.kernels import attention as tiles
from minidl.kernels import use_kernels
from minidl.tensor import Tensor


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles so small that every problem of these tests needs several of them, and several jobs."""
    monkeypatch.setattr(tiles, "QUERIES", 2)
    monkeypatch.setattr(tiles, "KEYS", 3)
    monkeypatch.setattr(tiles, "TILE", 6)


def inputs(rng: np.random.Generator, dtype: str = "f8", batch: tuple[int, ...] = (2, 3), L: int = 5, S: int = 7,
           E: int = 4, D: int = 3) -> list[Tensor]:  # fmt: skip
    """Queries, keys and values that want a gradient."""
    shapes = (*batch, L, E), (*batch, S, E), (*batch, S, D)
    return [dl.tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True) for shape in shapes]


def masks(rng: np.random.Generator, L: int = 5, S: int = 7) -> dict[str, Any]:
    """Masks of every kind and shape, among them rows that see nothing."""
    see = rng.random((L, S)) < 0.6
    see[1] = False
    hidden = np.where(see, rng.standard_normal((L, S)), -math.inf)
    return {
        "none": None,
        "bool (L, S), a row sees nothing": see,
        "bool of keys alone": rng.random((2, 1, 1, S)) < 0.6,
        "bool of every head": rng.random((2, 3, L, S)) < 0.6,
        "float (L, S)": rng.standard_normal((L, S)),
        "float with -inf, a row sees nothing": hidden,
        "float a head": rng.standard_normal((3, L, S)),
        "float of keys alone": rng.standard_normal((2, 1, 1, S)),
        "float of queries alone": rng.standard_normal((L, 1)),
    }


MASKS = [*masks(np.random.default_rng(0))]


# ── numbers worked by hand ────────────────────────────────────────────────────────────────────────


def test_the_example_of_lesson_17() -> None:
    """ERRATA 003-T20: three tokens; the first looks at the first and the third alike."""
    x, v = dl.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), dl.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    np.testing.assert_allclose(F.attention_weights(x, x)[0].numpy(), [0.4011, 0.1978, 0.4011], atol=5e-5)
    np.testing.assert_allclose(F.scaled_dot_product_attention(x, x, v)[0].numpy(), [3.0, 4.0], atol=1e-6)


def test_softmax_over_one_number_is_always_one(rng: np.random.Generator) -> None:
    """ERRATA 003-C5a: Dense(1, softmax) weighs every position 1; softmax over positions is what was meant."""
    x = dl.tensor(rng.standard_normal((2, 5, 8)))
    scores = F.linear(x, dl.tensor(rng.standard_normal((1, 8))))
    wrong, right = F.softmax(scores, -1), F.softmax(scores, 1)
    assert (wrong.numpy() == 1).all()
    np.testing.assert_allclose(right.numpy().sum(axis=1), 1)
    assert right.numpy().std() > 0.05
    weight = dl.tensor(rng.standard_normal((1, 8)), requires_grad=True)
    (lost,) = grad((F.softmax(F.linear(x, weight), -1) * x).sum(), weight)
    assert (np.abs(lost.numpy()) < 1e-12).all(), "through the wrong axis nothing can be learned"


@pytest.mark.parametrize(("E", "spread"), [(4, 2.0), (64, 8.0)])
def test_why_scores_are_divided_by_the_root_of_their_size(rng: np.random.Generator, E: int, spread: float) -> None:
    """Lesson 17: q·k of standard normal vectors has standard deviation √E; divided by √E it has 1."""
    q, k = (rng.standard_normal((20000, E)) for _ in range(2))
    assert abs((q * k).sum(axis=1).std() - spread) < 0.05 * spread
    assert abs((q * k).sum(axis=1).std() / math.sqrt(E) - 1) < 0.05


# ── what must hold of any attention ───────────────────────────────────────────────────────────────


def test_causal_attention_ignores_the_future(rng: np.random.Generator, small_tiles: None, kernels: str) -> None:
    q, k, v = inputs(rng, L=7)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True).detach().numpy()
    changed = [x.detach().numpy().copy() for x in (k, v)]
    for x in changed:
        x[..., 4:, :] = 1e3 * rng.standard_normal(x[..., 4:, :].shape)
    again = F.scaled_dot_product_attention(q, *[dl.tensor(x) for x in changed], is_causal=True).detach().numpy()
    np.testing.assert_array_equal(again[..., :4, :], y[..., :4, :])
    assert np.abs(again[..., 4:, :] - y[..., 4:, :]).max() > 1


def test_no_gradient_flows_from_the_past_to_the_future(rng: np.random.Generator, small_tiles: None) -> None:
    q, k, v = inputs(rng, L=7)
    _, gk, gv = grad(F.scaled_dot_product_attention(q, k, v, is_causal=True)[..., :4, :].sum(), (q, k, v))
    assert not gk.numpy()[..., 4:, :].any()
    assert not gv.numpy()[..., 4:, :].any()


def test_permuted_tokens_give_permuted_outputs(rng: np.random.Generator, small_tiles: None) -> None:
    """Attention does not know where a token stands: without position encodings order means nothing."""
    q, k, v = [x.detach() for x in inputs(rng, S=5)]
    order = rng.permutation(5)
    y = F.scaled_dot_product_attention(q, k, v).numpy()
    moved = [x[..., dl.tensor(order), :] for x in (q, k, v)]
    np.testing.assert_allclose(F.scaled_dot_product_attention(*moved).numpy(), y[..., order, :], rtol=1e-12)


def test_weights_are_a_distribution_over_the_keys_that_are_seen(rng: np.random.Generator) -> None:
    q, k, _ = inputs(rng)
    see = masks(rng)["bool (L, S), a row sees nothing"]
    a = F.attention_weights(q, k, dl.tensor(see)).detach().numpy()
    assert (a >= 0).all()
    assert not a[..., ~see].any()
    np.testing.assert_allclose(a.sum(axis=-1), np.broadcast_to(see.any(axis=1), a.shape[:-1]))


def test_a_query_that_sees_nothing_gives_zero_and_no_gradient(
    rng: np.random.Generator, small_tiles: None, kernels: str
) -> None:
    """T28: softmax of nothing but -inf is 0/0 if nobody takes care."""
    for mask in (np.zeros((5, 7), bool), np.full((5, 7), -math.inf)):
        q, k, v = inputs(rng)
        y = F.scaled_dot_product_attention(q, k, v, dl.tensor(mask))
        y.sum().backward()
        for x in (y, q.grad, k.grad, v.grad):
            assert not x.detach().numpy().any()


def test_large_scores_neither_overflow_nor_lose_the_gradient(rng: np.random.Generator, small_tiles: None) -> None:
    """T9: scores of ±10⁴ in float32, against float64."""
    exact = inputs(rng)
    q, k, v = [dl.tensor(x.detach().numpy().astype("f4"), requires_grad=True) for x in exact]
    for xs in (exact, (q, k, v)):
        F.scaled_dot_product_attention(*xs, scale=3e3).sum().backward()
    assert float((exact[0] @ exact[1].transpose(-1, -2) * 3e3).detach().numpy().max()) > 1e4
    for x in (q, k, v):
        assert np.isfinite(x.grad.numpy()).all()
    np.testing.assert_allclose(v.grad.numpy(), exact[2].grad.numpy(), rtol=1e-3, atol=1e-3)


# ── tiles against the composite ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.4])
def test_tiles_equal_the_composite(
    rng: np.random.Generator, small_tiles: None, name: str, causal: bool, p: float
) -> None:
    """Value, first and second derivatives, with every mask, and dropout that strikes out the same weights."""
    mask = masks(rng)[name]
    xs = inputs(rng)
    if mask is not None and mask.dtype.kind == "f":
        xs.append(dl.tensor(mask, requires_grad=True))
    given = None if mask is None else dl.tensor(mask)
    g = dl.tensor(rng.standard_normal((2, 3, 5, 3)))
    us = [dl.tensor(rng.standard_normal(x.shape)) for x in xs]

    def results() -> list[np.ndarray]:
        y = F.scaled_dot_product_attention(*xs[:3], xs[3] if len(xs) > 3 else given, p, causal, generator=Generator(3))
        first = grad(y, xs, g, retain_graph=True)
        recorded = grad(y, xs, g, create_graph=True)
        second = grad(recorded, xs, us)
        return [x.detach().numpy() for x in (y, *first, *recorded, *second)]

    found = results()
    with use_kernels("numpy"):
        expected = results()
    for x, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, e, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", MASKS)
def test_derivatives_with_masks_and_dropout(rng: np.random.Generator, small_tiles: None, name: str) -> None:
    """Against the complex step, which sees neither the tape nor the composite."""
    mask = masks(rng, 3, 4)[name]
    q, k, v = inputs(rng, batch=(2, 3), L=3, S=4, E=2, D=1)
    given = None if mask is None else dl.tensor(mask)

    def attend(*xs: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(*xs, given, 0.3, True, generator=Generator(1))

    gradcheck(attend, [q, k, v], method="complex", atol=1e-12, rtol=1e-12)
    if name in MASKS[:2]:
        gradgradcheck(attend, [q[:1].detach().requires_grad_(), k[:1].detach().requires_grad_(),
                               v[:1].detach().requires_grad_()], method="complex", atol=1e-10, rtol=1e-10)  # fmt: skip


def test_dropout_keeps_the_mean_and_strikes_out_a_share(rng: np.random.Generator) -> None:
    q, k = (dl.tensor(rng.standard_normal((8, 64, 4))) for _ in range(2))
    v = dl.ones(8, 64, 1, dtype=dl.float64)
    y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.3, generator=Generator(0)).numpy()
    assert abs(y.mean() - 1) < 0.02
    assert y.std() > 0.05
    struck = tiles.kept_weights((8, 64, 64), tiles.Rules(1.0, p=0.3, key=np.array([1, 2], np.uint64)), q.array)
    assert abs((struck == 0).mean() - 0.3) < 0.02
    assert set(np.unique(struck)) == {0.0, 1 / (1 - 0.3)}
    assert not F.scaled_dot_product_attention(q, k, v, dropout_p=1.0).numpy().any()


def test_every_tile_strikes_out_weights_of_its_own(small_tiles: None) -> None:
    """A mask that came back from tile to tile would strike out the same pattern again and again."""
    tiles.QUERIES, tiles.KEYS, tiles.TILE = 16, 16, 256  # undone by the fixture
    key = np.array([3, 4], np.uint64)
    kept = tiles.kept_weights((2, 32, 32), tiles.Rules(1.0, p=0.5, key=key), np.zeros(1)) > 0
    pieces = kept.reshape(2, 2, 16, 2, 16).swapaxes(2, 3).reshape(8, 256)
    alike = (pieces[:, None] == pieces).mean(axis=2)[~np.eye(8, dtype=bool)]
    assert alike.min() > 0.35
    assert alike.max() < 0.65


def test_a_generator_fixes_dropout(rng: np.random.Generator) -> None:
    q, k, v = inputs(rng)
    one, same, other = [
        F.scaled_dot_product_attention(q, k, v, dropout_p=0.5, generator=Generator(seed)).detach().numpy()
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@pytest.mark.parametrize("causal", [False, True])
def test_memory_grows_with_the_positions_not_with_their_square(rng: np.random.Generator, causal: bool) -> None:
    """Twice the positions, twice the memory; the matrix of weights alone would be 64 MiB and 256 MiB."""

    def peak(T: int) -> float:
        xs = [dl.tensor(rng.standard_normal((1, T, 16)).astype("f4"), requires_grad=True) for _ in range(3)]
        tracemalloc.start()
        F.scaled_dot_product_attention(*xs, is_causal=causal).sum().backward()
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used / 2**20

    peak(64)
    small, large = peak(2048), peak(4096)
    assert large < 2.2 * small
    assert large < 16


def test_8192_positions(rng: np.random.Generator) -> None:
    """A sample of the outputs against the formula; the whole matrix of weights would be 256 MiB."""
    q, k, v = [dl.tensor(rng.standard_normal((8192, 8)).astype("f4"), requires_grad=True) for _ in range(3)]
    y = F.scaled_dot_product_attention(q, k, v)
    some = [0, 127, 128, 5000, 8191]
    exact = [x.detach().numpy().astype("f8") for x in (q, k, v)]
    scores = exact[0][some] @ exact[1].T / math.sqrt(8)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(y.detach().numpy()[some], weights @ exact[2], rtol=1e-4, atol=1e-5)
    y.sum().backward()
    np.testing.assert_allclose(v.grad.numpy().sum(), 8192 * 8, rtol=1e-4)
    assert y.dtype == v.grad.dtype == dl.float32


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(rng: np.random.Generator, small_tiles: None, threads: int) -> None:
    """The same bits with any number of threads."""
    from minidl.kernels.threads import num_threads, set_num_threads

    before = num_threads()
    q, k, v = inputs(rng, L=9, S=9)

    def results() -> list[np.ndarray]:
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.2, is_causal=True, generator=Generator(2))
        return [x.detach().numpy() for x in (y, *grad(y, (q, k, v), dl.ones_like(y)))]

    try:
        set_num_threads(2)
        expected = results()
        set_num_threads(threads)
        for x, e in zip(results(), expected, strict=True):
            np.testing.assert_array_equal(x, e)
    finally:
        set_num_threads(before)


# ── edges and refusals ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("L", "S"), [(0, 3), (3, 0), (1, 1)])
def test_no_queries_no_keys(rng: np.random.Generator, L: int, S: int, kernels: str) -> None:
    q, k, v = inputs(rng, L=L, S=S)
    y = F.scaled_dot_product_attention(q, k, v)
    y.sum().backward()
    assert y.shape == (2, 3, L, 3)
    assert S or not y.detach().numpy().any()
    assert all(x.grad.shape == x.shape for x in (q, k, v))


def test_leading_sizes_broadcast(rng: np.random.Generator) -> None:
    q, k, v = inputs(rng)
    y = F.scaled_dot_product_attention(q, k[:1], v[:, :1])
    full = F.scaled_dot_product_attention(q, k[:1].expand(2, 3, 7, 4), v[:, :1].expand(2, 3, 7, 3))
    np.testing.assert_array_equal(y.detach().numpy(), full.detach().numpy())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"query": (2, 3, 5, 9)}, "queries have E=9 features, but keys have 4"),
        ({"value": (2, 3, 6, 3)}, "S=7 keys, but 6 values"),
        ({"query": (4,)}, "a dimension of positions"),
        ({"query": (4, 3, 5, 4)}, "leading sizes"),
        ({"attn_mask": (5, 6)}, r"does not broadcast to the scores \(2, 3, 5, 7\)"),
        ({"attn_mask": (4, 2, 3, 5, 7)}, "does not broadcast"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change: dict[str, tuple[int, ...]], said: str) -> None:
    shapes = {"query": (2, 3, 5, 4), "key": (2, 3, 7, 4), "value": (2, 3, 7, 3)} | change
    with pytest.raises(RuntimeError, match=said):
        F.scaled_dot_product_attention(**{name: dl.zeros(*shape) for name, shape in shapes.items()})


def test_other_refusals() -> None:
    x = dl.zeros(2, 3)
    with pytest.raises(ValueError, match=r"from 0 to 1; got 1\.5"):
        F.scaled_dot_product_attention(x, x, x, dropout_p=1.5)
    with pytest.raises(RuntimeError, match="bool or floating, got int64"):
        F.scaled_dot_product_attention(x, x, x, dl.zeros(2, 2, dtype=dl.int64))


# ── PyTorch ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.oracle
@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
def test_equals_pytorch(rng: np.random.Generator, small_tiles: None, name: str, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    mask = masks(rng)[name]
    xs = inputs(rng, dtype)
    ts = [torch.tensor(x.detach().numpy(), requires_grad=True) for x in xs]
    ours = theirs = None
    if mask is not None:
        mask = mask.astype(dtype) if mask.dtype.kind == "f" else mask
        learned = mask.dtype.kind == "f"
        ours, theirs = dl.tensor(mask, requires_grad=learned), torch.tensor(mask, requires_grad=learned)
        if learned:
            xs, ts = [*xs, ours], [*ts, theirs]
    g = rng.standard_normal((2, 3, 5, 3)).astype(dtype)
    y = F.scaled_dot_product_attention(*xs[:3], ours, scale=0.7)
    u = torch.nn.functional.scaled_dot_product_attention(*ts[:3], theirs, scale=0.7)
    y.backward(dl.tensor(g))
    u.backward(torch.tensor(g))
    tolerance = {"f8": 1e-10, "f4": 2e-5, "f2": 2e-2}[dtype]
    pairs = [(y.detach(), u.detach()), *[(x.grad, t.grad) for x, t in zip(xs, ts, strict=True)]]
    for x, t in pairs:
        assert x.dtype.name == str(t.dtype).removeprefix("torch.")
        np.testing.assert_allclose(x.numpy(), t.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.oracle
@pytest.mark.parametrize(("L", "S"), [(5, 7), (7, 5), (6, 6)])
def test_causal_equals_pytorch(rng: np.random.Generator, small_tiles: None, L: int, S: int) -> None:
    """Also where there are more queries than keys, or fewer: query i sees keys 0 … i."""
    torch = pytest.importorskip("torch")
    xs = inputs(rng, L=L, S=S, D=4)
    ts = [torch.tensor(x.detach().numpy(), requires_grad=True) for x in xs]
    y = F.scaled_dot_product_attention(*xs, is_causal=True)
    u = torch.nn.functional.scaled_dot_product_attention(*ts, is_causal=True)
    (y * y).sum().backward()
    (u * u).sum().backward()
    np.testing.assert_allclose(y.detach().numpy(), u.detach().numpy(), rtol=1e-10, atol=1e-12)
    for x, t in zip(xs, ts, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-9, atol=1e-10)
