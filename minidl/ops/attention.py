r"""Attention: every position takes a weighted mean of the values of all positions, with weights computed from content.

    y_i = Σ_j a_ij v_j,      a_i = softmax_j(q_i · k_j / √E)

Queries, keys and values are themselves linear maps of the input. Document 003 names the pieces but gives no formula
for the weights (ERRATA 003-T20) and calls the sum a sum of element-wise products; it is a product of matrices, A V
(ERRATA 003-T21). The softmax runs over the positions j: over an axis of size 1, as in the code of document 003
(ERRATA 003-C5a), every weight is 1 and nothing is learned. Attention is a layer and has no loss of its own
(ERRATA 003-T23). Why √E: for independent entries of variance 1, q · k has variance E, and softmax of numbers that
large is all but a maximum, whose gradient is 0.

Source: Vaswani et al., arXiv:1706.03762.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.function import Needs
from minidl.autograd.modes import tape
from minidl.autograd.variable import Variable
from minidl.backend import Array, Generator, array_module, default_generator
from minidl.kernels import kernels_for
from minidl.kernels.attention import Rules, kept_weights
from minidl.ops.activation import softmax
from minidl.ops.broadcasting import Operand, as_tensor, broadcast_to, cast, floating, promoted
from minidl.ops.choice import where
from minidl.ops.fused import Fused
from minidl.ops.linalg import matmul
from minidl.ops.registry import op
from minidl.ops.shape import transpose

if TYPE_CHECKING:
    from minidl.tensor import Tensor


def _weights(q: Tensor, k: Tensor, bias: Tensor | None, rules: Rules) -> Tensor:
    """softmax(s QKᵀ + bias) over the keys that may be seen, before dropout."""
    scores = matmul(q * rules.scale, transpose(k, -1, -2))
    if bias is not None:
        scores = scores + bias
    xp, (L, S) = array_module(q.array), scores.array.shape[-2:]
    if rules.causal:
        scores = where(xp.tri(L, S, dtype=bool), scores, -math.inf)
    if rules.allowed is not None:
        scores = where(rules.allowed, scores, -math.inf)
    if not S:
        return scores
    blind = (scores.array.real == -math.inf).all(axis=-1, keepdims=True)
    if not bool(blind.any()):
        return softmax(scores, -1)
    return where(blind, 0.0, softmax(where(blind, 0.0, scores), -1))


class Attention(Fused):
    """softmax(s QKᵀ + bias) V; the fast pair goes by tiles, the composite holds the whole matrix of weights."""

    formula = r"Y = A V,\quad A = \operatorname{softmax}\!\left( \tfrac{1}{\sqrt E}\, Q K^\top + B \right)"
    adjoint = (
        r"\bar V = A^\top \bar Y,\quad "
        r"\bar B = A \odot \left( \bar Y V^\top - \textstyle\sum_d \bar Y_{\cdot d} Y_{\cdot d} \right),\quad "
        r"\bar Q = \tfrac{1}{\sqrt E} \bar B K,\quad \bar K = \tfrac{1}{\sqrt E} \bar B^\top Q"
    )
    __slots__ = ("rules",)
    saves_output = True

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    def composite(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        weights = _weights(q, k, bias, self.rules)
        if self.rules.p:
            weights = weights * as_tensor(kept_weights(weights.array.shape, self.rules, q.array))
        return matmul(weights, v)

    def forward(self, q: Array, k: Array, v: Array, bias: Array | None = None) -> Array:
        y, log_sum = kernels_for(q).attention(q, k, v, bias, self.rules)
        self.buffers = (log_sum,)
        return y

    def fast_backward(self, gy: Array, needs: Needs) -> tuple[Array | None, ...]:
        q, k, v, *bias = self.saved_arrays
        y, log_sum = self.saved_outputs[0].array, self.buffers[0]
        back = kernels_for(q).attention_grad
        return back(gy, q, k, v, bias[0] if bias else None, y, log_sum, needs, self.rules)


def _operands(name: str, query: Operand, key: Operand, *value: Operand) -> tuple[Tensor, ...]:
    """Queries, keys and values of one dtype, with leading dimensions that broadcast."""
    xs = promoted(*[floating(x) for x in (query, key, *value)])
    shapes = [x.array.shape for x in xs]
    if any(len(shape) < 2 for shape in shapes):
        raise RuntimeError(f"{name}: query, key and value need a dimension of positions and one of features, "
                           f"got shapes {', '.join(map(str, shapes))}")  # fmt: skip
    if shapes[0][-1] != shapes[1][-1]:
        raise RuntimeError(f"{name}: queries have E={shapes[0][-1]} features, but keys have {shapes[1][-1]}")
    if value and shapes[1][-2] != shapes[2][-2]:
        raise RuntimeError(f"{name}: there are S={shapes[1][-2]} keys, but {shapes[2][-2]} values")
    try:
        lead = np.broadcast_shapes(*[shape[:-2] for shape in shapes])
    except ValueError:
        raise RuntimeError(f"{name}: the leading sizes of {', '.join(map(str, shapes))} do not fit") from None
    return tuple([broadcast_to(x, (*lead, *x.array.shape[-2:])) for x in xs])


def _mask(name: str, mask: Operand | None, q: Tensor, k: Tensor) -> tuple[Array | None, Tensor | None]:
    """A mask as what it is: bool, who may be seen, or floating, added to the scores."""
    if mask is None:
        return None, None
    m = as_tensor(mask)
    shape = (*q.array.shape[:-1], k.array.shape[-2])
    try:
        fits = np.broadcast_shapes(m.array.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise RuntimeError(f"{name}: a mask of shape {m.array.shape} does not broadcast to the scores {shape}")
    if m.array.dtype.kind == "b":
        return m.array.copy() if isinstance(mask, Variable) else m.array, None  # the gradient needs it as it is now
    if m.array.dtype.kind not in "fc":
        raise RuntimeError(f"{name}: a mask is bool or floating, got {m.array.dtype.name}")
    return None, cast(m, q.array.dtype)


def _scale(scale: float | None, q: Tensor) -> float:
    return 1 / math.sqrt(max(q.array.shape[-1], 1)) if scale is None else float(scale)


@op(formula=r"A_{ij} = \frac{e^{q_i \cdot k_j / \sqrt E}}{\sum_l e^{q_i \cdot k_l / \sqrt E}}",
    adjoint=r"\bar S_{ij} = A_{ij} \left( \bar A_{ij} - \textstyle\sum_l A_{il} \bar A_{il} \right),\quad "
            r"\bar Q = \tfrac{1}{\sqrt E} \bar S K,\quad \bar K = \tfrac{1}{\sqrt E} \bar S^\top Q",
    example=lambda draw: {"query": draw(2, 3, 2), "key": draw(2, 4, 2), "attn_mask": draw(3, 4), "is_causal": True},
    orders=3)  # fmt: skip
def attention_weights(query: Operand, key: Operand, attn_mask: Operand | None = None, is_causal: bool = False,
                      scale: float | None = None) -> Tensor:  # fmt: skip
    r"""The weights $\mathrm{softmax}(QK^\top/\sqrt E)$, each row non-negative and of sum 1, as one matrix to look at.

    Arguments:
        query: (…, L, E). key: (…, S, E). attn_mask, is_causal, scale: as in `scaled_dot_product_attention`.

    Returns:
        (…, L, S).

    >>> import minidl as dl
    >>> x = dl.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> attention_weights(x, x)[0]
    tensor([0.4011, 0.1978, 0.4011])
    """
    q, k = _operands("attention_weights", query, key)
    allowed, bias = _mask("attention_weights", attn_mask, q, k)
    return _weights(q, k, bias, Rules(_scale(scale, q), is_causal, allowed))


@op(Attention, orders=3,
    example=lambda draw: {"query": draw(2, 3, 2), "key": draw(2, 4, 2), "value": draw(2, 4, 1),
                          "attn_mask": draw(3, 4)})  # fmt: skip
def scaled_dot_product_attention(
    query: Operand, key: Operand, value: Operand, attn_mask: Operand | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, *, generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    r"""Attention, $\mathrm{softmax}(QK^\top/\sqrt E)\,V$, without ever holding the matrix of weights (ERRATA 003-T20).

    Memory grows with L + S, not with L·S, also in the gradient. Second derivatives, and `use_kernels("numpy")`, compute
    the composite and hold the matrix.

    Arguments:
        query: (…, L, E). key: (…, S, E). value: (…, S, D). Leading sizes broadcast.
        attn_mask: broadcasts to (…, L, S). Bool: True where a query may look; floating: added to the scores, and
            differentiated.
        dropout_p: each weight is 0 with this probability, otherwise divided by 1 − p. There is no training flag, as
            in PyTorch: pass 0 in evaluation.
        is_causal: query i sees keys 0 … i only; with a mask, both hold.
        scale: the factor of the scores instead of 1/√E.
        generator: where the random numbers of dropout come from; the default generator if None.

    Returns:
        (…, L, D). A query that may look nowhere gets 0, and gives no gradient, as in PyTorch.

    Raises:
        RuntimeError: sizes or dtypes that do not fit.
        ValueError: dropout_p is no probability.

    >>> import minidl as dl
    >>> x = dl.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> scaled_dot_product_attention(x, x, dl.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))[0]
    tensor([3., 4.])
    """
    name = "scaled_dot_product_attention"
    q, k, v = _operands(name, query, key, value)
    allowed, bias = _mask(name, attn_mask, q, k)
    if not 0 <= dropout_p <= 1:
        raise ValueError(f"{name}: dropout_p is the probability of striking a weight out, from 0 to 1; got {dropout_p}")
    rules = Rules(_scale(scale, q), is_causal, allowed, dropout_p, _drawn_key(generator) if dropout_p else None)
    return Attention(rules)(q, k, v) if bias is None else Attention(rules)(q, k, v, bias)


def _drawn_key(generator: Generator | None) -> Any:
    """A key for the masks of dropout."""
    stream = (default_generator if generator is None else generator).numpy
    key = stream.integers(0, 2**64, 2, dtype=np.uint64)
    if tape.recorder is not None:
        tape.recorder.on_draw("key of the attention dropout", key)
    return key
