"""A loss over a range of its parameters, for the picture of the way downhill."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.modes import no_grad, set_recorder
from minidl.player.snapshot import plain

if TYPE_CHECKING:
    from minidl.tensor import Tensor

Span = tuple[float, float] | tuple[float, float, float, float]


def heights(
    function: Callable[[], Tensor], parameters: Sequence[Tensor], span: Span, points: int
) -> tuple[list[list[Any]], list[Any]]:
    """The values of a function on a grid, the first parameter varying fastest; the parameters are put back.

    Returns:
        The grid of each parameter, and the heights, both as JSON.

    Raises:
        ValueError: a parameter has more than one element.
    """
    for parameter in parameters:
        if parameter.array.size != 1:
            raise ValueError(f"landscape: expected parameters of one element, got shape {parameter.array.shape}")
    ranges = [(span[0], span[1]), (span[-2], span[-1])]
    grids = [np.linspace(*ranges[k], points) for k in range(len(parameters))]
    before = [parameter.array.copy() for parameter in parameters]
    found = []
    with set_recorder(None), no_grad():
        try:
            for values in itertools.product(*reversed(grids)):
                _put(parameters, [*reversed(values)])
                found.append(plain(function().array.reshape(-1)[0]))
        finally:
            _put(parameters, before)
    return [[plain(v) for v in grid] for grid in grids], found


def _put(parameters: Sequence[Tensor], values: Sequence[Any]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.array[...] = value
        parameter._written()
