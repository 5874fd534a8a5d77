"""What must hold of the values of an operation: what does not matter to them, and what they are by definition."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from cases import Case, grad_arrays, near, same
from definitions import DEFINITIONS

from minidl.autograd import grad, no_grad
from minidl.kernels import attention as tiles
from minidl.kernels import threads, use_kernels
from minidl.kernels.portable import recurrent as rows
from minidl.ops.registry import Operation
from minidl.tensor import Tensor

SEQUENCES = {"rnn", "lstm", "gru"}
"""Operations on sequences: steps along axis 0 of the input and of the first output, sequences along axis 1."""


def rooms_agree(operation: Operation) -> None:
    """The loops of the reference, NumPy and the compiled kernels give the same value and gradient."""
    case = Case(operation)
    with use_kernels("reference"):
        ys, gxs = case.value_and_gradients()
    for room in ("numpy", "auto"):
        with use_kernels(room):
            found_ys, found_gxs = case.value_and_gradients()
        same(found_ys, ys, 1e-11, f"{room} against reference: output")
        same(found_gxs, gxs, 1e-11, f"{room} against reference: gradient")


@contextmanager
def _pieces(queries: int, keys: int, numbers: int, jobs: int, sequences: int, workers: int) -> Iterator[None]:
    """Work cut into pieces of other sizes, for other numbers of threads."""
    places = [(tiles, "QUERIES", queries), (tiles, "KEYS", keys), (tiles, "TILE", numbers), (tiles, "JOBS", jobs),
              (rows, "_ROWS", sequences)]  # fmt: skip
    before = [getattr(module, name) for module, name, _ in places]
    size = threads.num_threads()
    for module, name, value in places:
        setattr(module, name, value)
    threads.set_num_threads(workers)
    try:
        yield
    finally:
        threads.set_num_threads(size)
        for (module, name, _), value in zip(places, before, strict=True):
            setattr(module, name, value)


def cut_anywhere(operation: Operation) -> None:
    """Value and gradient do not depend on the tiles into which the work is cut, nor on who does it (T31)."""
    if operation.name not in SEQUENCES | {"scaled_dot_product_attention"}:
        return
    case = Case(operation)
    if case.arguments.get("dropout_p"):  # the tiles decide which weights are struck out
        return
    ys, gxs = case.value_and_gradients()
    for pieces in ((1, 1, 1, 1, 1, 1), (2, 3, 6, 8, 2, 2), (3, 2, 100, 2, 3, 2)):
        with _pieces(*pieces):
            found_ys, found_gxs = case.value_and_gradients()
        same(found_ys, ys, 1e-12, f"pieces {pieces}: output")
        same(found_gxs, gxs, 1e-12, f"pieces {pieces}: gradient")


def future_does_not_matter(operation: Operation) -> None:
    """What a step or a query under a causal mask puts out is the same whatever comes later, and asks nothing of it."""
    case = Case(operation)
    if operation.name in SEQUENCES:
        axes, axis = {"input": 0}, 0
    elif case.arguments.get("is_causal"):
        axes, axis = dict.fromkeys({"key", "value"} & case.arguments.keys(), 1), 1
    else:
        return
    T = case(*case.leaves())[0].array.shape[axis]
    backwards = case.arguments.get("reverse", False)
    for t in range(1, T):
        later, now = (slice(t), slice(t, None)) if backwards else (slice(t, None), slice(t))
        xs, moved = case.leaves(), [x.copy() for x in case.arrays]
        for (key, _), x in zip(case.places, moved, strict=True):
            if key in axes:
                x[(slice(None),) * axes[key] + (later,)] += 1.7
        before = (slice(None),) * axis + (now,)
        y = case(*xs)[0]
        with no_grad():
            found = case(*case.leaves(moved))[0].array[before]
        near(found, y.array[before], 1e-12, f"steps {later} changed: steps {now}")
        gy = np.zeros_like(y.array)
        gy[before] = case.cotangents([y])[0][before]
        gxs = grad([y], xs, [Tensor(gy)], allow_unused=True)
        for (key, _), g in zip(case.places, gxs, strict=True):
            if key in axes and g is not None:
                future = g.array[(slice(None),) * axes[key] + (later,)]
                assert not future.any(), f"{operation.name}: steps {now} ask for a change of {key} in steps {later}"


ONE_BY_ONE: dict[str, tuple[dict[str, int], tuple[int, ...]]] = {
    "rnn": ({"input": 1, "h0": 0, "lengths": 0}, (1, 0)),
    "lstm": ({"input": 1, "h0": 0, "c0": 0, "lengths": 0}, (1, 0, 0)),
    "gru": ({"input": 1, "h0": 0, "lengths": 0}, (1, 0)),
    "rnn_cell": ({"input": 0, "h0": 0}, (0,)),
    "lstm_cell": ({"input": 0, "h0": 0, "c0": 0}, (0, 0)),
    "gru_cell": ({"input": 0, "h0": 0}, (0,)),
    "scaled_dot_product_attention": ({"query": 0, "key": 0, "value": 0}, (0,)),
    "attention_weights": ({"query": 0, "key": 0}, (0,)),
    "cosface_logits": ({"input": 0, "target": 0}, (0,)),
    "arcface_logits": ({"input": 0, "target": 0}, (0,)),
    **{
        name: ({"input": 0}, (0,))
        for name in ("linear", "layer_norm", "group_norm", "instance_norm", "rms_norm", "normalize", "conv2d",
                     "conv1d", "conv_transpose2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d",
                     "conv2d_relu_max_pool2d", "embedding", "cosine_logits", "softmax", "log_softmax")
    },
}  # fmt: skip
"""Operations on batches: along which axis the arguments have their examples, and along which the outputs."""


def one_by_one(operation: Operation) -> None:
    """A batch is its examples: each by itself gives its part of value and gradient, and weights get the sum.

    A sequence of a ragged batch is cut to its own length: packed equals a loop.
    """
    case = Case(operation)
    if operation.name not in ONE_BY_ONE or case.arguments.get("dropout_p"):
        return
    axes, out_axes = ONE_BY_ONE[operation.name]
    xs = case.leaves()
    ys = case(*xs)
    gys = case.cotangents(ys)
    gxs = grad_arrays(case, xs, ys, gys)
    totals = [np.zeros_like(x) for x in case.arrays]
    lengths = case.arguments.get("lengths")
    for n in range(ys[0].array.shape[out_axes[0]]):
        arguments = dict(case.arguments)
        for key, axis in axes.items():
            if isinstance(arguments.get(key), np.ndarray):
                arguments[key] = arguments[key][(slice(None),) * axis + (slice(n, n + 1),)]
        steps = slice(None)
        if lengths is not None:
            steps = slice(int(lengths[n]))
            arguments |= {"input": arguments["input"][steps], "lengths": None}
        single = Case(dataclasses.replace(operation, example=lambda draw, given=arguments: given))
        parts = [gy[(slice(None),) * axis + (slice(n, n + 1),)] for gy, axis in zip(gys, out_axes, strict=True)]
        parts[0] = parts[0][steps] if operation.name in SEQUENCES else parts[0]
        leaves = single.leaves()
        found = single(*leaves)
        for k, (y, f, axis) in enumerate(zip(ys, found, out_axes, strict=True)):
            part = y.array[(slice(None),) * axis + (slice(n, n + 1),)]
            if lengths is not None and k == 0:
                assert not part[steps.stop :].any(), f"{operation.name}: sequence {n} goes on behind its end"
                part = part[steps]
            near(part, f.array, 1e-11, f"example {n} by itself: output {k}")
        for (key, _), total, g in zip(case.places, totals, grad_arrays(single, leaves, found, parts), strict=True):
            if key in axes:
                at = (slice(None),) * axes[key] + (slice(n, n + 1),)
                total[at][steps if key == "input" and lengths is not None else slice(None)] += g
            else:
                total += g
    same(gxs, totals, 1e-11, "all examples together: gradient")


def declared_constant(operation: Operation) -> None:
    """What an argument declares to be constant gets exactly 0: the row of padding, the rows of ignored labels."""
    case = Case(operation)
    padding, ignored = case.arguments.get("padding_idx"), case.arguments.get("ignore_index", -100)
    if operation.name == "embedding" and padding is not None:
        key, at = "weight", padding
    elif operation.name == "cross_entropy" and (case.arguments["target"] == ignored).any():
        key, at = "input", np.broadcast_to((case.arguments["target"] == ignored)[:, None], case.arrays[0].shape)
    else:
        return
    _, gxs = case.value_and_gradients()
    given = dict(zip([place[0] for place in case.places], gxs, strict=True))[key]
    assert given.any(), f"{operation.name}: no gradient at all"
    assert not given[at].any(), f"{operation.name}: {key} has a gradient where it is declared constant"


def defined(operation: Operation) -> None:
    """The value is that of the definition, written in NumPy without the engine (`definitions.py`)."""
    case = Case(operation)
    if operation.name not in DEFINITIONS or case.arguments.get("dropout_p"):
        return
    with no_grad():
        ys = [y.array for y in case(*case.leaves())]
    expected = DEFINITIONS[operation.name](**case.arguments)
    same(ys, [*expected] if isinstance(expected, tuple) else [expected], 1e-11, f"{operation.name}: output")
