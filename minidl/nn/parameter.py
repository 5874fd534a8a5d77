"""Parameter: a tensor that a module learns."""

from __future__ import annotations

from typing import Any

from minidl.autograd.variable import Variable
from minidl.backend import Array
from minidl.tensor import Tensor


class Parameter(Tensor):
    """A leaf tensor that registers itself when it is assigned to an attribute of a module.

    Arguments:
        data: a tensor, whose memory the parameter shares, or anything `Tensor` takes.
        requires_grad: whether it is trained; a frozen parameter is saved and moved like the others.

    >>> import minidl as dl
    >>> scale = Parameter(dl.tensor([2.0]))
    >>> scale.requires_grad, scale.is_leaf
    (True, True)
    """

    __slots__ = ()

    def __init__(self, data: Any = (), requires_grad: bool = True) -> None:
        super().__init__(data)
        if isinstance(data, Variable):
            self._version = data._version_counter()
        if requires_grad:
            self.requires_grad_()

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"

    def __reduce__(self) -> Any:
        return _rebuild, (self.array, self._requires_grad, self.name)


def _rebuild(array: Array, requires_grad: bool, name: str | None) -> Parameter:
    x = Parameter(array, requires_grad)
    x.name = name
    return x
