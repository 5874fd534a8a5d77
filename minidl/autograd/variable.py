"""Variable: a value on the tape, and what the backward walk needs to know of it.

`Variable` holds an array, where it came from, and its gradient. It has no operators of its own: `Tensor`
(above the ops) is the one class that does, and says so with `class Tensor(Variable, results=True)`; from then
on every operation returns Tensors. Type checkers may name Tensor here; at run time this floor never sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from minidl.backend import Array, Device, device_of

if TYPE_CHECKING:
    from minidl.autograd.function import Function
    from minidl.tensor import Tensor


_new = object.__new__
Hook = Callable[["Tensor"], "Tensor | None"]


class Version:
    """How often the memory behind some tensors was written to; views share one counter."""

    count: int = 0


class HookHandle:
    """Returned by `register_hook`; `remove()` takes the hook away again."""

    __slots__ = ("hook", "hooks")

    def __init__(self, hooks: list[Any], hook: Any) -> None:
        self.hooks, self.hook = hooks, hook
        hooks.append(hook)

    def remove(self) -> None:
        """Take the hook away; doing so twice is harmless."""
        if self.hook in self.hooks:
            self.hooks.remove(self.hook)


class Variable:
    """An array with its place on the tape.

    `creator` is the operation that made the value, and `index` says which of its outputs it is; a value made by
    no recorded operation is a leaf. References run only from outputs to inputs, so a graph dies with its last output.
    """

    __slots__ = (
        "__weakref__", "_hooks", "_requires_grad", "_version", "array", "creator", "grad", "index", "name",
    )  # fmt: skip

    result_class: ClassVar[type[Tensor]]

    array: Array
    grad: Tensor | None
    creator: Function | None
    index: int
    name: str | None
    _hooks: list[Hook] | None
    _requires_grad: bool
    _version: Version | None

    def __init_subclass__(cls, *, results: bool = False) -> None:
        if results:
            Variable.result_class = cls  # type: ignore[assignment]  # the one subclass that asks is Tensor

    @staticmethod
    def _wrap(array: Array, requires_grad: bool = False) -> Tensor:
        """A leaf around an array, without copying or checking anything."""
        x: Tensor = _new(Variable.result_class)
        x.array = array
        x._requires_grad = requires_grad
        x.creator = x.grad = x.name = x._hooks = x._version = None
        x.index = 0
        return x

    # ── what it is ────────────────────────────────────────────────────────────────────────────

    @property
    def device(self) -> Device:
        """Where the array lives."""
        return device_of(self.array)

    @property
    def is_leaf(self) -> bool:
        """True for values that no recorded operation made: parameters, inputs, constants."""
        return self.creator is None

    @property
    def requires_grad(self) -> bool:
        """True when a gradient with respect to this value can be asked for."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self.requires_grad_(wanted)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for gradients with respect to this leaf, or no longer; returns self.

        Raises:
            RuntimeError: the dtype cannot carry a gradient, or the value is not a leaf.
        """
        if requires_grad and self.array.dtype.kind not in "fc":
            raise RuntimeError(
                f"requires_grad: only floating tensors have gradients, this one is {self.array.dtype.name}; "
                f"convert it first, for example with .float()"
            )
        if self.creator is not None and not requires_grad:
            raise RuntimeError("requires_grad: this value came out of an operation; use .detach() to cut it off")
        self._requires_grad = bool(requires_grad)
        return self  # type: ignore[return-value]

    # ── versions ──────────────────────────────────────────────────────────────────────────────

    @property
    def version(self) -> int:
        """How often minidl has written into this memory since it was made."""
        return 0 if self._version is None else self._version.count

    def _version_counter(self) -> Version:
        if self._version is None:
            self._version = Version()
        return self._version

    def _written(self) -> None:
        """Say that the memory was changed: what the tape saved of it is no longer valid."""
        self._version_counter().count += 1

    def _alias(self, array: Array) -> Tensor:
        """A leaf on the same memory as this value: it shares the version counter."""
        x = Variable._wrap(array)
        x._version = self._version_counter()
        return x

    # ── gradients ─────────────────────────────────────────────────────────────────────────────

    def detach(self) -> Tensor:
        """The same memory, off the tape: no gradient flows through the result."""
        return self._alias(self.array)

    def register_hook(self, hook: Hook) -> HookHandle:
        """Call `hook(gradient)` once the gradient of this value is complete; what it returns replaces the gradient.

        Arguments:
            hook: takes the gradient, a Tensor of this value's shape; returns another one, or None to leave it.

        Raises:
            RuntimeError: this value requires no gradient.
        """
        if not self._requires_grad:
            raise RuntimeError("register_hook: this tensor requires no gradient, so the hook would never be called")
        if self.creator is not None:
            return HookHandle(self.creator.hooks_of(self.index), hook)
        if self._hooks is None:
            self._hooks = []
        return HookHandle(self._hooks, hook)
