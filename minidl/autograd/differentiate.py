"""`backward` and `grad`: what a person calls to differentiate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minidl.autograd.variable import Variable
from minidl.autograd.walk import seed_gradient, walk
from minidl.backend import array_module

if TYPE_CHECKING:
    from minidl.tensor import Tensor


def _sequence(values: Any) -> list[Any]:
    return [values] if isinstance(values, Variable) or not isinstance(values, tuple | list) else list(values)


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Add the gradient of the tensors to the `.grad` of every leaf they depend on.

    Arguments:
        tensors: what to differentiate.
        grad_tensors: the gradient to start from, for each of them; may be left out for single numbers.
        retain_graph: keep the graph for another walk; by default only with `create_graph`.
        create_graph: record the walk, so that the gradients can be differentiated. The gradients then hold on to
            the graph until they are dropped; `grad` returns them without storing.

    Raises:
        RuntimeError: nothing to differentiate, a missing or misshapen gradient, or a graph already walked.
    """
    outputs = _sequence(tensors)
    given = _sequence(grad_tensors) if grad_tensors is not None else [None] * len(outputs)
    if len(given) != len(outputs):
        raise RuntimeError(f"backward: {len(outputs)} tensors, but {len(given)} gradients")
    seeds = [seed_gradient(y, gy, "backward") for y, gy in zip(outputs, given, strict=True)]
    keep = create_graph if retain_graph is None else retain_graph
    walk(outputs, seeds, wanted=None, retain_graph=keep, create_graph=create_graph)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of the outputs with respect to the inputs, returned and stored nowhere.

    Arguments:
        outputs: what to differentiate; several are differentiated as their sum.
        inputs: with respect to what.
        grad_outputs: the gradient to start from, for each output; may be left out for single numbers.
        retain_graph: keep the graph for another walk; by default only with `create_graph`.
        create_graph: record the walk, so that the result can be differentiated again.
        only_inputs: accepted for PyTorch's sake; nothing else is ever given a gradient here.
        allow_unused: return None for an input that does not matter instead of raising.
        materialize_grads: return zeros for such an input.

    Returns:
        One gradient an input, of its shape and dtype.

    >>> import minidl as dl
    >>> x = dl.tensor(3.0, requires_grad=True)
    >>> (first,) = grad(x * x * x, x, create_graph=True)
    >>> (second,) = grad(first, x)
    >>> first.item(), second.item()
    (27.0, 18.0)
    """
    if not only_inputs:
        raise ValueError("grad: only_inputs=False is not supported; use backward, which fills .grad of every leaf")
    ys, xs = _sequence(outputs), _sequence(inputs)
    given = _sequence(grad_outputs) if grad_outputs is not None else [None] * len(ys)
    if len(given) != len(ys):
        raise RuntimeError(f"grad: {len(ys)} outputs, but {len(given)} gradients for them")
    for i, x in enumerate(xs):
        if not x.requires_grad:
            raise RuntimeError(f"grad: input {i} requires no gradient; set requires_grad=True before computing")
    seeds = [seed_gradient(y, gy, "grad") for y, gy in zip(ys, given, strict=True)]
    keep = create_graph if retain_graph is None else retain_graph
    gradients = walk(ys, seeds, wanted=xs, retain_graph=keep, create_graph=create_graph)
    if materialize_grads:
        gradients = [
            Variable._wrap(array_module(x.array).zeros_like(x.array)) if g is None else g
            for x, g in zip(xs, gradients, strict=True)
        ]
    elif not allow_unused and None in [g if g is None else 0 for g in gradients]:
        unused = next(i for i, g in enumerate(gradients) if g is None)
        raise RuntimeError(
            f"grad: the outputs do not depend on input {unused}; pass allow_unused=True to get None for it"
        )
    return tuple(gradients)
