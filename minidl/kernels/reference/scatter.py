"""Rows added to the rows of a table that numbers name."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array
from minidl.kernels.reference.walk import wide


def add_rows(y: Array, index: Array, rows: Array) -> None:
    """y[index[i]] += rows[i] for every i; a row named twice receives both.

    Arguments:
        y: (V, …), changed. index: (n,), integers in [−V, V). rows: (n, …).
    """
    total = y.astype(wide(y.dtype)) if y.dtype.kind in "fc" else y.copy()
    for i, k in enumerate(index):
        total[k] += rows[i]
    y[...] = np.asarray(total).astype(y.dtype)
