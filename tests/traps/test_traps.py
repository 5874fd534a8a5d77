"""The forty ways in which engines like this one went wrong: every one has a test here that names it by number.

T1 aliased gradients, T2 diamonds, T3 backward twice, T4 saved state changed, T5 data changed in between, T6 read-only
gradients, T7 unbroadcasting, T8 dtype drift, T9 unstable losses, T10 ties, T11 max-pool padded with zeros, T12 height
and width exchanged, T13 windows that leave a rest, T14 and T15 second derivatives wrong or missing, T16 norms outside
training, T17 unused outputs, T18 leaks, T19 memory, T20 recursion, T21 quadratic walks, T22 unwanted gradients, T23
lost graphs, T24 hidden state of recurrent layers, T25 parameter order, T26 resuming, T27 loading, T28 nan at the
edges, T29 repeated indices, T30 strides, T31 threads of compiled kernels, T32 atomics, T33 modes left set, T34 axes
and ranks, T35 silent sums, T36 integer gradients, T37 loader state, T38 dropout masks, T39 missing gradients in
optimizers, T40 optimizers' small print.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]


def named() -> dict[int, set[str]]:
    """Which test files name which trap."""
    found: dict[int, set[str]] = {}
    for path in sorted(TESTS.rglob("*.py")):
        if path != Path(__file__).resolve():
            for number in re.findall(r"(?<![A-Za-z0-9])T(\d+)(?!\d)", path.read_text(encoding="utf-8")):
                found.setdefault(int(number), set()).add(path.name)
    return found


@pytest.mark.parametrize("number", range(1, 41))
def test_every_trap_has_a_test(number: int) -> None:
    assert named().get(number), f"no test names T{number}"
