"""A stand-in for CuPy: arrays that NumPy cannot touch, whose kernels run on the emulator.

What works with it has been written for CuPy: no array of the host meets one of the device, nothing is converted
silently, and every function that is called has that name in CuPy (where it is installed, its names are asked). What it
cannot show is what a GPU computes.
"""

from __future__ import annotations

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
from stand_in_cublas import cublas
from stand_in_graph import CUDARuntimeError, Device, Stream, changed, computed, now, read_by_the_host

from minidl.kernels.gpu import launcher

TAKES_HOST_ARRAYS = {"array", "asarray", "ascontiguousarray", "asanyarray"}
WRITE = {"copyto", "put", "put_along_axis", "place", "putmask", "fill", "sort", "partition"}
"""What writes into its first argument: methods, and the functions that are no methods."""


class ndarray:
    """An array of the device, its numbers kept by a NumPy array that nobody else sees."""

    __module__ = "cupy"
    __array_priority__ = 100
    __slots__ = ("__weakref__", "base", "host")

    def __init__(self, host: Any, base: Any = None) -> None:
        self.host = np.asarray(host)
        self.base = base if base is not None and np.may_share_memory(base.host, self.host) else None
        if now.recording is not None:
            now.recording.kept.append(self.host)

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
    T = property(lambda self: ndarray(self.host.T, self))
    real = property(lambda self: ndarray(self.host.real, self))
    imag = property(lambda self: ndarray(self.host.imag, self))

    @property
    def data(self) -> Any:
        return types.SimpleNamespace(ptr=self.host.ctypes.data)

    def get(self) -> Any:
        read_by_the_host()
        return self.host.copy()

    def item(self, *args: Any) -> Any:
        read_by_the_host()
        return self.host.item(*args)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in _device_methods():
            raise AttributeError(f"an array of CuPy has no {name!r}")
        method = getattr(self.host, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            def compute() -> Any:
                result = method(*host_of(name, args), **host_of(name, kwargs))
                return self if result is self.host else wrap(result, kwargs.get("out"), self)

            if name == "tolist":
                read_by_the_host()
            written = kwargs.get("out") if kwargs.get("out") is not None else self if name in WRITE else None
            return computed(compute) if written is None else changed(compute, written)

        return call

    def __getitem__(self, index: Any) -> Any:
        return computed(lambda: ndarray(self.host[host_of("asarray", index)], self))

    def __setitem__(self, index: Any, value: Any) -> None:
        where, what = host_of("asarray", index), host_of("setitem", value)
        changed(lambda: self.host.__setitem__(where, what), None)

    def __len__(self) -> int:
        return len(self.host)

    def __iter__(self) -> Iterator[Any]:
        return (ndarray(part, self) for part in self.host)

    def __float__(self) -> float:
        read_by_the_host()
        return float(self.host)

    def __int__(self) -> int:
        read_by_the_host()
        return int(self.host)

    def __bool__(self) -> bool:
        read_by_the_host()
        return bool(self.host)

    def __index__(self) -> int:
        read_by_the_host()
        return operator.index(self.host.item())

    def __complex__(self) -> complex:
        read_by_the_host()
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
        function, value = getattr(self.host, name), host_of(name, other)
        if name.startswith("__i") and name != "__invert__":
            return changed(lambda: NotImplemented if function(value) is NotImplemented else self, self)
        if function(value) is NotImplemented:
            return NotImplemented
        return computed(lambda: ndarray(function(value)))

    return compute


_OPERATORS = (
    "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift radd rsub rmul rtruediv rfloordiv rmod rpow "
    "rmatmul rand ror rxor iadd isub imul itruediv ifloordiv imod ipow iand ior ixor lt le gt ge eq ne"
)
for _name in _OPERATORS.split():
    setattr(ndarray, f"__{_name}__", _binary(f"__{_name}__"))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(
        ndarray, f"__{_name}__", lambda self, name=f"__{_name}__": computed(lambda: ndarray(getattr(self.host, name)()))
    )


def host_of(name: str, x: Any) -> Any:
    """An argument with the arrays of the device opened; refuses arrays of the host."""
    if isinstance(x, ndarray):
        return x.host
    if isinstance(x, np.ndarray) and x.ndim and name not in TAKES_HOST_ARRAYS:
        raise TypeError(f"cupy.{name}: Unsupported type {type(x)}")
    if isinstance(x, tuple | list):
        return type(x)([host_of(name, item) for item in x])
    return {key: host_of(name, item) for key, item in x.items()} if isinstance(x, dict) else x


def wrap(x: Any, out: Any = None, base: Any = None) -> Any:
    """A result with its arrays on the device, numbers without dimensions too; `base` is what it may be a view of."""
    if isinstance(out, ndarray):
        return out
    if isinstance(x, np.ndarray | np.generic):
        return ndarray(x, base)
    parts = [wrap(part, None, base) for part in x] if isinstance(x, tuple | list) else []
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*parts)
    return type(x)(parts) if isinstance(x, tuple | list) else x


class Call:
    """A function of NumPy that only takes arrays of the device; ufuncs keep `at` and `reduce`."""

    def __init__(self, function: Any, name: str) -> None:
        self.function, self.name = function, name
        self.__name__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        def compute() -> Any:
            base = args[0] if args and isinstance(args[0], ndarray) else None
            result = self.function(*host_of(self.name, args), **host_of(self.name, kwargs))
            return base if base is not None and result is base.host else wrap(result, kwargs.get("out"), base)

        if self.name in TAKES_HOST_ARRAYS and isinstance(args[0], np.ndarray):
            read_by_the_host()
        if kwargs.get("out") is not None or self.name in WRITE or self.name.endswith(".at"):
            return changed(compute, kwargs.get("out"))
        return computed(compute)

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
    library.cuda = types.SimpleNamespace(
        Device=Device, Stream=Stream, get_current_stream=Stream, using_allocator=lambda malloc: nullcontext(),
        MemoryPool=lambda: types.SimpleNamespace(malloc=None),
        device=types.SimpleNamespace(get_cublas_handle=lambda: 7),
        runtime=types.SimpleNamespace(
            getDeviceCount=lambda: 1, CUDA_R_16BF=14, CUDA_R_32F=0, CUDARuntimeError=CUDARuntimeError
        ),
    )  # fmt: skip

    def load(file: str, instance: str) -> Any:
        kernel = room.emulator(file, instance)
        if now.recording is not None:
            raise CUDARuntimeError(f"{instance} is loaded while a graph is captured")

        def start(grid: Any, block: Any, arguments: Any) -> None:
            hosts = [host_of("asarray", a) for a in arguments]
            changed(lambda: kernel(grid, block, hosts), None)

        return start

    taken = {"cupy": library, "cupy._core._routines_linalg": _products(), "cupy_backends.cuda.libs.cublas": cublas()}
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
