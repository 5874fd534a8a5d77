"""Embedding: rows of a table, looked up by number, and gradients added back to the rows that were used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.function import Function, Needs
from minidl.backend import Array, array_module
from minidl.kernels import may_wait
from minidl.ops.broadcasting import Operand, as_tensor
from minidl.ops.choice import where
from minidl.ops.index import PutItem, _integers
from minidl.ops.registry import op
from minidl.ops.shape import reshape

if TYPE_CHECKING:
    from minidl.tensor import Tensor


class Embedding(Function):
    formula = r"y_i = w_{k_i}"
    adjoint = r"\bar w_j = [j \ne p] \sum_i [k_i = j]\, \bar y_i"
    __slots__ = ("padding", "shape")

    def __init__(self, index: Array, padding: int | None) -> None:
        self.buffers, self.padding = (index,), padding

    def forward(self, w: Array) -> Array:
        self.shape = w.shape
        return w[self.buffers[0]]

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        k = self.buffers[0].reshape(-1)
        rows = reshape(gy, (k.size, self.shape[1]))
        if self.padding is not None:
            rows = where(as_tensor((k == self.padding)[:, None]), 0, rows)
        return (PutItem(k, self.shape)(rows),)


@op(Embedding, PutItem, example=lambda draw: {"input": np.array([[0, 2, 2], [1, 3, 0]]), "weight": draw(5, 3)})
def embedding(input: Operand, weight: Operand, padding_idx: int | None = None) -> Tensor:
    """The row of the weight for every integer; a row used twice receives both gradients.

    It is the product of `one_hot(input)` with the weight, without the zeros. Letters and words become numbers first:
    strings do not enter a network (ERRATA 001-C7).

    Arguments:
        input: integers from 0 to V − 1, of any shape.
        weight: (V, E).
        padding_idx: a row that gets no gradient; negative ones count from the end.

    Returns:
        The shape of the input and E behind it.

    Raises:
        IndexError: a number that has no row.
        TypeError: the input is not integer.
    """
    w = as_tensor(weight)
    if w.array.ndim != 2:
        raise RuntimeError(f"embedding: the weight must be (V, E), got shape {w.array.shape}")
    V, E = w.array.shape
    if padding_idx is not None:
        if not -V <= padding_idx < V:
            raise ValueError(f"embedding: padding_idx {padding_idx} is not among the V={V} rows")
        padding_idx %= V
    k = _integers("embedding", input, w.array)
    if k.size and may_wait(array_module(k)) and not (int(k.min()) >= 0 and int(k.max()) < V):
        wrong = int(k.min()) if int(k.min()) < 0 else int(k.max())
        raise IndexError(f"embedding: there is no row {wrong}; the weight (V={V}, E={E}) has rows 0 to {V - 1}")
    y: Tensor = Embedding(k, padding_idx)(w)
    return y
