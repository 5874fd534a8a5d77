"""Modules in a row that one fused operation computes: convolution, ReLU, max pooling.

The numbers are those of the modules one after the other, to rounding. Where somebody wants to see what flows between
them (a hook on one of the three, a recorder, `use_kernels("numpy")` or "reference"), they run one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from minidl.autograd.modes import tape
from minidl.kernels import current_choice
from minidl.nn import functional as F
from minidl.nn.activation import ReLU
from minidl.nn.convolution import Conv2d
from minidl.nn.module import Module
from minidl.nn.pooling import MaxPool2d
from minidl.tensor import Tensor


def fused(modules: Sequence[Module]) -> Iterator[Callable[[Any], Any]]:
    """The modules as steps, each run of Conv2d, ReLU and a plain MaxPool2d as one."""
    if tape.recorder is not None or current_choice() != "auto" or Conv2d not in map(type, modules):
        yield from modules
        return
    i = 0
    while i < len(modules):
        if type(modules[i]) is Conv2d and _one_operation(modules[i : i + 3]):
            yield _step(modules[i], modules[i + 2])
            i += 3
        else:
            yield modules[i]
            i += 1


def _one_operation(run: Sequence[Module]) -> bool:
    """Whether these are a convolution, a ReLU and a pooling that `conv2d_relu_max_pool2d` can stand for."""
    if len(run) < 3 or type(run[1]) is not ReLU or type(run[2]) is not MaxPool2d:
        return False
    convolution, _, pool = run
    return (
        not any(module._hooks for module in run)
        and convolution.padding_mode == "zeros"
        and not (pool.ceil_mode or pool.return_indices)
        and pool.padding in (0, (0, 0))
        and pool.dilation in (1, (1, 1))
    )


def _step(convolution: Any, pool: Any) -> Callable[[Tensor], Tensor]:
    c = convolution

    def step(x: Tensor) -> Tensor:
        return F.conv2d_relu_max_pool2d(
            x, c.weight, c.bias, c.stride, c.padding, c.dilation, c.groups, pool.kernel_size, pool.stride
        )

    return step
