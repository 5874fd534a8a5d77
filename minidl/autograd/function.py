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
order exist. Calling an instance runs it: `y = Exp()(x)`; on arrays it is only its forward pass.

A walk that nobody records needs no operations, only their numbers. Where a rule is written in what tensors and arrays
have in common (arithmetic, `.shape`, `.reshape`, other operations), as this one is, `on_arrays = True` says so, and the
same rule then runs on arrays alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from minidl.autograd.modes import tape
from minidl.autograd.variable import Hook, Variable, Version
from minidl.backend import Array, array_module

if TYPE_CHECKING:
    from minidl.tensor import Tensor

Needs = tuple[bool, ...]
_numbers = itertools.count(1)


class Function:
    """One operation: its formula, its forward pass and the rule for its gradient.

    Class attributes:
        formula, adjoint: LaTeX, in the letters of the code.
        saves_inputs: positions of the inputs that `backward` uses; they stay alive until it has run.
        saves_output: whether `backward` uses the outputs.
        is_view: whether the output may share the input's memory.
        on_arrays: whether `backward` may be given arrays, and finds arrays in what was saved, where it is not recorded.

    `buffers` is for arrays that `forward` keeps for `backward` and that need no derivative: masks, indices.
    """

    formula: ClassVar[str] = ""
    adjoint: ClassVar[str] = ""
    saves_inputs: ClassVar[tuple[int, ...]] = ()
    saves_output: ClassVar[bool] = False
    is_view: ClassVar[bool] = False
    on_arrays: ClassVar[bool] = False

    # What one operation holds. An object that says nothing has what stands here: most say little, and saying costs.
    number: int = 0
    in_bfloat16: bool = False  # whether the products of the gradient round their factors, as `autocast` asked
    needs: Needs = ()
    edges: Sequence[Any] | None = ()
    buffers: tuple[Any, ...] = ()
    output_specs: tuple[tuple[tuple[int, ...], Any], ...] | None = None
    _hooks: dict[int, list[Hook]] | None = None
    _saved_inputs: tuple[Tensor | None, ...] = ()
    _saved_versions: Sequence[int] = ()
    _saved_outputs: tuple[tuple[Array, Version, int], ...] = ()

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

    def refused(self, error: ValueError, inputs: tuple[Tensor, ...]) -> None:
        """Called when NumPy refused the inputs: raise an error that says more, if there is more to say."""

    def vjp(self, gy: Any, needs: Needs) -> Any:
        """What the backward walk calls: `backward`, and whatever a family of operations adds around it."""
        if tape.grad_enabled or not self.on_arrays:
            return self.backward(gy, needs)
        return tuple([None if gx is None else _wrapped(gx) for gx in self.backward(gy.array, needs)])

    # ── running it ────────────────────────────────────────────────────────────────────────────

    def __call__(self, *inputs: Tensor) -> Any:
        """Run the operation on tensors and, where a gradient may be asked for, write it on the tape."""
        if not isinstance(inputs[0], Variable):
            return self.forward(*inputs)
        try:
            y = self.forward(*[x.array for x in inputs])
        except ValueError as error:
            self.refused(error, inputs)
            raise
        single = type(y) is not tuple
        outputs: tuple[Tensor, ...]
        outputs = (_wrapped(y),) if single else tuple([_wrapped(a) for a in y])
        if self.is_view:
            for x in outputs:
                if _shares(x.array, inputs[0].array):
                    x._version = inputs[0]._version_counter()
        if tape.grad_enabled:
            self._link(inputs, outputs, single)
        recorder = tape.recorder
        if recorder is not None:
            recorder.on_node(self, inputs, outputs)
        return outputs[0] if single else outputs

    def _link(self, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...], single: bool) -> None:
        """Where an input wants a gradient, tie the outputs to this operation and this operation to its inputs.

        What backward will use is kept.
        """
        edges: list[Any] = []
        needs: list[bool] = []
        for x in inputs:
            needs.append(x._requires_grad)
            if not x._requires_grad:
                edges.append(None)
            else:
                edges.append(x if x.creator is None else (x.creator, x.index))
        if True not in needs:
            return
        if self.needs:
            raise RuntimeError(f"{self.name}: one object is one operation on the tape; make a new one for another call")
        self.edges = edges
        self.needs = tuple(needs)
        self.number = next(_numbers)
        if not single:
            self.output_specs = tuple([(y.array.shape, y.array.dtype) for y in outputs])
        for index, y in enumerate(outputs):
            if y.array.dtype.kind in "fc":
                y.creator, y.index, y._requires_grad = self, index, True
        save = self.inputs_to_save(self.needs)
        if save:
            saved: list[Tensor | None] = [None] * len(inputs)
            versions = [0] * len(inputs)
            for i in save:
                saved[i] = x = inputs[i]
                if x._version is not None:
                    versions[i] = x._version.count
            self._saved_inputs, self._saved_versions = tuple(saved), versions
        if self.saves_output:
            self._saved_outputs = tuple([(y.array, y._version_counter(), y.version) for y in outputs])

    # ── what backward reads ───────────────────────────────────────────────────────────────────

    @property
    def saved_inputs(self) -> tuple[Any, ...]:
        """The inputs as they were; None for those that were not saved.

        Raises:
            RuntimeError: one of them was changed since, so the gradient would be wrong.
        """
        if not self._saved_inputs:
            return (None,) * len(self.needs)
        arrays = self.on_arrays and not tape.grad_enabled
        saved: list[Any] = []
        for x, count in zip(self._saved_inputs, self._saved_versions):  # of one length, and often
            if x is not None and x._version is not None and x._version.count != count:
                raise RuntimeError(self._changed(f"input {len(saved)}", x.array, x.version - count))
            saved.append(x.array if arrays and x is not None else x)
        return tuple(saved)

    @property
    def saved_outputs(self) -> tuple[Any, ...]:
        """The outputs as they were, on the tape again so that they can be differentiated once more."""
        outputs: list[Any] = []
        for index, (array, version, count) in enumerate(self._saved_outputs):
            if version.count != count:
                raise RuntimeError(self._changed("the output", array, version.count - count))
            if self.on_arrays and not tape.grad_enabled:
                outputs.append(array)
                continue
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
        self.edges = None
        self._saved_inputs = self._saved_versions = self._saved_outputs = self.buffers = ()

    def hooks_of(self, index: int) -> list[Hook]:
        """The hooks on the gradient of output `index`."""
        if self._hooks is None:
            self._hooks = {}
        hooks: list[Hook] = self._hooks.setdefault(index, [])
        return hooks

    def fill_missing(self, gys: list[Tensor | None]) -> Any:
        """The gradients of all outputs, with zeros for outputs nobody used; None where nobody used any.

        One gradient, instead of a tuple, where forward made one output.
        """
        if self.output_specs is None:
            return gys[0]
        given = next((g for g in gys if g is not None), None)
        if given is None:
            return None
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
    if type(array) is not np.ndarray and isinstance(array, np.generic):
        array = np.asarray(array)
    return Variable._wrap(array)


def _shares(view: Array, array: Array) -> bool:
    """Whether a view really is one: a reshape may have had to copy."""
    if type(view) is np.ndarray:
        return view.base is not None and np.may_share_memory(view, array)
    return bool(array_module(view).may_share_memory(view, array))
