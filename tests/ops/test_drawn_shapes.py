"""Gradients over drawn shapes: broadcasting (T7), axes by either name (T34), empty and 0-d tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import Case, trial
from claims_on_derivatives import exact_adjoint, gradient_holds
from drawn import axes, axis, distinct, numbers, pairs_that_broadcast, positive_axes, seeds, shapes
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
from minidl import ops

BINARY: dict[str, tuple[Any, Any, str]] = {
    "add": (ops.add, np.add, "complex"),
    "sub": (ops.sub, np.subtract, "complex"),
    "mul": (ops.mul, np.multiply, "complex"),
    "div": (ops.div, np.divide, "complex"),
    "pow": (ops.pow, np.power, "complex"),
    "maximum": (lambda a, b: ops.maximum(a, b + 10.25), lambda a, b: np.maximum(a, b + 10.25), "richardson"),
    "minimum": (lambda a, b: ops.minimum(a * 4, b), lambda a, b: np.minimum(a * 4, b), "richardson"),
    "where": (lambda a, b: ops.where(ops.as_tensor(np.asarray(True)), a, b), lambda a, b: a + b * 0, "complex"),
    "remainder": (
        lambda a, b: ops.remainder(a * 0.1 + b * 3.25, b),
        lambda a, b: np.mod(a * 0.1 + b * 3.25, b),
        "richardson",
    ),
    "alpha": (lambda a, b: ops.sub(a, b, alpha=3), lambda a, b: a - 3 * b, "complex"),
}


@pytest.mark.parametrize("name", BINARY)
@given(pair=pairs_that_broadcast(), seed=seeds)
def test_operands_that_broadcast(name: str, pair: Any, seed: int) -> None:
    """T7: every gradient has the shape of its operand, summed over what was repeated."""
    ours, theirs, oracle = BINARY[name]
    a, b = numbers(seed, pair[0]), numbers(seed + 1, pair[1])
    np.testing.assert_allclose(ours(dl.tensor(a), dl.tensor(b)).array, theirs(a, b), rtol=1e-12)
    gradient_holds(ours, a, b, oracle=oracle)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("number", [2, 0.5, True, np.float64(0.5), np.float32(0.5), np.int64(2), np.array(0.5)])
def test_numbers_never_widen_a_tensor(number: Any, dtype: str) -> None:
    """T8: float32·0.5 stays float32 whatever kind of 0.5 it is, on either side, forward and back."""
    for name, (ours, _, _) in BINARY.items():
        for arguments in ("left", "right"):
            x = dl.tensor(np.array([1.25, 1.5], dtype), requires_grad=True)
            operand = number
            if name in ("maximum", "minimum") and number is True:
                continue
            if name not in ("maximum", "minimum", "remainder", "where"):
                y = ours(x, operand) if arguments == "left" else ours(operand, x)
            else:
                y = getattr(ops, name)(*([ops.as_tensor(np.asarray(True))] if name == "where" else []),
                                       *((x, operand) if arguments == "left" else (operand, x)))  # fmt: skip
            assert y.array.dtype == np.dtype(dtype), f"{name}: {y.array.dtype}"
            if y.requires_grad:
                y.sum().backward()
                assert x.grad.array.dtype == np.dtype(dtype), name


# ── reductions ────────────────────────────────────────────────────────────────────────────────────


REDUCTIONS: dict[str, tuple[Any, str, int]] = {
    # NumPy's version, oracle, fewest elements
    "sum": (lambda x, a: x.sum(a), "complex", 0),
    "mean": (lambda x, a: x.mean(a), "complex", 1),
    "var": (lambda x, a: x.var(a, ddof=1), "complex", 2),
    "std": (lambda x, a: x.std(a, ddof=1), "complex", 2),
    "norm": (lambda x, a: np.sqrt((x * x).sum(a)), "complex", 0),
    "logsumexp": (lambda x, a: np.log(np.exp(x).sum(a)), "complex", 1),
    "amax": (lambda x, a: x.max(a), "richardson", 1),
    "amin": (lambda x, a: x.min(a), "richardson", 1),
}


@pytest.mark.parametrize("name", REDUCTIONS)
@given(shape=shapes(), data=st.data(), seed=seeds, keepdim=st.booleans())
def test_reductions(name: str, shape: Any, data: Any, seed: int, keepdim: bool) -> None:
    theirs, oracle, fewest = REDUCTIONS[name]
    dim = data.draw(axes(len(shape)))
    over = positive_axes(dim, len(shape))
    x = distinct(seed, shape) / 4 if oracle == "richardson" else numbers(seed, shape)
    count = int(np.prod([shape[a] for a in over], dtype=int))
    if name in ("amax", "amin") and x.size == 0 and count == 0:
        with pytest.raises(IndexError, match=f"{name}: a tensor of shape .* has no extreme"):
            getattr(ops, name)(dl.tensor(x), dim)
        return
    if count < fewest:
        return
    expected = np.asarray(theirs(x, over))

    def reduce(t: Any) -> Any:
        return ops.norm(t, 2, dim, keepdim) if name == "norm" else getattr(ops, name)(t, dim, keepdim=keepdim)

    y = reduce(dl.tensor(x))
    kept = tuple(1 if i in over else n for i, n in enumerate(shape))
    assert y.shape == (kept if keepdim else expected.shape)
    np.testing.assert_allclose(y.array.reshape(expected.shape), expected, rtol=1e-12, atol=1e-12)
    if name == "std" and (expected == 0).any():
        return
    gradient_holds(reduce, x, oracle=oracle)


ALONG: dict[str, tuple[Any, str]] = {
    "softmax": (lambda x, d: ops.softmax(x, d), "complex"),
    "log_softmax": (lambda x, d: ops.log_softmax(x, d), "complex"),
    "cumsum": (lambda x, d: ops.cumsum(x, d), "complex"),
    "prod": (lambda x, d: ops.prod(x, d), "complex"),
    "max": (lambda x, d: ops.max(x, d).values, "richardson"),
    "min, kept": (lambda x, d: ops.min(x, d, True).values, "richardson"),
    "sort": (lambda x, d: ops.sort(x, d, True).values, "richardson"),
    "topk": (lambda x, d: ops.topk(x, min(2, x.array.shape[d]), d).values, "richardson"),
    "flip": (lambda x, d: ops.flip(x, d), "complex"),
    "roll": (lambda x, d: ops.roll(x, 2, d), "complex"),
    "unsqueeze": (lambda x, d: ops.unsqueeze(x, d), "complex"),
    "squeeze": (lambda x, d: ops.squeeze(x, d), "complex"),
    "unbind": (lambda x, d: ops.unbind(x, d), "complex"),
    "chunk": (lambda x, d: ops.chunk(x, 2, d), "complex"),
    "split": (lambda x, d: ops.split(x, 2, d), "complex"),
    "stack": (lambda x, d: ops.stack([x, x * 2], d), "complex"),
    "cat": (lambda x, d: ops.cat([x, x * x, x], d), "complex"),
    "repeat_interleave": (lambda x, d: ops.repeat_interleave(x, 2, d), "complex"),
    "narrow": (lambda x, d: ops.narrow(x, d, 0, x.array.shape[d] // 2), "complex"),
    "flatten": (lambda x, d: ops.flatten(x, d), "complex"),
    "transpose": (lambda x, d: ops.transpose(x, d, 0), "complex"),
    "movedim": (lambda x, d: ops.movedim(x, d, 0), "complex"),
}
REFUSES_EMPTY = {"max", "min, kept"}


@pytest.mark.parametrize("name", ALONG)
@given(shape=shapes(min_dims=1), data=st.data(), seed=seeds)
def test_along_one_axis(name: str, shape: Any, data: Any, seed: int) -> None:
    """T34: the axis by either of its names gives the same value and the same gradient."""
    call, oracle = ALONG[name]
    d = data.draw(axis(len(shape)))
    x = distinct(seed, shape) / 4 if oracle == "richardson" else numbers(seed, shape)
    if name in REFUSES_EMPTY and x.size == 0:
        return
    other = d - (len(shape) + (name in ("unsqueeze", "stack"))) if d >= 0 else d + len(shape) + (
        name in ("unsqueeze", "stack"))  # fmt: skip
    first, second = call(dl.tensor(x), d), call(dl.tensor(x), other)
    several = isinstance(first, tuple)
    for y, z in zip(first if several else [first], second if several else [second], strict=True):
        np.testing.assert_array_equal(y.array, z.array)
    if not several or first:
        gradient_holds(lambda t: call(t, d), x, oracle=oracle)


@pytest.mark.parametrize("name", ["sum", "softmax", "cumsum", "max", "sort", "flip", "unbind", "narrow", "norm"])
@pytest.mark.parametrize("d", [2, -3, 100])
def test_an_axis_that_does_not_exist_is_named(name: str, d: int) -> None:
    extra = {"narrow": (0, 1)}.get(name, ())
    arguments = (2, d) if name == "norm" else (d, *extra)
    with pytest.raises(IndexError, match=f"{name}: dim {d} is out of range for a tensor with 2 dimensions"):
        getattr(ops, name)(dl.zeros(2, 3), *arguments)


def test_an_axis_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sum: dim \(0, -2\) names a dimension twice"):
        ops.sum(dl.zeros(2, 3), (0, -2))


# ── shapes ────────────────────────────────────────────────────────────────────────────────────────


@given(shape=shapes(), data=st.data(), seed=seeds)
def test_permutations(shape: Any, data: Any, seed: int) -> None:
    order = data.draw(st.permutations(range(len(shape))))
    named = [a - len(shape) if data.draw(st.booleans()) else a for a in order]
    x = numbers(seed, shape)
    np.testing.assert_array_equal(ops.permute(dl.tensor(x), named).array, x.transpose(order))
    exact_adjoint(trial(lambda t: ops.permute(t, named), x))


@given(shape=shapes(min_side=1), data=st.data(), seed=seeds)
def test_reshapes(shape: Any, data: Any, seed: int) -> None:
    x = numbers(seed, shape)
    sizes = data.draw(st.permutations(list(shape)))
    if sizes and data.draw(st.booleans()):
        sizes[data.draw(st.integers(0, len(sizes) - 1))] = -1
    np.testing.assert_array_equal(ops.reshape(dl.tensor(x), sizes).array, x.reshape(sizes))
    exact_adjoint(trial(lambda t: ops.reshape(t, sizes), x))


@given(pair=pairs_that_broadcast(), seed=seeds)
def test_expansion_and_summation_are_each_other_s_adjoint(pair: Any, seed: int) -> None:
    """T7: ⟨broadcast x, y⟩ = ⟨x, sum y⟩, for every pair of shapes."""
    whole = np.broadcast_shapes(*pair)
    x, y = numbers(seed, pair[0]), numbers(seed + 1, whole)
    left = np.vdot(ops.broadcast_to(dl.tensor(x), whole).array, y)
    right = np.vdot(x, ops.sum_to(dl.tensor(y), pair[0]).array)
    np.testing.assert_allclose(left, right, rtol=1e-12)
    gradient_holds(lambda t: ops.broadcast_to(t, whole), x)
    gradient_holds(lambda t: ops.sum_to(t, pair[0]), y)


@given(data=st.data(), shape=shapes(min_dims=1, max_dims=3, min_side=1, max_side=4), seed=seeds,
       mode=st.sampled_from(["constant", "reflect", "replicate", "circular"]))  # fmt: skip
def test_padding(data: Any, shape: Any, seed: int, mode: str) -> None:
    x = numbers(seed, shape)
    least = -1 if mode == "constant" else 0
    widths = []
    for n in reversed(shape):
        most = {"constant": 2, "reflect": n - 1, "replicate": 2, "circular": n}[mode]
        a, b = (data.draw(st.integers(min(least, most), most)) for _ in range(2))
        widths += [a, b] if n + a + b >= 0 and n + min(a, 0) + min(b, 0) >= 0 else [0, 0]
    kinds = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    pairs = list(zip(widths[::2], widths[1::2], strict=True))[::-1]
    cut = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(shape, pairs, strict=True))]
    expected = np.pad(cut, [(max(a, 0), max(b, 0)) for a, b in pairs], kinds[mode])
    np.testing.assert_array_equal(ops.pad(dl.tensor(x), widths, mode).array, expected)
    exact_adjoint(trial(lambda t: ops.pad(t, widths, mode), x))


@given(shape=shapes(max_dims=3), data=st.data(), seed=seeds)
def test_tiles(shape: Any, data: Any, seed: int) -> None:
    times = data.draw(st.lists(st.integers(1, 3), min_size=0, max_size=4))
    x = numbers(seed, shape)
    np.testing.assert_array_equal(ops.tile(dl.tensor(x), times).array, np.tile(x, times))
    exact_adjoint(trial(lambda t: ops.tile(t, times), x))


# ── products ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("left", [1, 2, 3, 4])
@pytest.mark.parametrize("right", [1, 2, 3, 4])
@given(data=st.data(), seed=seeds)
def test_matmul_of_every_pair_of_ranks(left: int, right: int, data: Any, seed: int) -> None:
    """T34: vectors, matrices and batches that broadcast, also empty ones."""
    sides = st.integers(0, 3)
    n, k, m = data.draw(sides), data.draw(sides), data.draw(sides)
    batch = [data.draw(st.integers(0, 2)) for _ in range(2)]

    def shape(rank: int, matrix: tuple[int, int], vector: int) -> tuple[int, ...]:
        if rank == 1:
            return (vector,)
        lead = [1 if data.draw(st.booleans()) else size for size in batch[4 - rank :]]
        return (*lead, *matrix)

    a, b = numbers(seed, shape(left, (n, k), k)), numbers(seed + 1, shape(right, (k, m), k))
    np.testing.assert_allclose(ops.matmul(dl.tensor(a), dl.tensor(b)).array, a @ b, rtol=1e-12, atol=1e-12)
    gradient_holds(ops.matmul, a, b)


@pytest.mark.parametrize("features", [(3, 2), (0, 2), (3, 0)])
@given(lead=shapes(max_dims=3), seed=seeds, bias=st.booleans())
def test_linear_over_any_leading_dimensions(features: Any, lead: Any, seed: int, bias: bool) -> None:
    i, o = features
    x, w, b = numbers(seed, (*lead, i)), numbers(seed + 1, (o, i)), numbers(seed + 2, (o,))
    given = (x, w, b) if bias else (x, w)
    expected = x @ w.T + (b if bias else 0)
    np.testing.assert_allclose(ops.linear(*[dl.tensor(t) for t in given]).array, expected, rtol=1e-12, atol=1e-12)
    gradient_holds(ops.linear, *given)


EQUATIONS = [
    "ij,jk->ik", "ij,jk", "bij,bjk->bik", "ij->ji", "ij->", "ij->i", "i,j->ij", "i,i->", "ii->i", "ii->", "ii",
    "iij->j", "bij,kj->bik", "...ij,...jk->...ik", "i...->...", "...,...->...", "ij,jk,kl->il", "ijk->kij", "i->",
    "ab,cb->", "i,ij,j->", "bhqd,bhkd->bhqk", "ij,ij->ij", "i...j,j->...i", "ij,kl->", "jj,ji->i", "a,a,a->a",
]  # fmt: skip


@pytest.mark.parametrize("equation", EQUATIONS)
@given(data=st.data(), seed=seeds)
def test_einsum(equation: str, data: Any, seed: int) -> None:
    sizes = {letter: data.draw(st.integers(0, 3)) for letter in sorted({c for c in equation if c.isalpha()})}
    hidden = data.draw(st.lists(st.integers(1, 2), max_size=2))
    operands = []
    for i, factor in enumerate(equation.partition("->")[0].split(",")):
        lead, dots, rest = factor.partition("...")
        shape = [sizes[c] for c in lead] + (hidden if dots else []) + [sizes[c] for c in rest]
        operands.append(numbers(seed + i, tuple(shape)))
    expected = np.einsum(equation, *operands)
    y = ops.einsum(equation, *[dl.tensor(x) for x in operands])
    np.testing.assert_allclose(y.array, expected, rtol=1e-12, atol=1e-12)
    gradient_holds(lambda *xs: ops.einsum(equation, *xs), *operands)


def test_einsum_broadcasts_size_one_like_numpy() -> None:
    a, b = numbers(0, (1, 3)), numbers(1, (4, 3))
    np.testing.assert_allclose(ops.einsum("ij,ij->i", a, b).array, np.einsum("ij,ij->i", a, b), rtol=1e-12)
    gradient_holds(lambda x, y: ops.einsum("ij,ij->i", x, y), a, b)


# ── triangles, 0-d and empty ──────────────────────────────────────────────────────────────────────


@given(shape=shapes(min_dims=2), k=st.integers(-3, 3), seed=seeds)
def test_triangles(shape: Any, k: int, seed: int) -> None:
    x = numbers(seed, shape)
    np.testing.assert_array_equal(ops.tril(dl.tensor(x), k).array, np.tril(x, k))
    np.testing.assert_array_equal(ops.triu(dl.tensor(x), k).array, np.triu(x, k))
    exact_adjoint(trial(lambda t: ops.tril(t, k) * 2 + ops.triu(t, k), x))


@pytest.mark.parametrize("name", ["exp", "sqrt", "sin", "tanh", "relu", "sigmoid", "gelu", "erf", "softplus", "abs"])
@given(shape=shapes(), seed=seeds)
def test_functions_of_one_number(name: str, shape: Any, seed: int) -> None:
    x = numbers(seed, shape)
    y = getattr(ops, name)(dl.tensor(x))
    assert y.shape == shape
    assert type(y.array) is np.ndarray
    gradient_holds(getattr(ops, name), x, oracle="richardson")


def test_a_case_finds_the_floats_among_its_arguments() -> None:
    case = Case(trial(lambda a, b: a + b, np.ones(2), np.ones(2)))
    assert case.places == [("xs", 0), ("xs", 1)]
