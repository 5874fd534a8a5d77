"""New tensors: from data, filled, counted, drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.autograd.modes import tape
from minidl.backend import Device, Generator, default_generator, get_default_dtype, module_for, to_device
from minidl.tensor import Tensor


def tensor(data: Any, *, dtype: Any = None, device: Device | str | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of the data.

    Arguments:
        data: numbers, nested lists, an array or a tensor.
        dtype: by default that of an array; Python floats take the default dtype (float32), integers int64.
        device: "cpu" or "cuda".
        requires_grad: whether `backward` should give it a gradient.

    >>> tensor([[1.0, 2.0], [3.0, 4.0]])
    tensor([[1., 2.],
            [3., 4.]])
    """
    x = Tensor(data, dtype, device)
    x.array, x._version = x.array.copy(), None
    return x.requires_grad_() if requires_grad else x


def as_tensor(data: Any, dtype: Any = None, device: Device | str | None = None) -> Tensor:
    """A tensor that shares memory with the data where that is possible; a tensor as it is."""
    if isinstance(data, Tensor):
        return data.to(dtype=dtype, device=device)
    return Tensor(data, dtype, device)


def from_numpy(array: Any) -> Tensor:
    """A tensor that shares memory with a NumPy array."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array, got {type(array).__name__}")
    return Tensor(array)


def from_dlpack(data: Any) -> Tensor:
    """A tensor that shares memory with any array that speaks DLPack: PyTorch's, JAX's, CuPy's."""
    on_gpu = data.__dlpack_device__()[0] == 2
    return Tensor(module_for("cuda" if on_gpu else "cpu").from_dlpack(data))


def _sizes(size: tuple[Any, ...]) -> tuple[int, ...]:
    shape = tuple(size[0]) if len(size) == 1 and isinstance(size[0], tuple | list) else size
    if any(not isinstance(n, int | np.integer) or n < 0 for n in shape):
        raise ValueError(f"expected sizes ≥ 0, got {shape}")
    return tuple([int(n) for n in shape])


def _made(array: Any, requires_grad: bool) -> Tensor:
    x = Tensor(array)
    return x.requires_grad_() if requires_grad else x


def full(
    size: Any, fill_value: Any, *, dtype: Any = None, device: Device | str = "cpu", requires_grad: bool = False
) -> Tensor:
    """A tensor filled with one number, whose kind decides the dtype unless it is given."""
    if dtype is None:
        dtype = Tensor(fill_value).dtype
    return _made(module_for(device).full(_sizes((size,)), fill_value, dtype), requires_grad)


def zeros(*size: Any, dtype: Any = None, device: Device | str = "cpu", requires_grad: bool = False) -> Tensor:
    """A tensor filled with 0."""
    return full(_sizes(size), 0, dtype=dtype or get_default_dtype(), device=device, requires_grad=requires_grad)


def ones(*size: Any, dtype: Any = None, device: Device | str = "cpu", requires_grad: bool = False) -> Tensor:
    """A tensor filled with 1."""
    return full(_sizes(size), 1, dtype=dtype or get_default_dtype(), device=device, requires_grad=requires_grad)


def empty(*size: Any, dtype: Any = None, device: Device | str = "cpu", requires_grad: bool = False) -> Tensor:
    """A tensor whose elements are whatever the memory held."""
    return _made(module_for(device).empty(_sizes(size), dtype or get_default_dtype()), requires_grad)


def zeros_like(input: Tensor, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros with the shape, dtype and device of another tensor."""
    return zeros(input.shape, dtype=dtype or input.dtype, device=input.device, requires_grad=requires_grad)


def ones_like(input: Tensor, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones with the shape, dtype and device of another tensor."""
    return ones(input.shape, dtype=dtype or input.dtype, device=input.device, requires_grad=requires_grad)


def full_like(input: Tensor, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """One number with the shape, dtype and device of another tensor."""
    return full(input.shape, fill_value, dtype=dtype or input.dtype, device=input.device, requires_grad=requires_grad)


def empty_like(input: Tensor, *, dtype: Any = None) -> Tensor:
    """Uninitialised memory with the shape, dtype and device of another tensor."""
    return empty(input.shape, dtype=dtype or input.dtype, device=input.device)


def arange(start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Device | str = "cpu") -> Tensor:
    """start, start + step, … below end; int64 when all three are integers, otherwise the default float."""
    if end is None:
        start, end = 0, start
    if step == 0:
        raise RuntimeError("arange: step must not be 0")
    if dtype is None:
        dtype = np.int64 if all(isinstance(v, int | np.integer) for v in (start, end, step)) else get_default_dtype()
    return Tensor(module_for(device).arange(start, end, step, dtype=dtype))


def linspace(start: float, end: float, steps: int, *, dtype: Any = None, device: Device | str = "cpu") -> Tensor:
    """`steps` numbers from start to end, both included, evenly spaced."""
    return Tensor(module_for(device).linspace(start, end, steps, dtype=dtype or get_default_dtype()))


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Device | str = "cpu") -> Tensor:
    """The identity matrix, n × m."""
    return Tensor(module_for(device).eye(n, m, dtype=dtype or get_default_dtype()))


# ── drawn ─────────────────────────────────────────────────────────────────────────────────────────


def _drawn(purpose: str, array: Any, device: Device | str, requires_grad: bool) -> Tensor:
    x = _made(to_device(array, device), requires_grad)
    if tape.recorder is not None:
        tape.recorder.on_draw(purpose, x.array)
    return x


def _stream(generator: Generator | None) -> np.random.Generator:
    return (generator or default_generator).numpy


def randn(*size: Any, generator: Generator | None = None, dtype: Any = None, device: Device | str = "cpu",
          requires_grad: bool = False) -> Tensor:  # fmt: skip
    """Draws from the standard normal distribution."""
    array = np.asarray(_stream(generator).standard_normal(_sizes(size)), dtype or get_default_dtype())
    return _drawn("randn", array, device, requires_grad)


def rand(*size: Any, generator: Generator | None = None, dtype: Any = None, device: Device | str = "cpu",
         requires_grad: bool = False) -> Tensor:  # fmt: skip
    """Draws from the uniform distribution on [0, 1)."""
    dtype = np.dtype(dtype or get_default_dtype())
    stream = _stream(generator)
    if dtype == np.float16:  # a float32 just below 1 would round up to 1
        array = np.asarray(stream.integers(0, 2048, _sizes(size)) / 2048, dtype)
    else:
        wide = np.float32 if dtype == np.float32 else np.float64
        array = np.asarray(stream.random(_sizes(size), dtype=wide), dtype)
    return _drawn("rand", array, device, requires_grad)


def randint(low: int, high: int | None = None, size: Any = (), *, generator: Generator | None = None,
            dtype: Any = np.int64, device: Device | str = "cpu") -> Tensor:  # fmt: skip
    """Integers drawn evenly from low … high − 1; `randint(high, size)` starts at 0."""
    if isinstance(high, tuple | list):
        size, high = high, None
    if high is None:
        low, high = 0, low
    if low >= high:
        raise RuntimeError(f"randint: expected low < high, got {low} and {high}")
    return _drawn("randint", np.asarray(_stream(generator).integers(low, high, _sizes((size,))), dtype), device, False)


def randperm(n: int, *, generator: Generator | None = None, device: Device | str = "cpu") -> Tensor:
    """The integers 0 … n − 1 in random order."""
    return _drawn("randperm", _stream(generator).permutation(n), device, False)


def randn_like(input: Tensor, *, generator: Generator | None = None, requires_grad: bool = False) -> Tensor:
    """Standard normal draws with the shape, dtype and device of another tensor."""
    return randn(input.shape, generator=generator, dtype=input.dtype, device=input.device, requires_grad=requires_grad)


def rand_like(input: Tensor, *, generator: Generator | None = None, requires_grad: bool = False) -> Tensor:
    """Uniform draws with the shape, dtype and device of another tensor."""
    return rand(input.shape, generator=generator, dtype=input.dtype, device=input.device, requires_grad=requires_grad)


def bernoulli(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that each element says, otherwise 0."""
    drawn = _stream(generator).random(input.array.shape) < np.asarray(input.detach())
    return _drawn("bernoulli", drawn.astype(input.dtype), input.device, False)


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Indices drawn with probabilities proportional to the rows of a matrix, or to a vector.

    Arguments:
        input: weights ≥ 0, (k,) or (n, k), which need not sum to 1.
        num_samples: how many are drawn from each row.
        replacement: whether an index may be drawn again; without it every row needs so many weights > 0.

    Returns:
        int64, (num_samples,) or (n, num_samples).

    Raises:
        RuntimeError: weights that are negative, not finite or all 0, or too few of them.
    """
    weights = np.asarray(input.detach().cpu().array, np.float64)
    if weights.ndim not in (1, 2) or num_samples < 1:
        raise RuntimeError(
            f"multinomial: expected weights (k,) or (n, k) and num_samples ≥ 1, got {weights.shape} and {num_samples}"
        )
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise RuntimeError("multinomial: the weights must be finite and ≥ 0")
    fewest = int((weights > 0).sum(-1).min(initial=weights.shape[-1]))
    if fewest < (1 if replacement else num_samples):
        raise RuntimeError(f"multinomial: {num_samples} samples asked of a row that has only {fewest} weights > 0")
    stream = _stream(generator)
    if replacement:  # how many steps of the cumulative sum lie at or below an even draw
        steps = weights.cumsum(-1)
        even = stream.random((*weights.shape[:-1], num_samples)) * steps[..., -1:]
        drawn = (even[..., None] >= steps[..., None, :]).sum(-1)
    else:  # the first to arrive of exponential clocks (Efraimidis and Spirakis, 2006)
        with np.errstate(divide="ignore"):
            arrival = stream.exponential(size=weights.shape) / weights
        drawn = np.argsort(arrival, axis=-1, kind="stable")[..., :num_samples]
    return _drawn("multinomial", np.asarray(drawn, np.int64), input.device, False)
