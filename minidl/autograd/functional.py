r"""Jacobians, Hessians and their products with vectors, of functions of tensors.

The tape multiplies vectors by a transposed Jacobian, vᵀJ (`vjp`). Everything else follows:

    J v     the vjp is linear in its vector; its own transpose, taken by a second walk, is J v (`jvp`)
    J       one vjp a row (`jacobian`)
    v ᵀH    the vjp of the gradient (`vhp`);    H v     the jvp of the gradient (`hvp`)
    H       the Jacobian of the gradient (`hessian`)

A Hessian is symmetric, so vᵀH and H v must agree although they are computed differently: two ways to the same number.
Names, arguments and results are those of `torch.autograd.functional`; its `vectorize` and `strategy` are not here.

Source: J. Townsend, "A new trick for calculating Jacobian vector products", 2017 (jvp from two vjps).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from minidl.autograd.differentiate import grad
from minidl.autograd.function import Function, Needs
from minidl.autograd.modes import enable_grad
from minidl.autograd.variable import Variable
from minidl.backend import Array, array_module

if TYPE_CHECKING:
    from minidl.tensor import Tensor

Func: TypeAlias = Callable[..., Any]
Tensors: TypeAlias = "Tensor | Sequence[Tensor]"


class Stack(Function):
    """Rows of a Jacobian as one tensor; the operation of this name lives on a floor above."""

    formula = r"Y_i = x^{(i)}"
    adjoint = r"\bar x^{(i)} = \bar Y_i"

    def forward(self, *xs: Array) -> Array:
        return array_module(xs[0]).stack(xs)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return tuple([gy[i] if need else None for i, need in enumerate(needs)])


# ── what comes in and goes out ────────────────────────────────────────────────────────────────────


def _tensors(name: str, what: str, given: Any) -> tuple[list[Tensor], bool]:
    """A tensor or several as a list, and whether it was one."""
    single = isinstance(given, Variable)
    items = [given] if single else list(given) if isinstance(given, tuple | list) else None
    if items is None or not all(isinstance(x, Variable) for x in items):
        raise TypeError(f"{name}: {what} must be a tensor or a tuple of tensors, got {type(given).__name__}")
    return items, single


def _inputs(name: str, inputs: Any, create_graph: bool) -> tuple[list[Tensor], bool]:
    """The inputs as leaves of a graph of their own or, with `create_graph`, tied to the graph they come from."""
    given, single = _tensors(name, "inputs", inputs)
    return [x.clone() if create_graph and x.requires_grad else x.detach().requires_grad_() for x in given], single


def _vectors(name: str, v: Any, like: Sequence[Tensor], what: str) -> list[Tensor]:
    """The vectors to multiply with, one for each tensor they belong to."""
    if v is None:
        if len(like) != 1 or like[0].array.size != 1:
            raise RuntimeError(f"{name}: v may be left out only where {what} is a single number")
        return [Variable._wrap(array_module(like[0].array).ones_like(like[0].array))]
    vs, _ = _tensors(name, "v", v)
    if [x.array.shape for x in vs] != [x.array.shape for x in like]:
        raise RuntimeError(
            f"{name}: v must have the shapes of {what}, {', '.join(str(x.array.shape) for x in like)}; "
            f"got {', '.join(str(x.array.shape) for x in vs)}"
        )
    return vs


def _shaped(results: Sequence[Tensor], single: bool, create_graph: bool) -> Any:
    """The results in the form of what they belong to: a tensor or a tuple; off the tape unless it was asked for."""
    kept = [x if create_graph else x.detach() for x in results]
    return kept[0] if single else tuple(kept)


def _product(
    name: str, ys: Sequence[Tensor], xs: Sequence[Tensor], vs: Sequence[Tensor], create_graph: bool, strict: bool,
    retain_graph: bool | None = None,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Σ vᵀ ∂y/∂x for each x, with zeros where nothing depends on x."""
    linked = [(y, v) for y, v in zip(ys, vs, strict=True) if y.requires_grad]
    if strict and len(linked) < len(ys):
        raise RuntimeError(f"{name}: with strict=True, every result must depend on the inputs; one is a constant")
    if not linked:
        return tuple([Variable._wrap(array_module(x.array).zeros_like(x.array)) for x in xs])
    return grad(
        [y for y, _ in linked], xs, [v for _, v in linked], retain_graph, create_graph, materialize_grads=not strict
    )


def _dummies(ys: Sequence[Tensor]) -> list[Tensor]:
    """Vectors whose values do not matter, with respect to which a vjp is differentiated."""
    return [Variable._wrap(array_module(y.array).zeros_like(y.array), y.array.dtype.kind in "fc") for y in ys]


def _gradient(name: str, func: Func, xs: Sequence[Tensor], strict: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
    """A function's single number and its recorded gradient."""
    ys, _ = _tensors(name, "the result of func", func(*xs))
    if len(ys) != 1 or ys[0].array.size != 1:
        raise RuntimeError(f"{name}: func must return a single number, got {', '.join(str(y.array.shape) for y in ys)}")
    ones = Variable._wrap(array_module(ys[0].array).ones_like(ys[0].array))
    return ys[0], _product(name, ys, xs, [ones], True, strict)


# ── first derivatives ─────────────────────────────────────────────────────────────────────────────


def vjp(
    func: Func, inputs: Tensors, v: Tensors | None = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    r"""The values of a function and the product $v^\top J$ of a vector with its Jacobian.

    Arguments:
        func: takes the inputs, returns a tensor or a tuple of tensors.
        inputs: a tensor or a tuple of tensors.
        v: of the shapes of the outputs; may be left out where the output is a single number.
        create_graph: keep the results on the tape, so that they can be differentiated with respect to the inputs.
        strict: raise where an output does not depend on an input, instead of returning zeros.

    Returns:
        The outputs, and vᵀJ in the form of the inputs.

    >>> import minidl as dl
    >>> vjp(lambda x: x * x, dl.tensor([1.0, 2.0]), dl.tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with enable_grad():
        xs, single = _inputs("vjp", inputs, create_graph)
        ys, one = _tensors("vjp", "the result of func", func(*xs))
        vs = _vectors("vjp", v, ys, "the output")
        result = _product("vjp", ys, xs, vs, create_graph, strict)
    return _shaped(ys, one, create_graph), _shaped(result, single, create_graph)


def jvp(
    func: Func, inputs: Tensors, v: Tensors | None = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The values of a function and the product J v of its Jacobian with a vector: how it changes in the direction v.

    Arguments:
        v: of the shapes of the inputs; may be left out where the input is a single number. The others as in `vjp`.

    Returns:
        The outputs, and J v in the form of the outputs.

    >>> import minidl as dl
    >>> jvp(lambda x: x * x, dl.tensor([1.0, 2.0]), dl.tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with enable_grad():
        xs, _ = _inputs("jvp", inputs, create_graph)
        vs = _vectors("jvp", v, xs, "the input")
        ys, one = _tensors("jvp", "the result of func", func(*xs))
        result = _forward("jvp", ys, xs, vs, create_graph, strict)
    return _shaped(ys, one, create_graph), _shaped(result, one, create_graph)


def _forward(
    name: str, ys: Sequence[Tensor], xs: Sequence[Tensor], vs: Sequence[Tensor], create_graph: bool, strict: bool
) -> tuple[Tensor, ...]:
    """J v: the gradient, with respect to u, of ⟨uᵀJ, v⟩."""
    us = _dummies(ys)
    rows = _product(name, ys, xs, us, True, strict)
    wanted = [i for i, u in enumerate(us) if u.requires_grad]
    found = iter(_product(name, rows, [us[i] for i in wanted], vs, create_graph, strict))
    return tuple([next(found) if i in wanted else u for i, u in enumerate(us)])


def jacobian(func: Func, inputs: Tensors, create_graph: bool = False, strict: bool = False) -> Any:
    """All derivatives of all outputs with respect to all inputs.

    Arguments: as in `vjp`.

    Returns:
        One tensor of shape (*output, *input); a tuple of them where inputs or outputs are tuples, a tuple of tuples
        where both are: `J[output][input]`.

    >>> import minidl as dl
    >>> jacobian(lambda x: x * x, dl.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    with enable_grad():
        xs, single = _inputs("jacobian", inputs, create_graph)
        ys, one = _tensors("jacobian", "the result of func", func(*xs))
        blocks = [_jacobian_of(y, xs, create_graph, strict) for y in ys]
    shaped = [_shaped(block, single, create_graph) for block in blocks]
    return shaped[0] if one else tuple(shaped)


def _jacobian_of(y: Tensor, xs: Sequence[Tensor], create_graph: bool, strict: bool) -> list[Tensor]:
    """The derivatives of one output: one walk for each of its elements."""
    xp = array_module(y.array)
    rows = []
    for k in range(y.array.size):
        unit = xp.zeros(y.array.size, y.array.dtype)
        unit[k] = 1
        v = Variable._wrap(unit.reshape(y.array.shape))
        rows.append(_product("jacobian", [y], xs, [v], create_graph, strict, retain_graph=True))
    blocks = []
    for i, x in enumerate(xs):
        shape = (*y.array.shape, *x.array.shape)
        if rows:
            blocks.append(Stack()(*[row[i] for row in rows]).reshape(shape))
        else:
            blocks.append(Variable._wrap(xp.zeros(shape, x.array.dtype)))
    return blocks


# ── second derivatives ────────────────────────────────────────────────────────────────────────────


def hessian(func: Func, inputs: Tensors, create_graph: bool = False, strict: bool = False) -> Any:
    """All second derivatives of a function whose value is a single number.

    Arguments: as in `vjp`.

    Returns:
        One tensor of shape (*input, *input); with a tuple of inputs a tuple of tuples, `H[i][j]`.

    >>> import minidl as dl
    >>> hessian(lambda x: x[0] * x[0] * x[1], dl.tensor([3.0, 5.0]))
    tensor([[10.,  6.],
            [ 6.,  0.]])
    """
    given, single = _tensors("hessian", "inputs", inputs)

    def gradient(*xs: Tensor) -> tuple[Tensor, ...]:
        return _gradient("hessian", func, xs, strict)[1]

    blocks = jacobian(gradient, tuple(given), create_graph, strict)
    return blocks[0][0] if single else blocks


def vhp(
    func: Func, inputs: Tensors, v: Tensors | None = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    r"""The value of a function and the product $v^\top H$ of a vector with its Hessian, which is never formed.

    Arguments: as in `jvp`; func returns a single number.

    Returns:
        The output, and vᵀH in the form of the inputs.
    """
    with enable_grad():
        xs, single = _inputs("vhp", inputs, create_graph)
        vs = _vectors("vhp", v, xs, "the input")
        y, gs = _gradient("vhp", func, xs, strict)
        result = _product("vhp", gs, xs, vs, create_graph, strict)
    return _shaped([y], True, create_graph), _shaped(result, single, create_graph)


def hvp(
    func: Func, inputs: Tensors, v: Tensors | None = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The value of a function and the product H v of its Hessian with a vector; slower than `vhp`, the same number.

    Arguments: as in `jvp`; func returns a single number.

    Returns:
        The output, and H v in the form of the inputs.

    >>> import minidl as dl
    >>> hvp(lambda x: x[0] * x[0] * x[1], dl.tensor([3.0, 5.0]), dl.tensor([1.0, 0.0]))
    (tensor(45.), tensor([10.,  6.]))
    """
    with enable_grad():
        xs, single = _inputs("hvp", inputs, create_graph)
        vs = _vectors("hvp", v, xs, "the input")
        y, gs = _gradient("hvp", func, xs, strict)
        result = _forward("hvp", gs, xs, vs, create_graph, strict)
    return _shaped([y], True, create_graph), _shaped(result, single, create_graph)
