"""Principal components and linear discriminants: the two learned projections of faces.

Double precision throughout: the training sets are small and the products square the range of values. BLAS
computes in one thread, so that the result does not depend on how many there are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.errors import BadDataset
from minidl.kernels.threads import single_threaded_blas

Floats = NDArray[np.float64]


class Projection(NamedTuple):
    """An affine map to few numbers: `(x - mean) @ components`.

    Attributes:
        mean: (D,) float64.
        components: (D, d) float64, the most telling direction first.
        values: (d,) float64, the eigenvalue of each direction, falling.
    """

    mean: Floats
    components: Floats
    values: Floats


@single_threaded_blas()
def pca(x: Array, components: int) -> Projection:
    """The directions of largest variance.

    With A the centred data, one row an image, the principal directions are the eigenvectors v of
    AᵀA / (n - 1), a D × D matrix (10,304² for small faces). With fewer images than pixels the n × n
    matrix AAᵀ has the same eigenvalues other than 0: from AAᵀu = λu follows AᵀA(Aᵀu) = λ(Aᵀu), so
    v = Aᵀu / √λ, of length 1 because |Aᵀu|² = uᵀAAᵀu = λ. The smaller of the two matrices is solved.

    Arguments:
        x: (n, D) numbers, one row an image.
        components: how many directions at most; those with no variance are dropped.

    Returns:
        Mean, orthonormal directions with their largest entry positive, and variances.

    Raises:
        BadDataset: there are not two different rows.

    >>> found = pca(np.array([[0.0, 0.0], [2.0, 2.0], [1.0, 1.0]]), 2)
    >>> found.components.round(4).tolist(), found.values.round(4).tolist()
    ([[0.7071], [0.7071]], [2.0])
    """
    x = np.asarray(x, np.float64)
    n, size = x.shape
    mean = x.mean(0)
    a = x - mean
    few = n < size
    values, vectors = np.linalg.eigh(a @ a.T if few else a.T @ a)
    values, vectors = values[::-1][:components], vectors[:, ::-1][:, :components]
    # Rounding of the squared matrix leaves eigenvalues of this order where there is no variance.
    kept = values > 1e-12 * max(values[0], 1e-300) * max(n, size)
    if not kept.any():
        raise BadDataset(f"eigenfaces need images that differ, but all {n} images are alike")
    values, vectors = values[kept], vectors[:, kept]
    if few:
        vectors = a.T @ vectors / np.sqrt(values)
    return Projection(mean, _with_fixed_signs(vectors), values / (n - 1))


def ledoit_wolf(x: Array) -> Floats:
    """The covariance of few samples, shrunk towards a multiple of the identity.

        Σ = (1 - ρ) S + ρ μ I,  S = xᵀx / n,  μ = tr S / d,
        ρ = min(β², δ²) / δ²,  δ² = |S - μI|²,  β² = Σₖ |xₖxₖᵀ - S|² / n²  (Frobenius norms)

    The weight ρ minimises the expected squared distance to the true covariance and needs no choice by
    hand (Ledoit & Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004).

    Arguments:
        x: (n, d) numbers of mean zero.

    Returns:
        (d, d) float64, positive definite unless all of x is zero.
    """
    x = np.asarray(x, np.float64)
    n, d = x.shape
    s = x.T @ x / n
    mu = np.trace(s) / d
    delta = np.sum(s * s) - d * mu * mu
    # Σₖ |xₖxₖᵀ - S|² = Σₖ |xₖ|⁴ - n |S|²
    beta = (np.sum(np.sum(x * x, 1) ** 2) / n - np.sum(s * s)) / n
    rho = min(max(beta / delta, 0.0), 1.0) if delta > 0 else 1.0
    return np.asarray((1 - rho) * s + rho * mu * np.eye(d), np.float64)


@single_threaded_blas()
def lda(x: Array, labels: Array) -> Projection:
    """The directions in which classes differ most compared with the spread inside a class.

    Maximises wᵀS_B w / wᵀS_W w, that is solves S_B w = λ S_W w, where S_B is the covariance of the class
    means (weighted by their sizes) and S_W that of the samples about their class mean, by Ledoit and
    Wolf. With S_W = LLᵀ it is the ordinary symmetric problem L⁻¹S_B L⁻ᵀ u = λu, w = L⁻ᵀu. In the new
    coordinates the spread inside a class is 1 in every direction.

    Arguments:
        x: (n, d) numbers, one row a sample.
        labels: (n,) class of each row.

    Returns:
        Mean, at most (classes - 1) directions, and the ratio λ of each.

    Raises:
        BadDataset: there are not two classes, or no class has two different samples.
    """
    x = np.asarray(x, np.float64)
    classes, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise BadDataset("fisherfaces need at least two people, but there is one: add images of somebody else")
    sums = np.zeros((len(classes), x.shape[1]))
    np.add.at(sums, codes, x)
    means = sums / sizes[:, None]
    within = x - means[codes]
    if not within.any():
        raise BadDataset("fisherfaces need two different images of at least one person: add images")
    mean = x.mean(0)
    between = (means - mean) * np.sqrt(sizes / len(x))[:, None]
    lower = np.linalg.cholesky(ledoit_wolf(within))
    half = np.linalg.solve(lower, between.T)  # L⁻¹ (m - mean), one column a class
    values, vectors = np.linalg.eigh(half @ half.T)
    d = min(len(classes) - 1, x.shape[1])
    w = np.linalg.solve(lower.T, vectors[:, ::-1][:, :d])
    return Projection(mean, _with_fixed_signs(w), np.maximum(values[::-1][:d], 0))


def _with_fixed_signs(vectors: Floats) -> Floats:
    """The columns, turned so that the entry of largest size is positive: an eigenvector has no sign."""
    largest = np.abs(vectors).argmax(0)
    signs = np.where(vectors[largest, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)
    return vectors * signs
