"""One step of the optimizers in every room."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import Array

from minidl.kernels import kernels_for, use_kernels

ROOMS = ("auto", "numpy")
TOLERANCE = {"float32": 1e-5, "float64": 1e-13}
SIZES = st.sampled_from([0, 1, 3, 15, 16, 17, 64, 130])


def updated(room: str, name: str, arrays: list[Array | None], *numbers: Any) -> list[Array]:
    copies: list[Any] = [None if x is None else x.copy() for x in arrays]
    with use_kernels(room):
        getattr(kernels_for(copies[0]), name)(*copies, *numbers)
    np.testing.assert_array_equal(copies[1], arrays[1])  # T6: the gradient is never written to
    return [x for x in copies if x is not None]


def drawn(count: int, n: int, dtype: str, seed: int) -> list[Array | None]:
    rng = np.random.default_rng(seed)
    return [np.abs(x) if i > 2 else x for i, x in enumerate(rng.standard_normal((count, n)).astype(dtype))]


@pytest.mark.parametrize("room", ROOMS)
@given(
    n=SIZES, dtype=st.sampled_from(tuple(TOLERANCE)), momentum=st.booleans(), nesterov=st.booleans(),
    fresh=st.sampled_from([1, 0.3]), decay=st.sampled_from([0, 0.1]), sign=st.sampled_from([1, -1]),
    seed=st.integers(0, 2**31),
)  # fmt: skip
def test_sgd(room: str, n: int, dtype: str, momentum: bool, nesterov: bool, fresh: float, decay: float, sign: int,
             seed: int) -> None:  # fmt: skip
    p, g, b = drawn(3, n, dtype, seed)
    args = [p, g, b if momentum else None], 0.1, 0.9, fresh, nesterov, decay, sign
    for a, e in zip(updated(room, "sgd_update", *args), updated("reference", "sgd_update", *args), strict=True):
        np.testing.assert_allclose(a, e, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("room", ROOMS)
@given(
    n=SIZES, dtype=st.sampled_from(tuple(TOLERANCE)), amsgrad=st.booleans(), decay=st.sampled_from([0, 0.1]),
    shrink=st.sampled_from([1, 0.9]), sign=st.sampled_from([1, -1]), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_adam(room: str, n: int, dtype: str, amsgrad: bool, decay: float, shrink: float, sign: int, seed: int) -> None:
    p, g, m, v, largest = drawn(5, n, dtype, seed)
    arrays = [p, g, m, v, largest if amsgrad else None]
    args = arrays, 0.01, 0.5, 0.9, 0.999, 1e-8, decay, shrink, sign
    for a, e in zip(updated(room, "adam_update", *args), updated("reference", "adam_update", *args), strict=True):
        np.testing.assert_allclose(a, e, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("room", ROOMS)
def test_adam_moves_where_the_gradient_is_tiny(room: str) -> None:
    """g² of 1e-30 is 0 in float32; ε alone then sets the step."""
    p, g, m, v = (np.full(20, value, "f4") for value in (1, 1e-30, 0, 0))
    p, _, m, _ = updated(room, "adam_update", [p, g, m, v, None], 0.001, 0.0316, 0.9, 0.999, 1e-8, 0, 1, 1)
    np.testing.assert_allclose(m, 1e-31, rtol=1e-5)
    assert (p <= 1).all()
