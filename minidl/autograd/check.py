r"""Is a gradient right? Compare it with one that was computed without it.

`numerical_jacobian` knows three ways, from exact to general:

    complex      ∂f/∂x = Im f(x + ih) / h,  h = 1e-20: exact to rounding, for analytic f
    richardson   central differences at h and h/2, extrapolated: error O(h⁴), for smooth f
    central      (f(x + h) − f(x − h)) / 2h: error O(h²), what textbooks show

Source: Squire and Trapp, SIAM Review 40(1):110–112, 1998 (complex step); Richardson, Phil. Trans. A 210, 1911.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from minidl.autograd.differentiate import grad
from minidl.autograd.modes import enable_grad, no_grad
from minidl.autograd.variable import Variable
from minidl.backend import Array, array_module

if TYPE_CHECKING:
    from minidl.tensor import Tensor

Method: TypeAlias = Literal["complex", "richardson", "central"]
COMPLEX_STEP = 1e-20


class GradcheckError(RuntimeError):
    """An analytic gradient that disagrees with the numerical one."""


def _outputs(result: Any) -> list[Tensor]:
    """The differentiable outputs of a function as a list."""
    items = list(result) if isinstance(result, tuple | list) else [result]
    return [y for y in items if y.array.dtype.kind in "fc"]


def _host(x: Array) -> Array:
    return x if isinstance(x, np.ndarray) else x.get()


def numerical_jacobian(
    function: Callable[..., Any], inputs: Sequence[Tensor], method: Method = "central", eps: float | None = None
) -> list[list[Array]]:
    """The Jacobian of every output with respect to every differentiable input, without using the tape.

    Arguments:
        function: takes tensors, returns one tensor or a tuple of them.
        inputs: tensors; those of dtype float64 that require a gradient are varied.
        method: "complex", "richardson" or "central".
        eps: the step; by default 1e-20, 1e-3 and 1e-6 for the three methods.

    Returns:
        `jacobian[o][i]`, an array of shape (output size, input size).
    """
    varied = [x for x in inputs if x.requires_grad]
    columns: list[list[list[Array]]] = []
    for x in varied:
        position = next(k for k, other in enumerate(inputs) if other is x)
        columns.append([_column(function, inputs, position, k, method, eps) for k in range(x.array.size)])
    with no_grad():
        sizes = [y.array.size for y in _outputs(function(*inputs))]
    return [
        [
            np.stack([column[o] for column in of_input], axis=1) if of_input else np.zeros((size, 0))
            for of_input in columns
        ]
        for o, size in enumerate(sizes)
    ]


def _column(
    function: Callable[..., Any], inputs: Sequence[Tensor], position: int, k: int, method: Method, eps: float | None
) -> list[Array]:
    """The derivative of all outputs with respect to element k of one input, each output flattened."""

    def at(shift: complex) -> list[Array]:
        arguments = list(inputs)
        for i, x in enumerate(inputs):
            if method == "complex" and x.array.dtype.kind == "f":
                arguments[i] = Variable._wrap(x.array.astype(np.complex128))
        array = arguments[position].array.copy(order="C")
        array.reshape(-1)[k] += shift
        arguments[position] = Variable._wrap(array)
        for i in range(len(inputs)):
            if inputs[i].requires_grad:  # a second derivative differentiates inside the function
                arguments[i] = Variable._wrap(arguments[i].array, requires_grad=True)
        with enable_grad():
            return [_host(y.array).reshape(-1) for y in _outputs(function(*arguments))]

    def central(h: float) -> list[Array]:
        return [(up - down) / (2 * h) for up, down in zip(at(h), at(-h), strict=True)]

    if method == "complex":
        step = eps or COMPLEX_STEP
        return [np.imag(y) / step for y in at(1j * step)]
    if method == "richardson":
        h = eps or 1e-3
        coarse, middle, fine = central(h), central(h / 2), central(h / 4)
        first = [(4 * m - c) / 3 for c, m in zip(coarse, middle, strict=True)]
        second = [(4 * f - m) / 3 for m, f in zip(middle, fine, strict=True)]
        return [(16 * s - f) / 15 for f, s in zip(first, second, strict=True)]
    return central(eps or 1e-6)


def analytic_jacobian(function: Callable[..., Any], inputs: Sequence[Tensor]) -> list[list[Array]]:
    """The Jacobian by the tape: one backward walk for each output element."""
    varied = [x for x in inputs if x.requires_grad]
    result = []
    with enable_grad():
        outputs = _outputs(function(*inputs))
    for y in outputs:
        xp = array_module(y.array)
        rows: list[list[Array]] = []
        for k in range(y.array.size):
            gy = xp.zeros(y.array.size, y.array.dtype)
            gy[k] = 1
            gxs: Sequence[Any] = [None] * len(varied)
            if y.requires_grad:
                seed = Variable._wrap(gy.reshape(y.array.shape))
                gxs = grad(y, varied, seed, retain_graph=True, allow_unused=True)
            rows.append(
                [
                    np.zeros(x.array.size) if gx is None else _host(gx.array).reshape(-1)
                    for x, gx in zip(varied, gxs, strict=True)
                ]
            )
        result.append(
            [np.stack([row[i] for row in rows]) if rows else np.zeros((0, x.array.size)) for i, x in enumerate(varied)]
        )
    return result


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Tensor],
    *,
    eps: float | None = None,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    method: Method = "central",
) -> bool:
    """Compare the gradient of a function with a numerical one, element by element of the full Jacobian.

    Arguments:
        func: takes the inputs, returns a tensor or a tuple of tensors.
        inputs: float64 tensors; those that require a gradient are checked.
        eps: the step of the differences; None takes the method's own.
        atol, rtol: |analytic − numerical| ≤ atol + rtol·|numerical| must hold everywhere.
        raise_exception: raise at the first difference, otherwise return False.
        method: "central" as PyTorch, "richardson" and "complex" are far sharper: tighten the tolerances with them.

    Raises:
        GradcheckError: the gradients differ; the message says where and by how much.
        ValueError: nothing to check, or an input is not float64.

    >>> import minidl as dl
    >>> x = dl.randn(3, dtype=dl.float64, requires_grad=True)
    >>> gradcheck(lambda x: (x * x).sum(), x, method="complex", atol=1e-12, rtol=1e-12)
    True
    """
    inputs = [inputs] if isinstance(inputs, Variable) else list(inputs)
    varied = [x for x in inputs if x.requires_grad]
    if not varied:
        raise ValueError("gradcheck: none of the inputs requires a gradient")
    for x in varied:
        if x.array.dtype != np.float64:
            raise ValueError(f"gradcheck: inputs must be float64, got {x.array.dtype.name}: float32 is too coarse")
    analytic, numerical = analytic_jacobian(func, inputs), numerical_jacobian(func, inputs, method, eps)
    for o, (row, expected_row) in enumerate(zip(analytic, numerical, strict=True)):
        for i, (found, expected) in enumerate(zip(row, expected_row, strict=True)):
            wrong = ~(np.abs(found - expected) <= atol + rtol * np.abs(expected))
            if wrong.any():
                if not raise_exception:
                    return False
                at = np.unravel_index(np.argmax(np.where(wrong, np.abs(found - expected), -1)), found.shape)
                raise GradcheckError(
                    f"gradcheck: the derivative of output {o}[{at[0]}] with respect to input {i}[{at[1]}] is "
                    f"{found[at]:.9g} by the tape, but {expected[at]:.9g} numerically ({method}); "
                    f"{int(wrong.sum())} of {wrong.size} entries differ"
                )
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Sequence[Tensor] | None = None,
    *,
    eps: float | None = None,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    method: Method = "central",
    seed: int = 0,
) -> bool:
    """Check the second derivative: `gradcheck` of the gradient, as a function of the inputs and of the cotangent.

    Arguments:
        func, inputs, eps, atol, rtol, raise_exception, method: as in `gradcheck`.
        grad_outputs: the cotangents; by default drawn from `seed`.
    """
    inputs = [inputs] if isinstance(inputs, Variable) else list(inputs)
    count = len(inputs)
    with no_grad():
        outputs = _outputs(func(*inputs))
    if grad_outputs is None:
        rng = np.random.default_rng(seed)
        grad_outputs = [
            Variable._wrap(array_module(y.array).asarray(rng.standard_normal(y.array.shape)), requires_grad=True)
            for y in outputs
        ]

    def first_gradient(*arguments: Tensor) -> tuple[Tensor, ...]:
        xs, gys = arguments[:count], arguments[count:]
        with enable_grad():
            ys = _outputs(func(*xs))
            pairs = [(y, gy) for y, gy in zip(ys, gys, strict=True) if y.requires_grad]
            varied = [x for x in xs if x.requires_grad]
            gxs = grad([y for y, _ in pairs], varied, [gy for _, gy in pairs], create_graph=True, allow_unused=True)
        return tuple([gx for gx in gxs if gx is not None])

    return gradcheck(
        first_gradient, [*inputs, *grad_outputs], eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception,
        method=method,
    )  # fmt: skip
