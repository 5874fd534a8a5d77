"""Products of matrices, linear and einsum against PyTorch: all numbers of dimensions (T34), nothing at all, dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_torch import arrays, both_refuse, same, torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minidl as dl
import minidl.nn.functional as F

pytestmark = pytest.mark.oracle

FLOATS = ("float64", "float32")


@given(data=st.data(), dtype=st.sampled_from([*FLOATS, "float16", "int64"]))
def test_matmul_of_all_numbers_of_dimensions(data: st.DataObject, dtype: str) -> None:
    """T34: vectors, matrices, batches that broadcast, empty sizes."""
    n, k, m = [data.draw(st.integers(0, 4)) for _ in range(3)]
    batches = data.draw(
        hnp.mutually_broadcastable_shapes(num_shapes=2, min_dims=0, max_dims=2, min_side=0, max_side=3)
    ).input_shapes
    a = data.draw(st.sampled_from([(k,), (*batches[0], n, k)]))
    b = data.draw(st.sampled_from([(k,), (*batches[1], k, m)]))
    x, y = data.draw(arrays(st.just(a), [dtype])), data.draw(arrays(st.just(b), [dtype]))
    same(dl.matmul, torch.matmul, x, y)
    same(lambda x, y: x @ y, lambda x, y: x @ y, x, y)


@given(data=st.data())
def test_the_products_with_names(data: st.DataObject) -> None:
    b, n, k, m = [data.draw(st.integers(0, 4)) for _ in range(4)]

    def drawn(*shape: int) -> Any:
        return data.draw(arrays(st.just(shape), ["float64"]))

    same(dl.mm, torch.mm, drawn(n, k), drawn(k, m))
    same(dl.bmm, torch.bmm, drawn(b, n, k), drawn(b, k, m))
    same(dl.dot, torch.dot, drawn(k), drawn(k))
    same(dl.outer, torch.outer, drawn(n), drawn(m))


@given(data=st.data(), dtype=st.sampled_from([*FLOATS, "float16"]), bias=st.booleans())
def test_linear(data: st.DataObject, dtype: str, bias: bool) -> None:
    i, o = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    rows = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    x = data.draw(arrays(st.just((*rows, i)), [dtype]))
    w, b = data.draw(arrays(st.just((o, i)), [dtype])), data.draw(arrays(st.just((o,)), [dtype]))
    same(F.linear, torch.nn.functional.linear, x, w, *([b] if bias else []))


EQUATIONS: dict[str, list[tuple[int, ...]]] = {
    "ij,jk->ik": [(2, 3), (3, 4)], "ij,jk": [(2, 3), (3, 4)], "bij,bjk,k->bi": [(2, 3, 4), (2, 4, 5), (5,)],
    "i,i->": [(3,), (3,)], "i,j->ij": [(2,), (3,)], "ij->ji": [(2, 3)], "ij->": [(2, 3)], "ij->i": [(2, 3)],
    "ii->i": [(3, 3)], "ii->": [(3, 3)], "iij->j": [(3, 3, 2)], "...ij,...jk->...ik": [(2, 1, 3, 4), (5, 4, 2)],
    "b...,b->b...": [(2, 3, 4), (2,)], "bhid,bhjd->bhij": [(2, 2, 3, 4), (2, 2, 5, 4)], "ij,kj->": [(2, 3), (4, 3)],
    "ij,ij->ij": [(2, 3), (1, 3)],
}  # fmt: skip


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum(equation: str) -> None:
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=shape) for shape in EQUATIONS[equation]]
    same(lambda *xs: dl.einsum(equation, *xs), lambda *xs: torch.einsum(equation, *xs), *xs)


REFUSED: dict[str, tuple[str, list[Any]]] = {
    "inner sizes": ("matmul", [np.ones((2, 3)), np.ones((2, 3))]),
    "a number": ("matmul", [np.ones(()), np.ones((2, 3))]),
    "mm of batches": ("mm", [np.ones((1, 2, 3)), np.ones((3, 2))]),
    "bmm of matrices": ("bmm", [np.ones((2, 3)), np.ones((3, 2))]),
    "dot of matrices": ("dot", [np.ones((2, 3)), np.ones((2, 3))]),
    "dot of unlike vectors": ("dot", [np.ones(2), np.ones(3)]),
    "outer of matrices": ("outer", [np.ones((2, 3)), np.ones(3)]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_refused(what: str) -> None:
    name, operands = REFUSED[what]
    both_refuse(getattr(dl, name), getattr(torch, name), *operands)


@pytest.mark.parametrize("equation", ["ij,jk->ik", "ij->k", "ij->ijj", "ijk->i"])
def test_equations_that_do_not_fit_are_refused(equation: str) -> None:
    both_refuse(lambda x: dl.einsum(equation, x), lambda x: torch.einsum(equation, x), np.ones((2, 3)))


def test_linear_says_what_does_not_fit() -> None:
    sentence = both_refuse(F.linear, torch.nn.functional.linear, np.ones((2, 3)), np.ones((4, 5)))
    assert "3" in sentence
    assert "5" in sentence
