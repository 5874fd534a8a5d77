"""Shapes, joining, cutting, padding, indices against PyTorch: negative dimensions, nothing at all, repeats (T29)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_torch import DTYPES, arrays, both_refuse, dims, same, torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minidl as dl
import minidl.nn.functional as F

pytestmark = pytest.mark.oracle

SOME = ("float64", "float32", "int64", "bool")
WITH_DIMS = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)


@given(data=st.data())
def test_reshape(data: st.DataObject) -> None:
    x = data.draw(arrays(dtypes=SOME))
    factors = list(data.draw(st.permutations(x.shape)))
    wanted = (-1, *factors[1:]) if factors and 0 not in factors and data.draw(st.booleans()) else tuple(factors)
    same(lambda x: dl.reshape(x, wanted), lambda x: torch.reshape(x, wanted), x)
    same(lambda x: x.reshape(-1) if x.size else x, lambda x: x.reshape(-1) if x.size else x, x)


@given(data=st.data())
def test_permutations(data: st.DataObject) -> None:
    x = data.draw(arrays(WITH_DIMS, SOME))
    order = data.draw(st.permutations([d - x.ndim * data.draw(st.integers(0, 1)) for d in range(x.ndim)]))
    same(lambda x: dl.permute(x, order), lambda x: torch.permute(x, order), x)
    a, b = data.draw(dims(x.ndim, several=False)), data.draw(dims(x.ndim, several=False))
    same(lambda x: dl.transpose(x, a, b), lambda x: torch.transpose(x, a, b), x)
    same(lambda x: dl.movedim(x, a, b), lambda x: torch.movedim(x, a, b), x)
    if x.ndim > 1:
        same(lambda x: dl.movedim(x, (0, 1), (-1, 0)), lambda x: torch.movedim(x, (0, 1), (-1, 0)), x)


@given(data=st.data())
def test_squeeze_and_unsqueeze(data: st.DataObject) -> None:
    x = data.draw(arrays(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=2), SOME))
    same(dl.squeeze, torch.squeeze, x)
    at = data.draw(st.integers(-x.ndim - 1, x.ndim))
    same(lambda x: dl.unsqueeze(x, at), lambda x: torch.unsqueeze(x, at), x)
    if x.ndim:
        dim = data.draw(dims(x.ndim))
        if dim is not None:
            same(lambda x: dl.squeeze(x, dim), lambda x: torch.squeeze(x, dim), x)


@given(data=st.data())
def test_flatten(data: st.DataObject) -> None:
    x = data.draw(arrays(dtypes=SOME))
    same(dl.flatten, torch.flatten, x)
    if x.ndim:
        first = data.draw(st.integers(0, x.ndim - 1))
        last = data.draw(st.integers(first, x.ndim - 1))
        same(lambda x: dl.flatten(x, first, last - x.ndim), lambda x: torch.flatten(x, first, last - x.ndim), x)


@given(data=st.data())
def test_expand(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    mask = [data.draw(st.booleans()) for _ in shape]
    x = data.draw(arrays(st.just(tuple([1 if m else n for n, m in zip(shape, mask)])), SOME))
    wanted = (2, *[n if m or data.draw(st.booleans()) else -1 for n, m in zip(shape, mask)])
    same(lambda x: x.expand(*wanted), lambda x: x.expand(*wanted), x)
    same(lambda x: dl.broadcast_to(x, (2, *shape)), lambda x: torch.broadcast_to(x, (2, *shape)), x)


@given(data=st.data())
def test_repeats(data: st.DataObject) -> None:
    x = data.draw(arrays(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), SOME))
    times = tuple(data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=4)))
    same(lambda x: dl.tile(x, times), lambda x: torch.tile(x, times), x)
    if len(times) >= x.ndim:
        same(lambda x: x.repeat(*times), lambda x: x.repeat(*times), x)
    n = data.draw(st.integers(0, 3))
    same(lambda x: dl.repeat_interleave(x, n), lambda x: torch.repeat_interleave(x, n), x)
    if x.ndim:
        dim = data.draw(dims(x.ndim, several=False))
        same(lambda x: dl.repeat_interleave(x, n, dim), lambda x: torch.repeat_interleave(x, n, dim), x)


@given(data=st.data())
def test_flip_and_roll(data: st.DataObject) -> None:
    x = data.draw(arrays(WITH_DIMS, SOME))
    dim = data.draw(dims(x.ndim, several=False))
    shift = data.draw(st.integers(-7, 7))
    same(lambda x: dl.flip(x, (dim,)), lambda x: torch.flip(x, (dim,)), x)
    same(lambda x: dl.roll(x, shift, dim), lambda x: torch.roll(x, shift, dim), x)


@given(data=st.data())
def test_joining(data: st.DataObject) -> None:
    shape = data.draw(WITH_DIMS)
    dim = data.draw(dims(len(shape), several=False))
    others = [tuple([data.draw(st.integers(0, 3)) if i == dim % len(shape) else n for i, n in enumerate(shape)])
              for _ in range(2)]  # fmt: skip
    xs = [data.draw(arrays(st.just(s), SOME)) for s in (shape, *others)]
    same(lambda *xs: dl.cat(xs, dim), lambda *xs: torch.cat(xs, dim), *xs)
    ys = [data.draw(arrays(st.just(shape), ("float64", "float32"))) for _ in range(3)]
    at = data.draw(st.integers(-len(shape) - 1, len(shape)))
    same(lambda *xs: dl.stack(xs, at), lambda *xs: torch.stack(xs, at), *[y.astype("f8") for y in ys])


@given(data=st.data())
def test_cutting(data: st.DataObject) -> None:
    x = data.draw(arrays(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=6), SOME))
    dim = data.draw(dims(x.ndim, several=False))
    size = x.shape[dim]
    start = data.draw(st.integers(0, size))
    length = data.draw(st.integers(0, size - start))
    same(lambda x: dl.narrow(x, dim, start, length), lambda x: torch.narrow(x, dim, start, length), x)
    each, parts = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    same(lambda x: dl.split(x, each, dim), lambda x: torch.split(x, each, dim), x)
    same(lambda x: dl.split(x, [start, size - start], dim), lambda x: torch.split(x, [start, size - start], dim), x)
    same(lambda x: dl.chunk(x, parts, dim), lambda x: torch.chunk(x, parts, dim), x)
    same(lambda x: dl.unbind(x, dim), lambda x: torch.unbind(x, dim), x)


@given(data=st.data(), mode=st.sampled_from(["constant", "reflect", "replicate", "circular"]))
def test_padding(data: st.DataObject, mode: str) -> None:
    x = data.draw(arrays(hnp.array_shapes(min_dims=4, max_dims=4, min_side=3, max_side=5), ("float64", "float32")))
    widths = tuple([data.draw(st.integers(-1 if mode == "constant" else 0, 2)) for _ in range(4)])
    value = data.draw(st.sampled_from([None, 0.5])) if mode == "constant" else None
    same(lambda x: F.pad(x, widths, mode, value), lambda x: torch.nn.functional.pad(x, widths, mode, value), x)
    same(lambda x: F.pad(x, widths[:2]), lambda x: torch.nn.functional.pad(x, widths[:2]), x)


@given(data=st.data(), diagonal=st.integers(-4, 4))
def test_triangles(data: st.DataObject, diagonal: int) -> None:
    x = data.draw(arrays(hnp.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=4), SOME))
    same(lambda x: dl.tril(x, diagonal), lambda x: torch.tril(x, diagonal), x)
    same(lambda x: dl.triu(x, diagonal), lambda x: torch.triu(x, diagonal), x)


# ── indices ───────────────────────────────────────────────────────────────────────────────────────

INDICES: list[Any] = [
    0, -1, slice(1, None), slice(None, None, 2), (slice(None), 1), (Ellipsis, 0), (None, 1), (0, None, slice(1, 3)),
    [0, 0, 2], (slice(None), [1, 1, 0]), ([0, 2, 2], [1, 1, 3]), ([[0, 1], [2, 2]],), (slice(None), [[0], [1]], [0, 1]),
    (1, [0, 2], slice(None)), (Ellipsis, [0, 0]),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_indexing(index: Any) -> None:
    """T29: an element taken twice receives twice the gradient."""
    x = np.random.default_rng(0).normal(size=(3, 4, 2))
    same(lambda x: x[index], lambda x: x[index], x)


def test_indexing_by_tensors() -> None:
    x = np.random.default_rng(0).normal(size=(3, 4))
    k, mask = np.array([2, 0, 2, -1]), x > 0
    same(lambda x, k: x[k], lambda x, k: x[k], x, k)
    same(lambda x, m: x[m], lambda x, m: x[m], x, mask)
    same(lambda x, m: x[:, m], lambda x, m: x[:, m], x, mask[0])
    same(lambda x: x[dl.tensor(1), 2], lambda x: x[torch.tensor(1), 2], x)


@given(data=st.data())
def test_index_select(data: st.DataObject) -> None:
    x = data.draw(arrays(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4), SOME))
    dim = data.draw(dims(x.ndim, several=False))
    k = np.array(data.draw(st.lists(st.integers(0, x.shape[dim] - 1), max_size=6)), "i8")
    same(lambda x, k: dl.index_select(x, dim, k), lambda x, k: torch.index_select(x, dim, k), x, k)


@given(data=st.data())
def test_gather_and_scatter(data: st.DataObject) -> None:
    x = data.draw(arrays(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4), ("float64", "float32")))
    dim = data.draw(dims(x.ndim, several=False))
    shape = [data.draw(st.integers(1, n)) for n in x.shape]
    shape[dim] = data.draw(st.integers(1, 5))
    k = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, x.shape[dim], shape)
    same(lambda x, k: dl.gather(x, dim, k), lambda x, k: torch.gather(x, dim, k), x, k)
    source = np.random.default_rng(1).normal(size=shape).astype(x.dtype)
    same(lambda x, k, s: dl.scatter_add(x, dim, k, s), lambda x, k, s: torch.scatter_add(x, dim, k, s), x, k, source)


@given(data=st.data())
def test_one_hot_and_nonzero(data: st.DataObject) -> None:
    k = data.draw(arrays(dtypes=["uint8"])).astype("i8")
    same(lambda k: F.one_hot(k, 12), lambda k: torch.nn.functional.one_hot(k, 12), k)
    if k.size:
        same(F.one_hot, torch.nn.functional.one_hot, k)
    same(dl.nonzero, torch.nonzero, data.draw(arrays(dtypes=DTYPES)))


REFUSED: dict[str, tuple[Any, Any, Any]] = {
    "reshape": (lambda x: dl.reshape(x, (4, 2)), lambda x: torch.reshape(x, (4, 2)), np.ones((2, 3))),
    "two unknown sizes": (lambda x: dl.reshape(x, (-1, -1)), lambda x: torch.reshape(x, (-1, -1)), np.ones((2, 3))),
    "permute twice": (lambda x: dl.permute(x, (0, 0)), lambda x: torch.permute(x, (0, 0)), np.ones((2, 3))),
    "transpose": (lambda x: dl.transpose(x, 0, 2), lambda x: torch.transpose(x, 0, 2), np.ones((2, 3))),
    "expand": (lambda x: x.expand(4, 3), lambda x: x.expand(4, 3), np.ones((2, 3))),
    "flatten": (lambda x: dl.flatten(x, 1, 0), lambda x: torch.flatten(x, 1, 0), np.ones((2, 3))),
    "cat of nothing": (lambda x: dl.cat([]), lambda x: torch.cat([]), np.ones(2)),
    "cat": (lambda x: dl.cat([x, x[:, :2]]), lambda x: torch.cat([x, x[:, :2]]), np.ones((2, 3))),
    "stack": (lambda x: dl.stack([x, x[:1]]), lambda x: torch.stack([x, x[:1]]), np.ones((2, 3))),
    "split": (lambda x: dl.split(x, [1, 2], 0), lambda x: torch.split(x, [1, 2], 0), np.ones((2, 3))),
    "narrow": (lambda x: dl.narrow(x, 0, 1, 2), lambda x: torch.narrow(x, 0, 1, 2), np.ones((2, 3))),
    "chunk": (lambda x: dl.chunk(x, 0), lambda x: torch.chunk(x, 0), np.ones((2, 3))),
    "pad": (lambda x: F.pad(x, (1, 2, 3)), lambda x: torch.nn.functional.pad(x, (1, 2, 3)), np.ones((2, 3))),
    "reflect": (lambda x: F.pad(x, (3, 0), "reflect"), lambda x: torch.nn.functional.pad(x, (3, 0), "reflect"),
                np.ones((1, 2, 3))),
    "index": (lambda x: x[2], lambda x: x[2], np.ones((2, 3))),
    "index list": (lambda x: x[[0, 2]], lambda x: x[[0, 2]], np.ones((2, 3))),
    "index_select": (lambda x: dl.index_select(x, 0, dl.tensor([2])),
                     lambda x: torch.index_select(x, 0, torch.tensor([2])), np.ones((2, 3))),
    "gather": (lambda x: dl.gather(x, 1, dl.tensor([[3]])), lambda x: torch.gather(x, 1, torch.tensor([[3]])),
               np.ones((2, 3))),
    "gather by floats": (lambda x: dl.gather(x, 1, x), lambda x: torch.gather(x, 1, x), np.ones((2, 3))),
    "one_hot": (lambda k: F.one_hot(k, 2), lambda k: torch.nn.functional.one_hot(k, 2), np.array([2])),
    "one_hot negative": (F.one_hot, torch.nn.functional.one_hot, np.array([-1])),
    "unsqueeze": (lambda x: dl.unsqueeze(x, 3), lambda x: torch.unsqueeze(x, 3), np.ones((2, 3))),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_refused(what: str) -> None:
    both_refuse(*REFUSED[what])
