"""Our operations in the spelling of ONNX: one line for those that only have another name, else one small function.

A rule gets the graph, the operation with its constants as attributes, and the names of its inputs; it writes nodes and
returns the name of the output, or several.

Source: the ONNX operator specification, operator sets 18 to 21.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.autograd.function import Function
from minidl.backend import Array
from minidl.io.onnx_graph import END, Graph
from minidl.io.onnx_trace import NotExportable, Same, Step
from minidl.nn.hooks import Passage
from minidl.ops import (  # fmt: skip
    activation,
    compare,
    convolution,
    elementwise,
    index,
    linalg,
    normalization,
    pooling,
    recurrence,
    reduce,
    shape,
    special,
    transfer,
)
from minidl.ops.broadcasting import BroadcastTo, Cast, SumTo
from minidl.ops.embedding import Embedding
from minidl.ops.fused import Fused

Rule = Callable[..., Any]

PLAIN: dict[type[Function], str] = {
    elementwise.Add: "Add", elementwise.Sub: "Sub", elementwise.Mul: "Mul", elementwise.Div: "Div",
    elementwise.Neg: "Neg", elementwise.Abs: "Abs", elementwise.Sign: "Sign", elementwise.Pow: "Pow",
    elementwise.Exp: "Exp", elementwise.Log: "Log", elementwise.Sqrt: "Sqrt", elementwise.Sin: "Sin",
    elementwise.Cos: "Cos", elementwise.Floor: "Floor", elementwise.Ceil: "Ceil", elementwise.Round: "Round",
    elementwise.Maximum: "Max", elementwise.Minimum: "Min", elementwise.Where: "Where",
    activation.ReLU: "Relu", activation.Sigmoid: "Sigmoid", activation.Tanh: "Tanh", special.Erf: "Erf",
    linalg.MatMul: "MatMul",
}  # fmt: skip
"""Operations that differ in name only."""

QUESTIONS = {
    "equal": ("Equal",), "not_equal": ("Equal", "Not"), "less": ("Less",), "less_equal": ("LessOrEqual",),
    "greater": ("Greater",), "greater_equal": ("GreaterOrEqual",), "isnan": ("IsNaN",), "isinf": ("IsInf",),
    "bitwise_and": ("And",), "bitwise_or": ("Or",), "bitwise_xor": ("Xor",), "bitwise_not": ("Not",),
}  # fmt: skip

RULES: dict[type[Function], Rule] = {}


def spells(*functions: type[Function]) -> Callable[[Rule], Rule]:
    """Enter a rule for these operations."""

    def enter(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(functions, rule))
        return rule

    return enter


@spells(*PLAIN)
def _plain(g: Graph, op: Step, *xs: str) -> str:
    return g.add(PLAIN[type(op.first.function)], *xs)


@spells(Same, Passage, transfer.Clone, transfer.ToDevice)
def _same(g: Graph, op: Step, *xs: str) -> list[str]:
    return list(xs)


# ── elementwise ───────────────────────────────────────────────────────────────────────────────────


def number(g: Graph, op: Step, value: float) -> str:
    """A constant of the dtype of the first input."""
    return g.stored(np.asarray(value, op.first.inputs[0].array.dtype))


@spells(compare.Question)
def _question(g: Graph, op: Step, *xs: str) -> str:
    names = QUESTIONS.get(op.asked)
    if names is None or (op.asked.startswith("bitwise") and op.input(0)[0].dtype != np.bool_):
        raise NotExportable(f"{op} has no counterpart in ONNX that minidl knows")
    y = g.add(names[0], *xs)
    return g.add(names[1], y) if names[1:] else y


@spells(Cast)
def _cast(g: Graph, op: Step, x: str) -> str:
    return g.add("Cast", x, to=g.onnx.helper.np_dtype_to_tensor_dtype(op.dtype))


@spells(elementwise.PowNumber)
def _pow_number(g: Graph, op: Step, x: str) -> str:
    return g.add("Mul", x, x) if op.n == 2 else g.add("Pow", x, number(g, op, op.n))


@spells(elementwise.Expm1)
def _expm1(g: Graph, op: Step, x: str) -> str:
    return g.add("Sub", g.add("Exp", x), number(g, op, 1))


@spells(elementwise.Log1p)
def _log1p(g: Graph, op: Step, x: str) -> str:
    return g.add("Log", g.add("Add", x, number(g, op, 1)))


@spells(elementwise.Trunc)
def _trunc(g: Graph, op: Step, x: str) -> str:
    return g.add("Mul", g.add("Sign", x), g.add("Floor", g.add("Abs", x)))


@spells(elementwise.Clamp)
def _clamp(g: Graph, op: Step, x: str) -> str:
    return g.add("Clip", x, *["" if bound is None else number(g, op, bound) for bound in (op.low, op.high)])


@spells(activation.ELU)
def _elu(g: Graph, op: Step, x: str) -> str:
    return g.add("Elu", x, alpha=op.a)


@spells(activation.Softplus)
def _softplus(g: Graph, op: Step, x: str) -> str:
    beta = number(g, op, op.beta)
    z = g.add("Mul", x, beta)
    straight = g.add("Greater", z, number(g, op, op.threshold))
    return g.add("Where", straight, x, g.add("Div", g.add("Softplus", z), beta))


# ── reductions ────────────────────────────────────────────────────────────────────────────────────

REDUCTIONS: dict[type[Function], str] = {
    reduce.Sum: "ReduceSum", reduce.AMax: "ReduceMax", reduce.AMin: "ReduceMin",
    reduce.LogSumExp: "ReduceLogSumExp", reduce.Norm: "ReduceL2",
}  # fmt: skip


@spells(*REDUCTIONS)
def _reduction(g: Graph, op: Step, x: str) -> str:
    name = REDUCTIONS[type(op.first.function)]
    return g.add(name, x, axes(g, op.axes), keepdims=int(op.keepdim), noop_with_empty_axes=1)


@spells(reduce.Prod)
def _prod(g: Graph, op: Step, x: str) -> str:
    return g.add("ReduceProd", x, axes(g, (-1,)), keepdims=0)


@spells(reduce.CumSum)
def _cumsum(g: Graph, op: Step, x: str) -> str:
    return g.add("CumSum", x, g.stored(np.asarray(op.axis, np.int64)))


@spells(activation.Softmax)
def _softmax(g: Graph, op: Step, x: str) -> str:
    return g.add("Softmax", x, axis=op.axis)


@spells(activation.LogSoftmax)
def _log_softmax(g: Graph, op: Step, x: str) -> str:
    return g.add("LogSoftmax", x, axis=op.axis)


@spells(normalization.Standardize)
def _standardize(g: Graph, op: Step, x: str) -> str:
    last = op.input(0)[0].shape[-1]
    return g.add("LayerNormalization", x, g.stored(np.ones(last, op.first.inputs[0].array.dtype)), axis=-1,
                 epsilon=op.eps)  # fmt: skip


# ── products ──────────────────────────────────────────────────────────────────────────────────────


@spells(linalg.Linear)
def _linear(g: Graph, op: Step, *xs: str) -> str:
    return g.add("Gemm", *xs, transB=1)


@spells(linalg.Einsum)
def _einsum(g: Graph, op: Step, *xs: str) -> str:
    return g.add("Einsum", *xs, equation=f"{','.join(op.factors)}->{op.out}")


@spells(convolution.Conv2d)
def _conv(g: Graph, op: Step, *xs: str) -> str:
    stride, (top, bottom, left, right), dilation, groups = op.slide
    return g.add("Conv", *xs, strides=stride, pads=(top, left, bottom, right), dilations=dilation, group=groups)


@spells(convolution.Conv2dInputGrad)
def _conv_transpose(g: Graph, op: Step, x: str, w: str) -> str:
    stride, (top, bottom, left, right), dilation, groups = op.slide
    rows = zip(op.image, op.input(0)[0].shape[2:], op.kernel, stride, dilation, (top + bottom, left + right))
    more = [size - ((n - 1) * S + D * (K - 1) + 1 - P) for size, n, K, S, D, P in rows]
    return g.add("ConvTranspose", x, w, strides=stride, pads=(top, left, bottom, right), dilations=dilation,
                 group=groups, output_padding=more)  # fmt: skip


# ── pooling ───────────────────────────────────────────────────────────────────────────────────────


def hanging(size: int, kernel: int, stride: int, dilation: int, before: int, after: int, windows: int) -> int:
    """How many pixels must follow an image and its padding so that the last of the windows is whole."""
    return max((windows - 1) * stride + dilation * (kernel - 1) + 1 - size - before - after, 0)


@spells(pooling.MaxPool2d)
def _max_pool(g: Graph, op: Step, x: str) -> str:
    K, S, (top, bottom, left, right), D, out = op.geometry
    more = [hanging(*row) for row in zip(op.image, K, S, D, (top, left), (bottom, right), out)]
    return g.add("MaxPool", x, kernel_shape=K, strides=S, dilations=D,
                 pads=(top, left, bottom + more[0], right + more[1]))  # fmt: skip


@spells(pooling.AvgPool2d)
def _avg_pool(g: Graph, op: Step, x: str) -> str:
    (K, S, (top, bottom, left, right)), (include, divisor) = op.windows, op.divisor
    more = [hanging(*row) for row in zip(op.image, K, S, (1, 1), (top, left), (bottom, right), op.out_hw)]
    pads = [top, left, bottom, right]
    if divisor is not None:  # every window is a whole one, of K·K pixels
        x, pads, more = _padded(g, op, x, [top, left, bottom + more[0], right + more[1]]), [0] * 4, [0, 0]
    elif include and any(more):  # the padding counts, what hangs over does not
        x, pads, include = _padded(g, op, x, pads), [0] * 4, False
    pads = [pads[0], pads[1], pads[2] + more[0], pads[3] + more[1]]
    y = g.add("AveragePool", x, kernel_shape=K, strides=S, pads=pads, count_include_pad=int(include))
    return y if divisor is None else g.add("Mul", y, number(g, op, K[0] * K[1] / divisor))


def _padded(g: Graph, op: Step, x: str, pads: list[int]) -> str:
    """Zeros around an image, at the (top, left, bottom, right)."""
    widths = g.stored(np.array([0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64))
    return g.add("Pad", x, widths, number(g, op, 0)) if any(pads) else x


# ── shapes ────────────────────────────────────────────────────────────────────────────────────────


def axes(g: Graph, numbers: tuple[int, ...] | list[int]) -> str:
    """Axes, or positions, as a constant."""
    return g.stored(np.asarray(numbers, np.int64).reshape(-1))


@spells(shape.Reshape)
def _reshape(g: Graph, op: Step, x: str) -> str:
    a, b = op.shapes
    growing = [i for i in range(len(a)) if a[i] != b[i]]
    if len(growing) != 1:
        return g.add("Reshape", x, g.sizes((a, b)), allowzero=int(0 in a))
    return g.add("Reshape", x, axes(g, [-1 if i in growing else n for i, n in enumerate(a)]))


@spells(BroadcastTo)
def _broadcast_to(g: Graph, op: Step, x: str) -> str:
    (a, b), (before, other) = op.shapes, [array.shape for array in op.input(0)]
    new = len(a) - len(before)
    keep = [i >= new and a[i] == before[i - new] and b[i] == other[i - new] for i in range(len(a))]
    a, b = [tuple([1 if kept else n for n, kept in zip(size, keep, strict=True)]) for size in (a, b)]
    return g.add("Expand", x, g.sizes((a, b)))


@spells(SumTo)
def _sum_to(g: Graph, op: Step, x: str) -> str:
    before, after = op.input(0)[0].shape, op.shapes[0]
    new = len(before) - len(after)
    repeated = [i for i in range(new, len(before)) if after[i - new] == 1 and before[i] != 1]
    y = g.add("ReduceSum", x, axes(g, repeated), keepdims=1, noop_with_empty_axes=1)
    return g.add("ReduceSum", y, axes(g, list(range(new))), keepdims=0, noop_with_empty_axes=1)


@spells(shape.Permute)
def _permute(g: Graph, op: Step, x: str) -> str:
    return g.add("Transpose", x, perm=op.dims)


@spells(shape.Flip)
def _flip(g: Graph, op: Step, x: str) -> str:
    n = len(op.axes)
    return g.add("Slice", x, axes(g, [-1] * n), axes(g, [-END] * n), axes(g, op.axes), axes(g, [-1] * n))


@spells(shape.Cat)
def _cat(g: Graph, op: Step, *xs: str) -> str:
    return g.add("Concat", *xs, axis=op.axis)


@spells(shape.Narrow)
def _narrow(g: Graph, op: Step, x: str) -> str:
    size = op.both(lambda f: f.size)
    start = _place(op, op.both(lambda f: f.start), size)
    stop = _place(op, op.both(lambda f: f.start + f.length), size) or END
    return g.add("Slice", x, axes(g, [start]), axes(g, [stop]), axes(g, [op.axis]))


def _place(op: Step, at: tuple[int, int], size: tuple[int, int]) -> int:
    """A position that is as far from the start in both runs, or, counted negatively, as far from the end."""
    if at[0] == at[1]:
        return at[0]
    if at[0] - size[0] == at[1] - size[1]:
        return at[0] - size[0]
    raise NotExportable(f"{op} cuts at {at[0]} of {size[0]} for one batch and at {at[1]} of {size[1]} for another")


@spells(shape.PadZeros)
def _pad(g: Graph, op: Step, x: str) -> str:
    widths = [before for before, _ in op.widths] + [after for _, after in op.widths]
    return g.add("Pad", x, axes(g, widths), number(g, op, op.value))


@spells(shape.Triangle)
def _triangle(g: Graph, op: Step, x: str) -> str:
    return g.add("Trilu", x, g.stored(np.asarray(op.diagonal, np.int64)), upper=int(not op.lower))


@spells(Embedding)
def _embedding(g: Graph, op: Step, w: str) -> str:
    return g.add("Gather", w, g.value(op.both(lambda f: f.buffers[0]), op), axis=0)


@spells(reduce.TakeAlong)
def _take_along(g: Graph, op: Step, x: str) -> str:
    return g.add("GatherElements", x, g.value(op.both(lambda f: f.buffers[0]), op), axis=op.axis)


@spells(index.GetItem)
def _getitem(g: Graph, op: Step, x: str) -> str:
    first, second = (_spread(k, array.ndim) for k, array in zip(op.both(lambda f: f.buffers[0]), op.input(0)))
    arrays = [part for part in first if isinstance(part, np.ndarray)]
    others = [part for part in first if not isinstance(part, np.ndarray | slice)]
    if arrays and (len(arrays) > 1 or arrays[0].dtype == np.bool_ or others):
        raise NotExportable(f"{op}: only one array of integers, with slices beside it, can be exported as an index")
    if not arrays and first != second:
        raise NotExportable(f"{op} picks {first} for one batch and {second} for another; use dynamic_batch=False")
    on_axes = [part for part in first if part is not None]
    cuts = [(i, p) for i, p in enumerate(on_axes) if isinstance(p, slice) and p != slice(None)]
    if cuts:
        steps = [1 if p.step is None else int(p.step) for _, p in cuts]
        starts = [(0 if s > 0 else END) if p.start is None else int(p.start) for (_, p), s in zip(cuts, steps)]
        stops = [(END if s > 0 else -END) if p.stop is None else int(p.stop) for (_, p), s in zip(cuts, steps)]
        x = g.add("Slice", x, axes(g, starts), axes(g, stops), axes(g, [i for i, _ in cuts]), axes(g, steps))
    for i, part in reversed([*enumerate(on_axes)]):
        if isinstance(part, np.ndarray):
            x = g.add("Gather", x, g.value((part, second[i]), op), axis=i)
        elif not isinstance(part, slice):
            x = g.add("Gather", x, g.stored(np.asarray(part, np.int64)), axis=i)
    kept = [part for part in first if part is None or isinstance(part, slice | np.ndarray)]
    new = [i for i, part in enumerate(kept) if part is None]
    return g.add("Unsqueeze", x, axes(g, new)) if new else x


def _spread(k: Any, ndim: int) -> list[Any]:
    """An index as a list, with slices in the place of "..."."""
    parts = list(k) if isinstance(k, tuple) else [k]
    missing = ndim - sum(part is not None and part is not Ellipsis for part in parts)
    at = next((i for i, part in enumerate(parts) if part is Ellipsis), None)
    return parts + [slice(None)] * missing if at is None else parts[:at] + [slice(None)] * missing + parts[at + 1 :]


# ── recurrent layers ──────────────────────────────────────────────────────────────────────────────


@spells(recurrence.RNN)
def _rnn(g: Graph, op: Step, *xs: str) -> list[str]:
    return _layer(g, op, xs, "RNN", (0,), activations=[op.nonlinearity.capitalize()])


@spells(recurrence.LSTM)
def _lstm(g: Graph, op: Step, *xs: str) -> list[str]:
    return _layer(g, op, xs, "LSTM", (0, 3, 1, 2))


@spells(recurrence.GRU)
def _gru(g: Graph, op: Step, *xs: str) -> list[str]:
    return _layer(g, op, xs, "GRU", (1, 0, 2), linear_before_reset=int(op.reset == "after"))


def _layer(g: Graph, op: Step, xs: tuple[str, ...], name: str, order: tuple[int, ...], **attributes: Any) -> list[str]:
    """A layer in one direction; ONNX has a dimension for the directions and the gates in another order."""
    x, *state = xs[:-4]
    n = len(xs)

    def arranged(w: Array) -> Array:
        gates = np.split(np.asarray(w), len(order))
        return np.concatenate([gates[i] for i in order])

    w, u = (g.folded(op, i, lambda w: arranged(w)[None]) for i in (n - 4, n - 3))
    b, c = (g.folded(op, i, lambda b: arranged(b)[None]) for i in (n - 2, n - 1))
    first = axes(g, [0])
    states = [g.add("Unsqueeze", s, first) for s in state]
    y, *last = g.add_many(1 + len(state), name, x, w, u, g.add("Concat", b, c, axis=1), _lengths(g, op), *states,
                          hidden_size=op.input(1)[0].shape[1], direction="reverse" if op.reverse else "forward",
                          **attributes)  # fmt: skip
    return [g.add("Squeeze", y, axes(g, [1])), *[g.add("Squeeze", s, first) for s in last]]


def _lengths(g: Graph, op: Step) -> str:
    """The lengths of the sequences, where they are not all the same."""
    if not any(op.both(lambda f: f.ragged)):
        return ""
    return g.constant(op.both(lambda f: (np.arange(f.counts[0]) < np.asarray(f.counts)[:, None]).sum(0, np.int32)), op)


def rule(function: Function) -> Rule | None:
    """How an operation is written, None where nobody knows."""
    return RULES.get(type(function))


KNOWN = {f for f in RULES if issubclass(f, Fused)}
"""The fused operations that have a name of their own in ONNX; the others are written as their composites."""
