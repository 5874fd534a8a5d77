"""The table of rules: how each operation is written in ONNX, entered by `onnx_operations` and `onnx_arrangements`.

A rule gets the graph, the operation with its constants as attributes, and the names of its inputs; it writes nodes and
returns the name of the output, or several.

Source: the ONNX operator specification, operator sets 18 to 21.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.autograd.function import Function
from minidl.io.onnx_graph import Graph
from minidl.io.onnx_trace import Step

Rule = Callable[..., Any]

RULES: dict[type[Function], Rule] = {}


def spells(*functions: type[Function]) -> Callable[[Rule], Rule]:
    """Enter a rule for these operations."""

    def enter(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(functions, rule))
        return rule

    return enter


def number(g: Graph, op: Step, value: float) -> str:
    """A constant of the dtype of the first input."""
    return g.stored(np.asarray(value, op.first.inputs[0].array.dtype))


def axes(g: Graph, numbers: tuple[int, ...] | list[int]) -> str:
    """Axes, or positions, as a constant."""
    return g.stored(np.asarray(numbers, np.int64).reshape(-1))
