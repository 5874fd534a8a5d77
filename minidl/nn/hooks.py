"""Hooks: code that runs before, after and in the backward pass of a module, without changing the module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from minidl.autograd.function import Function, Needs
from minidl.autograd.modes import is_grad_enabled
from minidl.backend import Array
from minidl.tensor import Tensor

if TYPE_CHECKING:
    from minidl.nn.module import Module

Hook: TypeAlias = Callable[..., Any]
Table: TypeAlias = "dict[object, tuple[Hook, bool]]"
"""Hooks by a key of their own, in the order in which they run, each with: does it take keyword arguments?"""


class RemovableHandle:
    """Returned by the `register_…_hook` methods; `remove()`, or the end of a `with` block, takes the hook away."""

    __slots__ = ("_key", "_table")

    def __init__(self, table: Table, hook: Hook, with_kwargs: bool = False, prepend: bool = False) -> None:
        self._table, self._key = table, object()
        others = list(table.items()) if prepend else []
        if prepend:
            table.clear()
        table[self._key] = (hook, with_kwargs)
        table.update(others)

    def remove(self) -> None:
        """Take the hook away; doing so twice is harmless."""
        self._table.pop(self._key, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


@dataclass(slots=True)
class Hooks:
    """The hooks of one module."""

    forward_pre: Table = field(default_factory=dict)
    forward: Table = field(default_factory=dict)
    backward_pre: Table = field(default_factory=dict)
    backward: Table = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is any; those that were removed leave empty tables."""
        return bool(self.forward_pre or self.forward or self.backward_pre or self.backward)


def call_with_hooks(module: Module, hooks: Hooks, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What calling a module does when somebody listens."""
    for hook, with_kwargs in list(hooks.forward_pre.values()):
        if with_kwargs:
            changed = hook(module, args, kwargs)
            if changed is not None:
                args, kwargs = changed
        else:
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    watch = Watch(module, hooks) if (hooks.backward or hooks.backward_pre) and is_grad_enabled() else None
    if watch is not None:
        args = watch.enter(args)
    output = module.forward(*args, **kwargs)
    for hook, with_kwargs in list(hooks.forward.values()):
        changed = hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)
        if changed is not None:
            output = changed
    return output if watch is None else watch.leave(output)


class Passage(Function):
    """The identity on several tensors: its gradient rule shows all their gradients at once to a module's hooks."""

    formula = r"y_i = x_i"
    adjoint = r"\bar x_i = \bar y_i"
    __slots__ = ("show",)

    def __init__(self, show: Callable[[tuple[Tensor, ...]], tuple[Any, ...]]) -> None:
        self.show = show

    def forward(self, *xs: Array) -> tuple[Array, ...]:
        return xs

    def backward(self, gys: Any, needs: Needs) -> Any:
        return self.show(gys)

    def through(self, xs: list[Tensor]) -> list[Tensor]:
        """The tensors behind the passage; each shares memory, and so its version, with the one before it."""
        ys = self(*xs)
        for x, y in zip(xs, ys, strict=True):
            y._version = x._version_counter()
        return list(ys)


class Watch:
    """One call of a module with backward hooks: a passage before it and one behind it."""

    __slots__ = ("_grad_output", "_hooks", "_inputs", "_module", "_positions")

    def __init__(self, module: Module, hooks: Hooks) -> None:
        self._module, self._hooks = module, hooks
        self._inputs: int = 0
        self._positions: list[int] = []
        self._grad_output: tuple[Any, ...] = ()

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, those with a gradient led through a passage."""
        self._inputs = len(args)
        self._positions = _differentiable(args)
        return _replaced(args, self._positions, Passage(self._leaving))

    def leave(self, output: Any) -> Any:
        """The output, led through a passage."""
        if not isinstance(output, Tensor | tuple | list):
            raise TypeError(
                f"{type(self._module).__name__}: a module with backward hooks must return a tensor or a tuple of "
                f"tensors, this one returned {type(output).__name__}"
            )
        outputs = (output,) if isinstance(output, Tensor) else tuple(output)
        positions = _differentiable(outputs)

        def arriving(gys: tuple[Tensor, ...]) -> tuple[Any, ...]:
            grads = _spread(gys, positions, len(outputs))
            for hook, _ in list(self._hooks.backward_pre.values()):
                grads = _agreed(hook(self._module, grads), grads, "full_backward_pre_hook")
            if self._positions:
                self._grad_output = grads  # the backward hooks run when the inputs' gradients are there as well
            else:
                self._run((None,) * self._inputs, grads)
            return tuple([grads[i] for i in positions])

        passed = _replaced(outputs, positions, Passage(arriving))
        return passed[0] if isinstance(output, Tensor) else type(output)(passed)

    def _leaving(self, gys: tuple[Tensor, ...]) -> tuple[Any, ...]:
        grad_output, self._grad_output = self._grad_output, ()
        grads = self._run(_spread(gys, self._positions, self._inputs), grad_output)
        return tuple([grads[i] for i in self._positions])

    def _run(self, grad_input: tuple[Any, ...], grad_output: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook, _ in list(self._hooks.backward.values()):
            grad_input = _agreed(hook(self._module, grad_input, grad_output), grad_input, "full_backward_hook")
        return grad_input


def _differentiable(values: tuple[Any, ...]) -> list[int]:
    return [i for i, x in enumerate(values) if isinstance(x, Tensor) and x.requires_grad]


def _replaced(values: tuple[Any, ...], positions: list[int], passage: Passage) -> tuple[Any, ...]:
    """The values, with those at `positions` led through the passage."""
    if not positions:
        return values
    through = iter(passage.through([values[i] for i in positions]))
    return tuple([next(through) if i in positions else x for i, x in enumerate(values)])


def _spread(gradients: tuple[Any, ...], positions: list[int], count: int) -> tuple[Any, ...]:
    """The gradients in their places among `count`, None elsewhere."""
    places = dict(zip(positions, gradients, strict=True))
    return tuple([places.get(i) for i in range(count)])


def _agreed(changed: Any, gradients: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    """What a hook returned in place of the gradients, or the gradients when it returned None."""
    if changed is None:
        return gradients
    changed = changed if isinstance(changed, tuple) else (changed,)
    if len(changed) != len(gradients):
        raise RuntimeError(f"{what}: the hook returned {len(changed)} gradients, there are {len(gradients)}")
    return tuple([None if old is None else new for new, old in zip(changed, gradients, strict=True)])
