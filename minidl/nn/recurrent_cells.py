"""Cells of recurrent networks: one step of one layer, in plain operations; and the weights that layers and cells have.

A cell takes one step, x (N, D) and its state (N, H), and returns the next state (ERRATA 001-C8); for sequences there
are the layers of `recurrent`. Neither keeps a state. Names, layouts and first weights are PyTorch's.
"""

from __future__ import annotations

import math
from typing import Any

from minidl import ops
from minidl.backend import Device, Generator
from minidl.creation import empty
from minidl.nn import init
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter
from minidl.tensor import Tensor

States = tuple[Tensor, ...]


class RecurrentWeights(Module):
    """What layers and cells have in common: weights for all gates of each direction, uniform on ±1/√H."""

    gates = 1
    state_letters: tuple[str, ...] = ("h",)

    def __init__(self, input_size: int, hidden_size: int, bias: bool) -> None:
        super().__init__()
        name = type(self).__name__
        if input_size < 1 or hidden_size < 1:
            raise ValueError(
                f"{name}: sizes must be positive, got D={input_size} features and a state of {hidden_size}"
            )
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias

    def _add_weights(self, suffix: str, input_size: int, device: Device | str | None, dtype: Any) -> None:
        rows, H = self.gates * self.hidden_size, self.hidden_size
        shapes = {"weight_ih": (rows, input_size), "weight_hh": (rows, H), "bias_ih": (rows,), "bias_hh": (rows,)}
        for name, shape in shapes.items():
            there = self.bias or name.startswith("weight")
            weight = Parameter(empty(*shape, dtype=dtype, device=device or "cpu")) if there else None
            self.register_parameter(name + suffix, weight)

    def _weights(self, suffix: str) -> list[Parameter | None]:
        return [self._parameters[name + suffix] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw the weights anew."""
        bound = 1 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound, generator)

    def _given_states(self, hx: Any) -> list[Tensor | None]:
        """The states that were given, one for each letter, or None for each."""
        count = len(self.state_letters)
        if hx is None:
            return [None] * count
        given = [hx] if count == 1 else hx
        if not isinstance(given, tuple | list) or len(given) != count or not all(isinstance(s, Tensor) for s in given):
            expected = "a tensor h" if count == 1 else "a pair (h, c)"
            raise TypeError(f"{type(self).__name__}: the first state must be {expected}, got {type(hx).__name__}")
        return list(given)


def gru_forms(name: str, reset: str, z_keeps: str) -> tuple[str, str]:
    if reset not in ("after", "before"):
        raise ValueError(f"{name}: reset must be 'after' or 'before', got {reset!r}")
    if z_keeps not in ("old", "new"):
        raise ValueError(f"{name}: z_keeps must be 'old' or 'new', got {z_keeps!r}")
    return reset, z_keeps


def form_repr(reset: str, z_keeps: str) -> str:
    return (", reset='before'" if reset == "before" else "") + (", z_keeps='new'" if z_keeps == "new" else "")


class _Cell(RecurrentWeights):
    """One step of one layer, in plain operations."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, device: Device | str | None, dtype: Any,
        generator: Generator | None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias)
        self._add_weights("", input_size, device, dtype)
        self.reset_parameters(generator)

    def _step(self, x: Tensor, *state: Any) -> States:
        """The next states."""
        raise NotImplementedError(f"{type(self).__name__} has no _step")

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        name, states = type(self).__name__, self._given_states(hx)
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"{name}: x must be (N, D) or (D,) with D={self.input_size}, got shape {tuple(input.shape)}; a cell "
                f"takes one step, for a sequence use {name.removesuffix('Cell')}"
            )
        shape = (*input.shape[:-1], self.hidden_size)
        for letter, state in zip(self.state_letters, states, strict=True):
            if state is not None and state.shape != shape:
                letters = "(N, H)" if input.ndim == 2 else "(H,)"
                raise RuntimeError(f"{name}: {letter} must be {letters} = {shape}, got shape {tuple(state.shape)}")
        if input.ndim == 1:
            states = [None if s is None else s.unsqueeze(0) for s in states]
        new = self._step(input.unsqueeze(0) if input.ndim == 1 else input, *states)
        new = tuple([s.squeeze(0) for s in new]) if input.ndim == 1 else new
        return new[0] if len(new) == 1 else new

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(_Cell):
    """One step of an `RNN`: x (N, D) and h (N, H) to the next h. Without h it starts from 0.

    Arguments as in `RNN`. Weights: weight_ih (H, D), weight_hh (H, H), bias_ih, bias_hh (H,).
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh",
        device: Device | str | None = None, dtype: Any = None, *, generator: Generator | None = None,
    ) -> None:  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNNCell: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(input_size, hidden_size, bias, device, dtype, generator)
        self.nonlinearity = nonlinearity

    def _step(self, x: Tensor, *state: Any) -> States:
        return (ops.rnn_cell(x, *state, *self._weights(""), nonlinearity=self.nonlinearity),)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")


class LSTMCell(_Cell):
    """One step of an `LSTM`: x (N, D) and (h, c), each (N, H), to the next (h, c)."""

    gates = 4
    state_letters = ("h", "c")

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True,
        device: Device | str | None = None, dtype: Any = None, *, generator: Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, device, dtype, generator)

    def _step(self, x: Tensor, *state: Any) -> States:
        return ops.lstm_cell(x, *state, *self._weights(""))


class GRUCell(_Cell):
    """One step of a `GRU`: x (N, D) and h (N, H) to the next h; `reset` and `z_keeps` as there."""

    gates = 3

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True,
        device: Device | str | None = None, dtype: Any = None, *, reset: str = "after", z_keeps: str = "old",
        generator: Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, device, dtype, generator)
        self.reset, self.z_keeps = gru_forms("GRUCell", reset, z_keeps)

    def _step(self, x: Tensor, *state: Any) -> States:
        return (ops.gru_cell(x, *state, *self._weights(""), reset=self.reset, z_keeps=self.z_keeps),)

    def extra_repr(self) -> str:
        return super().extra_repr() + form_repr(self.reset, self.z_keeps)
