r"""Fused operations: several operations computed in one pass, and defined by the several.

A fused operation has two bodies that mean the same:

    composite       the mathematics, in plain operations: easy to read, differentiable to every order
    forward         the same numbers from arrays, in as few passes over memory as possible
    fast_backward   its gradient, from arrays too

Training uses the fast pair. The composite is used everywhere else: with `use_kernels("numpy")` or "reference", where
every step shall be seen, and when a gradient is itself to be differentiated. Fast code treats what it stored as
constants, which is right once and wrong the second time; so under `create_graph` the gradient comes out of the
composite, as one operation, `Pullback`, whose own gradient is the pullback of that pullback. No order is wrong.

    class Cube(Fused):
        def composite(self, x):               return x * x * x
        def forward(self, x):                 return x**3
        def fast_backward(self, gy, needs):   return (3 * self.saved_arrays[0] ** 2 * gy,)

    y = Cube()(x)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.differentiate import grad
from minidl.autograd.function import Function, Needs
from minidl.autograd.modes import enable_grad, is_grad_enabled, tape
from minidl.autograd.recorder import scope
from minidl.autograd.variable import Variable
from minidl.backend import Array
from minidl.kernels import current_choice

if TYPE_CHECKING:
    from minidl.tensor import Tensor


class Fused(Function):
    """An operation with a readable body, `composite`, and a fast one, `forward` and `fast_backward`.

    All inputs are floating tensors; constants (labels, eps, flags) belong into `buffers` and `__slots__`. Arrays that
    `forward` keeps for `fast_backward` go into `buffers`, where `composite` must not rely on them.
    """

    def composite(self, *inputs: Any) -> Any:
        """The same mathematics in plain operations: a tensor, or a tuple of tensors."""
        raise TypeError(f"{type(self).__name__} has no composite")

    def fast_backward(self, gy: Any, needs: Needs) -> tuple[Array | None, ...]:
        """The gradients of the inputs as arrays, None where `needs` is False.

        Arguments:
            gy: the gradient of the output, an array; a tuple of arrays where forward returned a tuple.
        """
        raise TypeError(f"{type(self).__name__} has no fast_backward")

    @property
    def saved_arrays(self) -> tuple[Array, ...]:
        """The arrays of the inputs as they were."""
        return tuple([x.array for x in self.saved_inputs])

    def __call__(self, *inputs: Tensor) -> Any:
        heard = tape.recorder
        inside = None if heard is None else heard.inside
        if not inside and (inside is False or current_choice() == "auto"):
            return super().__call__(*inputs)
        with scope(self.name):
            return self.composite(*inputs)

    def inputs_to_save(self, needs: Needs) -> tuple[int, ...]:
        return tuple(range(len(needs)))

    def backward(self, gy: Any, needs: Needs) -> Any:
        several = type(gy) is tuple
        if is_grad_enabled():
            gys = gy if several else (gy,)
            gxs = iter(Pullback(self.composite, len(gys), needs)(*gys, *self.saved_inputs))
            return tuple([next(gxs) if need else None for need in needs])
        fast = self.fast_backward(tuple([g.array for g in gy]) if several else gy.array, needs)
        return tuple([None if gx is None else Variable._wrap(_array(gx)) for gx in fast])


def _array(x: Any) -> Array:
    """NumPy's results without dimensions are scalars; a tensor holds an array."""
    return np.asarray(x) if isinstance(x, np.generic) else x


class Pullback(Function):
    r"""The gradients of a function made of operations, as one operation: $\bar y, x \mapsto J_f(x)^\top \bar y$.

    The inputs are first the gradients of the outputs of f, then the inputs of f; the outputs are the gradients of the
    inputs that are needed. It computes on a tape of its own, which it drops; its gradient is the pullback of all that.
    """

    formula = r"\bar x = J_f(x)^\top\, \bar y"
    adjoint = r"(\bar{\bar y}, \bar x) = J_g(\bar y, x)^\top\, \bar{\bar x},\quad g(\bar y, x) = J_f(x)^\top\, \bar y"
    __slots__ = ("function", "outputs", "wanted")

    def __init__(self, function: Callable[..., Any], outputs: int, wanted: Needs) -> None:
        self.function, self.outputs, self.wanted = function, outputs, wanted

    def inputs_to_save(self, needs: Needs) -> tuple[int, ...]:
        return tuple(range(len(needs)))

    def forward(self, *arrays: Array) -> tuple[Array, ...]:
        count = self.outputs
        leaves = [Variable._wrap(a, i >= count and self.wanted[i - count]) for i, a in enumerate(arrays)]
        return tuple([gx.array for gx in self.pull(leaves, create_graph=False)])

    def pull(self, inputs: Sequence[Tensor], create_graph: bool) -> tuple[Tensor, ...]:
        """The gradients by the tape."""
        gys, xs = inputs[: self.outputs], list(inputs[self.outputs :])
        for i, want in enumerate(self.wanted):
            if want and not xs[i].requires_grad:  # differentiated here, but not by whoever differentiates this
                xs[i] = Variable._wrap(xs[i].array, True)
        with enable_grad():
            result = self.function(*xs)
            ys = result if isinstance(result, tuple) else (result,)
            pairs = [(y, gy) for y, gy in zip(ys, gys, strict=True) if y.requires_grad]
            wanted = [x for x, want in zip(xs, self.wanted, strict=True) if want]
            gxs: tuple[Tensor, ...] = grad(
                [y for y, _ in pairs], wanted, [gy for _, gy in pairs], create_graph=create_graph,
                materialize_grads=True,
            )  # fmt: skip
        return gxs

    def backward(self, ggxs: Any, needs: Needs) -> Any:
        def again(*inputs: Tensor) -> tuple[Tensor, ...]:
            return self.pull(inputs, create_graph=True)

        saved = iter(Pullback(again, len(ggxs), needs)(*ggxs, *self.saved_inputs))
        return tuple([next(saved) if need else None for need in needs])
