r"""Position encodings: where a token stands, as a vector of the width of the model, added to what the token is.

    PE(pos, 2i) = sin(pos / 10000^(2i/E)),      PE(pos, 2i + 1) = cos(pos / 10000^(2i/E))

Attention by itself does not know the order of its tokens. The *index* has one or two dimensions, a place in a sequence
or in an image; the encoding always has E (document 003 mixes the two up, ERRATA 003-T22).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minidl.backend import array_module, get_default_dtype
from minidl.ops.broadcasting import Operand, as_tensor, cast
from minidl.ops.elementwise import cos, sin
from minidl.ops.joining import cat, narrow, stack
from minidl.ops.registry import op
from minidl.ops.shape import reshape, unsqueeze

if TYPE_CHECKING:
    from minidl.tensor import Tensor


@op(formula=r"y_{2i} = \sin(x\, b^{-2i/E}),\quad y_{2i+1} = \cos(x\, b^{-2i/E})",
    adjoint=r"\bar x = \sum_i b^{-2i/E} \left( y_{2i+1}\, \bar y_{2i} - y_{2i}\, \bar y_{2i+1} \right)",
    example=lambda draw: {"position": draw(2, 3), "embedding_dim": 5, "base": 50.0}, orders=3)  # fmt: skip
def position_encoding(position: Operand, embedding_dim: int, base: float = 10000.0) -> Tensor:
    """Positions as vectors of sines and cosines, of waves from short to long.

    Arguments:
        position: any shape; whole numbers or fractions. Whole numbers are encoded in float64 and rounded once.
        embedding_dim: E; an odd one ends with a sine.
        base: the longest wave is almost 2π times as long.

    Returns:
        (…, E), of the dtype of the positions, or the default one.

    Raises:
        ValueError: E is not positive.

    Source: Vaswani et al., arXiv:1706.03762, section 3.5.

    >>> import minidl as dl
    >>> position_encoding(dl.tensor([0, 1, 2]), 4)
    tensor([[ 0.    ,  1.    ,  0.    ,  1.    ],
            [ 0.8415,  0.5403,  0.01  ,  0.9999],
            [ 0.9093, -0.4161,  0.02  ,  0.9998]])
    """
    if embedding_dim < 1:
        raise ValueError(f"position_encoding: embedding_dim must be positive, got {embedding_dim}")
    x = as_tensor(position)
    whole = x.array.dtype.kind not in "fc"
    x = cast(x, np.float64) if whole else x
    frequency = base ** (-np.arange(0, embedding_dim, 2) / embedding_dim)
    xp = array_module(x.array)
    angle = unsqueeze(x, -1) * as_tensor(xp.asarray(frequency.astype(x.array.real.dtype)))
    waves = reshape(stack([sin(angle), cos(angle)], -1), (*x.array.shape, 2 * frequency.size))
    y = narrow(waves, -1, 0, embedding_dim)
    return cast(y, get_default_dtype()) if whole else y


@op(formula=r"y = [\, PE(r),\; PE(c) \,]",
    adjoint=r"\bar r = J_{PE}(r)^\top\, \bar y_{1 \dots E/2},\quad \bar c = J_{PE}(c)^\top\, \bar y_{E/2+1 \dots E}",
    example=lambda draw: {"row": draw(3, 1), "column": draw(2), "embedding_dim": 6, "base": 50.0})  # fmt: skip
def position_encoding_2d(row: Operand, column: Operand, embedding_dim: int, base: float = 10000.0) -> Tensor:
    """Places in an image as vectors: half of the numbers encode the row, half the column, as `position_encoding` does.

    Arguments:
        row, column: shapes that broadcast; (H, 1) and (W,) give all places of an image.
        embedding_dim: E, an even number. base: as in `position_encoding`.

    Returns:
        (…, E).

    Raises:
        ValueError: E is odd.

    Source: the sines of Vaswani et al. (arXiv:1706.03762) for each axis, as Carion et al. (arXiv:2005.12872) use them.
    """
    if embedding_dim % 2:
        raise ValueError(f"position_encoding_2d: embedding_dim must be even, half for each axis; got {embedding_dim}")
    halves = [position_encoding(x, embedding_dim // 2, base) for x in (row, column)]
    lead = np.broadcast_shapes(*[half.array.shape[:-1] for half in halves])
    return cat([half.expand(*lead, embedding_dim // 2) for half in halves], -1)
