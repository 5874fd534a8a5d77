"""Mining: which triplets of a batch of embeddings are worth learning from; indices, nothing to differentiate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.variable import Variable
from minidl.backend import Array, array_module
from minidl.ops.broadcasting import Operand, as_tensor, floating

if TYPE_CHECKING:
    from minidl.tensor import Tensor

MINING = ("hard", "semi-hard", "all")


def _pairwise(x: Array, squared: bool) -> Array:
    """The distances of all pairs of rows, one row at a time: |x|² + |y|² − 2xy would lose the digits of near pairs."""
    xp = array_module(x)
    wide = x.astype(np.float64 if x.dtype == np.float64 else np.float32)
    d: Array = xp.stack([((wide - row) ** 2).sum(axis=1) for row in wide])
    return d if squared else xp.sqrt(d)


def mine_triplets(
    embeddings: Operand, labels: Operand, mining: str = "hard", margin: float = 0.2, *, squared: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Choose triplets out of a batch.

    Arguments:
        embeddings: (N, E). labels: (N,), integers.
        mining: "hard", for each anchor its farthest positive and its nearest negative; "semi-hard", for each anchor
            and each positive the nearest negative that is farther than the positive but not by `margin`, where there
            is one; "all", every triplet there is.
        margin: as in the loss, for "semi-hard".
        squared: whether the margin is one of squared distances.

    Returns:
        Three int64 tensors of one length, the rows of anchors, positives and negatives; of length 0 where the batch
        has no triplet. An anchor is never its own positive.

    Source: Hermans, Beyer and Leibe, arXiv:1703.07737 (hard, all); Schroff et al., arXiv:1503.03832 (semi-hard).
    """
    x, y = floating(embeddings).array, as_tensor(labels).array
    if mining not in MINING:
        raise ValueError(f"mine_triplets: mining must be one of {', '.join(map(repr, MINING))}, got {mining!r}")
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise RuntimeError(f"mine_triplets: expected embeddings (N, E) and labels (N,), got {x.shape} and {y.shape}")
    xp, N = array_module(x), x.shape[0]
    alike = y[:, None] == y
    positive = alike & ~xp.eye(N, dtype=bool)
    d = _pairwise(x, squared) if N else xp.zeros((0, 0))
    if mining == "hard":
        (a,) = xp.nonzero(positive.any(axis=1) & ~alike.all(axis=1))
        p = xp.where(positive[a], d[a], -np.inf).argmax(axis=1) if a.size else a
        n = xp.where(alike[a], np.inf, d[a]).argmin(axis=1) if a.size else a
    elif mining == "semi-hard":
        a, p = xp.nonzero(positive)
        chosen = [_semi_hard(xp, d[i], alike[i], d[i, j], margin) for i, j in zip(a.tolist(), p.tolist(), strict=True)]
        n = xp.asarray(chosen, dtype=np.int64)
        a, p, n = a[n >= 0], p[n >= 0], n[n >= 0]
    else:
        pairs = [xp.nonzero(positive[i][:, None] & ~alike[i]) for i in range(N)]
        a = xp.repeat(xp.arange(N), [int(pair[0].size) for pair in pairs])
        p, n = (xp.concatenate([pair[k] for pair in pairs]) if pairs else a for k in (0, 1))
    found = [Variable._wrap(i.astype(np.int64)) for i in (a, p, n)]
    return found[0], found[1], found[2]


def _semi_hard(xp: Any, d: Array, alike: Array, near: Array, margin: float) -> int:
    """The nearest negative beyond `near` and within the margin; −1 where there is none."""
    fits = ~alike & (d > near) & (d < near + margin)
    return int(xp.where(fits, d, np.inf).argmin()) if bool(fits.any()) else -1
