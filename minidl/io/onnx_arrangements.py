"""Rules for operations that compute nothing: the same numbers in another arrangement, or some of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.io.onnx_graph import END, Graph
from minidl.io.onnx_rules import axes, number, spells
from minidl.io.onnx_trace import NotExportable, Same, Step
from minidl.nn.hooks import Passage
from minidl.ops import extremes, index, joining, shape, transfer
from minidl.ops.broadcasting import BroadcastTo, SumTo
from minidl.ops.embedding import Embedding


@spells(Same, Passage, transfer.Clone, transfer.ToDevice)
def _same(g: Graph, op: Step, *xs: str) -> list[str]:
    return list(xs)


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


@spells(joining.Cat)
def _cat(g: Graph, op: Step, *xs: str) -> str:
    return g.add("Concat", *xs, axis=op.axis)


@spells(joining.Narrow)
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


@spells(joining.PadZeros)
def _pad(g: Graph, op: Step, x: str) -> str:
    widths = [before for before, _ in op.widths] + [after for _, after in op.widths]
    return g.add("Pad", x, axes(g, widths), number(g, op, op.value))


@spells(shape.Triangle)
def _triangle(g: Graph, op: Step, x: str) -> str:
    return g.add("Trilu", x, g.stored(np.asarray(op.diagonal, np.int64)), upper=int(not op.lower))


# ── picking ───────────────────────────────────────────────────────────────────────────────────────


@spells(Embedding)
def _embedding(g: Graph, op: Step, w: str) -> str:
    return g.add("Gather", w, g.value(op.both(lambda f: f.buffers[0]), op), axis=0)


@spells(extremes.TakeAlong)
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
