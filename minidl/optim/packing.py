"""Small parameters updated together: one call of the rule over one flat array instead of one call each.

An array operation costs half a microsecond before it touches an element, and a rule has up to a dozen; for biases and
small layers that is all the time there is. The rules work element by element, so the bits do not change.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.lib.array_utils import byte_bounds

from minidl.backend import Array

if TYPE_CHECKING:
    from minidl.tensor import Tensor

State: TypeAlias = dict[str, Any]
"""What an optimizer remembers of one parameter: arrays of its shape and Python numbers; empty before its first step."""

SMALL = 4096
"""Parameters of up to so many elements are packed; above it copying costs what the fewer calls save."""


class Pack:
    """The small parameters of a group, with their state in shared arrays; `others` are those left to be done singly.

    Arguments:
        parameters: all of the group.
        states: what is remembered of each. While the pack is in use the truth about its members is in `shared`;
            `unpack` writes it back.
    """

    __slots__ = ("asked", "flat_g", "flat_p", "members", "others", "shared", "views")

    def __init__(self, parameters: list[Tensor], states: list[State]) -> None:
        pairs = list(zip(parameters, states, strict=True))
        small = [pair for pair in pairs if _small(pair[0])]
        self.members = [pair for pair in small if _alike(pair, small[0])]
        self.shared: State = {}
        if len(self.members) < 2 or overlap([parameter.array for parameter, _ in self.members]):
            self.members, self.others = [], pairs
            return
        self.others = [pair for pair in pairs if not (_small(pair[0]) and _alike(pair, small[0]))]
        arrays = self.asked = [parameter.array for parameter, _ in self.members]
        self.flat_p = np.concatenate([a.ravel() for a in arrays])
        self.flat_g = np.empty_like(self.flat_p)
        ends = np.cumsum([a.size for a in arrays])
        self.views = [self.flat_p[end - a.size : end].reshape(a.shape) for a, end in zip(arrays, ends, strict=True)]
        for key, value in self.members[0][1].items():
            packed = isinstance(value, np.ndarray)
            self.shared[key] = np.concatenate([s[key].ravel() for _, s in self.members]) if packed else value

    def gather(self) -> bool:
        """Copy values and gradients into the flat arrays; False when one is missing or no longer of its kind."""
        values, gradients, others = [], [], False
        for (parameter, _), asked in zip(self.members, self.asked, strict=True):
            p, gradient = parameter.array, parameter.grad
            others = others or p is not asked
            if gradient is None:
                return False
            g = gradient.array
            if g.shape != p.shape:
                return False
            values.append(p.ravel())
            gradients.append(g.ravel())
        if others:
            self.asked = [parameter.array for parameter, _ in self.members]
            if overlap(self.asked):  # two share memory since then
                return False
        try:
            np.concatenate(values, out=self.flat_p, casting="no")
            np.concatenate(gradients, out=self.flat_g, casting="no")
        except (TypeError, ValueError):  # moved to another device, or another dtype or size, since it was packed
            return False
        return True

    def scatter(self) -> None:
        """Copy the updated values back into the parameters."""
        for (parameter, _), view in zip(self.members, self.views, strict=True):
            parameter.array[...] = view
            parameter._written()

    def unpack(self) -> None:
        """Give every member its own state again and leave them all to be done singly."""
        end = 0
        for parameter, state in self.members:
            start, end = end, end + parameter.array.size
            for key, value in self.shared.items():
                own = isinstance(value, np.ndarray)
                state[key] = value[start:end].reshape(parameter.array.shape).copy() if own else value
        self.others, self.members, self.shared = [*self.members, *self.others], [], {}


def _small(parameter: Tensor) -> bool:
    p = parameter.array
    return isinstance(p, np.ndarray) and p.size <= SMALL and p.dtype.itemsize > 2 and parameter.grad is not None


def overlap(arrays: list[Array]) -> bool:
    """True when two share memory, so that they must be updated one after the other."""
    bounds = sorted(byte_bounds(array) for array in arrays if array.size)
    return any(end > start for (_, end), (start, _) in pairwise(bounds))


def _alike(one: tuple[Tensor, State], other: tuple[Tensor, State]) -> bool:
    """True when one flat array and one set of numbers can stand for both."""
    numbers = [{k: None if isinstance(v, np.ndarray) else v for k, v in state.items()} for _, state in (one, other)]
    return one[0].array.dtype == other[0].array.dtype and numbers[0] == numbers[1]
