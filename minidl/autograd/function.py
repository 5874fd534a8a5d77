r"""Function: one operation, its mathematics and its place on the tape.

An operation is a class with `forward` on arrays and `backward` in operations, side by side:

    class Exp(Function):
        formula = r"y = e^{x}"
        adjoint = r"\bar x = \bar y \odot y"
        saves_output = True

        def forward(self, x):
            return array_module(x).exp(x)

        def backward(self, gy, needs):
            (y,) = self.saved_outputs
            return (gy * y,)

Because `backward` computes with operations, it can be recorded like any other computation: derivatives of every
order exist. Calling an instance runs it: `y = Exp()(x)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from minidl.autograd.modes import tape
from minidl.autograd.variable import Hook, Variable, Version
from minidl.backend import Array, array_module

if TYPE_CHECKING:
    from minidl.tensor import Tensor

Needs = tuple[bool, ...]


class Function:
    """One operation: its formula, its forward pass and the rule for its gradient.

    Class attributes:
        formula, adjoint: LaTeX, in the letters of the code.
        saves_inputs: positions of the inputs that `backward` uses; they stay alive until it has run.
        saves_output: whether `backward` uses the outputs.
        is_view: whether the output may share the input's memory.

    `buffers` is for arrays that `forward` keeps for `backward` and that need no derivative: masks, indices.
    """

    __slots__ = (
        "__weakref__", "_hooks", "_saved_inputs", "_saved_outputs", "buffers", "edges", "needs", "output_specs",
    )  # fmt: skip

    formula: ClassVar[str] = ""
    adjoint: ClassVar[str] = ""
    saves_inputs: ClassVar[tuple[int, ...]] = ()
    saves_output: ClassVar[bool] = False
    is_view: ClassVar[bool] = False

    needs: Needs
    _hooks: dict[int, list[Hook]] | None
    buffers: tuple[Any, ...]
    edges: tuple[Any, ...] | None
    output_specs: tuple[tuple[tuple[int, ...], Any], ...] | None

    # ── what an operation writes ──────────────────────────────────────────────────────────────

    def forward(self, *arrays: Any) -> Any:
        """Compute the output array, or a tuple of them, from the input arrays; must not write into the inputs."""
        raise TypeError(f"{type(self).__name__} has no forward")

    def backward(self, gy: Any, needs: Needs) -> Any:
        """The gradients of the inputs, one for each, None where `needs` is False.

        Arguments:
            gy: the gradient of the output; a tuple of gradients where forward returned a tuple.
            needs: which inputs want a gradient.
        """
        raise TypeError(f"{type(self).__name__} has no gradient: its result cannot be differentiated")

    def inputs_to_save(self, needs: Needs) -> tuple[int, ...]:
        """Which inputs the gradients that are needed will use; all of `saves_inputs` unless a class knows better."""
        return self.saves_inputs

    def vjp(self, gy: Any, needs: Needs) -> Any:
        """What the backward walk calls: `backward`, and whatever a family of operations adds around it."""
        return self.backward(gy, needs)

    # ── running it ────────────────────────────────────────────────────────────────────────────

    def __call__(self, *inputs: Tensor) -> Any:
        """Run the operation on tensors and, where a gradient may be asked for, write it on the tape."""
        y = self.forward(*[x.array for x in inputs])
        if type(y) is np.ndarray and not (tape.grad_enabled or self.is_view or tape.recorder is not None):
            return Variable._wrap(y)  # nobody needs to know: nearly always so in a backward walk
        single = type(y) is not tuple
        outputs = (_wrapped(y),) if single else tuple([_wrapped(a) for a in y])
        if self.is_view:
            for x in outputs:
                if _shares(x.array, inputs[0].array):
                    x._version = inputs[0]._version_counter()
        if tape.grad_enabled:
            needs = tuple([x._requires_grad for x in inputs])
            if True in needs:
                self._link(inputs, outputs, needs, single)
        if tape.recorder is not None:
            tape.recorder.on_node(self, inputs, outputs)
        return outputs[0] if single else outputs

    def _link(self, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...], needs: Needs, single: bool) -> None:
        """Tie the outputs to this operation and this operation to its inputs; keep what backward will use."""
        if hasattr(self, "edges"):
            raise RuntimeError(f"{self.name}: one object is one operation on the tape; make a new one for another call")
        self.needs = needs
        self.edges = tuple(
            [None if not x._requires_grad else (x if x.creator is None else (x.creator, x.index)) for x in inputs]
        )
        self._hooks = None
        self.output_specs = None if single else tuple([(y.array.shape, y.array.dtype) for y in outputs])
        for index, y in enumerate(outputs):
            if y.array.dtype.kind in "fc":
                y.creator, y.index, y._requires_grad = self, index, True
        save = self.inputs_to_save(needs)
        self._saved_inputs = (
            tuple([(x, x.version) if i in save else None for i, x in enumerate(inputs)]) if save else ()
        )
        self._saved_outputs: tuple[tuple[Array, Version, int], ...] | None = (
            tuple([(y.array, y._version_counter(), y.version) for y in outputs]) if self.saves_output else ()
        )

    # ── what backward reads ───────────────────────────────────────────────────────────────────

    @property
    def saved_inputs(self) -> tuple[Any, ...]:
        """The inputs as they were; None for those that were not saved.

        Raises:
            RuntimeError: one of them was changed since, so the gradient would be wrong.
        """
        if not self._saved_inputs:
            return (None,) * len(self.needs)
        for i, saved in enumerate(self._saved_inputs):
            if saved is not None and saved[0].version != saved[1]:
                raise RuntimeError(self._changed(f"input {i}", saved[0].array, saved[0].version - saved[1]))
        return tuple([None if saved is None else saved[0] for saved in self._saved_inputs])

    @property
    def saved_outputs(self) -> tuple[Any, ...]:
        """The outputs as they were, on the tape again so that they can be differentiated once more."""
        outputs = []
        for index, (array, version, count) in enumerate(self._saved_outputs or ()):
            if version.count != count:
                raise RuntimeError(self._changed("the output", array, version.count - count))
            y = Variable._wrap(array)
            y._version = version
            if tape.grad_enabled and array.dtype.kind in "fc":
                y.creator, y.index, y._requires_grad = self, index, True
            outputs.append(y)
        return tuple(outputs)

    def _changed(self, what: str, array: Array, times: int) -> str:
        return (
            f"{self.name}: {what}, a {array.dtype.name} tensor of shape {array.shape}, was changed in place "
            f"{times}× after it was used, so its gradient can no longer be computed; make a copy with .clone() first"
        )

    # ── the walk ──────────────────────────────────────────────────────────────────────────────

    @property
    def name(self) -> str:
        """The name of the operation, as in its class."""
        return type(self).__name__

    @property
    def released(self) -> bool:
        """True once a backward walk without `retain_graph` has used this operation."""
        return self.edges is None

    def release(self) -> None:
        """Let go of everything saved: the walk has passed."""
        self.edges = self._saved_outputs = None
        self._saved_inputs = ()
        self.buffers = ()

    def hooks_of(self, index: int) -> list[Hook]:
        """The hooks on the gradient of output `index`."""
        if self._hooks is None:
            self._hooks = {}
        hooks: list[Hook] = self._hooks.setdefault(index, [])
        return hooks

    def fill_missing(self, gys: list[Tensor | None]) -> Any:
        """The gradients of all outputs, with zeros for outputs nobody used; one gradient where forward made one."""
        if self.output_specs is None:
            return gys[0]
        given = next(g for g in gys if g is not None)
        xp = array_module(given.array)
        return tuple(
            [
                g if g is not None else Variable._wrap(xp.zeros(shape, dtype))
                for g, (shape, dtype) in zip(gys, self.output_specs, strict=True)
            ]
        )

    def __repr__(self) -> str:
        return f"<{self.name}>"


def _wrapped(array: Array) -> Tensor:
    """An output; NumPy turns 0-d results into scalars, which are made arrays again."""
    return Variable._wrap(np.asarray(array) if isinstance(array, np.generic) else array)


def _shares(view: Array, array: Array) -> bool:
    """Whether a view really is one: a reshape may have had to copy."""
    if type(view) is np.ndarray:
        return view.base is not None and np.may_share_memory(view, array)
    return bool(array_module(view).may_share_memory(view, array))
