"""The state of a module as a dictionary of tensors, and loading one back: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minidl.backend import Array, array_module, to_device
from minidl.tensor import Tensor

if TYPE_CHECKING:
    from minidl.nn.module import Module


class IncompatibleKeys(NamedTuple):
    """The keys that a model has and the state lacks, and those that only the state has."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def state_items(module: Module, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """The name and the tensor of everything that is saved: parameters, persistent buffers, then the children's."""
    for name, parameter in module._parameters.items():
        if parameter is not None:
            yield prefix + name, parameter
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._non_persistent_buffers:
            yield prefix + name, buffer
    for name, child in module._modules.items():
        if child is not None:
            yield from state_items(child, f"{prefix}{name}.")


def load_state(module: Module, state: Mapping[str, Any], strict: bool) -> IncompatibleKeys:
    """Copy a state into a module after everything in it was found to fit.

    Arguments:
        module: what to fill.
        state: tensors, or arrays of any library, by name.
        strict: refuse missing keys, unexpected keys and other dtypes; without it those keys are left alone and
            the numbers converted. A shape must fit always.

    Raises:
        RuntimeError: the state does not fit; the message lists everything that does not, and nothing was changed.
    """
    own = dict(state_items(module))
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    problems: list[str] = []
    if strict:
        problems += [f"missing in the state: {key} {own[key].array.shape}" for key in missing]
        problems += [f"unexpected in the state: {key} {tuple(np.shape(state[key]))}" for key in unexpected]
    fitting: list[tuple[Tensor, Array]] = []
    for key, place in own.items():
        if key in state:
            array, problem = _fit(key, place, state[key], strict)
            if problem is not None:
                problems.append(problem)
            elif array is not None:
                fitting.append((place, array))
    if problems:
        lines = "".join(f"\n  {problem}" for problem in problems)
        raise RuntimeError(f"load_state_dict: the state does not fit {type(module).__name__}:{lines}")
    for place, array in fitting:
        array_module(place.array).copyto(place.array, array)
        place._written()
    return IncompatibleKeys(missing, unexpected)


def _fit(key: str, place: Tensor, value: Any, strict: bool) -> tuple[Array | None, str | None]:
    """The array to copy into the place, on its device and with its dtype, or what is wrong with the value."""
    held = place.array
    try:
        array = Tensor(value).array
    except (TypeError, ValueError, RuntimeError) as error:
        return None, f"no numbers for {key}: {error}"
    if array.shape != held.shape:
        return None, f"shape of {key}: the model has {held.shape}, the state {array.shape}"
    if array.dtype != held.dtype and (strict or not np.can_cast(array.dtype, held.dtype, "same_kind")):
        return None, f"dtype of {key}: the model has {held.dtype.name}, the state {array.dtype.name}"
    if isinstance(held, np.ndarray) and not held.flags.writeable:
        return None, f"memory of {key}: the model holds a read-only array"
    return to_device(array, place.device).astype(held.dtype, copy=False), None
