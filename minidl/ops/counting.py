"""How many elements there are of each kind. Counts have no gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.variable import Variable
from minidl.backend import array_module
from minidl.ops.broadcasting import Operand, as_tensor
from minidl.ops.compare import ne
from minidl.ops.reduce import Dims, sum

if TYPE_CHECKING:
    from minidl.tensor import Tensor


def count_nonzero(input: Operand, dim: Dims = None) -> Tensor:
    """How many elements are not 0, over all dimensions or over `dim`; int64."""
    return sum(ne(input, 0), dim)


def unique(input: Operand, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False) -> Any:
    """The different values, rising, as a vector.

    Arguments:
        input: any shape.
        sorted: accepted; the values always rise.
        return_inverse: also which of them each element is, int64, in the shape of the input.
        return_counts: also how often each occurs, int64.

    Returns:
        The values, or a tuple of them and what else was asked for.
    """
    x = as_tensor(input).array
    xp: Any = array_module(x)
    values, inverse, counts = xp.unique(x, return_inverse=True, return_counts=True)
    found = [Variable._wrap(values)]
    if return_inverse:
        found.append(Variable._wrap(inverse.reshape(x.shape).astype(np.int64)))
    if return_counts:
        found.append(Variable._wrap(counts.astype(np.int64)))
    return found[0] if len(found) == 1 else tuple(found)


def bincount(input: Operand, minlength: int = 0) -> Tensor:
    """How often 0, 1, 2 … occur in a vector of integers; int64.

    Arguments:
        input: (N,) integers ≥ 0.
        minlength: at least so many counts.
    """
    x = as_tensor(input).array
    if x.dtype.kind not in "iu" or x.ndim != 1 or (x.size and int(x.min()) < 0):
        raise RuntimeError(f"bincount: expected a vector of integers ≥ 0, got {x.dtype.name} of shape {x.shape}")
    return Variable._wrap(array_module(x).bincount(x, minlength=minlength).astype(np.int64))
