"""Functions made of straight pieces: held between bounds, and the soft threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minidl.ops.broadcasting import Operand, as_tensor, floating
from minidl.ops.choice import clamp, where
from minidl.ops.registry import DISTINCT, op

if TYPE_CHECKING:
    from minidl.tensor import Tensor


@op(formula=r"y = \min(\max(x, l), u)", adjoint=r"\bar x = [l < x < u]\, \bar y",
    example=lambda draw: {"input": draw(2, 3), "min_val": -0.9, "max_val": 0.75}, domain=DISTINCT,
    oracle="richardson")  # fmt: skip
def hardtanh(input: Operand, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x held between two numbers; unlike `clamp`, the bounds themselves get no gradient.

    Arguments:
        input: any shape.
        min_val, max_val: the bounds l and u.
        inplace: accepted, without effect.
    """
    if not min_val <= max_val:
        raise ValueError(f"hardtanh: expected min_val ≤ max_val, got {min_val} and {max_val}")
    x = as_tensor(input)
    return where((x > min_val) & (x < max_val), x, clamp(x.detach(), min_val, max_val))


@op(formula=r"y = \min(\max(x, 0), 6)", adjoint=r"\bar x = [0 < x < 6]\, \bar y",
    example=lambda draw: {"input": draw(2, 3) * 4}, domain=DISTINCT, oracle="richardson")  # fmt: skip
def relu6(input: Operand, inplace: bool = False) -> Tensor:
    """x held between 0 and 6."""
    return hardtanh(input, 0.0, 6.0)


@op(formula=r"y = \operatorname{sign}(x) \max(\lvert x \rvert - \lambda, 0)",
    adjoint=r"\bar x = [\lvert x \rvert > \lambda]\, \bar y",
    example=lambda draw: {"input": draw(2, 3), "lambd": 0.3}, domain=DISTINCT, oracle="richardson")  # fmt: skip
def softshrink(input: Operand, lambd: float = 0.5) -> Tensor:
    r"""The soft threshold, $\mathrm{sign}(x) \max(|x| - \lambda, 0)$.

    It has nothing to do with softmax, which document 003 calls by this name (ERRATA 003-T18).

    Source: Donoho and Johnstone, Biometrika 81:425–455, 1994.
    """
    if not lambd >= 0:
        raise ValueError(f"softshrink: the threshold must be ≥ 0, got {lambd}")
    x = floating(input)
    return where(x > lambd, x - lambd, where(x < -lambd, x + lambd, x.detach() * 0))
