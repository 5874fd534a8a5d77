"""Eigenvalues and singular values: that they are, that their derivatives are right, and that signs are settled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl import ops
from minidl.autograd import grad, gradcheck, gradgradcheck
from minidl.tensor import Tensor

SHAPES = [(4, 4), (5, 3), (3, 5), (2, 4, 3), (1, 1), (3, 1), (1, 3)]


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 3), (1, 1), (0, 0)])
def test_eigenvectors_are_what_their_name_says(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> None:
    a = rng.standard_normal(shape)
    a = (a + a.swapaxes(-1, -2)).astype(dtype)
    values, v = ops.eigh(dl.tensor(a))
    assert values.dtype == v.dtype == a.dtype
    limit = {"f8": 1e-12, "f4": 1e-5, "f2": 2e-2}[dtype]
    values, v = values.numpy().astype("f8"), v.numpy().astype("f8")
    np.testing.assert_allclose(a @ v, v * values[..., None, :], atol=limit)
    np.testing.assert_allclose(v.swapaxes(-1, -2) @ v, np.broadcast_to(np.eye(shape[-1]), v.shape), atol=limit)
    assert (np.diff(values) >= 0).all()


@pytest.mark.parametrize("shape", [*SHAPES, (0, 3), (3, 0)])
def test_the_product_is_the_matrix_again(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    a = rng.standard_normal(shape)
    u, s, vt = (x.numpy() for x in ops.svd(dl.tensor(a)))
    np.testing.assert_allclose((u * s[..., None, :]) @ vt, a, atol=1e-12)
    k = min(shape[-2:])
    for w in (u, vt.swapaxes(-1, -2)):
        np.testing.assert_allclose(w.swapaxes(-1, -2) @ w, np.broadcast_to(np.eye(k), (*shape[:-2], k, k)), atol=1e-12)
    assert (np.diff(s) <= 0).all()


def test_signs_are_settled(rng: np.random.Generator) -> None:
    """The first of the largest components is positive, also where two are equal but for rounding."""
    v = ops.eigh(dl.tensor(rng.standard_normal((5, 6, 6))))[1].numpy()
    at = np.abs(v).argmax(axis=-2)[..., None, :]
    assert (np.take_along_axis(v, at, axis=-2) > 0).all()
    _, v = ops.eigh(dl.tensor([[0.0, 1.0], [1.0, 0.0]]))
    np.testing.assert_allclose(v.numpy(), np.array([[1, 1], [-1, 1]]) / np.sqrt(2), rtol=1e-6)
    u, _, vt = ops.svd(dl.tensor(-np.eye(3)))
    np.testing.assert_allclose(u.numpy() @ vt.numpy(), -np.eye(3), atol=1e-15)


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 2)])
def test_derivatives_of_singular_vectors(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    a = dl.tensor(rng.standard_normal(shape), requires_grad=True)
    gradcheck(ops.svd, a, method="richardson", atol=1e-7, rtol=1e-6)
    gradgradcheck(ops.svd, a, method="richardson", atol=1e-5, rtol=1e-5)


def test_vectors_of_equal_eigenvalues_have_no_gradient(rng: np.random.Generator) -> None:
    """Refused with a sentence, where a division by 0 would give nan, and leaving it out a wrong number (T28)."""
    a = dl.tensor(np.diag([1.0, 1.0, 2.0]), requires_grad=True)
    g = dl.tensor(rng.standard_normal((3, 3)))
    for decompose, name in ((ops.eigh, "two eigenvalues"), (lambda a: ops.svd(a)[:2][::-1], "two singular values")):
        values, v = decompose(a)
        with pytest.raises(RuntimeError, match=f"{name} are equal"):
            grad(v, a, g)
        values, v = decompose(a)
        (found,) = grad(values.square().sum(), a)
        np.testing.assert_allclose(found.numpy(), 2 * a.detach().numpy(), atol=1e-12)
        values, v = decompose(a)
        top = -1 if name == "two eigenvalues" else 0  # the one vector that is determined
        (found,) = grad(v[:, top], a, g[:, 0])
        assert np.isfinite(found.numpy()).all()
        assert np.abs(found.numpy()).max() > 0.01


def test_vectors_of_a_singular_value_of_0_have_no_gradient(rng: np.random.Generator) -> None:
    for shape, output in (((3, 2), 0), ((2, 3), 2)):
        a = dl.zeros(*shape, dtype=dl.float64)
        a[0, 0] = 1.0
        a.requires_grad_()
        result = ops.svd(a)
        with pytest.raises(RuntimeError, match="a singular value is 0"):
            grad(result[output], a, dl.tensor(rng.standard_normal(result[output].shape)))
        (g,) = grad(ops.svd(a)[1].sum(), a)
        assert np.isfinite(g.numpy()).all()


def test_the_gradient_of_the_largest_eigenvalue_is_the_outer_product(rng: np.random.Generator) -> None:
    a = dl.tensor(rng.standard_normal((4, 4)), requires_grad=True)
    values, v = ops.eigh(a)
    (g,) = grad(values[-1], a)
    top = v.detach().numpy()[:, -1]
    np.testing.assert_allclose(g.numpy(), np.outer(top, top), atol=1e-12)


def test_refusals() -> None:
    with pytest.raises(RuntimeError, match=r"square matrices .* got shape \(2, 3\)"):
        ops.eigh(dl.zeros(2, 3))
    with pytest.raises(RuntimeError, match="got shape"):
        ops.svd(dl.zeros(3))
    with pytest.raises(TypeError, match="complex"):
        ops.svd(dl.tensor([[1j]]))


@pytest.mark.oracle
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_pytorch(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    """Values, and gradients of what does not depend on signs: PyTorch refuses the others."""
    torch = pytest.importorskip("torch")
    a = rng.standard_normal(shape)
    w = rng.standard_normal((shape[-2], shape[-1]))

    def invariant(svd: Any, x: Any, weight: Any) -> Any:
        u, s, vt = svd(x)
        return ((u * s.cos().unsqueeze(-2)) @ vt * weight).sum() + (s**3).sum()

    x, t = dl.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    y = invariant(ops.svd, x, dl.tensor(w))
    u = invariant(lambda t: torch.linalg.svd(t, full_matrices=False), t, torch.tensor(w))
    y.backward()
    u.backward()
    np.testing.assert_allclose(y.item(), u.item(), rtol=1e-10)
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-7, atol=1e-9)
    if shape[-1] == shape[-2]:
        symmetric = a + a.swapaxes(-1, -2)
        x, t = dl.tensor(symmetric, requires_grad=True), torch.tensor(symmetric, requires_grad=True)
        results = []
        for values, v in (ops.eigh(x), torch.linalg.eigh(t)):
            loss = (((v * values.cos().unsqueeze(-2)) @ v.transpose(-1, -2)) ** 3).sum()
            loss.backward()
            results.append(loss.item())
        np.testing.assert_allclose(*results, rtol=1e-10)
        np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-8, atol=1e-9)


def test_whitening_can_be_learned_through(rng: np.random.Generator) -> None:
    """A use: the square root of the inverse of a covariance, differentiated, against differences."""
    x = dl.tensor(rng.standard_normal((6, 3)), requires_grad=True)

    def whitened(x: Tensor) -> Tensor:
        centred = x - x.mean(0)
        values, v = ops.eigh(centred.T @ centred / 6)
        return centred @ (v / values.sqrt()) @ v.T

    y = whitened(x).detach().numpy()
    np.testing.assert_allclose(y.T @ y / 6, np.eye(3), atol=1e-10)
    gradcheck(whitened, x, method="richardson", atol=1e-7, rtol=1e-6)
