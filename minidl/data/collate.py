"""From a list of items to one batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minidl.backend import array_module
from minidl.tensor import Tensor


def default_collate(items: list[Any]) -> Any:
    """Stack tensors, arrays and numbers along a new first dimension, also inside tuples, lists and dicts; list texts.

    Python floats become the default dtype (float32), where PyTorch makes float64; integers become int64.

    Arguments:
        items: at least one, all of the same kind.

    Raises:
        ValueError: shapes or lengths differ.
        TypeError: items of a kind that has no batch.

    >>> x, names = default_collate([(np.zeros(2, "f4"), "a"), (np.ones(2, "f4"), "b")])
    >>> x.shape, names
    ((2, 2), ['a', 'b'])
    """
    first = items[0]
    if isinstance(first, Tensor | np.ndarray):
        arrays = [x.array if isinstance(x, Tensor) else np.asarray(x) for x in items]
        shapes = {array.shape for array in arrays}
        if len(shapes) > 1:
            raise ValueError(
                f"collate: the items of a batch have different shapes: {sorted(shapes)}; resize or pad them"
            )
        return Tensor(array_module(arrays[0]).stack(arrays))
    if isinstance(first, np.generic):
        return Tensor(np.stack(items))
    if isinstance(first, bool | int | float):
        return Tensor(items)
    if isinstance(first, str | bytes) or first is None:
        return list(items)
    if isinstance(first, Mapping):
        return {key: default_collate([x[key] for x in items]) for key in first}
    if isinstance(first, tuple | list):
        if len({len(x) for x in items}) > 1:
            raise ValueError(f"collate: the items of a batch have different lengths: {sorted({len(x) for x in items})}")
        parts = [default_collate(list(part)) for part in zip(*items, strict=True)]
        if hasattr(first, "_fields"):
            return type(first)(*parts)
        return tuple(parts) if isinstance(first, tuple) else parts
    raise TypeError(f"collate: a {type(first).__name__} has no batch; give the loader a collate_fn")
