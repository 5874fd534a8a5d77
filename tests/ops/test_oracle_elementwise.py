"""Elementwise operations, comparisons and logic against PyTorch: T7 (broadcasting), T8 (dtypes), T28 (edges)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from against_torch import DTYPES, FLOATS, arrays, both_refuse, broadcasting, same, torch
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl

pytestmark = pytest.mark.oracle

UNARY: dict[str, dict[str, Any]] = {
    "abs": {"gap": 0.1}, "neg": {}, "exp": {}, "expm1": {}, "sqrt": {"low": 0.1}, "rsqrt": {"low": 0.2},
    "reciprocal": {"gap": 0.3}, "square": {}, "log": {"low": 0.1}, "log1p": {"low": -0.5}, "sin": {}, "cos": {},
    "sign": {}, "floor": {}, "ceil": {}, "trunc": {}, "round": {}, "erf": {}, "relu": {"gap": 0.1}, "sigmoid": {},
    "tanh": {},
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
@given(data=st.data())
def test_one_operand(name: str, data: st.DataObject) -> None:
    dtypes = [d for d in DTYPES if not (d == "bool" and name in ("neg", "sign", "floor", "ceil", "trunc", "round",
                                                                "abs", "square", "relu"))]  # fmt: skip
    if name in ("log", "sqrt", "rsqrt", "log1p", "reciprocal"):
        dtypes = [*FLOATS, "uint8"]
    x = data.draw(arrays(dtypes=dtypes, **UNARY[name]))
    if name in ("log", "sqrt", "rsqrt", "log1p", "reciprocal") and x.dtype == np.uint8:
        x = np.asarray(x + np.uint8(1))
    same(getattr(dl, name), getattr(torch, name), x)


BINARY = ["add", "sub", "mul", "div", "maximum", "minimum", "pow", "remainder"]


@pytest.mark.parametrize("name", BINARY)
@given(data=st.data())
def test_two_tensors_broadcast_and_promote(name: str, data: st.DataObject) -> None:
    a_shape, b_shape = data.draw(broadcasting())
    dtypes = [d for d in DTYPES if not (d == "bool" and name in ("sub", "pow", "remainder"))]
    if name == "pow":
        dtypes = [d for d in FLOATS if d != "float16"]
    low = 0.3 if name == "pow" else -3.0
    a = data.draw(arrays(st.just(a_shape), dtypes, low=low))
    b = data.draw(arrays(st.just(b_shape), dtypes, low=low, gap=0.4))
    if name in ("maximum", "minimum") and a.dtype.kind == "f":
        a = np.asarray(a + a.dtype.type(0.0123))  # integers meet floats: no ties
    tolerance = 3e-2 if np.float16 in (a.dtype, b.dtype) else None
    gradients = name != "remainder" or (a.dtype.kind == "f" and b.dtype.kind != "f")
    same(getattr(dl, name), getattr(torch, name), a, b, tolerance=tolerance, gradients=gradients)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow", "remainder"])
@given(data=st.data())
def test_a_tensor_and_a_number(name: str, data: st.DataObject) -> None:
    number = data.draw(st.sampled_from([2, 3, 0.5, 2.5, 1.0]))
    dtypes = FLOATS if name in ("pow", "remainder") else [d for d in DTYPES if d != "bool"]
    x = data.draw(arrays(dtypes=dtypes, low=0.2 if name == "pow" else -3.0))
    same(lambda x: getattr(dl, name)(x, number), lambda x: getattr(torch, name)(x, number), x)


@given(data=st.data())
def test_numbers_on_either_side_of_an_operator(data: st.DataObject) -> None:
    x = data.draw(arrays(dtypes=["float64", "float32", "int64"], gap=0.4))
    number = data.draw(st.sampled_from([2, 0.5, -1.5]))
    for f in (lambda x: number + x, lambda x: number - x, lambda x: number * x, lambda x: number / x,
              lambda x: x - number, lambda x: x / number):  # fmt: skip
        same(f, f, x)


@given(data=st.data())
def test_a_number_to_the_power_of_a_tensor(data: st.DataObject) -> None:
    x = data.draw(arrays(dtypes=FLOATS[:2]))
    number = data.draw(st.sampled_from([2, 0.5, 3.0]))
    same(lambda x: number**x, lambda x: number**x, x)


@given(data=st.data(), mode=st.sampled_from([None, "trunc", "floor"]))
def test_division_with_rounding(data: st.DataObject, mode: str | None) -> None:
    a_shape, b_shape = data.draw(broadcasting())
    a = data.draw(arrays(st.just(a_shape), ["float64", "float32", "int64", "int32"]))
    b = data.draw(arrays(st.just(b_shape), ["float64", "float32", "int64", "int32"], gap=0.4))
    same(lambda a, b: dl.div(a, b, rounding_mode=mode), lambda a, b: torch.div(a, b, rounding_mode=mode), a, b)


@given(data=st.data(), alpha=st.sampled_from([2, -3]))
def test_alpha_of_add_and_sub(data: st.DataObject, alpha: int) -> None:
    a_shape, b_shape = data.draw(broadcasting())
    a, b = data.draw(arrays(st.just(a_shape), FLOATS[:2])), data.draw(arrays(st.just(b_shape), FLOATS[:2]))
    for name in ("add", "sub"):
        same(lambda a, b, n=name: getattr(dl, n)(a, b, alpha=alpha),
             lambda a, b, n=name: getattr(torch, n)(a, b, alpha=alpha), a, b)  # fmt: skip


@given(data=st.data(), low=st.sampled_from([None, -1, -0.7, 2.0]), high=st.sampled_from([None, 1, 0.8, -1.5]))
def test_clamp_to_numbers(data: st.DataObject, low: float | None, high: float | None) -> None:
    x = data.draw(arrays(dtypes=["float64", "float32", "float16", "int64"]))
    if low is None and high is None:
        both_refuse(lambda x: dl.clamp(x), lambda x: torch.clamp(x), x)
        return
    if low is not None and high is not None and low > high:
        low, high = high, low
    same(lambda x: dl.clamp(x, low, high), lambda x: torch.clamp(x, low, high), x)


@given(data=st.data())
def test_clamp_to_tensors(data: st.DataObject) -> None:
    shapes = data.draw(broadcasting(2))
    full = np.broadcast_shapes(*shapes)  # PyTorch's gradient fails where a bound is larger than x
    x, low, high = [data.draw(arrays(st.just(s), ["float64"])) for s in (full, *shapes)]
    same(
        lambda x, a, b: dl.clamp(x, a, b),
        lambda x, a, b: torch.clamp(x, a, b),
        x,
        np.asarray(low - 1),
        np.asarray(high + 1),
    )


@given(data=st.data())
def test_where(data: st.DataObject) -> None:
    shapes = data.draw(broadcasting(3))
    c = data.draw(arrays(st.just(shapes[0]), ["bool"]))
    a, b = [data.draw(arrays(st.just(s), DTYPES)) for s in shapes[1:]]
    same(lambda a, b: dl.where(dl.tensor(c), a, b), lambda a, b: torch.where(torch.tensor(c), a, b), a, b)


@given(data=st.data(), value=st.sampled_from([0, -1.5, math.inf]))
def test_masked_fill(data: st.DataObject, value: float) -> None:
    x = data.draw(arrays(dtypes=FLOATS))
    mask = data.draw(arrays(st.just(x.shape), ["bool"]))
    same(lambda x: dl.masked_fill(x, dl.tensor(mask), value),
         lambda x: torch.masked_fill(x, torch.tensor(mask), value), x)  # fmt: skip


COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge"]


@pytest.mark.parametrize("name", COMPARISONS)
@given(data=st.data())
def test_comparisons(name: str, data: st.DataObject) -> None:
    a_shape, b_shape = data.draw(broadcasting())
    a = data.draw(arrays(st.just(a_shape), DTYPES))
    b = data.draw(arrays(st.just(b_shape), DTYPES))
    same(getattr(dl, name), getattr(torch, name), a, b)
    same(lambda x: getattr(dl, name)(x, 1), lambda x: getattr(torch, name)(x, 1), a)


@pytest.mark.parametrize("name", ["bitwise_and", "bitwise_or", "bitwise_xor"])
@given(data=st.data())
def test_bits(name: str, data: st.DataObject) -> None:
    a_shape, b_shape = data.draw(broadcasting())
    integers = ["int64", "int32", "uint8", "bool"]
    a, b = data.draw(arrays(st.just(a_shape), integers)), data.draw(arrays(st.just(b_shape), integers))
    same(getattr(dl, name), getattr(torch, name), a, b)
    same(dl.bitwise_not, torch.bitwise_not, a)
    both_refuse(dl.bitwise_not, torch.bitwise_not, np.zeros(2, "f4"))


@given(data=st.data())
def test_logic_and_questions(data: st.DataObject) -> None:
    a_shape, b_shape = data.draw(broadcasting())
    a, b = data.draw(arrays(st.just(a_shape), DTYPES)), data.draw(arrays(st.just(b_shape), DTYPES))
    same(dl.logical_and, torch.logical_and, a, b)
    same(dl.logical_or, torch.logical_or, a, b)
    same(dl.logical_not, torch.logical_not, a)
    x = np.array([0.0, -0.0, math.inf, -math.inf, math.nan, 1.0])
    for name in ("isnan", "isinf", "isfinite"):
        same(getattr(dl, name), getattr(torch, name), a)
        same(getattr(dl, name), getattr(torch, name), x)


def test_nearly_equal() -> None:
    a, b = np.array([1.0, 1.0, math.nan]), np.array([1.0 + 1e-6, 1.1, math.nan])
    same(dl.isclose, torch.isclose, a, b)
    same(lambda a, b: dl.isclose(a, b, equal_nan=True), lambda a, b: torch.isclose(a, b, equal_nan=True), a, b)
    for equal_nan in (False, True):
        same(lambda a, b: dl.allclose(a[::2], b[::2], equal_nan=equal_nan),  # noqa: B023
             lambda a, b: torch.allclose(a[::2], b[::2], equal_nan=equal_nan), a, b)  # noqa: B023  # fmt: skip
    same(dl.equal, torch.equal, a[:2], b[:2])
    same(dl.equal, torch.equal, a[:2], a[:2])


EDGES = np.array([0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, 1e30, -1e30, 1e-30, 1e4, -1e4])


@pytest.mark.parametrize("name", ["abs", "neg", "exp", "expm1", "sqrt", "sign", "erf", "relu", "sigmoid", "tanh",
                                  "square", "floor", "round"])  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_and_slopes_at_the_edges(name: str, dtype: str) -> None:
    """T28: at 0, −0, ±∞, huge and tiny numbers the value and the (sub)gradient are PyTorch's."""
    with np.errstate(all="ignore"):
        same(getattr(dl, name), getattr(torch, name), EDGES.astype(dtype))


def test_powers_at_zero() -> None:
    """T28: x⁰ has slope 0 also at 0, and 0ⁿ has no nan for n."""
    x = np.array([0.0, 1.0, 2.0])
    for n in (0, 1, 2, 3.0, 0.5):
        same(lambda x: x**n, lambda x: x**n, x)  # noqa: B023
    same(dl.pow, torch.pow, np.array([0.0, 0.0, 2.0]), np.array([0.0, 2.0, 3.0]))


def test_equal_numbers_share_the_gradient_of_their_maximum() -> None:
    """T10."""
    a, b = np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])
    same(dl.maximum, torch.maximum, a, b)
    same(dl.minimum, torch.minimum, a, b)


@pytest.mark.parametrize("name", ["add", "mul", "maximum", "pow", "eq", "logical_and"])
def test_shapes_that_do_not_broadcast_are_refused(name: str) -> None:
    both_refuse(getattr(dl, name), getattr(torch, name), np.ones((2, 3)), np.ones((2, 4)))


def test_integers_to_a_negative_power_are_refused() -> None:
    both_refuse(lambda x: x**-1, lambda x: x**-1, np.array([2, 3]))
