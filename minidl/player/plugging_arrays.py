"""Rules for operations that mix elements: products of matrices, sums, softmax, windows over images."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from minidl.player.expression import Expression, call, number, total
from minidl.player.plugging import RULES, Call, Index, Rule

# ── matrices ──────────────────────────────────────────────────────────────────────────────────────


def _matmul(c: Call, i: Index) -> Expression:
    *lead, n, m = i
    return total([c.x(0, (*lead, n, k)) * c.x(1, (*lead, k, m)) for k in range(c.array(0).shape[-1])])


def _matmul_back(c: Call, k: int, i: Index) -> Expression:
    *_, row, column = i
    terms = []
    for *lead, _, _ in _over_leads(c, k, i):
        if k == 0:
            terms += [c.gy((*lead, row, m)) * c.x(1, (*lead, column, m)) for m in range(c.out_shape[-1])]
        else:
            terms += [c.gy((*lead, n, column)) * c.x(0, (*lead, n, row)) for n in range(c.out_shape[-2])]
    return total(terms)


def _over_leads(c: Call, k: int, i: Index) -> Iterator[Index]:
    """The batches of the output that use the matrix which element i of input k belongs to."""
    own, out = c.array(k).shape[:-2], c.out_shape[:-2]
    own = (1,) * (len(out) - len(own)) + own
    at = (0,) * (len(out) - len(i) + 2) + i[:-2]
    for lead in np.ndindex(*out):
        if all(n == 1 or a == b for n, a, b in zip(own, at, lead, strict=True)):
            yield (*lead, 0, 0)


def _linear(c: Call, i: Index) -> Expression:
    n, o = i
    products = total([c.x(0, (n, k)) * c.x(1, (o, k)) for k in range(c.array(0).shape[1])])
    return products if len(c.inputs) == 2 else products + c.x(2, (o,))


def _linear_back(c: Call, k: int, i: Index) -> Expression:
    rows, outs = c.out_shape
    if k == 0:
        return total([c.gy((i[0], o)) * c.x(1, (o, i[1])) for o in range(outs)])
    if k == 1:
        return total([c.gy((n, i[0])) * c.x(0, (n, i[1])) for n in range(rows)])
    return total([c.gy((n, i[0])) for n in range(rows)])


# ── reductions ────────────────────────────────────────────────────────────────────────────────────


def _axes(c: Call) -> tuple[int, ...]:
    if "axes" in c.attrs:
        return tuple(c.attrs["axes"])
    axis = c.attrs["axis"]
    return (axis % c.array(0).ndim,)


def _row(c: Call, kept: Index) -> Iterator[Index]:
    """The input elements that a reduced element stands for; `kept` has an entry for every axis, any on reduced ones."""
    axes, shape = _axes(c), c.array(0).shape
    for part in np.ndindex(*[n if a in axes else 1 for a, n in enumerate(shape)]):
        yield tuple([p if a in axes else k for a, (p, k) in enumerate(zip(part, kept, strict=True))])


def _spread(c: Call, i: Index) -> Index:
    """The index of a reduced element with an entry for every axis of the input."""
    if len(i) == c.array(0).ndim:
        return i
    kept, axes = iter(i), _axes(c)
    return tuple([0 if a in axes else next(kept) for a in range(c.array(0).ndim)])


def _reduced(c: Call, i: Index) -> Index:
    """The reduced element that an input element goes into."""
    axes = _axes(c)
    if len(c.out_shape) == len(i):
        return tuple([0 if a in axes else k for a, k in enumerate(i)])
    return tuple([k for a, k in enumerate(i) if a not in axes])


def reduction(
    forward: Callable[[list[Expression]], Expression], local: Callable[[Call, Index, Index], Expression]
) -> Rule:
    """A rule for a reduction: how the elements make one, and what input element i gets of reduced element j."""

    def reduce(c: Call, i: Index) -> Expression:
        return forward([c.x(0, j) for j in _row(c, _spread(c, i))])

    return Rule(reduce, lambda c, k, i: local(c, i, _reduced(c, i)))


def _largest_share(c: Call, i: Index, j: Index) -> Expression:
    """All of the gradient to the extreme element; equal ones share."""
    row = [c.array(0)[at] for at in _row(c, i)]
    equal = sum(1 for v in row if v == c.y(j).value)
    share = c.gy(j) * call("[=]", c.x(0, i), c.y(j))
    return share if equal <= 1 else share / equal


def _softmax(c: Call, i: Index) -> Expression:
    return call("exp", c.x(0, i)) / total([call("exp", c.x(0, j)) for j in _row(c, i)])


def _softmax_back(c: Call, k: int, i: Index) -> Expression:
    return c.y(i) * (c.gy(i) - total([c.gy(j) * c.y(j) for j in _row(c, i)]))


def _log_softmax(c: Call, i: Index) -> Expression:
    return c.x(0, i) - call("ln", total([call("exp", c.x(0, j)) for j in _row(c, i)]))


def _log_softmax_back(c: Call, k: int, i: Index) -> Expression:
    return c.gy(i) - call("exp", c.y(i)) * total([c.gy(j) for j in _row(c, i)])


def _cumsum(c: Call, i: Index) -> Expression:
    axis = c.attrs["axis"] % len(i)
    return total([c.x(0, (*i[:axis], k, *i[axis + 1 :])) for k in range(i[axis] + 1)])


def _cumsum_back(c: Call, k: int, i: Index) -> Expression:
    axis = c.attrs["axis"] % len(i)
    return total([c.gy((*i[:axis], j, *i[axis + 1 :])) for j in range(i[axis], c.out_shape[axis])])


# ── windows over images ───────────────────────────────────────────────────────────────────────────


def _slide(c: Call) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Kernel, stride, padding (top, left) and dilation of a convolution or pooling."""
    a = c.attrs
    if "slide" in a:
        s = a["slide"]
        kernel, padding = a["kernel"], s["padding"]
        return tuple(kernel[:2]), tuple(s["stride"]), (padding[0], padding[2]), tuple(s["dilation"])
    if "geometry" in a:
        kernel, stride, padding, dilation, _ = a["geometry"]
        return tuple(kernel), tuple(stride), (padding[0], padding[2]), tuple(dilation)
    kernel, stride, padding = a["windows"]
    return tuple(kernel), tuple(stride), (padding[0], padding[2]), (1, 1)


def window(c: Call, i: int, j: int) -> Iterator[tuple[int, int, int, int]]:
    """The pixels under the window of output (i, j): (u, v, row, column), those on the padding left out."""
    (KH, KW), (SH, SW), (top, left), (DH, DW) = _slide(c)
    H, W = c.array(0).shape[2:]
    for u, v in np.ndindex(KH, KW):
        h, w = i * SH - top + u * DH, j * SW - left + v * DW
        if 0 <= h < H and 0 <= w < W:
            yield u, v, h, w


def windows_on(c: Call, h: int, w: int) -> Iterator[tuple[int, int, int, int]]:
    """The windows that lie on pixel (h, w): (u, v, i, j), the pixel being (u, v) of window (i, j)."""
    (KH, KW), (SH, SW), (top, left), (DH, DW) = _slide(c)
    OH, OW = c.out_shape[2:]
    for u, v in np.ndindex(KH, KW):
        i, rest_i = divmod(h + top - u * DH, SH)
        j, rest_j = divmod(w + left - v * DW, SW)
        if not rest_i and not rest_j and 0 <= i < OH and 0 <= j < OW:
            yield u, v, i, j


def _group(c: Call, o: int) -> int:
    """The first input channel that output channel o sees."""
    per_group = c.array(1).shape[1]
    return o // (c.array(1).shape[0] // c.attrs["slide"]["groups"]) * per_group


def _conv2d(c: Call, at: Index) -> Expression:
    n, o, i, j = at
    first, pixels = _group(c, o), list(window(c, i, j))
    products = total(
        [
            c.x(0, (n, first + k, h, w)) * c.x(1, (o, k, u, v))
            for k in range(c.array(1).shape[1])
            for u, v, h, w in pixels
        ]
    )
    return products if len(c.inputs) == 2 else products + c.x(2, (o,))


def _conv2d_back(c: Call, k: int, at: Index) -> Expression:
    N, O, OH, OW = c.out_shape
    if k == 0:
        n, channel, h, w = at
        seen = [(o, channel - _group(c, o)) for o in range(O)]
        seen = [(o, own) for o, own in seen if 0 <= own < c.array(1).shape[1]]
        places = list(windows_on(c, h, w))
        return total([c.gy((n, o, i, j)) * c.x(1, (o, own, u, v)) for o, own in seen for u, v, i, j in places])
    if k == 1:
        o, channel, u, v = at
        _, (SH, SW), (top, left), (DH, DW) = _slide(c)
        H, W = c.array(0).shape[2:]
        terms = []
        for n, i, j in np.ndindex(N, OH, OW):
            h, w = i * SH - top + u * DH, j * SW - left + v * DW
            if 0 <= h < H and 0 <= w < W:
                terms.append(c.gy((n, o, i, j)) * c.x(0, (n, _group(c, o) + channel, h, w)))
        return total(terms)
    return total([c.gy((n, at[0], i, j)) for n, i, j in np.ndindex(N, OH, OW)])


def _max_pool(c: Call, at: Index) -> Expression:
    n, channel, i, j = at
    return call("max", *[c.x(0, (n, channel, h, w)) for _, _, h, w in window(c, i, j)])


def winner(c: Call, at: Index) -> tuple[int, int]:
    """The pixel that a window of a max-pooling chose: the first of the largest."""
    n, channel, i, j = at
    pixels = [(h, w) for _, _, h, w in window(c, i, j)]
    return max(pixels, key=lambda pixel: (c.array(0)[n, channel, *pixel], -pixels.index(pixel)))


def _max_pool_back(c: Call, k: int, at: Index) -> Expression:
    n, channel, h, w = at
    over = [(n, channel, i, j) for _, _, i, j in windows_on(c, h, w)]
    return total([c.gy(window_at) for window_at in over if winner(c, window_at) == (h, w)])


def _share(c: Call, i: int, j: int) -> int:
    """What the sum of an average-pooling window is divided by."""
    count_padding, fixed = c.attrs["divisor"]
    if fixed:
        return int(fixed)
    if not count_padding:
        return len(list(window(c, i, j)))
    (KH, KW), (SH, SW), (top, left), _ = _slide(c)
    _, _, (_, bottom, _, right) = c.attrs["windows"]
    H, W = c.array(0).shape[2:]
    rows = min(i * SH - top + KH, H + bottom) - (i * SH - top)
    return rows * (min(j * SW - left + KW, W + right) - (j * SW - left))


def _avg_pool(c: Call, at: Index) -> Expression:
    n, channel, i, j = at
    return total([c.x(0, (n, channel, h, w)) for _, _, h, w in window(c, i, j)]) / _share(c, i, j)


def _avg_pool_back(c: Call, k: int, at: Index) -> Expression:
    n, channel, h, w = at
    return total([c.gy((n, channel, i, j)) / _share(c, i, j) for _, _, i, j in windows_on(c, h, w)])


RULES |= {
    "MatMul": Rule(_matmul, _matmul_back),
    "Linear": Rule(_linear, _linear_back),
    "Sum": reduction(total, lambda c, i, j: c.gy(j)),
    "AMax": reduction(lambda xs: call("max", *xs), _largest_share),
    "AMin": reduction(lambda xs: call("min", *xs), _largest_share),
    "LogSumExp": reduction(
        lambda xs: call("ln", total([call("exp", x) for x in xs])),
        lambda c, i, j: call("exp", c.x(0, i) - c.y(j)) * c.gy(j),
    ),
    "Norm": reduction(
        lambda xs: call("sqrt", total([x**2 for x in xs])),
        lambda c, i, j: c.x(0, i) / c.y(j) * c.gy(j) if c.y(j).value else number(0.0),
    ),
    "CumSum": Rule(_cumsum, _cumsum_back),
    "Softmax": Rule(_softmax, _softmax_back),
    "LogSoftmax": Rule(_log_softmax, _log_softmax_back),
    "Conv2d": Rule(_conv2d, _conv2d_back),
    "MaxPool2d": Rule(_max_pool, _max_pool_back),
    "AvgPool2d": Rule(_avg_pool, _avg_pool_back),
}
