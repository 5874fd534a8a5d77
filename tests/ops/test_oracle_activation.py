"""Activations and softmax against PyTorch, at ordinary numbers and at the edges (T9, T28)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from against_torch import FLOATS, arrays, both_refuse, dims, same, torch
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
import minidl.nn.functional as F

pytestmark = pytest.mark.oracle

CALLS: dict[str, list[dict[str, Any]]] = {
    "relu": [{}], "leaky_relu": [{}, {"negative_slope": 0.2}], "elu": [{}, {"alpha": 0.5}],
    "gelu": [{}, {"approximate": "tanh"}], "silu": [{}],
    "softplus": [{}, {"beta": 2.0, "threshold": 1.0}], "sigmoid": [{}], "tanh": [{}],
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
@given(data=st.data())
def test_activations(name: str, data: st.DataObject) -> None:
    x = data.draw(arrays(dtypes=FLOATS, low=-5, high=5, gap=0.05))
    for kw in CALLS[name]:
        same(lambda x, kw=kw: getattr(F, name)(x, **kw),
             lambda x, kw=kw: getattr(torch.nn.functional, name)(x, **kw), x)  # fmt: skip


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@given(data=st.data(), scale=st.sampled_from([1, 100]))
def test_softmax(name: str, data: st.DataObject, scale: int) -> None:
    x = np.asarray(data.draw(arrays(dtypes=FLOATS)) * np.float16(scale))
    if not x.ndim:
        return
    dim = data.draw(dims(x.ndim, several=False))
    tolerance = 0.1 if x.dtype == np.float16 and scale == 100 else None
    same(lambda x: getattr(F, name)(x, dim), lambda x: getattr(torch.nn.functional, name)(x, dim), x,
         tolerance=tolerance)  # fmt: skip
    same(lambda x: getattr(F, name)(x, dim, dtype=dl.float64),
         lambda x: getattr(torch.nn.functional, name)(x, dim, dtype=torch.float64), x, tolerance=tolerance)  # fmt: skip


EDGES = np.array([0.0, -0.0, 1e4, -1e4, 1e30, -1e30, 88.0, -88.0, 20.0, 20.1, 1e-30, math.inf, -math.inf])


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "sigmoid", "tanh", "softplus", "silu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_edges(name: str, dtype: str) -> None:
    """T28: no overflow and no nan where PyTorch has none."""
    finite = EDGES[:-2] if name == "silu" else EDGES
    same(getattr(F, name), getattr(torch.nn.functional, name), finite.astype(dtype))


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_huge_scores(name: str) -> None:
    """T9: scores of ±1e4, and a score of −∞ that masks."""
    x = np.array([[1e4, -1e4, 0.0], [1e4, 1e4, 1e4], [-math.inf, 1.0, 2.0]], "f4")
    with np.errstate(all="ignore"):
        same(lambda x: getattr(F, name)(x, 1)[:2], lambda x: getattr(torch.nn.functional, name)(x, 1)[:2], x)
        same(lambda x: getattr(F, name)(x, 1), lambda x: getattr(torch.nn.functional, name)(x, 1), x, gradients=False)


def test_softmax_by_hand() -> None:
    """ERRATA 001-F8: softmax(2, 1, 0) = (.665241, .244728, .090031)."""
    y = F.softmax(dl.tensor([2.0, 1.0, 0.0]), dim=0)
    np.testing.assert_allclose(y.numpy(), [0.665241, 0.244728, 0.090031], atol=1e-6)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_dimension_that_is_not_there_is_refused(name: str) -> None:
    theirs = getattr(torch.nn.functional, name)
    both_refuse(lambda x: getattr(F, name)(x, 2), lambda x: theirs(x, 2), np.ones((2, 3)))


def test_an_unknown_approximation_is_refused() -> None:
    theirs = torch.nn.functional.gelu
    both_refuse(lambda x: F.gelu(x, approximate="no"), lambda x: theirs(x, approximate="no"), np.ones(2))


def test_a_tiny_sigmoid_is_not_zero() -> None:
    """T9: (tanh(x/2) + 1)/2 rounds to 0 here, and its logarithm to −∞."""
    x = dl.tensor([-30.0, -80.0, -1e4])
    np.testing.assert_allclose(F.sigmoid(x).numpy()[:2], np.exp([-30.0, -80.0]), rtol=1e-5)
    assert F.sigmoid(x).numpy()[2] < 1e-37
