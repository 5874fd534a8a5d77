"""T8: which dtype two operands make, for every pair of tensors, 0-d tensors and Python numbers, is PyTorch's."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl import ops
from minidl.backend import promote_types, result_type

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
COMPLEX = ["complex64", "complex128"]
NUMBERS = [True, 3, 2.5]


def operands(torch: Any) -> list[tuple[str, Any, Any]]:
    """Every kind of operand, ours and PyTorch's."""
    found = [(repr(number), number, number) for number in NUMBERS]
    for dtype, shape in itertools.product([*DTYPES, *COMPLEX], [(), (2,)]):
        array = np.ones(shape, dtype)
        found.append((f"{dtype}{list(shape)}", dl.Tensor(array), torch.from_numpy(np.asarray(array))))
    return found


@pytest.mark.oracle
def test_every_pair_of_operands() -> None:
    torch = pytest.importorskip("torch")
    wrong = []
    for (a_name, a, ta), (b_name, b, tb) in itertools.product(operands(torch), repeat=2):
        if not hasattr(a, "array") and not hasattr(b, "array"):
            continue
        expected = torch.result_type(ta, tb)
        if expected == torch.complex32:  # NumPy has no half-precision complex numbers
            continue
        found = result_type(getattr(a, "array", a), getattr(b, "array", b)).name
        if found != str(expected).removeprefix("torch."):
            wrong.append(f"{a_name} with {b_name}: {found}, PyTorch {expected}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["add", "mul", "sub", "div", "pow", "maximum", "where", "cat"])
def test_operations_follow_the_table(name: str) -> None:
    torch = pytest.importorskip("torch")
    wrong = []
    for (a_name, a, ta), (b_name, b, tb) in itertools.product(operands(torch), repeat=2):
        if "complex" in a_name + b_name or not (hasattr(a, "array") and hasattr(b, "array")):
            continue
        if ("bool" in a_name or "bool" in b_name) and name in ("sub", "pow"):
            continue
        try:
            if name == "where":
                expected = torch.where(torch.tensor([True, False]), ta, tb).dtype
                found = ops.where(dl.tensor([True, False]), a, b).dtype
            elif name == "cat":
                if a.ndim == 0 or b.ndim == 0:
                    continue
                expected, found = torch.cat([ta, tb]).dtype, ops.cat([a, b]).dtype
            else:
                expected, found = getattr(torch, name)(ta, tb).dtype, getattr(ops, name)(a, b).dtype
        except RuntimeError as error:
            pytest.fail(f"{name} of {a_name} and {b_name}: {error}")
        if found.name != str(expected).removeprefix("torch."):
            wrong.append(f"{name} of {a_name} and {b_name}: {found.name}, PyTorch {expected}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.oracle
def test_every_pair_of_dtypes() -> None:
    torch = pytest.importorskip("torch")
    for a, b in itertools.product([*DTYPES, *COMPLEX], repeat=2):
        expected = torch.promote_types(getattr(torch, a), getattr(torch, b))
        if expected != torch.complex32:
            assert promote_types(a, b).name == str(expected).removeprefix("torch."), (a, b)


def test_an_integer_never_widens_a_float() -> None:
    """NumPy makes float64 of int64 and float32; a label added to a float32 loss must not."""
    assert (dl.ones(2) + dl.tensor([1, 2])).dtype == dl.float32
    assert (dl.ones(2) * np.int64(2)).dtype == dl.float32
    assert (dl.ones(2) * np.float64(2)).dtype == dl.float32


def test_numpy_s_numbers_neither() -> None:
    """T8: np.float64 is a Python float too, and must not slip through as one that NumPy takes at its width."""
    x = dl.ones(2, requires_grad=True)
    two = np.float64(2.0)
    for y in (x * two, two * x, x**two, x / two, two / x, two - x, ops.clamp(x, np.float64(0), two), x + two,
              ops.elu(x, two), ops.softplus(x, two), ops.leaky_relu(x, two),
              ops.masked_fill(x, x > 0, two)):  # fmt: skip
        assert y.dtype == dl.float32, y
        x.grad = None
        y.sum().backward()
        assert x.grad is None or x.grad.dtype == dl.float32


@pytest.mark.usefixtures("float64_default")
def test_the_default_dtype_decides_for_python_s_floats() -> None:
    assert dl.tensor([1.0]).dtype == dl.float64
    assert (dl.tensor([1, 2]) * 0.5).dtype == dl.float64
    assert (dl.ones(2, dtype=dl.float32) * 0.5).dtype == dl.float32
