"""Starting kernels: the one place that compiles them, checks what they are given, and hands it to the GPU.

    UNFOLD = Kernel("unfold.cu", "im2col", FLOATS)
    UNFOLD((x.dtype,), (blocks,), (256,), x, cols, windows, rows)

What each argument must be stands in the `.cu` file. The arrays lie in order (C-contiguous), on one device, and are
read and written there, on CuPy's current stream. Whoever has no GPU may put another `Loader` in CuPy's place: the
tests put an emulator there, and run everything above this file unchanged.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from minidl.backend import Array, array_module
from minidl.kernels.gpu.source import NAMES, TYPES, Declaration, Parameter, declarations, structs, text

Sizes: TypeAlias = tuple[int, ...]
"""Up to three sizes, of a grid in blocks or of a block in threads."""

Compiled: TypeAlias = Callable[[Sizes, Sizes, tuple[Any, ...]], object]
"""A kernel ready to be started: (grid, block, arguments)."""

Loader: TypeAlias = Callable[[str, str], Compiled]
"""What compiles: (file, instance of a template) to a kernel."""

FLOATS = ("float", "double", "__half")
"""The types of numbers that kernels compute with."""

OPTIONS = ("-std=c++17",)
"""Options of the compiler; no fast mathematics: infinities and nans are numbers here."""

LARGEST = np.iinfo(np.int32).max
"""The largest size or index along one axis; positions in memory are 64-bit."""

MOST_BLOCKS = (LARGEST, 65535, 65535)
"""How many blocks a grid may have along x, y and z; kernels loop where there is more to do."""

_LIMITS = {t: (int(np.iinfo(t).min), int(np.iinfo(t).max)) for t in TYPES.values() if t.kind in "iu"}
_kernels: list[Kernel] = []
_compiled: dict[tuple[Any, ...], Compiled] = {}


def _load_with_cupy(file: str, instance: str) -> Compiled:
    cupy = sys.modules["cupy"]
    module = cupy.RawModule(code=text(file), options=OPTIONS, name_expressions=(instance,))
    kernel: Compiled = module.get_function(instance)
    return kernel


_loader: Loader = _load_with_cupy


@contextmanager
def loaded_by(loader: Loader) -> Iterator[None]:
    """Compile and start kernels in another way inside the `with` block, in all threads."""
    global _loader
    before, _loader = _loader, loader
    try:
        yield
    finally:
        _loader = before


def every_kernel() -> list[Kernel]:
    """All kernels that modules have declared so far."""
    return list(_kernels)


class Kernel:
    """A kernel of a `.cu` file, a template that is instantiated for types of numbers and sizes of tiles.

    Arguments:
        file: the `.cu` file in this folder.
        name: of the kernel.
        *choices: for each template parameter, what may stand there; "32, 128" stands for two parameters.
        where: which of the combinations there are; all if None.
    """

    def __init__(self, file: str, name: str, *choices: Sequence[str], where: Callable[..., bool] | None = None) -> None:
        self.file, self.name = file, name
        self.combinations = [values for values in product(*choices) if where is None or where(*values)]
        self._forms: dict[tuple[Any, ...], tuple[str, list[tuple[Parameter, str]]]] = {}
        _kernels.append(self)

    @property
    def declaration(self) -> Declaration:
        """What the file says about it."""
        return declarations(self.file)[self.name]

    def instances(self) -> list[str]:
        """Every instance that is ever started, as CUDA C++ writes it: "im2col<float>"."""
        return [self._instance(values) for values in self.combinations]

    def _instance(self, values: Sequence[str]) -> str:
        return f"{self.name}<{', '.join(values)}>"

    def _form(self, template: tuple[Any, ...]) -> tuple[str, list[tuple[Parameter, str]]]:
        """The instance for these dtypes and numbers, and what its arguments must be."""
        values = tuple([NAMES[v] if isinstance(v, np.dtype) else str(v) for v in template])
        instance = self._instance(values)
        if values not in self.combinations:
            raise TypeError(f"{instance}: not among the kernels there are, {', '.join(self.instances())}")
        declaration = self.declaration
        types = declaration.types(tuple(", ".join(values).split(", ")))
        form = instance, [(p, types.get(p.type, p.type)) for p in declaration.parameters]
        self._forms[template] = form
        return form

    def __call__(self, template: tuple[Any, ...], blocks: Sizes, threads: Sizes, *arguments: Any) -> None:
        """Start it.

        Arguments:
            template: a dtype or number for each template parameter.
            blocks, threads: the sizes of the grid and of a block; nothing happens if one is 0.
            *arguments: arrays, numbers, named tuples; None is no array.

        Raises:
            TypeError, ValueError: an argument is not what the kernel asks for.
            OverflowError: a number does not fit.
        """
        if 0 in blocks:
            return
        instance, parameters = self._forms.get(template) or self._form(template)
        if len(arguments) != len(parameters):
            raise TypeError(f"{instance}: takes {len(parameters)} arguments, got {len(arguments)}")
        device = _one_device(instance, arguments)
        passed = [
            _passed(self.file, instance, p, kind, argument)
            for (p, kind), argument in zip(parameters, arguments, strict=True)
        ]
        for size, most in zip(blocks, MOST_BLOCKS, strict=False):
            if size > most:
                raise ValueError(f"{instance}: a grid of {blocks} blocks is larger than {MOST_BLOCKS}")
        key = (_loader, device, instance)
        kernel = _compiled.get(key)
        with nullcontext() if device is None else sys.modules["cupy"].cuda.Device(device):
            if kernel is None:
                kernel = _compiled[key] = _loader(self.file, instance)
            kernel(tuple(map(int, blocks)), tuple(map(int, threads)), tuple(passed))


def _one_device(instance: str, arguments: Sequence[Any]) -> Any:
    devices = {getattr(a.device, "id", 0) for a in arguments if _is_array(a) and not isinstance(a, np.ndarray)}
    if len(devices) > 1:
        raise ValueError(f"{instance}: the arrays lie on several devices, cuda:{', cuda:'.join(map(str, devices))}")
    return devices.pop() if devices else None


def _is_array(x: Any) -> bool:
    return hasattr(x, "dtype") and hasattr(x, "shape") and not isinstance(x, np.generic)


def _passed(file: str, instance: str, p: Parameter, kind: str, argument: Any) -> Any:
    """The argument as CuPy passes it on: an array, a NumPy number, or a struct by value."""
    if p.is_pointer:
        return _array(instance, p, kind, argument)
    if kind in TYPES:
        return _number(instance, p, TYPES[kind], argument)
    return _struct(file, instance, p, kind, argument)


@lru_cache(maxsize=4096)
def _struct(file: str, instance: str, p: Parameter, kind: str, fields: Any) -> Any:
    """A named tuple as the struct with the same names, made once for equal tuples: a step repeats its sizes."""
    dtype = structs(file).get(kind)
    if dtype is None or dtype.names is None:
        raise TypeError(f"{instance}: {p.name} is a {kind}, which is neither a number nor a struct of numbers")
    struct = np.zeros((), dtype)
    for name in dtype.names:
        struct[name] = _number(instance, p, dtype[name], getattr(fields, name))
    return struct


def _array(instance: str, p: Parameter, kind: str, x: Any) -> Any:
    if x is None:
        return np.uint64(0)
    if not _is_array(x):
        raise TypeError(f"{instance}: {p.name} must be an array of {TYPES[kind].name}, got {type(x).__name__}")
    if x.dtype != TYPES[kind]:
        raise TypeError(f"{instance}: {p.name} must be an array of {TYPES[kind].name}, got {x.dtype.name}")
    if not x.flags.c_contiguous:
        raise ValueError(f"{instance}: {p.name} of shape {x.shape} does not lie in order (strides {x.strides})")
    if not p.is_const and isinstance(x, np.ndarray) and not x.flags.writeable:
        raise ValueError(f"{instance}: {p.name} is written to, but may only be read")
    return x


def _number(instance: str, p: Parameter, dtype: np.dtype[Any], value: Any) -> Any:
    limits = _LIMITS.get(dtype)
    if limits is not None and not limits[0] <= value <= limits[1]:
        raise OverflowError(f"{instance}: {p.name} gets {value}, which does not fit into {dtype.name}")
    return dtype.type(value)


# ── what every room of kernels needs ──────────────────────────────────────────────────────────────


def ready(x: Array, dtype: np.dtype[Any] | None = None) -> Array:
    """The array in order and of a dtype, as kernels want it: x itself, or a copy."""
    if x.flags.c_contiguous and (dtype is None or x.dtype == dtype):
        return x
    y: Array = array_module(x).ascontiguousarray(x, dtype=x.dtype if dtype is None else dtype)
    return y.reshape(x.shape)


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether the kernels compute with this dtype; complex numbers and integers go to the portable room."""
    return dtype in _FLOAT_DTYPES


_FLOAT_DTYPES = frozenset(TYPES[name] for name in FLOATS)


def spread(count: int, threads: int = 256, most: int = 1 << 20) -> tuple[Sizes, Sizes]:
    """A grid for `count` independent items, one thread each as far as there are blocks; kernels loop over the rest."""
    return (min(-(-count // threads), most),), (threads,)


def planes(count: int, size: int, threads: int = 256) -> tuple[Sizes, Sizes]:
    """A grid for `count` planes of `size` items: y counts planes, x items; kernels loop over the rest of either."""
    return (-(-size // threads), min(count, MOST_BLOCKS[1])), (threads,)


def resident(like: Array, array: Array) -> Array:
    """A small array of the host where `like` lives, copied once: a captured graph may not copy from the host."""
    xp = array_module(like)
    if xp is np:
        return array
    device: Any = like.device
    return _copied(xp, device.id, array.dtype, array.shape, array.tobytes())


@lru_cache(maxsize=256)
def _copied(xp: Any, device: int, dtype: np.dtype[Any], shape: Sizes, data: bytes) -> Array:
    with xp.cuda.Device(device):
        copy: Array = xp.asarray(np.frombuffer(data, dtype).reshape(shape))
    return copy
