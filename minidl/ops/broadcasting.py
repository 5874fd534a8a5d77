"""Operands of unlike kind: the one place where dtypes are promoted and shapes broadcast.

NumPy broadcasts on the way forward; on the way back the gradient of a repeated value is the sum over its
repetitions, which is `sum_to`. No rule of any operation ever sees this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minidl.autograd.function import Function, Needs
from minidl.autograd.variable import Variable
from minidl.backend import Array, array_module, get_default_dtype, result_type, scalar_dtype
from minidl.ops.registry import op

if TYPE_CHECKING:
    from minidl.tensor import Tensor

Operand: TypeAlias = "Tensor | Array | float | bool | complex"
Shape: TypeAlias = tuple[int, ...]


def as_tensor(value: Any) -> Tensor:
    """A tensor as it is; anything else as a constant.

    Python numbers and lists of them take PyTorch's dtypes (int64, the default float), arrays keep theirs.
    """
    if isinstance(value, Variable):
        return value  # type: ignore[return-value]
    if isinstance(value, bool | int | float | complex) and not isinstance(value, np.generic):
        return Variable._wrap(np.asarray(value, scalar_dtype(value)))
    array = _numbers(value)
    if isinstance(value, list | tuple) and array.dtype == np.float64:
        array = array.astype(get_default_dtype())
    return Variable._wrap(array)


def _numbers(value: Any) -> Array:
    """What is no tensor as an array; refused in a sentence where it holds no numbers."""
    try:
        array: Array = array_module(value).asarray(value)
    except ValueError as error:  # rows of different lengths
        raise TypeError(f"expected a tensor, an array or numbers, got {_shown(value)}: {error}") from None
    if array.dtype.kind not in "fciub":
        raise TypeError(f"expected a tensor, an array or numbers, got {_shown(value)}")
    return array


def _shown(value: Any) -> str:
    """A value in a message: itself where it is short, otherwise its type."""
    text = repr(value)
    return text if len(text) <= 40 else f"a {type(value).__name__}"


def promoted(*operands: Operand) -> tuple[Tensor, ...]:
    """The operands as tensors of one dtype, by PyTorch's rule."""
    array, dtype, plain, xp = None, None, False, np
    for x in operands:
        if isinstance(x, Variable):
            if dtype is None:
                array = x.array
                dtype = array.dtype
            elif x.array.dtype != dtype:
                break
        elif type(x) is float or type(x) is int:
            plain = True
        else:
            break
    else:
        if not plain:
            return operands  # type: ignore[return-value]  # all tensors, all alike
        if dtype is not None and dtype.kind in "fc":  # floating tensors, all alike: numbers become what they are
            xp = array_module(array)
            return tuple(
                [x if isinstance(x, Variable) else Variable._wrap(xp.asarray(x, dtype=dtype)) for x in operands]
            )
    for x in operands:
        if isinstance(x, Variable) and not isinstance(x.array, np.ndarray):
            xp = array_module(x.array)
    arrays = [x.array if isinstance(x, Variable) else x for x in operands]
    numbers = (bool, int, float, complex)
    arrays = [x if isinstance(x, numbers) else _numbers(x) for x in arrays]
    dtype = result_type(*arrays)
    return tuple(
        [
            cast(x, dtype) if isinstance(x, Variable) else Variable._wrap(xp.asarray(array, dtype=dtype))
            for x, array in zip(operands, arrays, strict=True)
        ]
    )


def floating(x: Operand) -> Tensor:
    """The operand as a floating tensor: integers become the default float, as in PyTorch."""
    x = as_tensor(x)
    return x if x.array.dtype.kind in "fc" else cast(x, get_default_dtype())


class Broadcasting(Function):
    """An elementwise operation whose inputs may broadcast: their gradients are summed back to their shapes."""

    __slots__ = ("shapes",)

    shapes: tuple[Shape, ...]

    def refused(self, error: ValueError, inputs: tuple[Tensor, ...]) -> None:
        if "broadcast" in str(error):
            shapes = " and ".join([str(x.array.shape) for x in inputs])
            raise ValueError(f"{type(self).__name__.lower()}: the shapes {shapes} do not broadcast") from None

    def _link(self, inputs: tuple[Tensor, ...], *rest: Any) -> None:
        self.shapes = tuple([x.array.shape for x in inputs])
        Function._link(self, inputs, *rest)

    def vjp(self, gy: Any, needs: Needs) -> Any:
        gxs = Function.vjp(self, gy, needs)
        for gx, shape in zip(gxs, self.shapes, strict=True):
            if gx is not None and gx.array.shape != shape:  # seldom
                return tuple([None if gx is None else sum_to(gx, s) for gx, s in zip(gxs, self.shapes, strict=True)])
        return gxs


class Cast(Function):
    """The same values in another dtype."""

    __slots__ = ("before", "dtype")
    formula = r"y = x"
    adjoint = r"\bar x = \bar y"

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)

    def forward(self, x: Array) -> Array:
        self.before = x.dtype
        return x.astype(self.dtype)

    def backward(self, gy: Tensor, needs: Needs) -> tuple[Tensor]:
        return (cast(gy, self.before),)


@op(Cast, example=lambda draw: {"x": draw(2, 3), "dtype": np.float64}, oracle="richardson")
def cast(x: Operand, dtype: Any) -> Tensor:
    """The tensor in another dtype; the tensor itself if it has that dtype already."""
    x = as_tensor(x)
    return x if x.array.dtype == dtype else Cast(dtype)(x)


class SumTo(Function):
    r"""The adjoint of broadcasting: sums over the axes along which a shape was repeated."""

    __slots__ = ("before", "shape")
    formula = r"y_{j} = \sum_{i \to j} x_{i}"
    adjoint = r"\bar x_{i} = \bar y_{j(i)}"
    on_arrays = True

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        self.before = x.shape
        extra = x.ndim - len(self.shape)
        axes = tuple(range(extra))
        if 1 in self.shape:
            axes += tuple([extra + i for i, size in enumerate(self.shape) if size == 1 and x.shape[extra + i] != 1])
        y = x.sum(axis=axes, dtype=accumulator(x))
        if y.shape != self.shape:
            y = y.reshape(self.shape)
        return y if y.dtype == x.dtype else y.astype(x.dtype)

    def backward(self, gy: Tensor, needs: Needs) -> tuple[Tensor]:
        return (BroadcastTo(self.before)(gy),)


def accumulator(x: Array) -> Any:
    """float16 sums are accumulated in float32."""
    return np.float32 if x.dtype == np.float16 else x.dtype


@op(SumTo, example=lambda draw: {"x": draw(2, 3, 4), "shape": (3, 1)})
def sum_to(x: Operand, shape: Shape) -> Tensor:
    """Sum a tensor down to a shape that broadcasts to its own.

    >>> sum_to(np.ones((2, 3)), (1, 3)).array
    array([[2., 2., 2.]])
    """
    x = as_tensor(x)
    return x if x.array.shape == shape else SumTo(tuple(shape))(x)


class BroadcastTo(Function):
    """Repeat a tensor to a larger shape without copying."""

    __slots__ = ("before", "shape")
    formula = r"y_{i} = x_{j(i)}"
    adjoint = r"\bar x_{j} = \sum_{i \to j} \bar y_{i}"
    on_arrays = True
    is_view = True

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        self.before = x.shape
        return array_module(x).broadcast_to(x, self.shape)

    def backward(self, gy: Tensor, needs: Needs) -> tuple[Tensor]:
        return (SumTo(self.before)(gy),)


@op(BroadcastTo, example=lambda draw: {"input": draw(3, 1), "size": (2, 3, 4)})
def broadcast_to(input: Operand, size: Shape) -> Tensor:
    """Repeat a tensor to `size` by NumPy's broadcasting rule, without copying.

    Raises:
        ValueError: the shape does not broadcast to `size`.
    """
    x = as_tensor(input)
    if x.array.shape == size:
        return x
    before, size = x.array.shape, tuple(size)
    extra = len(size) - len(before)
    if extra < 0 or any(a not in (1, b) for a, b in zip(before, size[extra:], strict=True)):
        raise ValueError(f"broadcast_to: a tensor of shape {before} cannot be repeated to {size}")
    return BroadcastTo(size)(x)
