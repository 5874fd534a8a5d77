"""Reductions, extremes and sorting against PyTorch: dimensions from either end, empty tensors, ties, dtypes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from against_torch import DTYPES, FLOATS, arrays, both_refuse, dims, same, torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minidl as dl

pytestmark = pytest.mark.oracle

NOT_EMPTY = hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=4)


def arguments(dim: Any, keepdim: bool) -> dict[str, Any]:
    return {} if dim is None else {"dim": dim, "keepdim": keepdim}


@pytest.mark.parametrize("name", ["sum", "mean"])
@given(data=st.data(), keepdim=st.booleans())
def test_sums(name: str, data: st.DataObject, keepdim: bool) -> None:
    x = data.draw(arrays(dtypes=DTYPES if name == "sum" else FLOATS))
    kw = arguments(data.draw(dims(x.ndim)), keepdim)
    same(lambda x: getattr(dl, name)(x, **kw), lambda x: getattr(torch, name)(x, **kw), x)
    if name == "sum":
        same(lambda x: dl.sum(x, dtype=dl.float64), lambda x: torch.sum(x, dtype=torch.float64), x)
    elif x.dtype != np.float16:
        same(lambda x: dl.mean(x, dtype=dl.float64), lambda x: torch.mean(x, dtype=torch.float64), x)


@pytest.mark.parametrize("name", ["var", "std"])
@given(data=st.data(), keepdim=st.booleans(), correction=st.sampled_from([0, 1]))
def test_variance(name: str, data: st.DataObject, keepdim: bool, correction: int) -> None:
    shape = hnp.array_shapes(min_dims=1, max_dims=4, min_side=2, max_side=4)
    x = data.draw(arrays(shape, FLOATS[:2], distinct=True))
    kw = arguments(data.draw(dims(x.ndim)), keepdim)
    same(lambda x: getattr(dl, name)(x, correction=correction, **kw),
         lambda x: getattr(torch, name)(x, correction=correction, **kw), x)  # fmt: skip
    same(lambda x: getattr(dl, name)(x, unbiased=bool(correction)),
         lambda x: getattr(torch, name)(x, unbiased=bool(correction)), x)  # fmt: skip


@given(data=st.data(), keepdim=st.booleans(), ties=st.booleans())
def test_amax_and_amin_share_the_gradient_among_ties(data: st.DataObject, keepdim: bool, ties: bool) -> None:
    """T10."""
    x = data.draw(arrays(NOT_EMPTY, FLOATS[:2] if ties else FLOATS, distinct=not ties))
    x = np.asarray(np.round(x)) if ties else x
    dim = data.draw(dims(x.ndim))
    for name in ("amax", "amin"):
        kw = {"keepdim": keepdim} if dim is None else {"dim": dim, "keepdim": keepdim}
        kw = kw if dim is not None else {"dim": tuple(range(x.ndim)), "keepdim": keepdim}
        same(lambda x, n=name, kw=kw: getattr(dl, n)(x, **kw), lambda x, n=name, kw=kw: getattr(torch, n)(x, **kw), x)


@pytest.mark.parametrize("name", ["max", "min"])
@given(data=st.data(), keepdim=st.booleans())
def test_max_and_min(name: str, data: st.DataObject, keepdim: bool) -> None:
    x = data.draw(arrays(NOT_EMPTY, FLOATS, distinct=True))
    x = np.unique(x)[np.random.default_rng(0).permutation(np.unique(x).size)] if x.dtype == np.float16 else x
    ours, theirs = getattr(dl, name), getattr(torch, name)
    same(ours, theirs, x)
    dim = data.draw(dims(x.ndim, several=False))
    same(lambda x: ours(x, dim, keepdim), lambda x: theirs(x, dim, keepdim), x)
    same(ours, theirs, x, np.asarray(x[..., ::-1] if x.ndim else x + 1))
    named = ours(dl.tensor(x), dim)
    assert named.values is named[0]
    assert named.indices is named[1]


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@given(data=st.data(), keepdim=st.booleans())
def test_positions_of_extremes(name: str, data: st.DataObject, keepdim: bool) -> None:
    x = data.draw(arrays(NOT_EMPTY, ("float64", "float32"), distinct=True))
    ours, theirs = getattr(dl, name), getattr(torch, name)
    same(ours, theirs, x)
    dim = data.draw(dims(x.ndim, several=False))
    same(lambda x: ours(x, dim, keepdim), lambda x: theirs(x, dim, keepdim), x)


@given(data=st.data(), descending=st.booleans())
def test_order(data: st.DataObject, descending: bool) -> None:
    x = data.draw(arrays(dtypes=["float64", "float32"], distinct=True))
    dim = data.draw(dims(x.ndim, several=False))
    same(lambda x: dl.sort(x, dim, descending), lambda x: torch.sort(x, dim, descending), x)
    same(lambda x: dl.sort(x), lambda x: torch.sort(x), x)
    same(lambda x: dl.argsort(x, dim, descending), lambda x: torch.argsort(x, dim, descending), x)
    if x.ndim:
        k = data.draw(st.integers(0, x.shape[dim]))
        same(lambda x: dl.topk(x, k, dim, not descending), lambda x: torch.topk(x, k, dim, not descending), x)


@given(data=st.data())
def test_order_of_integers_with_ties_is_stable(data: st.DataObject) -> None:
    x = data.draw(arrays(dtypes=["int64", "uint8"]))
    for descending in (False, True):
        same(lambda x, d=descending: dl.sort(x, descending=d, stable=True),
             lambda x, d=descending: torch.sort(x, descending=d, stable=True), x)  # fmt: skip


@pytest.mark.parametrize("name", ["all", "any"])
@given(data=st.data(), keepdim=st.booleans())
def test_truth(name: str, data: st.DataObject, keepdim: bool) -> None:
    x = data.draw(arrays(dtypes=["bool", "int64"]))
    kw = arguments(data.draw(dims(x.ndim)), keepdim)
    same(lambda x: getattr(dl, name)(x, **kw), lambda x: getattr(torch, name)(x, **kw), x)


@given(data=st.data())
def test_running_sum(data: st.DataObject) -> None:
    x = data.draw(arrays(dtypes=["float64", "float32", "int64", "bool"]))
    dim = data.draw(dims(x.ndim, several=False))
    same(lambda x: dl.cumsum(x, dim), lambda x: torch.cumsum(x, dim), x)


@given(data=st.data(), keepdim=st.booleans(), zeros=st.integers(0, 2))
def test_product_with_zeros(data: st.DataObject, keepdim: bool, zeros: int) -> None:
    """T28: the gradient of a product in which some factors are 0."""
    x = data.draw(arrays(dtypes=["float64", "float32", "int64"]))
    x.reshape(-1)[:zeros] = 0
    same(dl.prod, torch.prod, x)
    dim = data.draw(dims(x.ndim, several=False))
    same(lambda x: dl.prod(x, dim, keepdim), lambda x: torch.prod(x, dim, keepdim), x)


@given(data=st.data(), keepdim=st.booleans())
def test_logsumexp(data: st.DataObject, keepdim: bool) -> None:
    x = data.draw(arrays(dtypes=FLOATS))
    dim = data.draw(dims(x.ndim))
    dim = tuple(range(x.ndim)) if dim is None else dim
    same(lambda x: dl.logsumexp(x, dim, keepdim), lambda x: torch.logsumexp(x, dim, keepdim), x)


@pytest.mark.parametrize("x", [[1000.0, 1001.0], [-math.inf, 0.0], [-1e30, -1e30], [math.inf, 1.0]])
def test_logsumexp_at_the_edges(x: list[float]) -> None:
    """T28; ERRATA 001-F1a: (1000, 1001) gives 1001.313262, where the naive formula overflows."""
    with np.errstate(all="ignore"):
        same(lambda x: dl.logsumexp(x, 0), lambda x: torch.logsumexp(x, 0), np.array(x, "f4"))
    assert dl.logsumexp(dl.tensor([1000.0, 1001.0], dtype=dl.float64), 0).item() == pytest.approx(1001.313262, abs=1e-6)


@pytest.mark.parametrize("p", [2, 1, 3, 1.5, math.inf, -math.inf, "fro"])
@given(data=st.data(), keepdim=st.booleans())
def test_norm(p: Any, data: st.DataObject, keepdim: bool) -> None:
    x = data.draw(arrays(NOT_EMPTY, FLOATS[:2], distinct=True, low=0.5))
    x = np.asarray(x * np.where(np.arange(x.size).reshape(x.shape) % 2, -1, 1)).astype(x.dtype)
    same(lambda x: dl.norm(x, p), lambda x: torch.norm(x, p), x)
    dim = data.draw(dims(x.ndim, several=p != "fro"))
    if dim is not None and x.ndim:
        same(lambda x: dl.norm(x, p, dim, keepdim), lambda x: torch.norm(x, p, dim, keepdim), x)


def test_the_length_of_nothing_has_slope_zero() -> None:
    """T28."""
    for p in (1, 2, 3, math.inf):
        same(lambda x: dl.norm(x, p), lambda x: torch.norm(x, p), np.zeros(3))  # noqa: B023


@pytest.mark.parametrize("name", ["sum", "mean", "amax", "argmax", "cumsum", "sort", "prod", "logsumexp"])
def test_a_dimension_that_is_not_there_is_refused(name: str) -> None:
    for dim in (2, -3):
        both_refuse(lambda x: getattr(dl, name)(x, dim), lambda x: getattr(torch, name)(x, dim), np.ones((2, 3)))  # noqa: B023


@pytest.mark.parametrize("name", ["sum", "mean", "amax"])
def test_a_dimension_named_twice_is_refused(name: str) -> None:
    both_refuse(lambda x: getattr(dl, name)(x, (0, -2)), lambda x: getattr(torch, name)(x, (0, -2)), np.ones((2, 3)))


@pytest.mark.parametrize("name", ["amax", "amin", "argmax", "max", "min"])
def test_nothing_has_no_extreme(name: str) -> None:
    both_refuse(lambda x: getattr(dl, name)(x, 1), lambda x: getattr(torch, name)(x, 1), np.ones((2, 0)))
    both_refuse(getattr(dl, name), getattr(torch, name), np.ones((2, 0)))


def test_integers_have_no_mean_and_topk_no_more_than_there_is() -> None:
    both_refuse(dl.mean, torch.mean, np.array([1, 2]))
    both_refuse(lambda x: dl.topk(x, 3), lambda x: torch.topk(x, 3), np.ones(2))
