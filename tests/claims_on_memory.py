"""What must hold of an operation's use of memory and of the tape: layouts, writes, sharing, versions, leaks."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from cases import Case, near, nodes_of, same

from minidl.autograd import Function, backward, grad, no_grad, record
from minidl.ops.registry import Operation
from minidl.tensor import Tensor


def _reversed(x: np.ndarray) -> np.ndarray:
    turned = (..., *(slice(None, None, -1),) * x.ndim)
    return x[turned].copy()[turned]


def _strided(x: np.ndarray) -> np.ndarray:
    wide = np.full([2 * n for n in x.shape], np.nan, x.dtype)
    view = wide[(..., *(slice(None, None, 2),) * x.ndim)]
    view[...] = x
    return view


def _offset(x: np.ndarray) -> np.ndarray:
    block = np.full([n + 2 for n in x.shape], np.nan, x.dtype)
    view = block[(..., *(slice(1, -1),) * x.ndim)]
    view[...] = x
    return view


def _read_only(x: np.ndarray) -> np.ndarray:
    y = x.copy()
    y.flags.writeable = False
    return y


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "fortran": lambda x: x.copy(order="F"),
    "transposed": lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -1, 0)), 0, -1) if x.ndim else x,
    "reversed": _reversed,
    "strided": _strided,
    "offset": _offset,
    "read-only": _read_only,
}


def _repeated(x: np.ndarray) -> np.ndarray:
    """The first slice of the array, broadcast over all (stride 0, read-only)."""
    return np.broadcast_to(x[:1], x.shape) if x.ndim and x.size else x


def layouts(operation: Operation) -> None:
    """The result does not depend on how inputs and incoming gradients lie in memory (T30)."""
    case = Case(operation)
    ys, gxs = case.value_and_gradients()
    gys = case.cotangents([Tensor(y) for y in ys])
    for name, layout in LAYOUTS.items():
        found_ys, found_gxs = case.value_and_gradients([layout(x) for x in case.arrays])
        same(found_ys, ys, 1e-12, f"{name} inputs: output")
        same(found_gxs, gxs, 1e-12, f"{name} inputs: gradient")
        _, found_gxs = case.value_and_gradients(gys=[layout(g) for g in gys])
        same(found_gxs, gxs, 1e-12, f"{name} incoming gradient: gradient")
    gys = [_repeated(g) for g in gys]
    _, found_gxs = case.value_and_gradients(gys=gys)
    same(found_gxs, case.value_and_gradients(gys=[g.copy() for g in gys])[1], 1e-12, "broadcast incoming gradient")
    arrays = [_repeated(x) for x in case.arrays]
    expected, expected_gxs = case.value_and_gradients([x.copy() for x in arrays])
    found_ys, found_gxs = case.value_and_gradients(arrays)
    same(found_ys, expected, 1e-12, "broadcast inputs: output")
    same(found_gxs, expected_gxs, 1e-12, "broadcast inputs: gradient")


def _state(nodes: list[Function]) -> list[tuple[str, np.ndarray]]:
    """Copies of every array that the operations keep."""
    found: list[tuple[str, np.ndarray]] = []

    def collect(what: str, value: Any) -> None:
        if isinstance(value, np.ndarray):
            found.append((what, value.copy()))
        elif isinstance(value, Tensor):
            found.append((what, value.array.copy()))
        elif isinstance(value, tuple | list):
            for item in value:
                collect(what, item)

    for node in nodes:
        for cls in type(node).__mro__:
            for slot in cls.__dict__.get("__slots__", ()):
                if slot not in ("edges", "__weakref__"):
                    collect(f"{node.name}.{slot}", getattr(node, slot, None))
    return found


def nothing_written(operation: Operation) -> None:
    """Inputs, incoming gradients and saved state stay as they were, and a second walk gives the same (T4, T5)."""
    case = Case(operation)
    arrays = [x.copy() for x in case.arrays]
    others = {k: np.copy(v) for k, v in case.arguments.items() if isinstance(v, np.ndarray)}
    xs = case.leaves(arrays)
    ys = case(*xs)
    outputs = [y.array.copy() for y in ys]
    gys = case.cotangents(ys)
    seeds = [Tensor(g.copy()) for g in gys]
    state = _state(nodes_of(ys))
    walks = []
    for _ in range(2):
        gxs = grad(ys, xs, seeds, retain_graph=True, allow_unused=True)
        walks.append([None if g is None else g.array.copy() for g in gxs])
    for a, b in zip(*walks, strict=True):
        assert (a is None) == (b is None)
        assert a is None or np.array_equal(a, b), f"{operation.name}: a second walk gives another gradient"
    for (what, before), (_, after) in zip(state, _state(nodes_of(ys)), strict=True):
        assert np.array_equal(before, after, equal_nan=before.dtype.kind in "fc"), f"{what} changed in the walk"
    for what, before, after in (
        ("input", case.arrays, arrays),
        ("incoming gradient", gys, [s.array for s in seeds]),
        ("output", outputs, [y.array for y in ys]),
    ):
        for i, (a, b) in enumerate(zip(before, after, strict=True)):
            assert np.array_equal(a, b), f"{operation.name}: {what} {i} was written"
    for key, before in others.items():
        assert np.array_equal(before, case.arguments[key]), f"{operation.name}: argument {key} was written"
    again = case(*case.leaves())
    same([y.array for y in again], outputs, 0.0, "a second call: output")


def gradients_are_private(operation: Operation) -> None:
    """Every leaf's gradient can be written, owns its memory and shares it with nobody (T1, T6)."""
    case = Case(operation)
    for create_graph, layout in itertools.product((False, True), (np.copy, _repeated)):
        xs = case.leaves()
        ys = case(*xs)
        seeds = [Tensor(layout(g)) for g in case.cotangents(ys)]
        total = ys[0] if len(ys) == 1 else None
        if total is not None:
            total.backward(seeds[0], create_graph=create_graph)
        else:
            backward(ys, seeds, create_graph=create_graph)
        held = [x.grad.array for x in xs if x.grad is not None]
        for g in held:
            assert type(g) is np.ndarray, f"{operation.name}: a gradient is a {type(g).__name__}, not an array"
            assert g.flags.writeable, f"{operation.name}: a gradient is read-only"
        foreign = [x.array for x in xs] + [s.array for s in seeds]
        for a, b in itertools.chain(itertools.combinations(held, 2), itertools.product(held, foreign)):
            assert not np.shares_memory(a, b), f"{operation.name}: a gradient shares its memory (T1)"
        for x in xs:  # a graph recorded by create_graph lives in the gradient: cut it
            x.grad = None


def connected(operation: Operation) -> None:
    """Each input alone reaches the outputs and gets a gradient; the others get none, nor the work (T22, T23)."""
    case = Case(operation)
    _, expected = case.value_and_gradients()
    for i in range(len(case.places)):
        xs = case.leaves(needs=lambda k, i=i: k == i)
        ys = case(*xs)
        assert any(y.requires_grad for y in ys), f"{operation.name}: the outputs forgot input {i}"
        linked = [y for y in ys if y.requires_grad]
        gys = [g for y, g in zip(ys, case.cotangents(ys), strict=True) if y.requires_grad]
        with record() as heard:
            backward(linked, [Tensor(g) for g in gys])
        for k, x in enumerate(xs):
            assert (x.grad is not None) == (k == i), f"{operation.name}: input {k} has grad {x.grad}, {i} wanted one"
        near(xs[i].grad.array, expected[i], 1e-12, f"gradient of input {i} alone")
        for event in heard.events:
            for gx, need in zip(event.contributions, event.function.needs, strict=True):
                assert need or gx is None, f"{operation.name}: {event.function} computed a gradient nobody wanted"


def outputs_dropped(operation: Operation) -> None:
    """Any of several outputs may be used alone, the others deleted (T17)."""
    case = Case(operation)
    ys, _ = case.value_and_gradients()
    gys = case.cotangents([Tensor(y) for y in ys])
    for size in range(1, len(ys)):
        for used in itertools.combinations(range(len(ys)), size):
            padded = [g if k in used else np.zeros_like(g) for k, g in enumerate(gys)]
            _, expected = case.value_and_gradients(gys=padded)
            xs = case.leaves()
            kept = [y for k, y in enumerate(case(*xs)) if k in used]
            gc.collect()
            found = grad(kept, xs, [Tensor(gys[k]) for k in used], allow_unused=True)
            for i, (g, e) in enumerate(zip(found, expected, strict=True)):
                near(np.zeros_like(e) if g is None else g.array, e, 1e-12, f"outputs {used}: gradient {i}")


def guarded(operation: Operation) -> None:
    """Changing an input, an output or an index between forward and backward raises, or changes nothing (T5).

    Likewise for a gradient that is itself recorded, which fused operations compute from their composite.
    """
    case = Case(operation)
    _, expected = case.value_and_gradients()
    constants = {
        key: Tensor._wrap(value.copy())
        for key, value in case.arguments.items()
        if isinstance(value, np.ndarray) and value.dtype.kind in "iub"
    }

    def attempt(what: str, change: Callable[[list[Tensor], list[Tensor], dict[str, Tensor]], None]) -> None:
        for recorded in (False, True)[: operation.orders]:
            once(f"{what}, recorded={recorded}", change, recorded)

    def once(what: str, change: Callable[..., None], recorded: bool) -> None:
        xs = case.leaves([x.copy() for x in case.arrays])
        given = {key: Tensor._wrap(value.array.copy()) for key, value in constants.items()}
        result = case.result(*xs, **given)
        outputs = list(result) if isinstance(result, tuple | list) else [result]
        ys = [y for y in outputs if y.array.dtype.kind == "f"]
        seeds = [Tensor(g) for g in case.cotangents(ys)]
        with no_grad():
            change(xs, outputs, given)
        try:
            gxs = grad(ys, xs, seeds, create_graph=recorded, allow_unused=True)
        except RuntimeError as error:
            if "changed in place" not in str(error):
                raise
            return
        for i, (g, e) in enumerate(zip(gxs, expected, strict=True)):
            near(np.zeros_like(e) if g is None else g.array, e, 1e-12, f"after writing {what}: gradient {i}")

    for i in range(len(case.places)):
        attempt(f"input {i}", lambda xs, ys, given, i=i: xs[i].mul_(3))
    result = case.result(*case.leaves())
    for k in range(len(result) if isinstance(result, tuple | list) else 1):
        attempt(f"output {k}", lambda xs, ys, given, k=k: _spoil(ys[k].detach()))
    for key in constants:
        attempt(f"argument {key}", lambda xs, ys, given, key=key: given[key].zero_())


def _spoil(y: Tensor) -> None:
    """Write into an output where its memory is its own to write."""
    if y.array.flags.writeable:
        y.zero_()


def no_leak(operation: Operation) -> None:
    """Everything dies with the last reference to it, with the cycle collector off (T18)."""
    case = Case(operation)
    gc.collect()
    gc.disable()
    try:
        xs = case.leaves()
        ys = case(*xs)
        gys = [Tensor(g) for g in case.cotangents(ys)]
        gxs = grad(ys, xs, gys, create_graph=operation.orders >= 2, allow_unused=True)
        watched = [weakref.ref(v) for v in (*xs, *ys, *nodes_of(ys), *[g for g in gxs if g is not None])]
        watched += [weakref.ref(n) for n in nodes_of([g for g in gxs if g is not None])]
        del xs, ys, gys, gxs
        alive = [w() for w in watched if w() is not None]
        assert not alive, f"{operation.name}: {len(alive)} of {len(watched)} objects still live, {alive[:3]}"
    finally:
        gc.enable()
