"""Rows added to the rows of a table that numbers name."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array, array_module


def add_rows(y: Array, index: Array, rows: Array) -> None:
    """See `reference.add_rows`. Sorted into runs, each run summed at once: `np.add.at` is slower."""
    if index.size == 0 or y.size == 0:
        return
    xp = array_module(y)
    if xp is not np:
        xp.add.at(y, index, rows)
        return
    index = np.where(index < 0, index + y.shape[0], index)
    order = np.argsort(index, kind="stable")
    ordered = index[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    y[ordered[starts]] += np.add.reduceat(rows[order], starts, axis=0, dtype=y.dtype)
