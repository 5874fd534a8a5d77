"""Tensor: what a person holds. Operators and methods, each one line into the operations, and printing."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from minidl import ops
from minidl.autograd.differentiate import backward as run_backward
from minidl.autograd.modes import is_grad_enabled
from minidl.autograd.variable import Variable
from minidl.backend import Array, Device, array_module, default_generator, get_default_dtype, to_device
from minidl.ops.broadcasting import Operand, Shape
from minidl.ops.reduce import Dims

bool_: TypeAlias = bool  # inside the class these names are methods
int_: TypeAlias = int


class Size(tuple[int, ...]):
    """A shape: a tuple that also counts its elements."""

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements of a tensor with this shape."""
        return int(np.prod(self, dtype=np.int64))


class Tensor(Variable, results=True):
    """An array that remembers how it was computed, so that it can be differentiated.

    Make one with `minidl.tensor(...)`. Names, arguments and results of the methods are PyTorch's.

    Arguments:
        data: numbers, nested lists, an array, or another tensor.
        dtype: by default that of an array; Python floats take the default dtype, integers int64.
        device: "cpu" or "cuda".
        requires_grad: whether `backward` should give this tensor a gradient.
    """

    __slots__ = ()
    __hash__ = object.__hash__
    __array_priority__ = 1000.0

    def __init__(
        self, data: Any, dtype: Any = None, device: Device | str | None = None, requires_grad: bool = False
    ) -> None:
        array = data.array if isinstance(data, Variable) else _as_array(data)
        if dtype is not None:
            array = array.astype(dtype)
        elif not isinstance(data, Variable) and not hasattr(data, "dtype") and array.dtype == np.float64:
            array = array.astype(get_default_dtype())
        if array.dtype.kind not in "fciub":
            raise TypeError(f"tensor: cannot hold {array.dtype.name} values; expected numbers")
        self.array = array if device is None else to_device(array, device)
        self.creator = self.grad = self.name = self._hooks = self._version = None
        if isinstance(data, Variable) and self.array is data.array:
            self._version = data._version_counter()
        self.index = 0
        self._requires_grad = False
        if requires_grad:
            self.requires_grad_()

    # ── what it is ────────────────────────────────────────────────────────────────────────────

    @property
    def shape(self) -> Size:
        """The sizes of the dimensions."""
        return Size(self.array.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        return self.shape if dim is None else self.array.shape[dim]

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self.array.ndim

    def dim(self) -> int:
        """The number of dimensions."""
        return self.array.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements, a NumPy dtype."""
        return self.array.dtype

    def numel(self) -> int:
        """The number of elements."""
        return self.array.size

    def element_size(self) -> int:
        """Bytes an element."""
        return self.array.itemsize

    def is_floating_point(self) -> bool:
        """True for float16, float32 and float64."""
        return self.array.dtype.kind == "f"

    def is_contiguous(self) -> bool:
        """True when the elements lie in memory in reading order."""
        return bool(self.array.flags.c_contiguous)

    @property
    def is_cuda(self) -> bool:
        """True when the elements lie in a GPU's memory."""
        return not isinstance(self.array, np.ndarray)

    @property
    def grad_fn(self) -> Any:
        """The operation that made this value, None for leaves."""
        return self.creator

    def __len__(self) -> int:
        if self.array.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self.array.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self.array.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(ops.unbind(self))

    def __bool__(self) -> bool:
        if self.array.size != 1:
            raise RuntimeError(f"the truth of a tensor of shape {self.array.shape} is ambiguous; use .any() or .all()")
        return bool(self.array)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.array.dtype.kind not in "iub" or self.array.size != 1:
            raise TypeError(f"only a single integer can be an index, not {self.array.dtype.name} {self.array.shape}")
        return int(self.item())

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).array.any())

    # ── out to NumPy and Python ───────────────────────────────────────────────────────────────

    def item(self) -> Any:
        """The only element as a Python number."""
        if self.array.size != 1:
            raise RuntimeError(f"item: a tensor of shape {self.array.shape} has {self.array.size} elements, not one")
        return self.array.item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self.array.tolist()

    def numpy(self) -> Array:
        """The elements as a NumPy array that shares memory with the tensor.

        Raises:
            RuntimeError: the tensor is on the tape (writing to it would corrupt gradients) or on a GPU.
        """
        if self._requires_grad:
            raise RuntimeError("numpy: this tensor requires grad; use .detach().numpy()")
        if not isinstance(self.array, np.ndarray):
            raise RuntimeError(f"numpy: this tensor is on {self.device}; use .cpu().numpy()")
        return self.array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self.detach().cpu().array
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __array_wrap__(self, array: Array, context: Any = None, return_scalar: bool = False) -> Tensor:
        return Tensor(array)

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.detach().array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    # ── copies, dtypes, devices ───────────────────────────────────────────────────────────────

    @property
    def data(self) -> Tensor:
        """The same memory off the tape; assigning replaces the array."""
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        array = value.array if isinstance(value, Variable) else _as_array(value)
        if array.shape != self.array.shape:
            raise RuntimeError(f"data: expected shape {self.array.shape}, got {array.shape}")
        self.array = array.astype(self.array.dtype, copy=False)
        self._written()

    def clone(self) -> Tensor:
        """A copy, connected on the tape."""
        return ops.clone(self)

    def contiguous(self) -> Tensor:
        """The tensor itself, or a copy in reading order."""
        return self if self.is_contiguous() else ops.clone(self)

    def to(self, *args: Any, dtype: Any = None, device: Device | str | None = None, copy: bool = False) -> Tensor:
        """The tensor with another dtype, on another device, or like another tensor: `x.to("cuda")`."""
        for argument in args:
            if isinstance(argument, Variable):
                dtype, device = argument.array.dtype, argument.device
            elif isinstance(argument, Device) or (
                isinstance(argument, str) and argument.split(":")[0] in ("cpu", "cuda")
            ):
                device = argument
            elif not isinstance(argument, bool):
                dtype = argument
        x = self if device is None else ops.to_device(self, Device(device))
        x = x if dtype is None else ops.cast(x, np.dtype(dtype))
        return x.clone() if copy and x is self else x

    def type(self, dtype: Any) -> Tensor:
        """The tensor with another dtype."""
        return self.to(dtype=dtype)

    def type_as(self, other: Tensor) -> Tensor:
        """The tensor with the dtype of another one."""
        return self.to(dtype=other.dtype)

    def new_tensor(self, data: Any, *, dtype: Any = None, requires_grad: bool_ = False) -> Tensor:
        """A tensor with a copy of the data, on the device and by default with the dtype of this one."""
        array = Tensor(data).cpu().array.astype(self.array.dtype if dtype is None else dtype)
        return Tensor(array, device=self.device, requires_grad=requires_grad)

    def new_full(self, size: Any, fill_value: Any, *, dtype: Any = None, requires_grad: bool_ = False) -> Tensor:
        """A tensor of another shape filled with one number, on the device and with the dtype of this one."""
        shape = (size,) if isinstance(size, int_) else tuple(size)
        array = array_module(self.array).full(shape, fill_value, dtype or self.array.dtype)
        return Tensor(array, requires_grad=requires_grad)

    def new_zeros(self, *size: Any, dtype: Any = None, requires_grad: bool_ = False) -> Tensor:
        """Zeros of another shape, on the device and with the dtype of this one."""
        return self.new_full(_sizes(size), 0, dtype=dtype, requires_grad=requires_grad)

    def new_ones(self, *size: Any, dtype: Any = None, requires_grad: bool_ = False) -> Tensor:
        """Ones of another shape, on the device and with the dtype of this one."""
        return self.new_full(_sizes(size), 1, dtype=dtype, requires_grad=requires_grad)

    def cpu(self) -> Tensor:
        """The tensor in the host's memory."""
        return self.to("cpu")

    def cuda(self) -> Tensor:
        """The tensor in the GPU's memory."""
        return self.to("cuda")

    def half(self) -> Tensor:
        """The tensor as float16."""
        return ops.cast(self, np.float16)

    def float(self) -> Tensor:
        """The tensor as float32."""
        return ops.cast(self, np.float32)

    def double(self) -> Tensor:
        """The tensor as float64."""
        return ops.cast(self, np.float64)

    def int(self) -> Tensor:
        """The tensor as int32."""
        return ops.cast(self, np.int32)

    def long(self) -> Tensor:
        """The tensor as int64."""
        return ops.cast(self, np.int64)

    def bool(self) -> Tensor:
        """The tensor as bool."""
        return ops.cast(self, np.bool_)

    # ── differentiation ───────────────────────────────────────────────────────────────────────

    def backward(self, gradient: Any = None, retain_graph: bool_ | None = None, create_graph: bool_ = False) -> None:
        """Add the gradient of this tensor to the `.grad` of every leaf it depends on.

        Arguments:
            gradient: the gradient to start from; may be left out for a single number.
            retain_graph: keep the graph for another walk.
            create_graph: record the walk, so that the gradients can be differentiated.
        """
        run_backward(self, gradient, retain_graph, create_graph)

    def retain_grad(self) -> None:
        """Keep the gradient of this tensor in `.grad` although it is not a leaf."""
        if self.creator is None:
            return
        reference = weakref.ref(self)

        def keep(gradient: Tensor) -> None:
            x = reference()
            if x is not None:
                x.grad = gradient.clone() if x.grad is None else x.grad + gradient

        self.register_hook(keep)

    def detach_(self) -> Tensor:
        """Cut this tensor off the tape; returns self."""
        self.creator, self._requires_grad = None, False
        return self

    # ── writing in place (never on the tape) ──────────────────────────────────────────────────

    def _may_write(self, what: str) -> None:
        if self._requires_grad and (self.creator is not None or is_grad_enabled()):
            kind = "a value on the tape" if self.creator is not None else "a leaf that requires grad"
            raise RuntimeError(
                f"{what}: {kind} cannot be changed in place; compute a new tensor, or work under no_grad() on a leaf"
            )
        if isinstance(self.array, np.ndarray) and not self.array.flags.writeable:
            raise RuntimeError(f"{what}: this tensor is a read-only view (expanded, or made from a read-only array)")

    def _write(self, what: str, value: Any) -> Tensor:
        """Replace all elements by a value that broadcasts to them, and say so to whoever saved them."""
        self._may_write(what)
        xp = array_module(self.array)
        xp.copyto(self.array, value.array if isinstance(value, Variable) else value, casting="same_kind")
        self._written()
        return self

    def copy_(self, source: Any) -> Tensor:
        """Overwrite the elements with those of `source`, converted and broadcast; returns self."""
        source = _off_tape("copy_", source)
        array = source.array if isinstance(source, Variable) else _as_array(source)
        return self._write("copy_", array.astype(self.array.dtype, copy=False))

    def fill_(self, value: Any) -> Tensor:
        """Overwrite every element with one number; returns self."""
        return self._write("fill_", np.asarray(value).astype(self.array.dtype))

    def zero_(self) -> Tensor:
        """Overwrite every element with 0; returns self."""
        return self.fill_(0)

    def add_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """x ← x + alpha·other; returns self."""
        return self._write("add_", ops.add(self.detach(), _off_tape("add_", other), alpha=alpha))

    def sub_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """x ← x − alpha·other; returns self."""
        return self._write("sub_", ops.sub(self.detach(), _off_tape("sub_", other), alpha=alpha))

    def mul_(self, other: Operand) -> Tensor:
        """x ← x·other; returns self."""
        return self._write("mul_", ops.mul(self.detach(), _off_tape("mul_", other)))

    def div_(self, other: Operand) -> Tensor:
        """x ← x / other; returns self."""
        return self._write("div_", ops.div(self.detach(), _off_tape("div_", other)))

    def clamp_(self, min: Any = None, max: Any = None) -> Tensor:
        """x ← x held between min and max; returns self."""
        return self._write("clamp_", ops.clamp(self.detach(), min, max))

    def masked_fill_(self, mask: Operand, value: Operand) -> Tensor:
        """x ← x with `value` where the mask is True; returns self."""
        return self._write("masked_fill_", ops.masked_fill(self.detach(), mask, _off_tape("masked_fill_", value)))

    def normal_(self, mean: Any = 0.0, std: Any = 1.0, *, generator: Any = None) -> Tensor:
        """Overwrite with draws from a normal distribution; returns self."""
        stream = (generator or default_generator).numpy
        return self._write("normal_", (stream.standard_normal(self.array.shape) * std + mean).astype(self.array.dtype))

    def uniform_(self, from_: Any = 0.0, to: Any = 1.0, *, generator: Any = None) -> Tensor:
        """Overwrite with draws from the interval [from_, to); returns self."""
        stream = (generator or default_generator).numpy
        return self._write("uniform_", stream.uniform(from_, to, self.array.shape).astype(self.array.dtype))

    def __setitem__(self, index: Any, value: Any) -> None:
        self._may_write("x[...] = value")
        *first, last = ops.index.in_turn(ops.index._plain(index, array_module(self.array)))
        value = _off_tape("x[...] = value", value)
        array = self.array[first[0]] if first else self.array
        array[last] = value.array if isinstance(value, Variable) else value
        self._written()

    def __iadd__(self, other: Operand) -> Tensor:
        return self._assigned(self + other, "+=")

    def __isub__(self, other: Operand) -> Tensor:
        return self._assigned(self - other, "-=")

    def __imul__(self, other: Operand) -> Tensor:
        return self._assigned(self * other, "*=")

    def __itruediv__(self, other: Operand) -> Tensor:
        return self._assigned(self / other, "/=")

    def _assigned(self, result: Tensor, what: str) -> Tensor:
        """`x += y` writes into x off the tape; on the tape it names the new value x and leaves the old one alone."""
        if self.creator is None and not (result._requires_grad and not self._requires_grad):
            return self._write(what, result)
        return result

    # ── printing ──────────────────────────────────────────────────────────────────────────────

    def __repr__(self) -> str:
        text = np.array2string(np.asarray(self.detach().cpu().array), precision=4, separator=", ", prefix="tensor(")
        facts = []
        if self.is_cuda:
            facts.append(f"device='{self.device}'")
        plain = {np.dtype(get_default_dtype()), np.dtype(np.int64), np.dtype(np.bool_)}
        if self.array.dtype not in plain or self.array.size == 0:
            facts.append(f"dtype={self.array.dtype.name}")
        if self.creator is not None:
            facts.append(f"grad_fn={self.creator}")
        elif self._requires_grad:
            facts.append("requires_grad=True")
        return "tensor(" + ", ".join([text, *facts]) + ")"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.array.ndim == 0 and spec else format(repr(self), spec)

    def __copy__(self) -> Tensor:
        rebuild, arguments = self.__reduce__()
        x: Tensor = rebuild(*arguments)
        x._version = self._version_counter()
        return x

    def __reduce__(self) -> Any:
        if self.creator is not None:
            raise RuntimeError("only leaves can be copied or pickled: a value on the tape is not; use .detach()")
        return _rebuild, (type(self), self.array, self._requires_grad, self.name)

    # ── operators ─────────────────────────────────────────────────────────────────────────────

    def __add__(self, other: Operand) -> Tensor:
        return ops.add(self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return ops.add(other, self)

    def __sub__(self, other: Operand) -> Tensor:
        return ops.sub(self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return ops.sub(other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return ops.mul(self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return ops.mul(other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        return ops.div(self, other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return ops.div(other, self)

    def __pow__(self, other: Operand) -> Tensor:
        return ops.pow(self, other)

    def __rpow__(self, other: Operand) -> Tensor:
        return ops.pow(other, self)

    def __matmul__(self, other: Operand) -> Tensor:
        return ops.matmul(self, other)

    def __rmatmul__(self, other: Operand) -> Tensor:
        return ops.matmul(other, self)

    def __floordiv__(self, other: Operand) -> Tensor:
        return ops.div(self, other, rounding_mode="floor")

    def __mod__(self, other: Operand) -> Tensor:
        return ops.remainder(self, other)

    def __neg__(self) -> Tensor:
        return ops.neg(self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return ops.abs(self)

    def __invert__(self) -> Tensor:
        return ops.bitwise_not(self)

    def __and__(self, other: Operand) -> Tensor:
        return ops.bitwise_and(self, other)

    def __rand__(self, other: Operand) -> Tensor:
        return ops.bitwise_and(other, self)

    def __or__(self, other: Operand) -> Tensor:
        return ops.bitwise_or(self, other)

    def __ror__(self, other: Operand) -> Tensor:
        return ops.bitwise_or(other, self)

    def __xor__(self, other: Operand) -> Tensor:
        return ops.bitwise_xor(self, other)

    def __rxor__(self, other: Operand) -> Tensor:
        return ops.bitwise_xor(other, self)

    def __lt__(self, other: Operand) -> Tensor:
        return ops.lt(self, other)

    def __le__(self, other: Operand) -> Tensor:
        return ops.le(self, other)

    def __gt__(self, other: Operand) -> Tensor:
        return ops.gt(self, other)

    def __ge__(self, other: Operand) -> Tensor:
        return ops.ge(self, other)

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        return ops.eq(self, other)

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return ops.ne(self, other)

    def __getitem__(self, index: Any) -> Tensor:
        return ops.getitem(self, index)

    # ── methods ───────────────────────────────────────────────────────────────────────────────

    def add(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """x + alpha·other."""
        return ops.add(self, other, alpha=alpha)

    def sub(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """x − alpha·other."""
        return ops.sub(self, other, alpha=alpha)

    def mul(self, other: Operand) -> Tensor:
        """x·other, element by element."""
        return ops.mul(self, other)

    def pow(self, other: Operand) -> Tensor:
        """x to the power of the exponent."""
        return ops.pow(self, other)

    def matmul(self, other: Operand) -> Tensor:
        """The matrix product; see `minidl.matmul`."""
        return ops.matmul(self, other)

    def mm(self, other: Operand) -> Tensor:
        """The product of two matrices."""
        return ops.mm(self, other)

    def bmm(self, other: Operand) -> Tensor:
        """The products of two batches of matrices."""
        return ops.bmm(self, other)

    def dot(self, other: Operand) -> Tensor:
        """The inner product of two vectors."""
        return ops.dot(self, other)

    def outer(self, other: Operand) -> Tensor:
        """The matrix of all products."""
        return ops.outer(self, other)

    def maximum(self, other: Operand) -> Tensor:
        """The larger, element by element."""
        return ops.maximum(self, other)

    def minimum(self, other: Operand) -> Tensor:
        """The smaller, element by element."""
        return ops.minimum(self, other)

    def eq(self, other: Operand) -> Tensor:
        """Compared element by element."""
        return ops.eq(self, other)

    def ne(self, other: Operand) -> Tensor:
        """Compared element by element."""
        return ops.ne(self, other)

    def lt(self, other: Operand) -> Tensor:
        """Compared element by element."""
        return ops.lt(self, other)

    def le(self, other: Operand) -> Tensor:
        """Compared element by element."""
        return ops.le(self, other)

    def gt(self, other: Operand) -> Tensor:
        """Compared element by element."""
        return ops.gt(self, other)

    def ge(self, other: Operand) -> Tensor:
        """Compared element by element."""
        return ops.ge(self, other)

    def logical_and(self, other: Operand) -> Tensor:
        """Compared element by element."""
        return ops.logical_and(self, other)

    def logical_or(self, other: Operand) -> Tensor:
        """Compared element by element."""
        return ops.logical_or(self, other)

    def div(self, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
        """x / other; see `minidl.div`."""
        return ops.div(self, other, rounding_mode=rounding_mode)

    def exp(self) -> Tensor:
        """Element by element; see `minidl.exp`."""
        return ops.exp(self)

    def expm1(self) -> Tensor:
        """Element by element; see `minidl.expm1`."""
        return ops.expm1(self)

    def log(self) -> Tensor:
        """Element by element; see `minidl.log`."""
        return ops.log(self)

    def log1p(self) -> Tensor:
        """Element by element; see `minidl.log1p`."""
        return ops.log1p(self)

    def sqrt(self) -> Tensor:
        """Element by element; see `minidl.sqrt`."""
        return ops.sqrt(self)

    def rsqrt(self) -> Tensor:
        """Element by element; see `minidl.rsqrt`."""
        return ops.rsqrt(self)

    def reciprocal(self) -> Tensor:
        """Element by element; see `minidl.reciprocal`."""
        return ops.reciprocal(self)

    def square(self) -> Tensor:
        """Element by element; see `minidl.square`."""
        return ops.square(self)

    def sin(self) -> Tensor:
        """Element by element; see `minidl.sin`."""
        return ops.sin(self)

    def cos(self) -> Tensor:
        """Element by element; see `minidl.cos`."""
        return ops.cos(self)

    def abs(self) -> Tensor:
        """Element by element; see `minidl.abs`."""
        return ops.abs(self)

    def sign(self) -> Tensor:
        """Element by element; see `minidl.sign`."""
        return ops.sign(self)

    def floor(self) -> Tensor:
        """Element by element; see `minidl.floor`."""
        return ops.floor(self)

    def ceil(self) -> Tensor:
        """Element by element; see `minidl.ceil`."""
        return ops.ceil(self)

    def trunc(self) -> Tensor:
        """Element by element; see `minidl.trunc`."""
        return ops.trunc(self)

    def round(self) -> Tensor:
        """Element by element; see `minidl.round`."""
        return ops.round(self)

    def neg(self) -> Tensor:
        """Element by element; see `minidl.neg`."""
        return ops.neg(self)

    def erf(self) -> Tensor:
        """Element by element; see `minidl.erf`."""
        return ops.erf(self)

    def relu(self) -> Tensor:
        """Element by element; see `minidl.relu`."""
        return ops.relu(self)

    def sigmoid(self) -> Tensor:
        """Element by element; see `minidl.sigmoid`."""
        return ops.sigmoid(self)

    def tanh(self) -> Tensor:
        """Element by element; see `minidl.tanh`."""
        return ops.tanh(self)

    def isnan(self) -> Tensor:
        """Element by element; see `minidl.isnan`."""
        return ops.isnan(self)

    def isinf(self) -> Tensor:
        """Element by element; see `minidl.isinf`."""
        return ops.isinf(self)

    def isfinite(self) -> Tensor:
        """Element by element; see `minidl.isfinite`."""
        return ops.isfinite(self)

    def logical_not(self) -> Tensor:
        """Element by element; see `minidl.logical_not`."""
        return ops.logical_not(self)

    def clamp(self, min: Any = None, max: Any = None) -> Tensor:
        """x held between min and max."""
        return ops.clamp(self, min, max)

    def where(self, condition: Operand, other: Operand) -> Tensor:
        """x where the condition holds, otherwise other."""
        return ops.where(condition, self, other)

    def masked_fill(self, mask: Operand, value: Operand) -> Tensor:
        """x with `value` where the mask is True."""
        return ops.masked_fill(self, mask, value)

    def softmax(self, dim: Any) -> Tensor:
        """See `minidl.softmax`."""
        return ops.softmax(self, dim)

    def log_softmax(self, dim: Any) -> Tensor:
        """See `minidl.log_softmax`."""
        return ops.log_softmax(self, dim)

    def sum(self, dim: Dims = None, keepdim: bool_ = False, *, dtype: Any = None) -> Tensor:
        """The sum over `dim`."""
        return ops.sum(self, dim, keepdim, dtype=dtype)

    def mean(self, dim: Dims = None, keepdim: bool_ = False, *, dtype: Any = None) -> Tensor:
        """The mean over `dim`."""
        return ops.mean(self, dim, keepdim, dtype=dtype)

    def var(
        self, dim: Dims = None, unbiased: bool_ | None = None, keepdim: bool_ = False, *, correction: Any = 1
    ) -> Tensor:
        """See `minidl.var`."""
        return ops.var(self, dim, unbiased, keepdim, correction=correction)

    def std(
        self, dim: Dims = None, unbiased: bool_ | None = None, keepdim: bool_ = False, *, correction: Any = 1
    ) -> Tensor:
        """See `minidl.std`."""
        return ops.std(self, dim, unbiased, keepdim, correction=correction)

    def max(self, dim: Any = None, keepdim: bool_ = False) -> Any:
        """See `minidl.max`."""
        return ops.max(self, dim, keepdim)

    def min(self, dim: Any = None, keepdim: bool_ = False) -> Any:
        """See `minidl.min`."""
        return ops.min(self, dim, keepdim)

    def amax(self, dim: Dims = None, keepdim: bool_ = False) -> Tensor:
        """See `minidl.amax`."""
        return ops.amax(self, dim, keepdim)

    def amin(self, dim: Dims = None, keepdim: bool_ = False) -> Tensor:
        """See `minidl.amin`."""
        return ops.amin(self, dim, keepdim)

    def all(self, dim: Dims = None, keepdim: bool_ = False) -> Tensor:
        """Whether all elements over `dim` are true."""
        return ops.all(self, dim, keepdim)

    def any(self, dim: Dims = None, keepdim: bool_ = False) -> Tensor:
        """Whether any elements over `dim` are true."""
        return ops.any(self, dim, keepdim)

    def argmax(self, dim: int_ | None = None, keepdim: bool_ = False) -> Tensor:
        """See `minidl.argmax`."""
        return ops.argmax(self, dim, keepdim)

    def argmin(self, dim: int_ | None = None, keepdim: bool_ = False) -> Tensor:
        """See `minidl.argmin`."""
        return ops.argmin(self, dim, keepdim)

    def prod(self, dim: int_ | None = None, keepdim: bool_ = False) -> Tensor:
        """The product over `dim`."""
        return ops.prod(self, dim, keepdim)

    def cumsum(self, dim: int_) -> Tensor:
        """Sums up to each element along `dim`."""
        return ops.cumsum(self, dim)

    def logsumexp(self, dim: Dims, keepdim: bool_ = False) -> Tensor:
        """See `minidl.logsumexp`."""
        return ops.logsumexp(self, dim, keepdim)

    def norm(self, p: Any = 2, dim: Dims = None, keepdim: bool_ = False) -> Tensor:
        """See `minidl.norm`."""
        return ops.norm(self, p, dim, keepdim)

    def sort(self, dim: int_ = -1, descending: bool_ = False) -> ops.Extreme:
        """See `minidl.sort`."""
        return ops.sort(self, dim, descending)

    def argsort(self, dim: int_ = -1, descending: bool_ = False) -> Tensor:
        """The indices that would sort the tensor."""
        return ops.argsort(self, dim, descending)

    def topk(self, k: int_, dim: int_ = -1, largest: bool_ = True) -> ops.Extreme:
        """See `minidl.topk`."""
        return ops.topk(self, k, dim, largest)

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape; one size may be −1."""
        return ops.reshape(self, _sizes(shape))

    def view(self, *shape: Any) -> Tensor:
        """As `reshape`; a copy where memory does not allow a view."""
        return ops.reshape(self, _sizes(shape))

    def view_as(self, other: Tensor) -> Tensor:
        """As `reshape`, to the shape of another tensor."""
        return ops.reshape(self, other.shape)

    def permute(self, *dims: Any) -> Tensor:
        """The dimensions in another order."""
        return ops.permute(self, _sizes(dims))

    def expand(self, *sizes: Any) -> Tensor:
        """Dimensions of size 1 repeated to `sizes` without copying; −1 keeps a size."""
        return ops.expand(self, _sizes(sizes))

    def expand_as(self, other: Tensor) -> Tensor:
        """As `expand`, to the shape of another tensor."""
        return ops.expand(self, other.shape)

    def repeat(self, *times: Any) -> Tensor:
        """The tensor laid beside itself."""
        return ops.tile(self, _sizes(times))

    def flip(self, *dims: Any) -> Tensor:
        """The order reversed along `dims`."""
        return ops.flip(self, _sizes(dims))

    @property
    def T(self) -> Tensor:
        """The dimensions in reverse order: the transpose of a matrix."""
        return ops.permute(self, tuple(reversed(range(self.array.ndim))))

    @property
    def mT(self) -> Tensor:
        """The last two dimensions exchanged."""
        return ops.transpose(self, -1, -2)

    def t(self) -> Tensor:
        """The transpose of a matrix."""
        if self.array.ndim > 2:
            raise RuntimeError(f"t: expected at most 2 dimensions, got shape {self.array.shape}")
        return self.T

    def transpose(self, dim0: int_, dim1: int_) -> Tensor:
        """Two dimensions exchanged."""
        return ops.transpose(self, dim0, dim1)

    def movedim(self, source: Any, destination: Any) -> Tensor:
        """Dimensions moved."""
        return ops.movedim(self, source, destination)

    def squeeze(self, dim: Any = None) -> Tensor:
        """Dimensions of size 1 removed."""
        return ops.squeeze(self, dim)

    def unsqueeze(self, dim: int_) -> Tensor:
        """A dimension of size 1 inserted."""
        return ops.unsqueeze(self, dim)

    def flatten(self, start_dim: int_ = 0, end_dim: int_ = -1) -> Tensor:
        """Dimensions merged into one."""
        return ops.flatten(self, start_dim, end_dim)

    def split(self, split_size: Any, dim: int_ = 0) -> tuple[Tensor, ...]:
        """See `minidl.split`."""
        return ops.split(self, split_size, dim)

    def chunk(self, chunks: int_, dim: int_ = 0) -> tuple[Tensor, ...]:
        """See `minidl.chunk`."""
        return ops.chunk(self, chunks, dim)

    def unbind(self, dim: int_ = 0) -> tuple[Tensor, ...]:
        """The slices along `dim`."""
        return ops.unbind(self, dim)

    def narrow(self, dim: int_, start: int_, length: int_) -> Tensor:
        """A stretch of one dimension."""
        return ops.narrow(self, dim, start, length)

    def index_select(self, dim: int_, index: Operand) -> Tensor:
        """The slices `index` along `dim`."""
        return ops.index_select(self, dim, index)

    def gather(self, dim: int_, index: Operand) -> Tensor:
        """See `minidl.gather`."""
        return ops.gather(self, dim, index)

    def scatter_add(self, dim: int_, index: Operand, src: Operand) -> Tensor:
        """See `minidl.scatter_add`."""
        return ops.scatter_add(self, dim, index, src)

    def roll(self, shifts: int_, dims: int_) -> Tensor:
        """Elements moved around along `dims`."""
        return ops.roll(self, shifts, dims)

    def tril(self, diagonal: int_ = 0) -> Tensor:
        """The lower triangle."""
        return ops.tril(self, diagonal)

    def triu(self, diagonal: int_ = 0) -> Tensor:
        """The upper triangle."""
        return ops.triu(self, diagonal)

    def diag(self, diagonal: int_ = 0) -> Tensor:
        """See `minidl.diag`."""
        return ops.diag(self, diagonal)

    def diagonal(self, offset: int_ = 0, dim1: int_ = 0, dim2: int_ = 1) -> Tensor:
        """See `minidl.diagonal`."""
        return ops.diagonal(self, offset, dim1, dim2)

    def trace(self) -> Tensor:
        """The sum of the diagonal of a matrix."""
        return ops.trace(self)

    def unflatten(self, dim: int_, sizes: Any) -> Tensor:
        """One dimension split into several."""
        return ops.unflatten(self, dim, sizes)

    def repeat_interleave(self, repeats: int_, dim: int_ | None = None) -> Tensor:
        """See `minidl.repeat_interleave`."""
        return ops.repeat_interleave(self, repeats, dim)

    def masked_select(self, mask: Operand) -> Tensor:
        """The elements where the mask is True, as a vector."""
        return ops.masked_select(self, mask)

    def unique(self, sorted: bool_ = True, return_inverse: bool_ = False, return_counts: bool_ = False) -> Any:
        """See `minidl.unique`."""
        return ops.unique(self, sorted, return_inverse, return_counts)

    def count_nonzero(self, dim: Dims = None) -> Tensor:
        """How many elements are not 0."""
        return ops.count_nonzero(self, dim)

    def nonzero(self, *, as_tuple: bool_ = False) -> Any:
        """The positions of the elements that are not zero."""
        return ops.nonzero(self, as_tuple=as_tuple)

    def equal(self, other: Operand) -> bool_:
        """True when shapes and all elements are equal."""
        return ops.equal(self, other)

    def allclose(self, other: Operand, rtol: Any = 1e-5, atol: Any = 1e-8) -> bool_:
        """True when all elements nearly agree."""
        return ops.allclose(self, other, rtol, atol)


def _as_array(data: Any) -> Array:
    """Anything array-like as an array; lists may hold tensors."""
    if isinstance(data, list | tuple) and any(isinstance(item, Variable | list | tuple) for item in data):
        data = [_as_array(item) if isinstance(item, list | tuple) else getattr(item, "array", item) for item in data]
        shapes = {np.shape(item) for item in data}
        if len(shapes) > 1:
            raise ValueError(f"tensor: the rows have different lengths: {sorted(shapes)}")
        return np.asarray(data)
    if hasattr(data, "__dlpack__") and not hasattr(data, "__array__"):
        return np.from_dlpack(data)
    array: Array = array_module(data).asarray(data)
    return array


def _off_tape(what: str, x: Any) -> Any:
    """What is about to be written in place, without its graph; refused where that would lose a gradient."""
    if not isinstance(x, Variable):
        return x
    if x._requires_grad and is_grad_enabled():
        raise RuntimeError(
            f"{what}: the value requires a gradient, which writing in place would lose; "
            f"compute a new tensor, or write .detach()"
        )
    return x.detach()


def _sizes(sizes: tuple[Any, ...]) -> Shape:
    """Sizes given one by one or as one sequence."""
    if len(sizes) == 1 and isinstance(sizes[0], Sequence):
        return tuple(sizes[0])
    return sizes


def _rebuild(cls: type[Tensor], array: Array, requires_grad: bool, name: str | None) -> Tensor:
    x = cls(array)
    x._requires_grad, x.name = requires_grad, name
    return x
