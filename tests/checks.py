"""What must hold of every operation of the register, one function a claim.

The registry walk runs each of these on the operations as they are; the mutation suite runs the same functions on
operations with a fault in them, and wants each fault found. A check raises; it returns nothing.
"""

from __future__ import annotations

import dataclasses
import gc
import inspect
import itertools
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from definitions import DEFINITIONS

from minidl.autograd import Function, backward, grad, gradcheck, gradgradcheck, no_grad, record
from minidl.backend import default_generator
from minidl.kernels import attention as tiles
from minidl.kernels import threads, use_kernels
from minidl.kernels.portable import recurrent as rows
from minidl.ops.registry import REAL, Operation, Oracle
from minidl.tensor import Tensor

Arrays = list[np.ndarray]
EXACT = {"complex": 1e-12, "richardson": 1e-8}
"""How near analytic and numerical derivatives must be, by oracle."""
CHANGES_DTYPE = {"cast"}
"""Operations whose very purpose is another dtype than that of their input."""


# ── an operation with arguments ───────────────────────────────────────────────────────────────────


class Case:
    """An operation and one draw of its arguments; calling it with the float inputs runs it.

    Everything else among the arguments is the same in every call: generators are wound back, tensors that the
    operation may write into (running statistics) are copied.
    """

    def __init__(self, operation: Operation, seed: int = 0) -> None:
        self.operation = operation
        rng = np.random.default_rng([seed, sum(operation.name.encode())])
        self.arguments = operation.example(operation.domain.sampler(rng))
        self.rng = rng
        self.places = [*self._places()]
        self._streams = {key: value.get_state() for key, value in self.arguments.items() if hasattr(value, "set_state")}

    def _places(self) -> Iterator[tuple[str, int | None]]:
        for key, value in self.arguments.items():
            if isinstance(value, list | tuple):
                yield from ((key, i) for i, item in enumerate(value) if _is_float(item))
            elif _is_float(value):
                yield key, None

    @property
    def arrays(self) -> Arrays:
        """The float inputs, in order."""
        return [self.arguments[k] if i is None else self.arguments[k][i] for k, i in self.places]

    def __call__(self, *inputs: Any, **replaced: Any) -> list[Tensor]:
        """The floating outputs of the operation on these inputs."""
        result = self.result(*inputs, **replaced)
        outputs = list(result) if isinstance(result, tuple | list) else [result]
        return [y for y in outputs if y.array.dtype.kind in "fc"]

    def result(self, *inputs: Any, **replaced: Any) -> Any:
        """What the operation returns."""
        arguments = {key: _fresh(value) for key, value in self.arguments.items()} | replaced
        for (key, i), x in zip(self.places, inputs, strict=True):
            if i is None:
                arguments[key] = x
            else:
                arguments[key] = [x if j == i else item for j, item in enumerate(arguments[key])]
        for key, state in self._streams.items():
            arguments[key].set_state(state)
        before = default_generator.get_state()
        default_generator.manual_seed(1)
        try:
            positional = []
            parameters = inspect.signature(self.operation.call).parameters
            for name, parameter in parameters.items():
                if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                    names = list(itertools.takewhile(lambda n: n != name, parameters))  # noqa: B023
                    positional = [arguments.pop(n) for n in names] + list(arguments.pop(name))
            return self.operation.call(*positional, **arguments)
        finally:
            default_generator.set_state(before)

    def leaves(self, arrays: Arrays | None = None, needs: Callable[[int], bool] = lambda i: True) -> list[Tensor]:
        """The inputs as tensors that want a gradient."""
        return [
            Tensor._wrap(np.asarray(x), requires_grad=needs(i))
            for i, x in enumerate(self.arrays if arrays is None else arrays)
        ]

    def cotangents(self, outputs: list[Tensor]) -> Arrays:
        """A random gradient for each output, no two entries alike, none near 0."""
        rng = np.random.default_rng(7)
        return [
            np.asarray(rng.uniform(0.5, 1.5, y.array.shape) * rng.choice([-1.0, 1.0], y.array.shape), y.array.dtype)
            for y in outputs
        ]

    def value_and_gradients(
        self, arrays: Arrays | None = None, gys: Arrays | None = None, keep: bool = False, **replaced: Any
    ) -> tuple[Arrays, Arrays]:
        """The outputs, and the gradients of all inputs for random (or these) gradients of the outputs."""
        xs = self.leaves(arrays)
        ys = self(*xs, **replaced)
        gys = self.cotangents(ys) if gys is None else gys
        gxs = grad(ys, xs, [Tensor._wrap(np.asarray(g)) for g in gys], retain_graph=keep, allow_unused=True)
        zeros = [np.zeros_like(x.array) for x in xs]
        return [y.array for y in ys], [z if g is None else g.array for z, g in zip(zeros, gxs, strict=True)]


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _fresh(value: Any) -> Any:
    return Tensor._wrap(value.array.copy()) if isinstance(value, Tensor) else value


def trial(call: Callable[..., Any], *arrays: np.ndarray, oracle: Oracle = "complex") -> Operation:
    """Any function of some arrays as an operation, so that the checks can be run on it."""
    given = [np.asarray(x) for x in arrays]
    return Operation("trial", lambda xs: call(*xs), (), "y", "x", lambda draw: {"xs": given}, REAL, oracle, 2)


def nodes_of(outputs: list[Tensor]) -> list[Function]:
    """Every recorded operation that the outputs depend on."""
    found: dict[Function, None] = {}
    stack = [y.creator for y in outputs if y.creator is not None]
    while stack:
        node = stack.pop()
        if node not in found:
            found[node] = None
            stack.extend(edge[0] for edge in node.edges or () if isinstance(edge, tuple))
    return [*found]


def near(found: Any, expected: Any, tolerance: float, what: str) -> None:
    """Raise unless two arrays agree to `tolerance` of the larger's scale, nan and infinities included."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"{what}: shape {found.shape}, expected {expected.shape}"
    scale = max(1.0, float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0)))
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale, err_msg=what)


def same(found: Arrays, expected: Arrays, tolerance: float, what: str) -> None:
    """`near` for each of several arrays."""
    assert len(found) == len(expected), f"{what}: {len(found)} arrays, expected {len(expected)}"
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        near(a, b, tolerance, f"{what} {i}")


# ── the claims ────────────────────────────────────────────────────────────────────────────────────


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


def grad_or_zero(case: Case, xs: list[Tensor]) -> tuple[Tensor | None, ...]:
    """The recorded gradients of all inputs for the case's random cotangents."""
    ys = [y for y in case(*xs) if y.requires_grad]
    return grad(ys, xs, [Tensor(u) for u in case.cotangents(ys)], create_graph=True, allow_unused=True)


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


# ── memory ────────────────────────────────────────────────────────────────────────────────────────


def _reversed(x: np.ndarray) -> np.ndarray:
    turned = (..., *(slice(None, None, -1),) * x.ndim)
    return x[turned].copy()[turned]


def _strided(x: np.ndarray) -> np.ndarray:
    wide = np.full([2 * n for n in x.shape], np.nan, x.dtype)
    view = wide[(..., *(slice(None, None, 2),) * x.ndim)]
    view[...] = x
    return view


def _offset(x: np.ndarray) -> np.ndarray:
    block = np.full([n + 2 for n in x.shape], np.nan, x.dtype)
    view = block[(..., *(slice(1, -1),) * x.ndim)]
    view[...] = x
    return view


def _read_only(x: np.ndarray) -> np.ndarray:
    y = x.copy()
    y.flags.writeable = False
    return y


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "fortran": lambda x: x.copy(order="F"),
    "transposed": lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -1, 0)), 0, -1) if x.ndim else x,
    "reversed": _reversed,
    "strided": _strided,
    "offset": _offset,
    "read-only": _read_only,
}


def _repeated(x: np.ndarray) -> np.ndarray:
    """The first slice of the array, broadcast over all (stride 0, read-only)."""
    return np.broadcast_to(x[:1], x.shape) if x.ndim and x.size else x


def layouts(operation: Operation) -> None:
    """The result does not depend on how inputs and incoming gradients lie in memory (T30)."""
    case = Case(operation)
    ys, gxs = case.value_and_gradients()
    gys = case.cotangents([Tensor(y) for y in ys])
    for name, layout in LAYOUTS.items():
        found_ys, found_gxs = case.value_and_gradients([layout(x) for x in case.arrays])
        same(found_ys, ys, 1e-12, f"{name} inputs: output")
        same(found_gxs, gxs, 1e-12, f"{name} inputs: gradient")
        _, found_gxs = case.value_and_gradients(gys=[layout(g) for g in gys])
        same(found_gxs, gxs, 1e-12, f"{name} incoming gradient: gradient")
    gys = [_repeated(g) for g in gys]
    _, found_gxs = case.value_and_gradients(gys=gys)
    same(found_gxs, case.value_and_gradients(gys=[g.copy() for g in gys])[1], 1e-12, "broadcast incoming gradient")
    arrays = [_repeated(x) for x in case.arrays]
    expected, expected_gxs = case.value_and_gradients([x.copy() for x in arrays])
    found_ys, found_gxs = case.value_and_gradients(arrays)
    same(found_ys, expected, 1e-12, "broadcast inputs: output")
    same(found_gxs, expected_gxs, 1e-12, "broadcast inputs: gradient")


def _state(nodes: list[Function]) -> list[tuple[str, np.ndarray]]:
    """Copies of every array that the operations keep."""
    found: list[tuple[str, np.ndarray]] = []

    def collect(what: str, value: Any) -> None:
        if isinstance(value, np.ndarray):
            found.append((what, value.copy()))
        elif isinstance(value, Tensor):
            found.append((what, value.array.copy()))
        elif isinstance(value, tuple | list):
            for item in value:
                collect(what, item)

    for node in nodes:
        for cls in type(node).__mro__:
            for slot in cls.__dict__.get("__slots__", ()):
                if slot not in ("edges", "__weakref__"):
                    collect(f"{node.name}.{slot}", getattr(node, slot, None))
    return found


def nothing_written(operation: Operation) -> None:
    """Inputs, incoming gradients and saved state stay as they were, and a second walk gives the same (T4, T5)."""
    case = Case(operation)
    arrays = [x.copy() for x in case.arrays]
    others = {k: np.copy(v) for k, v in case.arguments.items() if isinstance(v, np.ndarray)}
    xs = case.leaves(arrays)
    ys = case(*xs)
    outputs = [y.array.copy() for y in ys]
    gys = case.cotangents(ys)
    seeds = [Tensor(g.copy()) for g in gys]
    state = _state(nodes_of(ys))
    walks = []
    for _ in range(2):
        gxs = grad(ys, xs, seeds, retain_graph=True, allow_unused=True)
        walks.append([None if g is None else g.array.copy() for g in gxs])
    for a, b in zip(*walks, strict=True):
        assert (a is None) == (b is None)
        assert a is None or np.array_equal(a, b), f"{operation.name}: a second walk gives another gradient"
    for (what, before), (_, after) in zip(state, _state(nodes_of(ys)), strict=True):
        assert np.array_equal(before, after, equal_nan=before.dtype.kind in "fc"), f"{what} changed in the walk"
    for what, before, after in (
        ("input", case.arrays, arrays),
        ("incoming gradient", gys, [s.array for s in seeds]),
        ("output", outputs, [y.array for y in ys]),
    ):
        for i, (a, b) in enumerate(zip(before, after, strict=True)):
            assert np.array_equal(a, b), f"{operation.name}: {what} {i} was written"
    for key, before in others.items():
        assert np.array_equal(before, case.arguments[key]), f"{operation.name}: argument {key} was written"
    again = case(*case.leaves())
    same([y.array for y in again], outputs, 0.0, "a second call: output")


def gradients_are_private(operation: Operation) -> None:
    """Every leaf's gradient can be written, owns its memory and shares it with nobody (T1, T6)."""
    case = Case(operation)
    for create_graph, layout in itertools.product((False, True), (np.copy, _repeated)):
        xs = case.leaves()
        ys = case(*xs)
        seeds = [Tensor(layout(g)) for g in case.cotangents(ys)]
        total = ys[0] if len(ys) == 1 else None
        if total is not None:
            total.backward(seeds[0], create_graph=create_graph)
        else:
            backward(ys, seeds, create_graph=create_graph)
        held = [x.grad.array for x in xs if x.grad is not None]
        for g in held:
            assert type(g) is np.ndarray, f"{operation.name}: a gradient is a {type(g).__name__}, not an array"
            assert g.flags.writeable, f"{operation.name}: a gradient is read-only"
        foreign = [x.array for x in xs] + [s.array for s in seeds]
        for a, b in itertools.chain(itertools.combinations(held, 2), itertools.product(held, foreign)):
            assert not np.shares_memory(a, b), f"{operation.name}: a gradient shares its memory (T1)"
        for x in xs:  # a graph recorded by create_graph lives in the gradient: cut it
            x.grad = None


def connected(operation: Operation) -> None:
    """Each input alone reaches the outputs and gets a gradient; the others get none, nor the work (T22, T23)."""
    case = Case(operation)
    _, expected = case.value_and_gradients()
    for i in range(len(case.places)):
        xs = case.leaves(needs=lambda k, i=i: k == i)
        ys = case(*xs)
        assert any(y.requires_grad for y in ys), f"{operation.name}: the outputs forgot input {i}"
        linked = [y for y in ys if y.requires_grad]
        gys = [g for y, g in zip(ys, case.cotangents(ys), strict=True) if y.requires_grad]
        with record() as heard:
            backward(linked, [Tensor(g) for g in gys])
        for k, x in enumerate(xs):
            assert (x.grad is not None) == (k == i), f"{operation.name}: input {k} has grad {x.grad}, {i} wanted one"
        near(xs[i].grad.array, expected[i], 1e-12, f"gradient of input {i} alone")
        for event in heard.events:
            for gx, need in zip(event.contributions, event.function.needs, strict=True):
                assert need or gx is None, f"{operation.name}: {event.function} computed a gradient nobody wanted"


def outputs_dropped(operation: Operation) -> None:
    """Any of several outputs may be used alone, the others deleted (T17)."""
    case = Case(operation)
    ys, _ = case.value_and_gradients()
    gys = case.cotangents([Tensor(y) for y in ys])
    for size in range(1, len(ys)):
        for used in itertools.combinations(range(len(ys)), size):
            padded = [g if k in used else np.zeros_like(g) for k, g in enumerate(gys)]
            _, expected = case.value_and_gradients(gys=padded)
            xs = case.leaves()
            kept = [y for k, y in enumerate(case(*xs)) if k in used]
            gc.collect()
            found = grad(kept, xs, [Tensor(gys[k]) for k in used], allow_unused=True)
            for i, (g, e) in enumerate(zip(found, expected, strict=True)):
                near(np.zeros_like(e) if g is None else g.array, e, 1e-12, f"outputs {used}: gradient {i}")


def guarded(operation: Operation) -> None:
    """Changing an input, an output or an index between forward and backward raises, or changes nothing (T5)."""
    case = Case(operation)
    _, expected = case.value_and_gradients()
    constants = {
        key: Tensor._wrap(value.copy())
        for key, value in case.arguments.items()
        if isinstance(value, np.ndarray) and value.dtype.kind in "iub"
    }

    def attempt(what: str, change: Callable[[list[Tensor], list[Tensor], dict[str, Tensor]], None]) -> None:
        xs = case.leaves([x.copy() for x in case.arrays])
        given = {key: Tensor._wrap(value.array.copy()) for key, value in constants.items()}
        result = case.result(*xs, **given)
        outputs = list(result) if isinstance(result, tuple | list) else [result]
        ys = [y for y in outputs if y.array.dtype.kind == "f"]
        seeds = [Tensor(g) for g in case.cotangents(ys)]
        with no_grad():
            change(xs, outputs, given)
        try:
            gxs = grad(ys, xs, seeds, allow_unused=True)
        except RuntimeError as error:
            if "changed in place" not in str(error):
                raise
            return
        for i, (g, e) in enumerate(zip(gxs, expected, strict=True)):
            near(np.zeros_like(e) if g is None else g.array, e, 1e-12, f"after writing {what}: gradient {i}")

    for i in range(len(case.places)):
        attempt(f"input {i}", lambda xs, ys, given, i=i: xs[i].mul_(3))
    result = case.result(*case.leaves())
    for k in range(len(result) if isinstance(result, tuple | list) else 1):
        attempt(f"output {k}", lambda xs, ys, given, k=k: _spoil(ys[k].detach()))
    for key in constants:
        attempt(f"argument {key}", lambda xs, ys, given, key=key: given[key].zero_())


def _spoil(y: Tensor) -> None:
    """Write into an output where its memory is its own to write."""
    if y.array.flags.writeable:
        y.zero_()


def no_leak(operation: Operation) -> None:
    """Everything dies with the last reference to it, with the cycle collector off (T18)."""
    case = Case(operation)
    gc.collect()
    gc.disable()
    try:
        xs = case.leaves()
        ys = case(*xs)
        gys = [Tensor(g) for g in case.cotangents(ys)]
        gxs = grad(ys, xs, gys, create_graph=operation.orders >= 2, allow_unused=True)
        watched = [weakref.ref(v) for v in (*xs, *ys, *nodes_of(ys), *[g for g in gxs if g is not None])]
        watched += [weakref.ref(n) for n in nodes_of([g for g in gxs if g is not None])]
        del xs, ys, gys, gxs
        alive = [w() for w in watched if w() is not None]
        assert not alive, f"{operation.name}: {len(alive)} of {len(watched)} objects still live, {alive[:3]}"
    finally:
        gc.enable()


def rooms_agree(operation: Operation) -> None:
    """The loops of the reference, NumPy and the compiled kernels give the same value and gradient."""
    case = Case(operation)
    with use_kernels("reference"):
        ys, gxs = case.value_and_gradients()
    for room in ("numpy", "auto"):
        with use_kernels(room):
            found_ys, found_gxs = case.value_and_gradients()
        same(found_ys, ys, 1e-11, f"{room} against reference: output")
        same(found_gxs, gxs, 1e-11, f"{room} against reference: gradient")


# ── what does not matter ──────────────────────────────────────────────────────────────────────────

SEQUENCES = {"rnn", "lstm", "gru"}
"""Operations on sequences: steps along axis 0 of the input and of the first output, sequences along axis 1."""


@contextmanager
def _pieces(queries: int, keys: int, numbers: int, jobs: int, sequences: int, workers: int) -> Iterator[None]:
    """Work cut into pieces of other sizes, for other numbers of threads."""
    places = [(tiles, "QUERIES", queries), (tiles, "KEYS", keys), (tiles, "TILE", numbers), (tiles, "JOBS", jobs),
              (rows, "_ROWS", sequences)]  # fmt: skip
    before = [getattr(module, name) for module, name, _ in places]
    size = threads.num_threads()
    for module, name, value in places:
        setattr(module, name, value)
    threads.set_num_threads(workers)
    try:
        yield
    finally:
        threads.set_num_threads(size)
        for (module, name, _), value in zip(places, before, strict=True):
            setattr(module, name, value)


def cut_anywhere(operation: Operation) -> None:
    """Value and gradient do not depend on the tiles into which the work is cut, nor on who does it (T31)."""
    if operation.name not in SEQUENCES | {"scaled_dot_product_attention"}:
        return
    case = Case(operation)
    if case.arguments.get("dropout_p"):  # the tiles decide which weights are struck out
        return
    ys, gxs = case.value_and_gradients()
    for pieces in ((1, 1, 1, 1, 1, 1), (2, 3, 6, 8, 2, 2), (3, 2, 100, 2, 3, 2)):
        with _pieces(*pieces):
            found_ys, found_gxs = case.value_and_gradients()
        same(found_ys, ys, 1e-12, f"pieces {pieces}: output")
        same(found_gxs, gxs, 1e-12, f"pieces {pieces}: gradient")


def future_does_not_matter(operation: Operation) -> None:
    """What a step or a query under a causal mask puts out is the same whatever comes later, and asks nothing of it."""
    case = Case(operation)
    if operation.name in SEQUENCES:
        axes, axis = {"input": 0}, 0
    elif case.arguments.get("is_causal"):
        axes, axis = dict.fromkeys({"key", "value"} & case.arguments.keys(), 1), 1
    else:
        return
    T = case(*case.leaves())[0].array.shape[axis]
    backwards = case.arguments.get("reverse", False)
    for t in range(1, T):
        later, now = (slice(t), slice(t, None)) if backwards else (slice(t, None), slice(t))
        xs, moved = case.leaves(), [x.copy() for x in case.arrays]
        for (key, _), x in zip(case.places, moved, strict=True):
            if key in axes:
                x[(slice(None),) * axes[key] + (later,)] += 1.7
        before = (slice(None),) * axis + (now,)
        y = case(*xs)[0]
        with no_grad():
            found = case(*case.leaves(moved))[0].array[before]
        near(found, y.array[before], 1e-12, f"steps {later} changed: steps {now}")
        gy = np.zeros_like(y.array)
        gy[before] = case.cotangents([y])[0][before]
        gxs = grad([y], xs, [Tensor(gy)], allow_unused=True)
        for (key, _), g in zip(case.places, gxs, strict=True):
            if key in axes and g is not None:
                future = g.array[(slice(None),) * axes[key] + (later,)]
                assert not future.any(), f"{operation.name}: steps {now} ask for a change of {key} in steps {later}"


ONE_BY_ONE: dict[str, tuple[dict[str, int], tuple[int, ...]]] = {
    "rnn": ({"input": 1, "h0": 0, "lengths": 0}, (1, 0)),
    "lstm": ({"input": 1, "h0": 0, "c0": 0, "lengths": 0}, (1, 0, 0)),
    "gru": ({"input": 1, "h0": 0, "lengths": 0}, (1, 0)),
    "rnn_cell": ({"input": 0, "h0": 0}, (0,)),
    "lstm_cell": ({"input": 0, "h0": 0, "c0": 0}, (0, 0)),
    "gru_cell": ({"input": 0, "h0": 0}, (0,)),
    "scaled_dot_product_attention": ({"query": 0, "key": 0, "value": 0}, (0,)),
    "attention_weights": ({"query": 0, "key": 0}, (0,)),
    "cosface_logits": ({"input": 0, "target": 0}, (0,)),
    "arcface_logits": ({"input": 0, "target": 0}, (0,)),
    **{
        name: ({"input": 0}, (0,))
        for name in ("linear", "layer_norm", "group_norm", "instance_norm", "rms_norm", "normalize", "conv2d",
                     "conv1d", "conv_transpose2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d",
                     "conv2d_relu_max_pool2d", "embedding", "cosine_logits", "softmax", "log_softmax")
    },
}  # fmt: skip
"""Operations on batches: along which axis the arguments have their examples, and along which the outputs."""


def one_by_one(operation: Operation) -> None:
    """A batch is its examples: each by itself gives its part of value and gradient, and weights get the sum.

    A sequence of a ragged batch is cut to its own length: packed equals a loop.
    """
    case = Case(operation)
    if operation.name not in ONE_BY_ONE or case.arguments.get("dropout_p"):
        return
    axes, out_axes = ONE_BY_ONE[operation.name]
    xs = case.leaves()
    ys = case(*xs)
    gys = case.cotangents(ys)
    gxs = grad_arrays(case, xs, ys, gys)
    totals = [np.zeros_like(x) for x in case.arrays]
    lengths = case.arguments.get("lengths")
    for n in range(ys[0].array.shape[out_axes[0]]):
        arguments = dict(case.arguments)
        for key, axis in axes.items():
            if isinstance(arguments.get(key), np.ndarray):
                arguments[key] = arguments[key][(slice(None),) * axis + (slice(n, n + 1),)]
        steps = slice(None)
        if lengths is not None:
            steps = slice(int(lengths[n]))
            arguments |= {"input": arguments["input"][steps], "lengths": None}
        single = Case(dataclasses.replace(operation, example=lambda draw, given=arguments: given))
        parts = [gy[(slice(None),) * axis + (slice(n, n + 1),)] for gy, axis in zip(gys, out_axes, strict=True)]
        parts[0] = parts[0][steps] if operation.name in SEQUENCES else parts[0]
        leaves = single.leaves()
        found = single(*leaves)
        for k, (y, f, axis) in enumerate(zip(ys, found, out_axes, strict=True)):
            part = y.array[(slice(None),) * axis + (slice(n, n + 1),)]
            if lengths is not None and k == 0:
                assert not part[steps.stop :].any(), f"{operation.name}: sequence {n} goes on behind its end"
                part = part[steps]
            near(part, f.array, 1e-11, f"example {n} by itself: output {k}")
        for (key, _), total, g in zip(case.places, totals, grad_arrays(single, leaves, found, parts), strict=True):
            if key in axes:
                at = (slice(None),) * axes[key] + (slice(n, n + 1),)
                total[at][steps if key == "input" and lengths is not None else slice(None)] += g
            else:
                total += g
    same(gxs, totals, 1e-11, "all examples together: gradient")


def grad_arrays(case: Case, xs: list[Tensor], ys: list[Tensor], gys: Arrays) -> Arrays:
    """The gradients of these inputs, 0 where there is none."""
    gxs = grad(ys, xs, [Tensor(g) for g in gys], allow_unused=True)
    return [np.zeros_like(x.array) if g is None else g.array for x, g in zip(xs, gxs, strict=True)]


def declared_constant(operation: Operation) -> None:
    """What an argument declares to be constant gets exactly 0: the row of padding, the rows of ignored labels."""
    case = Case(operation)
    padding, ignored = case.arguments.get("padding_idx"), case.arguments.get("ignore_index", -100)
    if operation.name == "embedding" and padding is not None:
        key, at = "weight", padding
    elif operation.name == "cross_entropy" and (case.arguments["target"] == ignored).any():
        key, at = "input", np.broadcast_to((case.arguments["target"] == ignored)[:, None], case.arrays[0].shape)
    else:
        return
    _, gxs = case.value_and_gradients()
    given = dict(zip([place[0] for place in case.places], gxs, strict=True))[key]
    assert given.any(), f"{operation.name}: no gradient at all"
    assert not given[at].any(), f"{operation.name}: {key} has a gradient where it is declared constant"


def defined(operation: Operation) -> None:
    """The value is that of the definition, written in NumPy without the engine (`definitions.py`)."""
    case = Case(operation)
    if operation.name not in DEFINITIONS or case.arguments.get("dropout_p"):
        return
    with no_grad():
        ys = [y.array for y in case(*case.leaves())]
    expected = DEFINITIONS[operation.name](**case.arguments)
    same(ys, [*expected] if isinstance(expected, tuple) else [expected], 1e-11, f"{operation.name}: output")


@dataclass(frozen=True)
class Check:
    """A claim, and the least number of derivatives an operation must have for it to make sense."""

    holds: Callable[[Operation], None]
    orders: int = 0


CHECKS: dict[str, Check] = {
    "described": Check(described),
    "first_derivative": Check(first_derivative, 1),
    "exact_adjoint": Check(exact_adjoint, 1),
    "vjp_linear": Check(vjp_linear, 1),
    "shifts_with_its_input": Check(shifts_with_its_input, 1),
    "hessian_symmetric": Check(hessian_symmetric, 2),
    "second_derivative": Check(second_derivative, 2),
    "third_derivative": Check(third_derivative, 3),
    "dtype_kept": Check(dtype_kept, 1),
    "layouts": Check(layouts, 1),
    "nothing_written": Check(nothing_written, 1),
    "gradients_are_private": Check(gradients_are_private, 1),
    "connected": Check(connected, 1),
    "outputs_dropped": Check(outputs_dropped, 1),
    "guarded": Check(guarded, 1),
    "no_leak": Check(no_leak, 1),
    "rooms_agree": Check(rooms_agree, 1),
    "cut_anywhere": Check(cut_anywhere, 1),
    "future_does_not_matter": Check(future_does_not_matter, 1),
    "one_by_one": Check(one_by_one, 1),
    "declared_constant": Check(declared_constant),
    "defined": Check(defined),
}
