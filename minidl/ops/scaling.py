"""Vectors divided by their length: by its root mean square, or so that the length becomes 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minidl.ops.arithmetic import rsqrt
from minidl.ops.broadcasting import Operand, as_tensor, floating
from minidl.ops.choice import where
from minidl.ops.normalization import shape_at_end
from minidl.ops.norms import norm
from minidl.ops.reduce import mean
from minidl.ops.registry import NONZERO, op

if TYPE_CHECKING:
    from minidl.tensor import Tensor


@op(formula=r"y = \tfrac{x}{r} \odot w,\quad r = \sqrt{\tfrac1M \textstyle\sum x^2 + \varepsilon}",
    adjoint=r"\bar x = \tfrac1r \left( g - \tfrac{x}{M r^2} \textstyle\sum g\, x \right),\; g = w \odot \bar y",
    example=lambda draw: {"input": draw(2, 3, 4), "normalized_shape": (3, 4), "weight": draw(3, 4),
                          "eps": 0.01}, orders=3)  # fmt: skip
def rms_norm(
    input: Operand, normalized_shape: Sequence[int], weight: Operand | None = None, eps: float | None = None
) -> Tensor:
    """Divide each example by the root of its mean square; `layer_norm` without a mean.

    Arguments:
        input, normalized_shape, weight: as in `layer_norm`.
        eps: added under the root; by default the smallest ε with 1 + ε > 1 in the dtype.
    """
    x, shape = floating(input), shape_at_end("rms_norm", input, normalized_shape, weight)
    over = tuple(range(x.array.ndim - len(shape), x.array.ndim))
    eps = float(np.finfo(x.array.dtype).eps) if eps is None else eps
    y = x * rsqrt(mean(x * x, over, keepdim=True) + eps)
    return y if weight is None else y * as_tensor(weight)


@op(formula=r"y = \frac{x}{\max(\lVert x \rVert_p,\, \varepsilon)}",
    adjoint=r"\bar x = \frac{1}{\lVert x \rVert_2} \left( \bar y - y\, \langle \bar y, y \rangle \right) \quad (p = 2)",
    example=lambda draw: {"input": draw(2, 3, 4), "dim": 1}, domain=NONZERO, orders=3)  # fmt: skip
def normalize(input: Operand, p: float = 2.0, dim: int | tuple[int, ...] = 1, eps: float = 1e-12) -> Tensor:
    """Divide vectors by their length, so that it becomes 1; a zero vector stays zero and has a finite gradient.

    Arguments:
        input: any shape with the dimension `dim`.
        p: which norm is the length. dim: along which the vectors lie.
        eps: shorter vectors are divided by this.
    """
    x = floating(input)
    length = norm(x, p, dim, keepdim=True)
    smallest = max(eps, float(np.finfo(x.array.dtype).tiny))  # eps itself may be 0 in float16
    return x / where(length > smallest, length, as_tensor(length.array.dtype.type(smallest)))
