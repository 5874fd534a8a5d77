"""Copies: to fresh memory, and between the host and a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minidl.autograd.function import Function, Needs
from minidl.backend import Array, Device, device_of
from minidl.backend import to_device as move
from minidl.ops.broadcasting import Operand, as_tensor
from minidl.ops.registry import op

if TYPE_CHECKING:
    from minidl.tensor import Tensor


class Clone(Function):
    formula = r"y = x"
    adjoint = r"\bar x = \bar y"

    def forward(self, x: Array) -> Array:
        return x.copy(order="C")

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (gy,)


@op(Clone, example=lambda draw: {"input": draw(2, 3)})
def clone(input: Operand) -> Tensor:
    """A copy in memory of its own, in reading order; the gradient passes through."""
    return Clone()(as_tensor(input))


class ToDevice(Function):
    formula = r"y = x"
    adjoint = r"\bar x = \bar y"
    __slots__ = ("before", "device")

    def __init__(self, device: Device) -> None:
        self.device = device

    def forward(self, x: Array) -> Array:
        self.before = device_of(x)
        return move(x, self.device)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (to_device(gy, self.before),)


@op(ToDevice, example=lambda draw: {"input": draw(2, 3), "device": "cpu"})
def to_device(input: Operand, device: Device | str) -> Tensor:
    """The tensor on another device; the tensor itself if it is there. The gradient travels back."""
    x = as_tensor(input)
    return x if x.device == device else ToDevice(Device(device))(x)
