"""What must hold of every operation of the register, one function a claim.

The registry walk runs each of these on the operations as they are; the mutation suite runs the same functions on
operations with a fault in them, and wants each fault found. A check raises; it returns nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from claims_on_derivatives import (
    described,
    dtype_kept,
    exact_adjoint,
    first_derivative,
    hessian_symmetric,
    second_derivative,
    shifts_with_its_input,
    third_derivative,
    vjp_linear,
)
from claims_on_meaning import cut_anywhere, declared_constant, defined, future_does_not_matter, one_by_one, rooms_agree
from claims_on_memory import (
    connected,
    gradients_are_private,
    guarded,
    layouts,
    no_leak,
    nothing_written,
    outputs_dropped,
)

from minidl.ops.registry import Operation


@dataclass(frozen=True)
class Check:
    """A claim, and the least number of derivatives an operation must have for it to make sense."""

    holds: Callable[[Operation], None]
    orders: int = 0


CHECKS: dict[str, Check] = {
    "described": Check(described),
    "first_derivative": Check(first_derivative, 1),
    "exact_adjoint": Check(exact_adjoint, 1),
    "vjp_linear": Check(vjp_linear, 1),
    "shifts_with_its_input": Check(shifts_with_its_input, 1),
    "hessian_symmetric": Check(hessian_symmetric, 2),
    "second_derivative": Check(second_derivative, 2),
    "third_derivative": Check(third_derivative, 3),
    "dtype_kept": Check(dtype_kept, 1),
    "layouts": Check(layouts, 1),
    "nothing_written": Check(nothing_written, 1),
    "gradients_are_private": Check(gradients_are_private, 1),
    "connected": Check(connected, 1),
    "outputs_dropped": Check(outputs_dropped, 1),
    "guarded": Check(guarded, 1),
    "no_leak": Check(no_leak, 1),
    "rooms_agree": Check(rooms_agree, 1),
    "cut_anywhere": Check(cut_anywhere, 1),
    "future_does_not_matter": Check(future_does_not_matter, 1),
    "one_by_one": Check(one_by_one, 1),
    "declared_constant": Check(declared_constant),
    "defined": Check(defined),
}
