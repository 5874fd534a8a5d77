"""Jacobians and Hessians: against the complex step, against PyTorch, and against each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl.autograd import functional as AF
from minidl.autograd import numerical_jacobian
from minidl.tensor import Tensor

# written so that both libraries can run them
VECTOR_FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "elementwise": (lambda x: x.exp() * x, ((3,),)),
    "matrix": (lambda x: (x @ x).tanh(), ((3, 3),)),
    "softmax": (lambda x: x.softmax(-1), ((2, 3),)),
    "two inputs": (lambda x, y: x @ y, ((2, 3), (3, 2))),
    "two outputs": (lambda x: (x.sum(0), x * x), ((2, 3),)),
    "two of both": (lambda x, y: (x * y, (x - y).exp()), ((3,), (3,))),
    "an input that does not matter": (lambda x, y: x * 2, ((3,), (2,))),
    "linear": (lambda x: x * 3 + 1, ((3,),)),
    "a single number": (lambda x: (x * x).sum(), ((4,),)),
}
SCALAR_FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "cubic": (lambda x: (x * x * x).sum(), ((4,),)),
    "mixed": (lambda x: (x.softmax(-1) * x).sum() ** 2, ((2, 3),)),
    "two inputs": (lambda x, y: ((x @ y).tanh() ** 2).sum(), ((2, 3), (3,))),
    "log-sum-exp": (lambda x: x.exp().sum().log(), ((5,),)),
    "linear in one": (lambda x, y: (x.exp() * y).sum(), ((3,), (3,))),
    "linear": (lambda x: x.sum() * 3, ((3,),)),
}


def drawn(shapes: tuple[tuple[int, ...], ...], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.2, 1.2, shape) for shape in shapes]


def given(arrays: list[np.ndarray]) -> Any:
    """One tensor alone, several as a tuple."""
    xs = tuple([dl.tensor(x) for x in arrays])
    return xs[0] if len(xs) == 1 else xs


def flat(value: Any) -> list[np.ndarray]:
    """Everything in nested tuples, in order."""
    return [value.numpy()] if not isinstance(value, tuple) else [x for item in value for x in flat(item)]


def same_form(ours: Any, theirs: Any) -> None:
    """The same nesting, shapes and numbers as PyTorch."""
    if isinstance(theirs, tuple):
        assert isinstance(ours, tuple)
        assert len(ours) == len(theirs)
        for x, t in zip(ours, theirs, strict=True):
            same_form(x, t)
    else:
        assert tuple(ours.shape) == tuple(theirs.shape)
        assert ours.requires_grad == theirs.requires_grad
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-10, atol=1e-12)


# ── against what does not use the tape ────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", VECTOR_FUNCTIONS)
def test_jacobian_equals_the_complex_step(name: str) -> None:
    func, shapes = VECTOR_FUNCTIONS[name]
    arrays = drawn(shapes)
    leaves = [dl.tensor(x, requires_grad=True) for x in arrays]
    expected = numerical_jacobian(func, leaves, "complex")
    found = flat(AF.jacobian(func, given(arrays)))
    for J, e in zip(found, [block for row in expected for block in row], strict=True):
        np.testing.assert_allclose(J.reshape(e.shape), e, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", VECTOR_FUNCTIONS)
def test_products_equal_the_jacobian(name: str) -> None:
    """vᵀJ and J v against J itself, which comes row by row from other walks."""
    func, shapes = VECTOR_FUNCTIONS[name]
    arrays = drawn(shapes)
    xs = given(arrays)
    ys = func(*[dl.tensor(x) for x in arrays])
    outputs = [y.shape for y in (ys if isinstance(ys, tuple) else (ys,))]
    J = AF.jacobian(func, tuple([dl.tensor(x) for x in arrays]))
    J = J if isinstance(ys, tuple) else (J,)
    us, vs = drawn(tuple(outputs), 1), drawn(shapes, 2)
    _, left = AF.vjp(func, xs, given(us))
    for i, found in enumerate(flat(left)):
        expected = sum(np.tensordot(u, J[o][i].numpy(), u.ndim) for o, u in enumerate(us))
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
    _, right = AF.jvp(func, xs, given(vs))
    for o, found in enumerate(flat(right)):
        expected = sum(np.tensordot(J[o][i].numpy(), v, v.ndim) for i, v in enumerate(vs))
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", SCALAR_FUNCTIONS)
def test_the_hessian_is_symmetric_and_right(name: str) -> None:
    """u·Hv = v·Hu; H v, vᵀH and the rows of H agree; H is the complex step's Jacobian of the gradient."""
    func, shapes = SCALAR_FUNCTIONS[name]
    arrays = drawn(shapes)
    xs = given(arrays)
    us, vs = drawn(shapes, 1), drawn(shapes, 2)
    hv, hu = (flat(AF.hvp(func, xs, given(w))[1]) for w in (vs, us))
    vh = flat(AF.vhp(func, xs, given(vs))[1])
    left = sum(np.vdot(u, h) for u, h in zip(us, hv, strict=True))
    right = sum(np.vdot(v, h) for v, h in zip(vs, hu, strict=True))
    np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-13)
    sizes = [x.size for x in arrays]
    blocks = iter(flat(AF.hessian(func, xs)))
    H = np.block([[next(blocks).reshape(m, n) for n in sizes] for m in sizes])
    np.testing.assert_allclose(H, H.T, rtol=1e-11, atol=1e-13)
    v = np.concatenate([x.ravel() for x in vs])
    for product in (hv, vh):
        np.testing.assert_allclose(np.concatenate([x.ravel() for x in product]), H @ v, rtol=1e-11, atol=1e-12)

    def gradient(*leaves: Tensor) -> tuple[Tensor, ...]:
        with dl.enable_grad():
            return dl.autograd.grad(func(*leaves), leaves, create_graph=True, materialize_grads=True)

    expected = numerical_jacobian(gradient, [dl.tensor(x, requires_grad=True) for x in arrays], "complex")
    np.testing.assert_allclose(H, np.block(expected), rtol=1e-11, atol=1e-12)


def test_hessian_of_a_quadratic_form_is_its_matrix(rng: np.random.Generator) -> None:
    A = rng.standard_normal((4, 4))
    H = AF.hessian(lambda x: 0.5 * (x @ dl.tensor(A) @ x), dl.tensor(rng.standard_normal(4)))
    np.testing.assert_allclose(H.numpy(), (A + A.T) / 2, rtol=1e-12)


def test_through_fused_operations(rng: np.random.Generator) -> None:
    """Fast code treats what it saved as constants; a Hessian through it must come from the composite (T14)."""
    w, labels = dl.tensor(rng.standard_normal((3, 4))), dl.tensor([0, 2])

    def loss(x: Tensor) -> Tensor:
        y = dl.nn.functional.layer_norm(x, (4,))
        y = dl.nn.functional.scaled_dot_product_attention(y, y, y) @ w.T
        return dl.nn.functional.cross_entropy(y, labels)

    x = dl.tensor(rng.standard_normal((2, 4)), requires_grad=True)

    def gradient(x: Tensor) -> Tensor:
        with dl.enable_grad():
            return dl.autograd.grad(loss(x), x, create_graph=True)[0]

    expected = numerical_jacobian(gradient, [x], "complex")[0][0]
    H = AF.hessian(loss, x).numpy().reshape(8, 8)
    np.testing.assert_allclose(H, expected, rtol=1e-10, atol=1e-12)
    v = dl.tensor(rng.standard_normal((2, 4)))
    for product in (AF.hvp, AF.vhp):
        np.testing.assert_allclose(product(loss, x, v)[1].numpy().ravel(), H @ v.numpy().ravel(), rtol=1e-10)


# ── PyTorch ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.oracle
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", VECTOR_FUNCTIONS)
def test_first_derivatives_have_pytorchs_form(name: str, create_graph: bool) -> None:
    torch = pytest.importorskip("torch")
    func, shapes = VECTOR_FUNCTIONS[name]
    arrays = drawn(shapes)
    xs = [dl.tensor(x, requires_grad=True) for x in arrays]
    ts = [torch.tensor(x, requires_grad=True) for x in arrays]
    xs, ts = (tuple(v) if len(v) > 1 else v[0] for v in (xs, ts))
    same_form(AF.jacobian(func, xs, create_graph), torch.autograd.functional.jacobian(func, ts, create_graph))
    ys = func(*(ts if isinstance(ts, tuple) else (ts,)))
    us = drawn(tuple([tuple(y.shape) for y in (ys if isinstance(ys, tuple) else (ys,))]), 1)
    for product, ws in (("vjp", us), ("jvp", drawn(shapes, 2))):
        ours, theirs = (tuple([make(w) for w in ws]) for make in (dl.tensor, torch.tensor))
        ours, theirs = (w if len(w) > 1 else w[0] for w in (ours, theirs))
        same_form(getattr(AF, product)(func, xs, ours, create_graph),
                  getattr(torch.autograd.functional, product)(func, ts, theirs, create_graph))  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", [name for name in SCALAR_FUNCTIONS if name != "linear"])
def test_second_derivatives_have_pytorchs_form(name: str, create_graph: bool) -> None:
    torch = pytest.importorskip("torch")
    func, shapes = SCALAR_FUNCTIONS[name]
    arrays = drawn(shapes)
    xs = [dl.tensor(x, requires_grad=True) for x in arrays]
    ts = [torch.tensor(x, requires_grad=True) for x in arrays]
    ws = [make(w) for make in (dl.tensor, torch.tensor) for w in drawn(shapes, 1)]
    xs, ts, v, w = (
        tuple(x) if len(x) > 1 else x[0] for x in (xs, ts, ws[: len(shapes)], ws[len(shapes) :])
    )  # fmt: skip
    theirs = torch.autograd.functional
    same_form(AF.hessian(func, xs, create_graph), theirs.hessian(func, ts, create_graph))
    same_form(AF.hvp(func, xs, v, create_graph), theirs.hvp(func, ts, w, create_graph))
    same_form(AF.vhp(func, xs, v, create_graph), theirs.vhp(func, ts, w, create_graph))


# ── graphs ────────────────────────────────────────────────────────────────────────────────────────


def test_create_graph_ties_the_result_to_the_inputs() -> None:
    """d/dx of the trace of the Hessian of Σx⁴ is 24x, of the Jacobian of x³ is 6x."""
    x = dl.tensor([1.0, 2.0, -3.0], requires_grad=True)
    for trace, factor in (
        (lambda: AF.hessian(lambda x: (x**4).sum(), x, create_graph=True).sum(), 24.0),
        (lambda: AF.jacobian(lambda x: x**3, x, create_graph=True).sum(), 6.0),
        (lambda: AF.hvp(lambda x: (x**4).sum(), x, dl.ones(3), create_graph=True)[1].sum(), 24.0),
        (lambda: AF.vhp(lambda x: (x**4).sum(), x, dl.ones(3), create_graph=True)[1].sum(), 24.0),
        (lambda: AF.jvp(lambda x: x**3, x, dl.ones(3), create_graph=True)[1].sum(), 6.0),
        (lambda: AF.vjp(lambda x: x**3, x, dl.ones(3), create_graph=True)[1].sum(), 6.0),
    ):
        (g,) = dl.autograd.grad(trace(), x)
        np.testing.assert_allclose(g.numpy(), factor * x.detach().numpy(), rtol=1e-6)


def test_a_jacobian_is_differentiated_entry_by_entry(rng: np.random.Generator) -> None:
    """A gradient of its own for every entry; J of x³ is diag(3x²), so only the diagonal ones reach x."""
    x = dl.tensor(rng.standard_normal(4), requires_grad=True)
    weights = rng.standard_normal((4, 4))
    J = AF.jacobian(lambda x: x**3, x, create_graph=True)
    (g,) = dl.autograd.grad(J, x, dl.tensor(weights))
    np.testing.assert_allclose(g.numpy(), 6 * x.detach().numpy() * weights.diagonal(), rtol=1e-12)


def test_results_are_off_the_tape_and_nothing_is_left_behind() -> None:
    x = dl.tensor([1.0, 2.0], requires_grad=True)
    with dl.no_grad():
        y, g = AF.vjp(lambda x: (x * x).sum(), x)
    assert not y.requires_grad
    assert not g.requires_grad
    assert x.grad is None
    assert x.is_leaf
    plain = dl.tensor([1.0, 2.0])
    AF.hessian(lambda x: (x * x).sum(), plain)
    assert not plain.requires_grad


def test_float32_stays_float32() -> None:
    x = dl.tensor([1.0, 2.0])
    for result in (
        AF.jacobian(lambda x: x * x, x),
        AF.hessian(lambda x: (x * x).sum(), x),
        *AF.hvp(lambda x: (x * x).sum(), x, x),
        *AF.vhp(lambda x: (x * x).sum(), x, x),
        *AF.jvp(lambda x: x * x, x, x),
        *AF.vjp(lambda x: x * x, x, x),
    ):
        assert result.dtype == dl.float32


def test_empty_outputs_and_inputs() -> None:
    assert AF.jacobian(lambda x: x[:0], dl.ones(3)).shape == (0, 3)
    assert AF.jacobian(lambda x: x, dl.ones(0)).shape == (0, 0)


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: AF.vjp(lambda x: x, dl.ones(3)), RuntimeError, "only where the output is a single number"),
        (lambda: AF.jvp(lambda x: x, dl.ones(3)), RuntimeError, "only where the input is a single number"),
        (lambda: AF.vjp(lambda x: x, dl.ones(3), dl.ones(2)), RuntimeError, r"\(3,\); got \(2,\)"),
        (lambda: AF.hvp(lambda x: x.sum(), dl.ones(3), dl.ones(2)), RuntimeError, r"\(3,\); got \(2,\)"),
        (lambda: AF.hessian(lambda x: x, dl.ones(3)), RuntimeError, r"single number, got \(3,\)"),
        (lambda: AF.jacobian(lambda x: 3.0, dl.ones(3)), TypeError, "result of func must be a tensor"),
        (lambda: AF.jacobian(lambda x: x, 3.0), TypeError, "inputs must be a tensor"),
        (lambda: AF.jacobian(lambda x: dl.ones(3), dl.ones(3), strict=True), RuntimeError, "one is a constant"),
        (
            lambda: AF.jacobian(lambda x, y: x, (dl.ones(3), dl.ones(3)), strict=True),
            RuntimeError,
            "do not depend on input 1",
        ),
        (lambda: AF.hvp(lambda x: x.sum(), dl.ones(3), dl.ones(3), strict=True), RuntimeError, "constant"),
    ],
)
def test_what_cannot_be_meant_is_refused(call: Callable[[], Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        call()


def test_without_strict_independent_means_zero() -> None:
    J = AF.jacobian(lambda x, y: x, (dl.ones(2), dl.ones(3)))
    np.testing.assert_array_equal(J[1].numpy(), np.zeros((2, 3)))
    np.testing.assert_array_equal(AF.jacobian(lambda x: dl.ones(2), dl.ones(3)).numpy(), np.zeros((2, 3)))
    np.testing.assert_array_equal(AF.hessian(lambda x: x.sum(), dl.ones(3)).numpy(), np.zeros((3, 3)))
    np.testing.assert_array_equal(AF.jvp(lambda x: dl.ones(2), dl.ones(3), dl.ones(3))[1].numpy(), np.zeros(2))
