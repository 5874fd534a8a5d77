"""Rules for operations that compute: one line for those that only have another name in ONNX, else a small function."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.autograd.function import Function
from minidl.backend import Array
from minidl.io.onnx_graph import Graph
from minidl.io.onnx_rules import axes, number, spells
from minidl.io.onnx_trace import NotExportable, Step
from minidl.ops import (
    activation,
    arithmetic,
    choice,
    compare,
    convolution,
    elementwise,
    extremes,
    linalg,
    normalization,
    norms,
    pooling,
    recurrence,
    reduce,
    special,
)
from minidl.ops.broadcasting import Cast

PLAIN: dict[type[Function], str] = {
    arithmetic.Add: "Add", arithmetic.Sub: "Sub", arithmetic.Mul: "Mul", arithmetic.Div: "Div",
    arithmetic.Neg: "Neg", choice.Abs: "Abs", choice.Sign: "Sign", arithmetic.Pow: "Pow",
    elementwise.Exp: "Exp", elementwise.Log: "Log", elementwise.Sqrt: "Sqrt", elementwise.Sin: "Sin",
    elementwise.Cos: "Cos", choice.Floor: "Floor", choice.Ceil: "Ceil", choice.Round: "Round",
    choice.Maximum: "Max", choice.Minimum: "Min", choice.Where: "Where",
    activation.ReLU: "Relu", activation.Sigmoid: "Sigmoid", activation.Tanh: "Tanh", special.Erf: "Erf",
    linalg.MatMul: "MatMul",
}  # fmt: skip
"""Operations that differ in name only."""

QUESTIONS = {
    "equal": ("Equal",), "not_equal": ("Equal", "Not"), "less": ("Less",), "less_equal": ("LessOrEqual",),
    "greater": ("Greater",), "greater_equal": ("GreaterOrEqual",), "isnan": ("IsNaN",), "isinf": ("IsInf",),
    "bitwise_and": ("And",), "bitwise_or": ("Or",), "bitwise_xor": ("Xor",), "bitwise_not": ("Not",),
}  # fmt: skip


@spells(*PLAIN)
def _plain(g: Graph, op: Step, *xs: str) -> str:
    return g.add(PLAIN[type(op.first.function)], *xs)


# ── elementwise ───────────────────────────────────────────────────────────────────────────────────


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


@spells(arithmetic.PowNumber)
def _pow_number(g: Graph, op: Step, x: str) -> str:
    return g.add("Mul", x, x) if op.n == 2 else g.add("Pow", x, number(g, op, op.n))


@spells(elementwise.Expm1)
def _expm1(g: Graph, op: Step, x: str) -> str:
    return g.add("Sub", g.add("Exp", x), number(g, op, 1))


@spells(elementwise.Log1p)
def _log1p(g: Graph, op: Step, x: str) -> str:
    return g.add("Log", g.add("Add", x, number(g, op, 1)))


@spells(choice.Trunc)
def _trunc(g: Graph, op: Step, x: str) -> str:
    return g.add("Mul", g.add("Sign", x), g.add("Floor", g.add("Abs", x)))


@spells(choice.Clamp)
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
    reduce.Sum: "ReduceSum", extremes.AMax: "ReduceMax", extremes.AMin: "ReduceMin",
    norms.LogSumExp: "ReduceLogSumExp", norms.Norm: "ReduceL2",
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


@spells(normalization.LayerNorm)
def _layer_norm(g: Graph, op: Step, *xs: str) -> str:
    return g.add("LayerNormalization", *xs, axis=-1, epsilon=op.eps)


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
