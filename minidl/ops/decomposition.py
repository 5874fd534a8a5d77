r"""Matrices taken apart: eigenvalues of symmetric ones, singular values of any, on every device and differentiable.

    A = V diag(λ) Vᵀ          symmetric (`eigh`)
    A = U diag(s) Vᵀ          any (`svd`)

Vectors are fixed up to their sign only, and every library and every GPU chooses its own. Here the first of the largest
components of each vector is positive, so that the same matrix gives the same vectors everywhere.

The derivative of a vector divides by the differences of eigenvalues. Where two are equal, their vectors may be turned
among themselves, and a gradient that asks for them is refused; the values themselves have theirs everywhere.

Source: M. Giles, "Collected matrix derivative results for forward and reverse mode AD", 2008 (eigh); J. Townsend,
"Differentiating the singular value decomposition", 2016 (svd).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.function import Function, Needs
from minidl.backend import Array, array_module
from minidl.ops.broadcasting import Operand, as_tensor, floating
from minidl.ops.choice import where
from minidl.ops.linalg import matmul
from minidl.ops.registry import op
from minidl.ops.shape import transpose, unsqueeze

if TYPE_CHECKING:
    from minidl.tensor import Tensor


def signs(vectors: Array) -> Array:
    """±1 for each column (…, 1, k) of a matrix of vectors: the sign of the first of its largest components."""
    xp = array_module(vectors)
    if not vectors.size:
        return xp.ones((*vectors.shape[:-2], 1, vectors.shape[-1]), vectors.dtype)
    size = xp.abs(vectors)
    # equal components differ by rounding, which differs between libraries: near enough is equal
    first = (size >= size.max(axis=-2, keepdims=True) * vectors.dtype.type(0.999)).argmax(axis=-2)[..., None, :]
    chosen = xp.take_along_axis(vectors, first, axis=-2)
    return xp.where(chosen < 0, vectors.dtype.type(-1), vectors.dtype.type(1))


def _wide(x: Array) -> Array:
    """float16 as float32: LAPACK knows no smaller numbers."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


def _inverse_gaps(values: Tensor) -> Tensor:
    """1/(λ_j − λ_i), and 0 where they are equal."""
    gap = unsqueeze(values, -2) - unsqueeze(values, -1)
    equal = gap.array == 0
    return where(equal, 0.0, 1.0 / where(equal, 1.0, gap))


def _refuse(name: str, what: str, asked: Array, undefined: Array) -> None:
    """Raise where a gradient is asked for something that has none."""
    if bool((undefined & (asked != 0)).any()):
        raise RuntimeError(
            f"{name}: {what}, so their vectors are not determined and the gradient through them does not exist; "
            f"differentiate the values only, or separate them, for example by adding small different numbers"
        )


def _equal(values: Array) -> Array:
    """Which pairs of different places hold equal values."""
    xp = array_module(values)
    return (values[..., None, :] == values[..., :, None]) & ~xp.eye(values.shape[-1], dtype=bool)


def _diagonal(x: Tensor) -> Tensor:
    return unsqueeze(x, -1) * as_tensor(array_module(x.array).eye(x.array.shape[-1], dtype=x.array.dtype))


class Eigh(Function):
    formula = r"A = V \operatorname{diag}(\lambda)\, V^\top"
    adjoint = (
        r"\bar A = V \left( \operatorname{diag}(\bar\lambda) + F \odot V^\top \bar V \right) V^\top,\quad "
        r"F_{ij} = \tfrac{1}{\lambda_j - \lambda_i}"
    )
    saves_output = True

    def forward(self, a: Array) -> tuple[Array, Array]:
        values, vectors = array_module(a).linalg.eigh(_wide(a))
        vectors = vectors * signs(vectors)
        return values.astype(a.dtype, copy=False), vectors.astype(a.dtype, copy=False)

    def backward(self, gy: Any, needs: Needs) -> Any:
        (gvalues, gvectors), (values, v) = gy, self.saved_outputs
        vt = transpose(v, -1, -2)
        turn = matmul(vt, gvectors)
        _refuse("eigh", "two eigenvalues are equal", turn.array, _equal(values.array))
        inner = _diagonal(gvalues) + _inverse_gaps(values) * turn
        return (matmul(matmul(v, inner), vt),)


def _matrices(name: str, input: Operand, square: bool) -> Tensor:
    x = floating(input)
    if x.array.ndim < 2 or (square and x.array.shape[-1] != x.array.shape[-2]):
        raise RuntimeError(
            f"{name}: expected {'square ' if square else ''}matrices (…, n, m), got shape {x.array.shape}"
        )
    if x.array.dtype.kind == "c":
        raise TypeError(f"{name}: complex matrices are not supported")
    return x


@op(Eigh, example=lambda draw: {"input": draw(3, 3) * 0.4 + np.diag([1.0, -2.0, 4.0])}, oracle="richardson")
def eigh(input: Operand) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of symmetric matrices.

    Arguments:
        input: (…, n, n); of a matrix that is not symmetric, the symmetric part (A + Aᵀ)/2.

    Returns:
        λ: (…, n), ascending.
        V: (…, n, n), an eigenvector in each column, of length 1; the first of its largest components is positive.

    Raises:
        RuntimeError: not square; in a gradient, vectors of equal eigenvalues.

    >>> import minidl as dl
    >>> eigh(dl.tensor([[2.0, 1.0], [1.0, 2.0]]))[0]
    tensor([1., 3.])
    """
    a = _matrices("eigh", input, square=True)
    values, vectors = Eigh()((a + transpose(a, -1, -2)) * 0.5)
    return values, vectors


class SVD(Function):
    formula = r"A = U \operatorname{diag}(s)\, V^\top"
    adjoint = (
        r"\bar A = U \left( \operatorname{diag}(\bar s) + (F \odot (U^\top \bar U - \bar U^\top U)) S "
        r"+ S (F \odot (V^\top \bar V - \bar V^\top V)) \right) V^\top "
        r"+ (I - U U^\top) \bar U S^{-1} V^\top + U S^{-1} \bar V^\top (I - V V^\top),\quad "
        r"F_{ij} = \tfrac{1}{s_j^2 - s_i^2}"
    )
    saves_output = True

    def forward(self, a: Array) -> tuple[Array, Array, Array]:
        u, s, vt = array_module(a).linalg.svd(_wide(a), full_matrices=False)
        sign = signs(u)
        vt = vt * sign.swapaxes(-1, -2)
        return (u * sign).astype(a.dtype, copy=False), s.astype(a.dtype, copy=False), vt.astype(a.dtype, copy=False)

    def backward(self, gy: Any, needs: Needs) -> Any:
        (gu, gs, gvt), (u, s, vt) = gy, self.saved_outputs
        ut, v, gv = transpose(u, -1, -2), transpose(vt, -1, -2), transpose(gvt, -1, -2)
        f, zero = _inverse_gaps(s * s), s.array == 0
        inverse = where(zero, 0.0, 1.0 / where(zero, 1.0, s))
        turn_u, turn_v = matmul(ut, gu), matmul(vt, gv)
        for turn in (turn_u.array, turn_v.array):
            _refuse("svd", "two singular values are equal", turn, _equal(s.array))
        inner = (
            _diagonal(gs)
            + f * (turn_u - transpose(turn_u, -1, -2)) * unsqueeze(s, -2)
            + unsqueeze(s, -1) * f * (turn_v - transpose(turn_v, -1, -2))
        )
        ga = matmul(matmul(u, inner), vt)
        rows, columns = u.array.shape[-2], vt.array.shape[-1]
        if rows > columns:  # the directions that U leaves out
            rest = gu - matmul(u, turn_u)
            _refuse("svd", "a singular value is 0", rest.array, zero[..., None, :])
            ga = ga + matmul(rest * unsqueeze(inverse, -2), vt)
        if columns > rows:  # the directions that V leaves out
            rest = gv - matmul(v, turn_v)
            _refuse("svd", "a singular value is 0", rest.array, zero[..., None, :])
            ga = ga + matmul(u, unsqueeze(inverse, -1) * transpose(rest, -1, -2))
        return (ga,)


@op(SVD, example=lambda draw: {"input": draw(3, 2) * 0.4 + np.array([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]])},
    oracle="richardson")  # fmt: skip
def svd(input: Operand) -> tuple[Tensor, Tensor, Tensor]:
    """The singular value decomposition, reduced: as many vectors as the smaller side has.

    Arguments:
        input: (…, n, m), with k = min(n, m).

    Returns:
        U: (…, n, k), of each column the first of the largest components is positive.
        s: (…, k), descending, none negative.
        Vᵀ: (…, k, m), with A = U diag(s) Vᵀ. PyTorch's `torch.linalg.svd(A, full_matrices=False)`.

    >>> import minidl as dl
    >>> svd(dl.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]]))[1]
    tensor([4., 3.])
    """
    u, s, vt = SVD()(_matrices("svd", input, square=False))
    return u, s, vt
