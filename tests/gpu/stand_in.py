"""A stand-in for CuPy: arrays that NumPy cannot touch, whose kernels run on the emulator.

What works with it has been written for CuPy: no array of the host meets one of the device, nothing is converted
silently, and every function that is called has that name in CuPy (where it is installed, its names are asked). What it
cannot show is what a GPU computes.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import operator
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

import numpy as np
from rooms import Room, _unwritten

from minidl.kernels.gpu import launcher

TAKES_HOST_ARRAYS = {"array", "asarray", "ascontiguousarray", "asanyarray"}


class ndarray:
    """An array of the device, its numbers kept by a NumPy array that nobody else sees."""

    __module__ = "cupy"
    __array_priority__ = 100
    __slots__ = ("__weakref__", "host")

    def __init__(self, host: Any) -> None:
        self.host = np.asarray(host)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return getattr(sys.modules["cupy"], function.__name__)(*args, **kwargs)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            raise TypeError(f"numpy.{ufunc.__name__}.{method} on an array of the device")
        return getattr(sys.modules["cupy"], ufunc.__name__)(*inputs, **kwargs)

    dtype = property(lambda self: self.host.dtype)
    shape = property(lambda self: self.host.shape)
    strides = property(lambda self: self.host.strides)
    ndim = property(lambda self: self.host.ndim)
    size = property(lambda self: self.host.size)
    nbytes = property(lambda self: self.host.nbytes)
    itemsize = property(lambda self: self.host.itemsize)
    flags = property(lambda self: self.host.flags)
    device = types.SimpleNamespace(id=0)
    T = property(lambda self: ndarray(self.host.T))
    real = property(lambda self: ndarray(self.host.real))
    imag = property(lambda self: ndarray(self.host.imag))

    @property
    def data(self) -> Any:
        return types.SimpleNamespace(ptr=self.host.ctypes.data)

    def get(self) -> Any:
        return self.host.copy()

    def item(self, *args: Any) -> Any:
        return self.host.item(*args)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in _device_methods():
            raise AttributeError(f"an array of CuPy has no {name!r}")
        method = getattr(self.host, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            return wrap(method(*host_of(name, args), **host_of(name, kwargs)), kwargs.get("out"))

        return call

    def __getitem__(self, index: Any) -> Any:
        return ndarray(self.host[host_of("asarray", index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self.host[host_of("asarray", index)] = host_of("setitem", value)

    def __len__(self) -> int:
        return len(self.host)

    def __iter__(self) -> Iterator[Any]:
        return (ndarray(part) for part in self.host)

    def __float__(self) -> float:
        return float(self.host)

    def __int__(self) -> int:
        return int(self.host)

    def __bool__(self) -> bool:
        return bool(self.host)

    def __index__(self) -> int:
        return operator.index(self.host.item())

    def __complex__(self) -> complex:
        return complex(self.host)

    def __repr__(self) -> str:
        return repr(self.host)

    __hash__ = None  # type: ignore[assignment]


def _binary(name: str) -> Callable[..., Any]:
    def compute(self: ndarray, other: Any) -> Any:
        if type(other).__module__.startswith("minidl") or (
            other is None or isinstance(other, str | list | tuple | dict)
        ):
            return NotImplemented
        result = getattr(self.host, name)(host_of(name, other))
        return NotImplemented if result is NotImplemented else (self if result is self.host else ndarray(result))

    return compute


_OPERATORS = (
    "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift radd rsub rmul rtruediv rfloordiv rmod rpow "
    "rmatmul rand ror rxor iadd isub imul itruediv ifloordiv imod ipow iand ior ixor lt le gt ge eq ne"
)
for _name in _OPERATORS.split():
    setattr(ndarray, f"__{_name}__", _binary(f"__{_name}__"))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(ndarray, f"__{_name}__", lambda self, name=f"__{_name}__": ndarray(getattr(self.host, name)()))


def host_of(name: str, x: Any) -> Any:
    """An argument with the arrays of the device opened; refuses arrays of the host."""
    if isinstance(x, ndarray):
        return x.host
    if isinstance(x, np.ndarray) and x.ndim and name not in TAKES_HOST_ARRAYS:
        raise TypeError(f"cupy.{name}: Unsupported type {type(x)}")
    if isinstance(x, tuple | list):
        return type(x)([host_of(name, item) for item in x])
    return {key: host_of(name, item) for key, item in x.items()} if isinstance(x, dict) else x


def wrap(x: Any, out: Any = None) -> Any:
    """A result with its arrays on the device, numbers without dimensions too."""
    if isinstance(out, ndarray):
        return out
    if isinstance(x, np.ndarray | np.generic):
        return ndarray(x)
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*map(wrap, x))
    return type(x)(map(wrap, x)) if isinstance(x, tuple | list) else x


class Call:
    """A function of NumPy that only takes arrays of the device; ufuncs keep `at` and `reduce`."""

    def __init__(self, function: Any, name: str) -> None:
        self.function, self.name = function, name
        self.__name__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return wrap(self.function(*host_of(self.name, args), **host_of(self.name, kwargs)), kwargs.get("out"))

    def __getattr__(self, name: str) -> Any:
        if name not in ("at", "reduce", "accumulate", "reduceat", "outer"):
            raise AttributeError(name)
        return Call(getattr(self.function, name), f"{self.name}.{name}")


@cache
def _real() -> Any:
    """CuPy itself, for its names; None where it is not installed."""
    kept = sys.modules.pop("cupy", None)
    try:
        return importlib.import_module("cupy") if importlib.util.find_spec("cupy") else None
    finally:
        if kept is not None:
            sys.modules["cupy"] = kept


@cache
def _device_methods() -> frozenset[str]:
    real = _real()
    return frozenset(dir(np.ndarray if real is None else real.ndarray))


class Library(types.ModuleType):
    """The module `cupy`, or one under it."""

    def __init__(self, name: str, numpy: Any, real: Any) -> None:
        super().__init__(name)
        self._numpy, self._real = numpy, real

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or (self._real is not None and not hasattr(self._real, name)):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        found = getattr(self._numpy, name)
        if isinstance(found, types.ModuleType):
            return Library(f"{self.__name__}.{name}", found, getattr(self._real, name, None))
        return Call(found, name) if callable(found) and not isinstance(found, type) else found


class Device(nullcontext[None]):
    """The device: of Hopper, unless a test says otherwise."""

    compute_capability = "90"

    def __init__(self, index: int = 0) -> None:
        super().__init__()


@contextmanager
def device_of_its_own(room: Room) -> Iterator[None]:
    """Inside the block there is a GPU, as far as anybody can tell."""
    real = _real()  # imported before its place is taken
    library = Library("cupy", np, real)
    library.ndarray = ndarray
    library.is_available = lambda: True
    library.empty = lambda shape, dtype=float, **_: ndarray(_unwritten(shape, dtype))
    library.empty_like = lambda x, dtype=None, **_: ndarray(_unwritten(x.shape, dtype or x.dtype))
    library.asnumpy = lambda x: x.get()
    stream = types.SimpleNamespace(is_capturing=lambda: False)
    library.cuda = types.SimpleNamespace(
        Device=Device, get_current_stream=lambda: stream,
        device=types.SimpleNamespace(get_cublas_handle=lambda: 7),
        runtime=types.SimpleNamespace(getDeviceCount=lambda: 1, CUDA_R_16BF=14, CUDA_R_32F=0),
    )  # fmt: skip

    def load(file: str, instance: str) -> Any:
        kernel = room.emulator(file, instance)
        return lambda grid, block, arguments: kernel(grid, block, [host_of("asarray", a) for a in arguments])

    taken = {"cupy": library, "cupy._core._routines_linalg": _products(), "cupy_backends.cuda.libs.cublas": _cublas()}
    with launcher.loaded_by(load):
        before = {name: sys.modules.get(name) for name in taken}
        sys.modules.update(taken)  # not mock.patch.dict: it would forget what is imported meanwhile
        try:
            yield
        finally:
            for name, module in before.items():
                del sys.modules[name]
                if module is not None:
                    sys.modules[name] = module


def _products() -> types.ModuleType:
    """Where CuPy keeps how cuBLAS adds up; nothing here depends on it."""
    module = types.ModuleType("cupy._core._routines_linalg")
    module.COMPUTE_TYPE_FP32 = module.COMPUTE_TYPE_TF32 = 0
    module.get_compute_type = lambda dtype: 0
    module.set_compute_type = lambda dtype, kind: None
    return module


def _cublas() -> types.ModuleType:
    """The one function of cuBLAS that is called by name, by what its manual says: matrices lie column by column."""
    module = types.ModuleType("cupy_backends.cuda.libs.cublas")
    module.CUBLAS_COMPUTE_32F, module.CUBLAS_GEMM_DEFAULT = 68, -1

    def matrix(address: int, kind: Any, rows: int, columns: int, apart: int) -> Any:
        size = np.dtype(kind).itemsize
        memory = (ctypes.c_char * (size * (apart * (columns - 1) + rows))).from_address(address)
        return np.lib.stride_tricks.as_strided(np.frombuffer(memory, kind), (rows, columns), (size, size * apart))

    def factor(address: int, turned: int, rows: int, columns: int, apart: int) -> Any:
        assert apart >= (columns if turned else rows), "a column is longer than the distance to the next"
        bits = matrix(address, "u2", *((columns, rows) if turned else (rows, columns)), apart)
        values = (bits.astype("u4") << 16).view("f4").astype("f8")
        return values.T if turned else values

    def multiply(
        handle: int, turn_a: int, turn_b: int, m: int, n: int, k: int, alpha: int, a: int, a_type: int, lda: int,
        a_apart: int, b: int, b_type: int, ldb: int, b_apart: int, beta: int, c: int, c_type: int, ldc: int,
        c_apart: int, count: int, compute_type: int, algorithm: int,
    ) -> None:  # fmt: skip
        assert (handle, a_type, b_type, c_type, compute_type) == (7, 14, 14, 0, module.CUBLAS_COMPUTE_32F)
        factors = [ctypes.c_float.from_address(address).value for address in (alpha, beta)]
        assert factors == [1, 0]
        for i in range(count):
            left, right = factor(a + 2 * a_apart * i, turn_a, m, k, lda), factor(b + 2 * b_apart * i, turn_b, k, n, ldb)
            matrix(c + 4 * c_apart * i, "f4", m, n, ldc)[...] = left @ right

    module.gemmStridedBatchedEx = multiply
    return module
