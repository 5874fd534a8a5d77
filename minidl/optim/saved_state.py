"""What was saved of one parameter, brought beside the parameter again."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array, array_module
from minidl.optim.packing import State


def fitted_state(where: str, saved: State, p: Array) -> State:
    """A copy of a saved state: numbers as Python numbers, arrays on the parameter's device.

    Arguments:
        where: what is being loaded, for messages.
        saved: arrays or PyTorch tensors of the parameter's shape, and numbers.
        p: the parameter.

    Returns:
        the state, its arrays in the dtype that updates are computed in: that of p, at least float32.

    Raises:
        ValueError: an array has another shape, or a dtype that would lose digits.
    """
    xp, dtype = array_module(p), np.promote_types(p.dtype, np.float32)
    state: State = {}
    for key, value in saved.items():
        if value is None:  # so PyTorch writes a buffer that its options do not need
            continue
        if isinstance(value, bool | int | float):
            state[key] = value
            continue
        array = np.asarray(value.get() if hasattr(value, "get") else value)
        if array.ndim == 0 and (p.ndim > 0 or key in ("step", "mu_product")):
            state[key] = int(array) if key == "step" else float(array)  # PyTorch keeps its numbers in tensors
        elif array.shape != p.shape:
            raise ValueError(f"{where} has {key} of shape {array.shape}, the parameter has {p.shape}")
        elif not np.can_cast(array.dtype, dtype):
            raise ValueError(f"{where} has {key} in {array.dtype.name}, expected {dtype.name}")
        else:
            state[key] = xp.array(array, dtype=dtype, order="C")
    return state
