"""Which array library holds a value, what its dtype is, and where random numbers come from.

Everything above this floor is written once for NumPy and CuPy: `array_module(x)` is the only question asked.
"""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array: TypeAlias = NDArray[Any]
"""A NumPy array, or a CuPy array, which quacks alike."""

float16 = half = np.dtype(np.float16)
float32 = np.dtype(np.float32)
float64 = double = np.dtype(np.float64)
complex64 = np.dtype(np.complex64)
complex128 = np.dtype(np.complex128)
uint8 = np.dtype(np.uint8)
int8 = np.dtype(np.int8)
int16 = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = long = np.dtype(np.int64)
bool_ = np.dtype(np.bool_)


class Factors:
    """A format that no array has, only the factors of products on a GPU: see `minidl.bfloat16`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"minidl.{self.name}"

    @property
    def dtype(self) -> Any:
        """What NumPy asks for wherever a dtype is expected; there is none, and this says so."""
        raise TypeError(
            f"there are no tensors of {self.name}, a format that NumPy does not have; inside "
            f"autocast('cuda', dtype={self.name}) products round their factors to it, and tensors stay float32"
        )


bfloat16 = Factors("bfloat16")
"""8 bits of fraction (float16 has 11) and the range of float32: how tensor cores may take the factors of a product."""


# ── devices ───────────────────────────────────────────────────────────────────────────────────────


class Device:
    """Where a tensor lives: `cpu` or `cuda`, the latter with an index.

    Arguments:
        name: "cpu", "cuda" or "cuda:N".

    Raises:
        ValueError: the name is none of these.
    """

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __init__(self, name: str | Device) -> None:
        if isinstance(name, Device):
            self.type, self.index = name.type, name.index
            return
        kind, _, index = str(name).partition(":")
        if kind not in ("cpu", "cuda") or (index and not (index.isdigit() and kind == "cuda")):
            raise ValueError(f"device: expected 'cpu', 'cuda' or 'cuda:N', got {name!r}")
        self.type = kind
        self.index = (int(index) if index else 0) if kind == "cuda" else None

    def __repr__(self) -> str:
        return f"device(type={str(self)!r})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            other = Device(other)
        return isinstance(other, Device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))


CPU = Device("cpu")


def cuda_is_available() -> bool:
    """True when CuPy is installed and sees at least one GPU."""
    try:
        import cupy
    except ImportError:
        return False
    return bool(cupy.is_available())


def array_module(x: Any) -> Any:
    """The library that owns the array x: `numpy` or `cupy`."""
    if type(x) is np.ndarray or isinstance(x, np.ndarray | np.generic):
        return np
    return sys.modules["cupy"] if type(x).__module__.partition(".")[0] == "cupy" else np


def device_of(x: Array) -> Device:
    """The device that holds the array x."""
    if isinstance(x, np.ndarray):
        return CPU
    return Device(f"cuda:{x.device.id}")


def module_for(device: Device | str) -> Any:
    """The array library for a device.

    Raises:
        RuntimeError: a GPU was asked for and CuPy or the GPU is missing.
    """
    device = Device(device)
    if device.type == "cpu":
        return np
    if not cuda_is_available():
        raise RuntimeError(
            f"device {device}: no usable GPU; it needs an NVIDIA driver and CuPy (pip install 'minidl[gpu13]')"
        )
    return sys.modules["cupy"]


def to_device(x: Array, device: Device | str) -> Array:
    """The array x on the given device: x itself if it is there already, otherwise a copy."""
    device = Device(device)
    if device == device_of(x):
        return x
    if device.type == "cpu":
        return np.asarray(x.get())  # type: ignore[attr-defined]  # only a CuPy array can be elsewhere
    xp = module_for(device)
    with xp.cuda.Device(device.index):
        copy: Array = xp.asarray(x)
    return copy


# ── dtypes ────────────────────────────────────────────────────────────────────────────────────────

_default_dtype: np.dtype[Any] = float32


def get_default_dtype() -> np.dtype[Any]:
    """The dtype of tensors made from Python floats: float32 unless `set_default_dtype` said otherwise."""
    return _default_dtype


def set_default_dtype(dtype: DTypeLike) -> None:
    """Set the dtype of tensors made from Python floats, a floating dtype."""
    global _default_dtype
    if np.dtype(dtype).kind != "f":
        raise TypeError(f"set_default_dtype: expected a floating dtype, got {np.dtype(dtype).name}")
    _default_dtype = np.dtype(dtype)


def default_complex_dtype() -> np.dtype[Any]:
    """The complex dtype whose parts have the default dtype."""
    return complex128 if _default_dtype == float64 else complex64


def promote_types(a: DTypeLike, b: DTypeLike) -> np.dtype[Any]:
    """The smallest dtype both convert to, by PyTorch's rule: an integer never widens a floating dtype.

    >>> promote_types("int64", "float32").name   # NumPy says float64
    'float32'
    """
    a, b = np.dtype(a), np.dtype(b)
    if a == b:
        return a
    if a.kind in "fc" and b.kind in "iub":
        return a
    if b.kind in "fc" and a.kind in "iub":
        return b
    return np.promote_types(a, b)


def scalar_dtype(value: complex) -> np.dtype[Any]:
    """The dtype a Python number has by itself: bool, int64, the default float, the default complex."""
    if isinstance(value, bool):
        return bool_
    if isinstance(value, int):
        return int64
    return _default_dtype if isinstance(value, float) else default_complex_dtype()


def result_type(*operands: Any) -> np.dtype[Any]:
    """The dtype of an operation on tensors, arrays and Python numbers, by PyTorch's three-tier rule.

    Values with dimensions decide first; 0-d values, then Python numbers, only lift the *kind*
    (bool < integer < float < complex), never the width.

    Source: `torch.result_type`.

    >>> result_type(np.ones(3, "f4"), 2.0).name, result_type(np.ones(3, "i8"), 2.0).name
    ('float32', 'float32')
    >>> result_type(np.ones(3, "f2"), np.array(1.0)).name
    'float16'
    """
    tiers: list[np.dtype[Any] | None] = [None, None, None]
    for operand in operands:
        if isinstance(operand, bool | int | float | complex) and not isinstance(operand, np.generic):
            tier, dtype = 2, scalar_dtype(operand)
        else:
            tier, dtype = (0 if operand.ndim else 1), operand.dtype
        held = tiers[tier]
        tiers[tier] = dtype if held is None else promote_types(held, dtype)
    result: np.dtype[Any] | None = None
    for lower in tiers:
        result = lower if result is None else _lift(result, lower)
    assert result is not None, "result_type needs at least one operand"
    return result


_KIND_ORDER = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}


def _lift(higher: np.dtype[Any], lower: np.dtype[Any] | None) -> np.dtype[Any]:
    if lower is None or _KIND_ORDER[lower.kind] <= _KIND_ORDER[higher.kind]:
        return higher
    if higher.kind == "f":  # only complex is above: keep the width
        return complex128 if higher == float64 else complex64
    return promote_types(higher, lower)


# ── random numbers ────────────────────────────────────────────────────────────────────────────────


class Generator:
    """A stream of random numbers that can be seeded, saved and restored.

    Numbers are drawn on the host and copied, so that a seed means the same on every device.

    Arguments:
        seed: any integer ≥ 0; None takes one from the operating system.
    """

    __slots__ = ("_numpy", "_seed")

    def __init__(self, seed: int | None = None) -> None:
        self.manual_seed(seed if seed is not None else int(np.random.SeedSequence().generate_state(1)[0]))

    def manual_seed(self, seed: int) -> Generator:
        """Restart the stream from a seed; returns self."""
        if not isinstance(seed, int | np.integer) or seed < 0:
            raise ValueError(f"manual_seed: expected an integer ≥ 0, got {seed!r}")
        self._seed = int(seed)
        self._numpy = np.random.Generator(np.random.PCG64(self._seed))
        return self

    @property
    def numpy(self) -> np.random.Generator:
        """The NumPy generator that draws the numbers."""
        return self._numpy

    def initial_seed(self) -> int:
        """The seed the stream was last restarted from."""
        return self._seed

    def get_state(self) -> dict[str, Any]:
        """Everything needed to continue the stream, as plain numbers and strings."""
        return {"seed": self._seed, "bits": self._numpy.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue a stream whose `get_state` was taken."""
        self._seed = int(state["seed"])
        self._numpy.bit_generator.state = state["bits"]


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator, which initialisation, dropout and `randn` draw from."""
    return default_generator.manual_seed(seed)
