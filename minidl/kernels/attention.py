r"""Attention by tiles: softmax(s QKᵀ) V and its gradient without ever holding the whole matrix of weights.

A tile is some queries against some keys. Going through the keys of a query, the largest score m so far, the sum l of
the exponentials and the weighted sum of the values are kept; where a tile brings a larger score, what was summed
before is multiplied by e^(m − m'). At the end o = acc / l, and λ = m + ln l is enough to compute every weight again:

    p = exp(s q·k − λ)

which the gradient does, tile by tile, with ḡ the gradient of o and D = Σ ḡ o of each query:

    v̄ += pᵀ ḡ        s̄ = p (ḡ vᵀ − D)        q̄ += s s̄ k        k̄ += s s̄ᵀ q

Memory grows with the number of queries and keys, not with their product. Plain array expressions, for NumPy and CuPy.

Source: Milakov and Gimelshein, arXiv:1805.02867 (running softmax); Dao, arXiv:2307.08691 (tiles, and the gradient).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.backend import Array, array_module
from minidl.kernels.threads import parallel_for, single_threaded_blas

QUERIES, KEYS = 128, 512
"""The largest tile of one batch element."""
TILE = 1 << 17
"""Numbers in a tile: while the tiles of one batch element are smaller, several elements are taken together."""
JOBS = 8
"""The gradient is cut into as many parts as this, where it can be, for threads to share."""


@dataclass(frozen=True, eq=False)
class Rules:
    """What stands between scores and weights.

    Fields:
        scale: s, the factor of the scores.
        causal: whether query i sees keys 0 … i only.
        allowed: which keys a query sees, bool, broadcasting to (…, L, S); None is all of them.
        p: the probability that a weight is struck out.
        key: two unsigned 64-bit integers, from which every tile draws what is struck out; the same tile always draws
            the same, so that the gradient meets the mask of the forward pass without keeping it.
    """

    scale: float
    causal: bool = False
    allowed: Array | None = None
    p: float = 0.0
    key: Array | None = None


@dataclass(frozen=True)
class _Block:
    """A stretch of an axis, and its number."""

    number: int
    start: int
    stop: int

    @property
    def part(self) -> slice:
        return slice(self.start, self.stop)


def _blocks(size: int, length: int) -> list[_Block]:
    return [_Block(i, start, min(start + length, size)) for i, start in enumerate(range(0, size, length))]


class _Tiles:
    """How a problem is cut, and what of masks and biases falls into each tile."""

    def __init__(self, shape: tuple[int, ...], rules: Rules, xp: Any, dtype: Any) -> None:
        *lead, L, S = shape
        self.lead = tuple(lead) or (1,)
        self.rules, self.xp, self.dtype = rules, xp, dtype
        self.rows, self.columns = _blocks(L, QUERIES), _blocks(S, KEYS)
        size = max(1, min(L, QUERIES) * min(S, KEYS))
        B = math.prod(self.lead)
        self.batch = _blocks(B, max(1, min(TILE // size, -(-B // JOBS))))
        self.allowed = self.aligned(rules.allowed)

    def aligned(self, mask: Array | None) -> Array | None:
        """The mask with as many dimensions as the scores, of size 1 where it repeats."""
        return None if mask is None else mask.reshape((1,) * (len(self.lead) + 2 - mask.ndim) + mask.shape)

    def columns_for(self, rows: _Block) -> list[_Block]:
        """The keys that some of the queries may see."""
        return [c for c in self.columns if c.start < rows.stop] if self.rules.causal else self.columns

    def places(self, mask: Array, batch: _Block, rows: _Block, columns: _Block) -> Iterator[tuple[Any, ...]]:
        """Where in the mask the tile lies, for each batch element."""
        inner = [b.part if n > 1 else slice(None) for b, n in zip((rows, columns), mask.shape[-2:], strict=True)]
        for flat in range(batch.start, batch.stop):
            at = np.unravel_index(flat, self.lead)
            yield (*[int(i) if n > 1 else 0 for i, n in zip(at, mask.shape, strict=False)], *inner)

    def of(self, mask: Array, batch: _Block, rows: _Block, columns: _Block) -> Array:
        """The tile of a mask, (batch or 1, queries or 1, keys or 1)."""
        if math.prod(mask.shape[:-2]) == 1:
            return mask[next(self.places(mask, batch, rows, columns))][None]
        return self.xp.stack([mask[place] for place in self.places(mask, batch, rows, columns)])

    def scores(self, q: Array, k: Array, bias: Array | None, batch: _Block, rows: _Block, columns: _Block) -> Array:
        """The scores of a tile, −∞ where a query may not look; q comes scaled."""
        s = self.xp.matmul(q, k.swapaxes(-1, -2))
        if bias is not None:
            s += self.of(bias, batch, rows, columns)
        if self.allowed is not None:
            s = self.xp.where(self.of(self.allowed, batch, rows, columns), s, s.dtype.type(-math.inf))
        if self.rules.causal and columns.stop - 1 > rows.start:
            later = self.xp.arange(columns.start, columns.stop) > self.xp.arange(rows.start, rows.stop)[:, None]
            s[:, later] = -math.inf
        return s

    def kept(self, batch: _Block, rows: _Block, columns: _Block) -> Array:
        """0 where a weight is struck out, otherwise 1/(1 − p)."""
        p = self.rules.p
        bits = np.random.Philox(key=self.rules.key, counter=[0, columns.number, rows.number, batch.number])
        shape = [b.stop - b.start for b in (batch, rows, columns)]
        drawn = np.random.Generator(bits).random(shape, np.float32) >= p
        return self.xp.asarray(drawn.astype(self.dtype) * self.dtype.type(1 / (1 - p) if p < 1 else 0))


def kept_weights(shape: tuple[int, ...], rules: Rules, like: Array) -> Array:
    """What dropout multiplies the weights (…, L, S) by, all tiles in one array."""
    xp = array_module(like)
    tiles = _Tiles(shape, rules, xp, like.real.dtype)
    y = xp.empty((math.prod(tiles.lead), *shape[-2:]), like.real.dtype)
    for batch in tiles.batch:
        for rows in tiles.rows:
            for columns in tiles.columns:
                y[batch.part, rows.part, columns.part] = tiles.kept(batch, rows, columns)
    return y.reshape(shape)


def _prepared(xs: tuple[Array, ...]) -> list[Array]:
    """Contiguous (B, T, E), float16 as float32: sums of many products would lose their digits."""
    xp = array_module(xs[0])
    dtype = np.dtype(np.float32) if xs[0].dtype == np.float16 else xs[0].dtype
    return [xp.ascontiguousarray(x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:]), dtype=dtype) for x in xs]


def _share(xp: Any, items: int, body: Callable[[int, int], object]) -> None:
    """Run the items on our threads; on a GPU, one after the other."""
    if xp is not np:
        body(0, items)
        return
    with single_threaded_blas():
        parallel_for(items, 1, body)


def attention(q: Array, k: Array, v: Array, bias: Array | None, rules: Rules) -> tuple[Array, Array]:
    """o = softmax(s QKᵀ + bias) V.

    Arguments:
        q: (…, L, E). k: (…, S, E). v: (…, S, D), with the same leading sizes.
        bias: added to the scores, broadcasting to (…, L, S), or None.
        rules: scale, masks and dropout.

    Returns:
        o: (…, L, D); 0 for a query that sees no key.
        λ: (B, L, 1), the logarithm of the sum of the exponentials, for `attention_grad`.
    """
    xp, lead, dtype = array_module(q), q.shape[:-2], q.dtype
    D = v.shape[-1]
    shape = (*q.shape[:-1], k.shape[-2])
    q, k, v = _prepared((q, k, v))
    tiles = _Tiles(shape, rules, xp, q.real.dtype)
    bias = tiles.aligned(bias)
    o, log_sum = xp.empty((*q.shape[:-1], D), q.dtype), xp.empty((*q.shape[:-1], 1), q.dtype)
    stripes = [(batch, rows) for batch in tiles.batch for rows in tiles.rows]

    def stripe(batch: _Block, rows: _Block) -> None:
        qs = q[batch.part, rows.part] * q.real.dtype.type(rules.scale)
        m = xp.full((*qs.shape[:-1], 1), -math.inf, q.real.dtype)
        sums, acc = xp.zeros(m.shape, q.dtype), xp.zeros((*qs.shape[:-1], D), q.dtype)
        for columns in tiles.columns_for(rows):
            s = tiles.scores(qs, k[batch.part, columns.part], bias, batch, rows, columns)
            largest = xp.maximum(m, s.real.max(axis=-1, keepdims=True))
            shift = xp.where(largest == -math.inf, 0, largest)  # nothing seen yet: e^(−∞) shall be 0, not nan
            s -= shift
            p = xp.exp(s, out=s)
            if columns.number:
                faded = xp.exp(m - shift)
                sums *= faded
                acc *= faded
            sums += p.sum(axis=-1, keepdims=True)
            if rules.p:
                p *= tiles.kept(batch, rows, columns)
            acc += xp.matmul(p, v[batch.part, columns.part])
            m = largest
        blind = sums.real == 0
        sums[blind] = 1
        o[batch.part, rows.part] = acc / sums
        log_sum[batch.part, rows.part] = xp.where(blind, math.inf, m + xp.log(sums))  # +∞: every weight is 0

    def work(start: int, stop: int) -> None:
        for batch, rows in stripes[start:stop]:
            stripe(batch, rows)

    _share(xp, len(stripes), work)
    return o.reshape(*lead, *o.shape[-2:]).astype(dtype, copy=False), log_sum


def attention_grad(gy: Array, q: Array, k: Array, v: Array, bias: Array | None, o: Array, log_sum: Array,
                   needs: tuple[bool, ...], rules: Rules) -> tuple[Array | None, ...]:  # fmt: skip
    """The gradients of `attention` with respect to q, k, v and, where there is one, the bias.

    Arguments:
        gy: the gradient of o. The others as `attention` got and gave them.
        needs: which gradients are wanted; the others come back as None.
    """
    xp, dtype = array_module(q), q.dtype
    shapes = (q.shape, k.shape, v.shape)
    shape = (*q.shape[:-1], k.shape[-2])
    q, k, v, gy, o = _prepared((q, k, v, gy, o))
    tiles = _Tiles(shape, rules, xp, q.real.dtype)
    aligned = tiles.aligned(bias)
    scale = q.real.dtype.type(rules.scale)
    gbias = xp.zeros(aligned.shape, q.dtype) if aligned is not None and needs[3] else None
    # every query adds to the gradients of all keys and values: threads that share a batch element add to copies
    copies = 1 if gbias is not None else max(1, min(JOBS // max(len(tiles.batch), 1), len(tiles.rows)))
    gq = xp.zeros_like(q) if needs[0] else None
    gk, gv = [
        xp.zeros((copies, *x.shape), x.dtype) if need else None for x, need in zip((k, v), needs[1:3], strict=True)
    ]

    def stripe(copy: int, batch: _Block, rows: _Block) -> None:
        qs, g = q[batch.part, rows.part] * scale, gy[batch.part, rows.part]
        along = (g * o[batch.part, rows.part]).sum(axis=-1, keepdims=True)
        for columns in tiles.columns_for(rows):
            at = (batch, rows, columns)
            ks, vs = k[batch.part, columns.part], v[batch.part, columns.part]
            p = tiles.scores(qs, ks, aligned, *at)
            p -= log_sum[batch.part, rows.part]
            xp.exp(p, out=p)
            kept = tiles.kept(*at) if rules.p else None
            if gv is not None:
                gv[copy, batch.part, columns.part] += xp.matmul((p if kept is None else p * kept).swapaxes(-1, -2), g)
            if gq is None and gk is None and gbias is None:
                continue
            gs = xp.matmul(g, vs.swapaxes(-1, -2))
            if kept is not None:
                gs *= kept
            gs -= along
            gs *= p
            if gq is not None:
                gq[batch.part, rows.part] += xp.matmul(gs, ks)
            if gk is not None:
                gk[copy, batch.part, columns.part] += xp.matmul(gs.swapaxes(-1, -2), qs)
            if gbias is not None:
                _add(tiles, gbias, gs, *at)
        if gq is not None:
            gq[batch.part, rows.part] *= scale

    jobs = [(copy, batch) for batch in tiles.batch for copy in range(copies)]

    def work(start: int, stop: int) -> None:
        for copy, batch in jobs[start:stop]:
            for rows in tiles.rows[copy::copies]:  # every n-th: under a causal mask later ones have more to do
                stripe(copy, batch, rows)

    if gbias is None:
        _share(xp, len(jobs), work)
    else:  # batch elements may share a bias: added one after the other, so that the sum is always the same
        work(0, len(jobs))
    summed = [gq, *[None if g is None else g.sum(axis=0) for g in (gk, gv)]]
    gxs = [None if g is None else g.reshape(s).astype(dtype, copy=False) for g, s in zip(summed, shapes, strict=True)]
    if bias is None:
        return tuple(gxs)
    return (*gxs, None if gbias is None else gbias.reshape(bias.shape).astype(dtype, copy=False))


def _add(tiles: _Tiles, gbias: Array, gs: Array, batch: _Block, rows: _Block, columns: _Block) -> None:
    """Add the gradient of the scores of a tile to that of the bias, summed over what the bias repeats."""
    repeated = tuple([axis for axis in (-2, -1) if gbias.shape[axis] == 1 and gs.shape[axis] > 1])
    part = gs.sum(axis=repeated, keepdims=True) if repeated else gs
    for i, place in enumerate(tiles.places(gbias, batch, rows, columns)):
        gbias[place] += part[i]
