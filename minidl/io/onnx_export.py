"""ONNX: a model as a file that other programs run.

An ONNX file is a list of operations with names for what goes in and comes out: our tape, in another spelling. So the
model runs under a recorder (`onnx_trace`), each operation on the list is written by its rule (`onnx_rules`), and
parameters and constants are stored along (`onnx_graph`).
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Sequence
from typing import Any

from minidl.backend import Array
from minidl.io import onnx_arrangements, onnx_operations  # noqa: F401  # they fill the table of rules
from minidl.io.atomic import write_atomically
from minidl.io.onnx_graph import Graph
from minidl.io.onnx_rules import RULES
from minidl.io.onnx_trace import BATCHES, NotExportable, trace
from minidl.nn.module import Module
from minidl.nn.state import state_items
from minidl.tensor import Tensor

OPSET = 21
"""The operator set that is written by default; onnxruntime reads it since 1.18, and NumPy 2 since 1.19."""
OLDEST = 18
"""The first operator set in which every operation has the form in which it is written here."""
LARGEST = 2**31 - 1
"""Bytes that one file can hold."""


def export_onnx(
    model: Module,
    example_inputs: Tensor | Sequence[Tensor],
    path: str | os.PathLike[str],
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_batch: bool = True,
    opset: int = OPSET,
) -> None:
    """Write a model to an ONNX file, atomically, as it computes in evaluation mode.

    The model runs twice, and whatever it does outside tensors is done then, not in the file: a Python `if` is decided,
    a loop is unrolled. Where that would give other results for other numbers, it is refused. Parameters keep their
    names in `state_dict`; what depends on no input is computed now.

    Arguments:
        model: what to export.
        example_inputs: what it is called with, one tensor or several; of the batch, one example is enough.
        path: the file to write.
        input_names: by default those of the arguments of `forward`.
        output_names: by default "output", or "output_0", "output_1", …
        dynamic_batch: the first dimension of every input is the batch, and the file takes any; otherwise every size
            is fixed.
        opset: the ONNX operator set, 18 or newer.

    Raises:
        NotExportable: the model does something that the file cannot say; the message names it and its line.
        ModuleNotFoundError: the package onnx is not installed.

    Source: the Open Neural Network Exchange, onnx.ai.
    """
    onnx = _package()
    if not OLDEST <= opset <= onnx.defs.onnx_opset_version():
        raise ValueError(f"opset must be from {OLDEST} to {onnx.defs.onnx_opset_version()}, got {opset}")
    examples = [example_inputs] if isinstance(example_inputs, Tensor) else list(example_inputs)
    arrays = [x.array for x in examples]
    first, second, steps = trace(model, arrays, dynamic_batch, RULES)
    names = _input_names(model, len(arrays), input_names)
    results = _output_names(len(first.outputs), output_names)

    state = {name: x.array for name, x in state_items(model)}
    graph = Graph(onnx, state, BATCHES if dynamic_batch else None)
    for name, array in zip(names, first.inputs, strict=True):
        graph.names[id(array)] = graph.unique(name)
        graph.batch = graph.batch or name
    taken = [graph.unique(name) for name in results]
    if [graph.names[id(x)] for x in first.inputs] + taken != [*names, *results]:
        raise ValueError(f"names of inputs, outputs and parameters must differ, got {[*names, *results]}")
    for step in steps:
        graph.translate(step, RULES.get(type(step.first.function)))
    for name, *pair in zip(results, first.outputs, second.outputs, strict=True):
        source = graph.value((pair[0], pair[1]), "the model's result")
        graph.nodes.append(onnx.helper.make_node("Identity", [source], [name], name=f"{name}/Identity"))

    graph.prune(results)
    read = {name for node in graph.nodes for name in node.input}
    if unread := [name for name in names if name not in read]:
        raise NotExportable(
            f"no operation reads the input {', '.join(unread)}; if the model uses it by other means, "
            "the file would have the numbers of the example instead"
        )
    write_atomically(path, _checked(onnx, graph, opset, _described(graph, onnx, names, first.inputs, second.inputs),
                                    _described(graph, onnx, results, first.outputs, second.outputs)))  # fmt: skip


def _package() -> Any:
    try:
        return importlib.import_module("onnx")
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise ModuleNotFoundError("export_onnx needs the package onnx: pip install 'minidl[onnx]'") from None


def _input_names(model: Module, count: int, names: Sequence[str] | None) -> list[str]:
    if names is None:
        names = [*inspect.signature(model.forward).parameters][:count]
        if len(names) < count or any(name in ("args", "kwargs") for name in names):
            names = [f"input_{i}" for i in range(count)]
    if len(names) != count:
        raise ValueError(f"input_names: {len(names)} names for {count} inputs")
    return list(names)


def _output_names(count: int, names: Sequence[str] | None) -> list[str]:
    if names is None:
        names = ["output"] if count == 1 else [f"output_{i}" for i in range(count)]
    if len(names) != count:
        raise ValueError(f"output_names: {len(names)} names for {count} outputs")
    return list(names)


def _described(graph: Graph, onnx: Any, names: list[str], first: list[Array], second: list[Array]) -> list[Any]:
    """Names with dtypes and shapes, in which the sizes that grow with the batch have names too."""

    def size(a: int, b: int) -> int | str:
        times = graph.times_batch(a, b)
        return a if a == b else "batch" if times == 1 else f"{times} batch" if times else "any"

    return [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(a.dtype), [size(*pair) for pair in zip(a.shape, b.shape)]
        )
        for name, a, b in zip(names, first, second, strict=True)
    ]


def _checked(onnx: Any, graph: Graph, opset: int, inputs: list[Any], outputs: list[Any]) -> bytes:
    """The bytes of the file, after ONNX's own examination."""
    if (size := sum(array.nbytes for array in graph.constants.values())) > LARGEST:
        raise NotExportable(f"the parameters take {size} bytes, but an ONNX file holds at most {LARGEST}")
    helper, stored = onnx.helper, graph.constants.items()
    parameters = [onnx.numpy_helper.from_array(array, name) for name, array in stored]
    sets = [helper.make_opsetid("", opset)]
    made = helper.make_model(
        helper.make_graph(graph.nodes, "minidl", inputs, outputs, parameters),
        producer_name="minidl",
        opset_imports=sets,
        ir_version=helper.find_min_ir_version_for(sets),
    )
    onnx.checker.check_model(made, full_check=True)
    content: bytes = made.SerializeToString()
    return content
