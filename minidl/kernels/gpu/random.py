"""Random numbers that are drawn on the GPU: `random.cu`."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.backend import Array, array_module
from minidl.kernels.capture import current_replay
from minidl.kernels.gpu.launcher import FLOATS, Kernel, spread

_MASK = Kernel("random.cu", "dropout_mask", FLOATS)
_COUNT_ON = Kernel("capture.cu", "count_on", ("unsigned long long",))
_WORDS = Kernel("random.cu", "philox_words", ("unsigned long long",))


def dropout_mask(xp: Any, shape: tuple[int, ...], dtype: np.dtype[Any], p: float, key: int) -> Array:
    """What dropout multiplies by: 0 with probability p, otherwise 1/(1 − p).

    The numbers depend on the key and on their place alone; in a captured graph they are others each time it runs.

    Arguments:
        xp: the library of arrays. shape, dtype: of the mask, floating. p: from 0 to 1. key: 64 random bits.
    """
    mask: Array = xp.empty(shape, dtype)
    kept = 1 / (1 - p) if p < 1 else 0.0
    _MASK((dtype,), *spread(-(-mask.size // 4)), mask, current_replay(), key, p, kept, mask.size)
    return mask


def philox_words(counters: Array, key: int) -> Array:
    """Four 32-bit words for each counter, (n, 4), by Philox 4x32-10.

    Arguments:
        counters: (n, 2) uint64, the lower half first. key: 64 bits.
    """
    words: Array = array_module(counters).empty((len(counters), 4), np.uint32)
    _WORDS((counters.dtype,), *spread(len(counters)), counters, words, key, len(counters))
    return words


def count_on(number: Array) -> None:
    """Add 1 to a uint64 on the GPU: the last thing that a captured graph does (see `kernels.capture`)."""
    _COUNT_ON((number.dtype,), (1,), (1,), number)
