"""What must hold of the derivatives of an operation: they agree with numerical ones, and with each other."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from cases import Arrays, Case, grad_or_zero, near, same, trial

from minidl.autograd import grad, gradcheck, gradgradcheck, no_grad
from minidl.ops.registry import Operation, Oracle
from minidl.tensor import Tensor

EXACT = {"complex": 1e-12, "richardson": 1e-8}
"""How near analytic and numerical derivatives must be, by oracle."""
CHANGES_DTYPE = {"cast"}
"""Operations whose very purpose is another dtype than that of their input."""


def described(operation: Operation) -> None:
    """It says its formula and its adjoint, in balanced LaTeX."""
    for name, text in (("formula", operation.formula), ("adjoint", operation.adjoint)):
        assert text.strip(), f"{operation.name}: no {name}"
        assert text.count("{") == text.count("}"), f"{operation.name}: unbalanced braces in {text!r}"
        assert text.count(r"\left") == text.count(r"\right"), f"{operation.name}: \\left without \\right in {text!r}"
    assert inspect.getdoc(operation.call), f"{operation.name}: no docstring"
    assert Case(operation).places, f"{operation.name}: the example has no float array to differentiate"


def first_derivative(operation: Operation) -> None:
    """Every entry of the Jacobian equals a numerical one (T2, T7, T23)."""
    case = Case(operation)
    tolerance = EXACT[operation.oracle]
    if sum(x.size for x in case.arrays) <= 150:
        gradcheck(lambda *xs: tuple(case(*xs)), case.leaves(), method=operation.oracle, atol=tolerance, rtol=tolerance)
    directions(case, lambda *xs: case(*xs), tolerance)


def gradient_holds(call: Callable[..., Any], *arrays: np.ndarray, oracle: Oracle = "complex") -> None:
    """The gradient of any function agrees with a numerical one in random directions; shapes and dtypes are kept."""
    case = Case(trial(call, *arrays, oracle=oracle))
    xs = case.leaves()
    ys = case(*xs)
    gxs = grad(ys, xs, [Tensor._wrap(g) for g in case.cotangents(ys)], allow_unused=True)
    for x, g in zip(xs, gxs, strict=True):
        if g is not None:
            assert type(g.array) is np.ndarray, f"the gradient is a {type(g.array).__name__} (T7)"
            assert g.array.shape == x.array.shape, f"gradient {g.array.shape} of an input {x.array.shape}"
            assert g.array.dtype == x.array.dtype
    directions(case, lambda *xs: case(*xs), EXACT[oracle], repeats=1)


def directions(
    case: Case, function: Callable[..., list[Tensor]], tolerance: float, repeats: int = 3, extra: Arrays | None = None
) -> None:
    """⟨u, J v⟩ by differences equals ⟨Jᵀ u, v⟩ by the tape, for random u and v that leave no entry out.

    Independent of `gradcheck`: shares no line with it. `extra` are inputs of the function behind those of the case.
    """
    arrays = case.arrays + (extra or [])
    rng = np.random.default_rng(3)
    for _ in range(repeats):
        vs = [rng.uniform(0.5, 1.0, x.shape) * rng.choice([-1.0, 1.0], x.shape) for x in arrays]

        def at(t: complex, vs: Arrays = vs) -> Arrays:
            xs = case.leaves([x + t * v for x, v in zip(arrays, vs, strict=True)])
            return [y.array for y in function(*xs)]

        if case.operation.oracle == "complex":
            rates = [y.imag / 1e-20 for y in at(1e-20j)]
        else:
            steps = [1e-3 / 2**k for k in range(3)]
            d = [[(a - b) / (2 * h) for a, b in zip(at(h), at(-h), strict=True)] for h in steps]
            r = [[(4 * b - a) / 3 for a, b in zip(d[k], d[k + 1], strict=True)] for k in range(2)]
            rates = [(16 * b - a) / 15 for a, b in zip(r[0], r[1], strict=True)]
        xs = case.leaves(arrays)
        ys = function(*xs)
        linked = [k for k, y in enumerate(ys) if y.requires_grad]
        us = case.cotangents(ys)
        gxs = grad([ys[k] for k in linked], xs, [Tensor(us[k]) for k in linked], allow_unused=True)
        products = [np.vdot(g.array, v) for g, v in zip(gxs, vs, strict=True) if g is not None]
        terms = [u * rate for u, rate in zip(us, rates, strict=True)]
        scale = max([1.0, *[float(np.abs(t).sum()) for t in terms]])
        near(np.sum(products), np.sum([t.sum() for t in terms]), tolerance * scale, "directional derivative")


def _gradient_of(case: Case) -> Callable[..., list[Tensor]]:
    """The recorded gradient as a function of the inputs, and of the gradients of the outputs where they are given."""
    count = len(case.places)

    def gradient(*inputs: Tensor) -> list[Tensor]:
        xs, given = inputs[:count], inputs[count:]
        ys = case(*xs)
        us = given or [Tensor(u) for u in case.cotangents(ys)]
        pairs = [(y, u) for y, u in zip(ys, us, strict=True) if y.requires_grad]
        gxs = grad([y for y, _ in pairs], xs, [u for _, u in pairs], create_graph=True, allow_unused=True)
        return [g for g in gxs if g is not None]

    return gradient


def second_derivative(operation: Operation) -> None:
    """The gradient of the gradient equals a numerical one, also by what came in (T14, T15)."""
    case = Case(operation)
    tolerance = 10 * EXACT[operation.oracle]
    if sum(x.size for x in case.arrays) <= 60:
        gradgradcheck(
            lambda *xs: tuple(case(*xs)), case.leaves(), method=operation.oracle, atol=tolerance, rtol=tolerance
        )
    directions(case, _gradient_of(case), tolerance, extra=case.cotangents(case(*case.leaves())))


def third_derivative(operation: Operation) -> None:
    """The gradient of the gradient of the gradient equals a numerical one (T14)."""
    case = Case(operation)
    gradient = _gradient_of(case)

    def second(*xs: Tensor) -> list[Tensor]:
        gs = [g for g in gradient(*xs) if g.requires_grad]
        us = [Tensor(u) for u in case.cotangents(gs)]
        return [h for h in grad(gs, xs, us, create_graph=True, allow_unused=True) if h is not None]

    directions(case, second, 100 * EXACT[operation.oracle])


def hessian_symmetric(operation: Operation) -> None:
    """u·Hv = v·Hu: no numerical derivative is needed to see that a second derivative is wrong."""
    case = Case(operation)
    rng = np.random.default_rng(5)
    xs = case.leaves()
    gs = grad_or_zero(case, xs)
    us, vs = ([rng.standard_normal(x.array.shape) for x in xs] for _ in range(2))

    def times(directions: Arrays) -> Arrays:
        linked = [(g, d) for g, d in zip(gs, directions, strict=True) if g is not None and g.requires_grad]
        if not linked:
            return [np.zeros_like(x.array) for x in xs]
        hs = grad([g for g, _ in linked], xs, [Tensor(d) for _, d in linked], retain_graph=True, allow_unused=True)
        return [np.zeros_like(x.array) if h is None else h.array for x, h in zip(xs, hs, strict=True)]

    left = np.sum([np.vdot(u, h) for u, h in zip(us, times(vs), strict=True)])
    right = np.sum([np.vdot(v, h) for v, h in zip(vs, times(us), strict=True)])
    near(left, right, 1e-10, "u·Hv against v·Hu")


def affine_inputs(case: Case) -> list[int]:
    """In which inputs the outputs are affine, the others held fixed; found by evaluating, not by asking."""
    rng = np.random.default_rng(11)
    found = []
    with no_grad():
        for i, x in enumerate(case.arrays):
            u, v = (case.operation.domain.sampler(rng)(*x.shape) for _ in range(2))
            try:
                with np.errstate(all="ignore"):
                    lines = [(2.0 * u - v, u, v), (2.0 * x, x, 0.0 * x)]  # on a line a, b, c: f(a) = 2 f(b) − f(c)
                    ends = [zip(*[_with_input(case, i, t) for t in line], strict=True) for line in lines]
                    straight = [np.allclose(a, 2 * b - c, rtol=1e-11, atol=1e-11) for end in ends for a, b, c in end]
                    if x.size and all(straight):
                        found.append(i)
            except (RuntimeError, ValueError):
                continue
    return found


def _with_input(case: Case, i: int, value: np.ndarray) -> Arrays:
    """The outputs with another value for input i."""
    arrays = [value if k == i else other for k, other in enumerate(case.arrays)]
    return [y.array for y in case(*case.leaves(arrays))]


def exact_adjoint(operation: Operation) -> None:
    """⟨A x, y⟩ = ⟨x, Aᵀ y⟩ to rounding, A the linear part, for every input in which the operation is affine (T13)."""
    case = Case(operation)
    for i in affine_inputs(case):
        ys, gxs = case.value_and_gradients()
        origin = _with_input(case, i, np.zeros_like(case.arrays[i]))
        us = case.cotangents([Tensor(y) for y in ys])
        left = sum(np.vdot(u, y - o) for u, y, o in zip(us, ys, origin, strict=True))
        near(np.vdot(gxs[i], case.arrays[i]), left, 1e-12, f"⟨x, Aᵀ y⟩ of input {i}")


SELECTS = {"amax", "amin", "max", "min", "maximum", "minimum", "sort", "topk", "max_pool1d", "max_pool2d",
           "adaptive_max_pool1d", "adaptive_max_pool2d", "logsumexp"}  # fmt: skip
"""Operations that choose among their inputs: f(x + c) = f(x) + c for every number c."""


def shifts_with_its_input(operation: Operation) -> None:
    """What selects follows a constant added to its inputs, also far below 0, and ties share a gradient (T10, T11)."""
    if operation.name not in SELECTS:
        return
    case = Case(operation)
    ys, _ = case.value_and_gradients()
    for c in (-1000.0, 1000.0):
        moved, _ = case.value_and_gradients([x + c for x in case.arrays])
        same(moved, [y + c for y in ys], 1e-12, f"inputs moved by {c}: output")
    gys = case.cotangents([Tensor(y) for y in ys])
    _, gxs = case.value_and_gradients([np.full_like(x, -3.0) for x in case.arrays])
    near(sum(g.sum() for g in gxs), sum(g.sum() for g in gys), 1e-12, "a constant input: sum of the gradients")


def vjp_linear(operation: Operation) -> None:
    """The gradient is linear in the gradient that comes in."""
    case = Case(operation)
    ys, _ = case.value_and_gradients()
    rng = np.random.default_rng(13)
    u, v = ([rng.standard_normal(y.shape) for y in ys] for _ in range(2))
    both = [2.0 * a - 3.0 * b for a, b in zip(u, v, strict=True)]
    (_, gu), (_, gv), (_, g) = (case.value_and_gradients(gys=gys) for gys in (u, v, both))
    same(g, [2.0 * a - 3.0 * b for a, b in zip(gu, gv, strict=True)], 1e-12, "vjp(2u − 3v), input")


def dtype_kept(operation: Operation) -> None:
    """float16 in, float16 out and back, and likewise for the others, also beside NumPy's numbers (T8)."""
    if operation.name in CHANGES_DTYPE:
        return
    case = Case(operation)
    numbers = {k: np.float64(v) for k, v in case.arguments.items() if type(v) is float}
    expected_ys, expected_gxs = case.value_and_gradients()
    for dtype, tolerance in (("f2", 4e-2), ("f4", 2e-4), ("f8", 1e-12)):
        arrays = [x.astype(dtype) for x in case.arrays]
        for replaced in [{}, numbers] if numbers else [{}]:
            ys, gxs = case.value_and_gradients(arrays, **replaced)
            for what, found in (("output", ys), ("gradient", gxs)):
                kinds = {x.dtype.name for x in found}
                assert kinds == {np.dtype(dtype).name}, f"{operation.name}: {what} of {dtype} has {kinds}, {replaced}"
            if operation.domain.distinct == 0 or dtype != "f2":  # rounding to float16 may change the order
                same(ys, expected_ys, tolerance, f"{dtype} output")
                same(gxs, expected_gxs, tolerance, f"{dtype} gradient")
        if operation.orders >= 2:
            kinds = {g.dtype for g in grad_or_zero(case, case.leaves(arrays)) if g is not None}
            assert kinds == {np.dtype(dtype)}, f"{operation.name}: a recorded gradient of {dtype} has {kinds}"
