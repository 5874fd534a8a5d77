"""A number as a page prints it, and whether a computed number rounds to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.tensor import Tensor

NUMBER = re.compile(r"(?P<about>~?)(?P<mantissa>[-−]?\d*\.?\d+)(?:e(?P<exponent>[-−]?\d+))?")


@dataclass(frozen=True)
class Row:
    """One line of a table of numbers.

    Fields:
        place: the row of the errata ("001-F8") or the lesson ("L03") that prints the numbers.
        what: what they are.
        printed: the numbers as they are printed there, with their digits: ".6652 .2447 .0900".
        computed: computes them with minidl.
    """

    place: str
    what: str
    printed: str
    computed: Callable[[], Any]

    def __str__(self) -> str:
        return f"{self.place} {self.what}"


def rounds_to(row: Row) -> None:
    """Every computed number, rounded to the digits printed, is the printed one.

    A number without a decimal point and without exponent is exact ("37"), unless marked as rounded ("~117").
    """
    found = flat(row.computed())
    matches = list(NUMBER.finditer(row.printed))
    assert len(found) == len(matches), f"{row}: {len(matches)} numbers are printed, {len(found)} were computed"
    for y, match in zip(found, matches, strict=True):
        expected, half = value(match)
        assert abs(y - expected) <= half + 1e-9 * abs(expected), f"{row}: printed {match[0]}, computed {y!r}"


def value(match: re.Match[str]) -> tuple[float, float]:
    """The printed number and half a unit of its last digit, 0 for an exact integer."""
    mantissa = match["mantissa"].replace("−", "-")
    exponent = int((match["exponent"] or "0").replace("−", "-"))
    decimals = len(mantissa.partition(".")[2])
    exact = "." not in mantissa and match["exponent"] is None and not match["about"]
    return float(f"{mantissa}e{exponent}"), 0.0 if exact else 0.5 * 10.0 ** (exponent - decimals)


def flat(values: Any) -> list[float]:
    """Tensors, arrays and numbers, nested in any way, as one list."""
    if isinstance(values, Tensor):
        return [float(v) for v in values.detach().numpy().ravel()]
    if isinstance(values, tuple | list):
        return [number for item in values for number in flat(item)]
    return [float(v) for v in np.ravel(values)]
