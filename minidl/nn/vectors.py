"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from minidl import ops
from minidl.autograd.modes import no_grad
from minidl.tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters behind each other, connected on the tape."""
    return ops.cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Overwrite the parameters with the elements of a vector.

    Raises:
        RuntimeError: the vector is not exactly as long as the parameters together; nothing was changed.
    """
    places = list(parameters)
    needed = sum(p.numel() for p in places)
    if tuple(vec.shape) != (needed,):
        raise RuntimeError(f"vector_to_parameters: expected a vector of {needed} numbers, got shape {tuple(vec.shape)}")
    start = 0
    with no_grad():
        for p in places:
            p.copy_(vec.detach()[start : start + p.numel()].reshape(p.shape))
            start += p.numel()
