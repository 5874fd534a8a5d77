"""The backward walk: reverse-mode differentiation of a recorded graph.

    for each operation, consumers before producers:
        gradients of its inputs = rule(gradient of its output)
        add them to what the inputs have received so far

Gradients live in a table beside the graph and are popped as they are used; a leaf sees its gradient only when it is
complete. Operations are numbered as they are recorded, and none can use what does not exist yet: the youngest first is
a right order. There is no recursion, so depth is no limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minidl.autograd.function import Function
from minidl.autograd.modes import tape
from minidl.autograd.variable import Hook, Variable
from minidl.backend import Array, array_module
from minidl.kernels.precision import bfloat16_factors

if TYPE_CHECKING:
    from minidl.tensor import Tensor

Target: TypeAlias = "tuple[Function, int] | Tensor"
"""Where a gradient goes: output `index` of an operation, or a leaf."""


def target_of(x: Tensor) -> Target:
    """The place in the gradient table of a value."""
    return x if x.creator is None else (x.creator, x.index)


class GradientTable(dict[Any, Any]):
    """Gradients on their way: summed as they arrive, popped when they are complete.

    The first gradient to arrive is stored as it is, the second makes a fresh sum, and only sums that are ours are
    added to in place: no array that somebody else holds is ever written.
    """

    def __init__(self) -> None:
        self._owned: set[Any] = set()

    def add(self, target: Target, gradient: Tensor) -> None:
        held = self.get(target)
        if held is None:
            self[target] = gradient
        elif target in self._owned and not gradient._requires_grad:
            held.array += gradient.array
        else:
            self[target] = total = held + gradient
            if not total._requires_grad and total.array.ndim and tape.recorder is None:
                self._owned.add(target)

    def received(self, target: Any, with_grad: bool) -> Array:
        """What has arrived at a target so far; with `with_grad`, on top of the `.grad` that a leaf has already."""
        self._owned.discard(target)  # whoever looks may keep it: never write into it again
        arrived: Array = self[target].array
        before = None if type(target) is tuple or not with_grad else target.grad
        return arrived if before is None else before.array + arrived

    def leaves(self) -> list[tuple[Tensor, Tensor]]:
        """The leaves that received a gradient, each with its gradient."""
        return [(target, gradient) for target, gradient in self.items() if type(target) is not tuple]


def topological_order(roots: Sequence[Function]) -> list[Function]:
    """All operations that the roots depend on, each after every operation that uses its outputs: the youngest first."""
    found = list(dict.fromkeys(roots))
    known = set(found)
    for node in found:
        if node.edges is None:
            raise RuntimeError(
                f"backward: the graph at {node.name} was already walked and its saved values are gone; call the first "
                f"backward with retain_graph=True, or compute the forward pass again"
            )
        for edge in node.edges:
            if type(edge) is tuple and edge[0] not in known:
                known.add(edge[0])
                found.append(edge[0])
    found.sort(key=_number, reverse=True)
    return found


_number = attrgetter("number")


def _on_the_way(order: list[Function], wanted: dict[Target, None]) -> set[Function]:
    """The operations from which a wanted value can be reached: only these are differentiated."""
    useful: set[Function] = set()
    for node in reversed(order):
        for edge in node.edges or ():
            if edge is not None and (edge in wanted or (type(edge) is tuple and edge[0] in useful)):
                useful.add(node)
                break
    return useful


def walk(
    outputs: Sequence[Tensor],
    gradients: Sequence[Tensor],
    *,
    wanted: Sequence[Tensor] | None,
    retain_graph: bool,
    create_graph: bool,
) -> list[Tensor | None]:
    """Carry gradients from outputs back.

    Arguments:
        outputs: the values to differentiate.
        gradients: the gradient of each, of its shape and dtype.
        wanted: return the gradients of these and touch no leaf; None: add to the `.grad` of every leaf instead.
        retain_graph: keep what the operations saved, so that the graph can be walked again.
        create_graph: record the walk itself, so that its results can be differentiated.

    Returns:
        The gradients of `wanted`, None for a value the outputs do not depend on.
    """
    table = GradientTable()
    shared: set[Any] = set()  # leaves whose gradient somebody else holds too
    for output, gradient in zip(outputs, gradients, strict=True):
        table.add(target_of(output), gradient)
        if output.creator is None:
            shared.add(output)
    order = topological_order([y.creator for y in outputs if y.creator is not None])
    targets = {} if wanted is None else dict.fromkeys(target_of(x) for x in wanted)
    useful = None if wanted is None else _on_the_way(order, targets)
    found: dict[Any, Tensor] = {}
    anomaly = tape.anomaly
    listener, recorded, autocast = tape.recorder, tape.grad_enabled, tape.autocast
    # the recorder hears the gradients; the arithmetic of the rules it hears only where that is itself recorded
    tape.grad_enabled, tape.recorder = create_graph, listener if create_graph else None
    tape.autocast = None  # a gradient has the dtype of what it belongs to
    try:
        for node in order:
            specs = node.output_specs
            if specs is None:
                gys = [table.pop((node, 0), None)]
            else:
                gys = [table.pop((node, i), None) for i in range(len(specs))]
            if node._hooks is not None:
                _run_hooks(node._hooks, gys)
            if targets:
                for i, gy in enumerate(gys):
                    if gy is not None and (node, i) in targets:
                        found[node, i] = gy
            gy = gys[0] if specs is None else node.fill_missing(gys)
            if gy is None or (useful is not None and node not in useful):
                continue
            needs = node.needs if useful is None else _needed(node, useful, targets)
            if node.in_bfloat16:
                with bfloat16_factors():
                    gxs = node.vjp(gy, needs)
            else:
                gxs = node.vjp(gy, needs)
            if anomaly:
                _refuse_nan(node, gxs)
            sums: list[Array | None] = []
            for edge, need, gx in zip(node.edges or (), needs, gxs, strict=True):
                if need and gx is not None:
                    if type(edge) is not tuple:
                        if edge in table:
                            shared.discard(edge)  # the sum will be an array of its own
                        elif _held_elsewhere(gx.array, gys, node):
                            shared.add(edge)
                    table.add(edge, gx)
                if listener is not None:
                    sums.append(table.received(edge, with_grad=wanted is None) if need and gx is not None else None)
            if listener is not None:
                listener.on_gradient(node, gy, gxs, tuple(sums))
            if not retain_graph:
                node.release()
        if wanted is None:
            _deliver(table, shared, create_graph, heard=listener is not None)
            return []
        for leaf, gradient in table.leaves():
            arrived: Tensor | None = gradient
            for hook in list(leaf._hooks or ()):
                arrived = _result_of(hook, arrived)
            if arrived is not None:
                found[leaf] = arrived
    finally:
        tape.grad_enabled, tape.recorder, tape.autocast = recorded, listener, autocast
    return [found.get(target_of(x)) for x in wanted]


def _held_elsewhere(array: Array, gys: list[Tensor | None], node: Function) -> bool:
    """Whether a rule returned what came in or what it had saved, instead of an array of its own."""
    for held in (gys, node._saved_inputs):
        for x in held:
            if x is not None and x.array is array:
                return True
    return bool(node._saved_outputs) and any(saved[0] is array for saved in node._saved_outputs)


def _needed(node: Function, useful: set[Function], targets: dict[Target, None]) -> tuple[bool, ...]:
    return tuple(
        [
            edge is not None and (edge in targets or (type(edge) is tuple and edge[0] in useful))
            for edge in node.edges or ()
        ]
    )


def _run_hooks(hooks_of: dict[int, list[Hook]], gys: list[Tensor | None]) -> None:
    for index, hooks in hooks_of.items():
        for hook in list(hooks):
            if gys[index] is not None:
                gys[index] = _result_of(hook, gys[index])


def _result_of(hook: Any, gradient: Any) -> Any:
    replaced = hook(gradient)
    return gradient if replaced is None else replaced


def _refuse_nan(node: Function, gxs: Any) -> None:
    """What `detect_anomaly` asks for: an error that names the operation a nan came from."""
    for i, gx in enumerate(gxs):
        if gx is not None and bool(array_module(gx.array).isnan(gx.array).any()):
            raise RuntimeError(f"detect_anomaly: the gradient of {node.name} with respect to input {i} has a nan")


def _deliver(table: GradientTable, shared: set[Any], create_graph: bool, heard: bool) -> None:
    """Add the completed gradients to the leaves; each leaf ends up with memory of its own.

    `shared` are the leaves whose gradient an operation or its caller holds too; `heard` says that a recorder does.
    """
    seen: set[int] = set()
    for leaf, gradient in table.leaves():
        if leaf._hooks:
            for hook in list(leaf._hooks):
                gradient = _result_of(hook, gradient)
        array = gradient.array
        if array.shape != leaf.array.shape or array.dtype != leaf.array.dtype:
            raise RuntimeError(
                f"backward: a leaf of shape {leaf.array.shape}, {leaf.array.dtype.name}, received a gradient of shape "
                f"{array.shape}, {array.dtype.name}"
            )
        if leaf.grad is not None:
            if leaf.grad.array.shape != leaf.array.shape:
                raise RuntimeError(
                    f"backward: a leaf of shape {leaf.array.shape} already has a .grad of shape {leaf.grad.array.shape}"
                )
            if create_graph:
                leaf.grad = leaf.grad + gradient
            else:
                leaf.grad.array += array
                leaf.grad._written()
        elif create_graph:
            leaf.grad = gradient.clone()  # two leaves may have been given one tensor
        else:
            held = heard or leaf in shared or leaf._hooks or id(array) in seen
            array = array.copy() if held else _private(array)
            seen.add(id(array))
            leaf.grad = Variable._wrap(array)


def _private(array: Array) -> Array:
    """The array itself when nobody else can see its memory, otherwise a copy."""
    if array.base is None and (not isinstance(array, np.ndarray) or array.flags.writeable):
        return array
    return array.copy()


def seed_gradient(output: Tensor, gradient: Any, caller: str) -> Tensor:
    """The gradient to start from: 1 for a single number, otherwise what the caller gave, checked."""
    if not output._requires_grad:
        raise RuntimeError(
            f"{caller}: the output does not depend on anything that requires a gradient; "
            f"set requires_grad=True on the inputs, and compute outside no_grad"
        )
    xp = array_module(output.array)
    if gradient is None:
        if output.array.size != 1:
            raise RuntimeError(
                f"{caller}: the output has shape {output.array.shape}; only a single number can be differentiated "
                f"without a gradient of its own: reduce it with .sum() or .mean(), or pass the gradient"
            )
        one = xp.empty_like(output.array)
        one.fill(1)
        return Variable._wrap(one)
    gradient = gradient if isinstance(gradient, Variable) else Variable._wrap(xp.asarray(gradient, output.array.dtype))
    if gradient.array.shape != output.array.shape:
        raise RuntimeError(
            f"{caller}: the output has shape {output.array.shape}, but its gradient has {gradient.array.shape}"
        )
    checked: Tensor = gradient.to(dtype=output.array.dtype)
    return checked
