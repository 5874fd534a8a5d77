"""Attention, query by query, with all weights of a query at once."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from minidl.backend import Array
from minidl.kernels.attention import Rules, kept_weights
from minidl.kernels.reference.walk import wide


def attention(q: Array, k: Array, v: Array, bias: Array | None, rules: Rules) -> tuple[Array, Array]:
    """o = softmax(s QKᵀ + bias) V.

    Arguments:
        q: (…, L, E). k: (…, S, E). v: (…, S, D), with the same leading sizes.
        bias: added to the scores, broadcasting to (…, L, S), or None.
        rules: scale, masks and dropout.

    Returns:
        o: (…, L, D); 0 for a query that sees no key.
        λ: (B, L, 1), the logarithm of the sum of the exponentials, +∞ for a query that sees no key.
    """
    dtype = wide(q.dtype)
    o, log_sum = np.zeros((*q.shape[:-1], v.shape[-1]), dtype), np.full(q.shape[:-1], math.inf, dtype)
    for at, scores, kept in _queries(q, k, bias, rules):
        if (scores != -math.inf).any():
            largest = scores.real.max()
            log_sum[at] = largest + np.log(np.exp(scores - largest).sum())
            o[at] = (np.exp(scores - log_sum[at]) * kept) @ v[at[:-1]]
    return o.astype(q.dtype), log_sum.astype(np.result_type(q.dtype, np.float32)).reshape(-1, q.shape[-2], 1)


def attention_grad(gy: Array, q: Array, k: Array, v: Array, bias: Array | None, o: Array, log_sum: Array,
                   needs: tuple[bool, ...], rules: Rules) -> tuple[Array | None, ...]:  # fmt: skip
    """The gradients of `attention` with respect to q, k, v and, where there is one, the bias.

    Arguments:
        gy: the gradient of o. The others as `attention` got and gave them.
        needs: which gradients are wanted; the others come back as None.
    """
    dtype = wide(q.dtype)
    gq, gk, gv = (np.zeros(x.shape, dtype) for x in (q, k, v))
    gbias = None if bias is None else np.zeros((*q.shape[:-1], k.shape[-2]), dtype)
    sums = log_sum.reshape(q.shape[:-1])
    for at, scores, kept in _queries(q, k, bias, rules):
        b = at[:-1]
        p = np.exp(scores - sums[at])
        gv[b] += np.outer(p * kept, gy[at])
        gs = p * (v[b].astype(dtype) @ gy[at] * kept - (gy[at].astype(dtype) * o[at]).sum())
        gq[at] = rules.scale * (gs @ k[b])
        gk[b] += rules.scale * np.outer(gs, q[at])
        if gbias is not None:
            gbias[at] = gs
    if gbias is not None and bias is not None:
        repeated = [axis for axis in range(-gbias.ndim, 0) if -axis > bias.ndim or bias.shape[axis] == 1]
        gbias = gbias.sum(axis=tuple(repeated), keepdims=True).reshape(bias.shape)
    gxs = [gq, gk, gv, *([] if gbias is None else [gbias])]
    return tuple([g.astype(q.dtype) if need else None for g, need in zip(gxs, needs, strict=True)])


def _queries(
    q: Array, k: Array, bias: Array | None, rules: Rules
) -> Iterator[tuple[tuple[int, ...], Array, Array | int]]:
    """(place, scores (S,), what dropout multiplies the weights by) of every query; −∞ where it may not look."""
    shape = (*q.shape[:-1], k.shape[-2])
    kept = kept_weights(shape, rules, q) if rules.p else None
    extra = None if bias is None else np.broadcast_to(bias, shape)
    allowed = None if rules.allowed is None else np.broadcast_to(rules.allowed, shape)
    for at in np.ndindex(*q.shape[:-1]):
        scores = rules.scale * (k[at[:-1]].astype(wide(q.dtype)) @ q[at])
        if extra is not None:
            scores += extra[at]
        if allowed is not None:
            scores[~allowed[at]] = -math.inf
        if rules.causal:
            scores[at[-1] + 1 :] = -math.inf
        yield at, scores, 1 if kept is None else kept[at]
