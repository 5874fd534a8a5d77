"""Rows added to the rows of a table, repeats and all, in a fixed order: `scatter.cu`."""

from __future__ import annotations

import math

import numpy as np

from minidl.backend import Array, array_module
from minidl.kernels.gpu.launcher import FLOATS, Kernel, planes, ready

_ADD_RUNS = Kernel("scatter.cu", "add_runs", FLOATS)


def add_rows(y: Array, index: Array, rows: Array) -> None:
    """y[index[i]] += rows[i] for every i, in that order.

    Sorted by index, equal ones stand together in their old order (the sort is stable), and each run is one sum.

    Arguments:
        y: (V, …), contiguous, floating; changed. index: (n,) integers in [−V, V). rows: (n, …), in the dtype of y.
    """
    xp, columns = array_module(y), math.prod(y.shape[1:])
    if not index.size or not columns:
        return
    index = xp.asarray(index)  # the caller may know it on the host
    labels = ready(xp.where(index < 0, index + y.shape[0], index), np.dtype(np.int64))
    order = ready(xp.argsort(labels, kind="stable"), np.dtype(np.int64))
    ordered = labels[order]
    starts = ready(xp.flatnonzero(xp.concatenate([xp.ones(1, bool), ordered[1:] != ordered[:-1]])), np.dtype(np.int64))
    grid = planes(len(starts), columns)
    _ADD_RUNS((y.dtype,), *grid, ready(rows, y.dtype), order, labels, starts, y, len(starts), len(labels), columns)
