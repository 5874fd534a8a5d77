"""Recurrent layers over whole sequences. They keep weights, never states: `y, h = layer(x, h)`.

Names, layouts and first weights are PyTorch's, so that a `state_dict` travels both ways.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from minidl import ops
from minidl.backend import Device, Generator
from minidl.nn import functional as F
from minidl.nn.packing import PackedSequence, flat_steps, lengths_of, spread
from minidl.nn.recurrent_cells import RecurrentWeights, States, form_repr, gru_forms
from minidl.tensor import Tensor


class _Layers(RecurrentWeights):
    """One or several recurrent layers, in one direction or both."""

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int, bias: bool, batch_first: bool, dropout: float,
        bidirectional: bool, device: Device | str | None, dtype: Any, generator: Generator | None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias)
        name = type(self).__name__
        if num_layers < 1:
            raise ValueError(f"{name}: expected at least one layer, got num_layers={num_layers}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"{name}: dropout is a probability, between 0 and 1, got {dropout}")
        if dropout and num_layers == 1:
            warnings.warn(
                f"{name}: dropout={dropout} acts between layers, but there is only one, so it does nothing",
                stacklevel=3,
            )
        self.num_layers, self.batch_first, self.dropout = num_layers, batch_first, dropout
        self.bidirectional, self.generator = bidirectional, generator
        for layer in range(num_layers):
            for suffix in self._suffixes(layer):
                features = input_size if layer == 0 else hidden_size * len(self._suffixes(0))
                self._add_weights(suffix, features, device, dtype)
        self.reset_parameters(generator)

    def _suffixes(self, layer: int) -> tuple[str, ...]:
        return (f"_l{layer}", f"_l{layer}_reverse") if self.bidirectional else (f"_l{layer}",)

    def _run(self, x: Tensor, state: Sequence[Any], weights: Any, lengths: Any, reverse: bool) -> tuple[Tensor, ...]:
        """One layer in one direction: y and the last states."""
        raise NotImplementedError(f"{type(self).__name__} has no _run")

    def _all_layers(self, x: Tensor, states: list[Tensor | None], lengths: Any) -> tuple[Tensor, States]:
        """y (T, N, directions·H) and the last states (layers·directions, N, H), from x (T, N, D)."""
        lasts: list[States] = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = F.dropout(x, self.dropout, self.training, generator=self.generator)
            ys = []
            for direction, suffix in enumerate(self._suffixes(layer)):
                first = [None if s is None else s[len(lasts)] for s in states]
                y, *last = self._run(x, first, self._weights(suffix), lengths, direction == 1)
                ys.append(y)
                lasts.append(tuple(last))
            x = ys[0] if len(ys) == 1 else ops.cat(ys, -1)
        return x, tuple([ops.stack(kind) for kind in zip(*lasts, strict=True)])

    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> Any:
        states = self._given_states(hx)
        run: Any = self._packed if isinstance(input, PackedSequence) else self._padded
        y, last = run(input, states)
        return y, last[0] if len(last) == 1 else last

    def _padded(self, input: Tensor, states: list[Tensor | None]) -> tuple[Tensor, States]:
        name, ndim = type(self).__name__, input.ndim
        if ndim not in (2, 3) or input.shape[-1] != self.input_size:
            batch = "(N, T, D)" if self.batch_first else "(T, N, D)"
            raise RuntimeError(
                f"{name}: x must be {batch} or (T, D) with D={self.input_size}, got shape {tuple(input.shape)}"
            )
        x = input.unsqueeze(1) if ndim == 2 else ops.transpose(input, 0, 1) if self.batch_first else input
        self._check_states(states, x.shape[1], ndim == 3)
        y, last = self._all_layers(x, [s.unsqueeze(1) if s is not None and ndim == 2 else s for s in states], None)
        if ndim == 2:
            return y.squeeze(1), tuple([s.squeeze(1) for s in last])
        return ops.transpose(y, 0, 1) if self.batch_first else y, last

    def _packed(self, input: PackedSequence, states: list[Tensor | None]) -> tuple[PackedSequence, States]:
        data, sizes = input.data, input.batch_sizes
        if data.ndim != 2 or data.shape[-1] != self.input_size:
            raise RuntimeError(
                f"{type(self).__name__}: packed x must be (ΣT, D) with D={self.input_size}, "
                f"got shape {tuple(data.shape)}"
            )
        T, N = sizes.array.size, int(sizes.array[0])
        self._check_states(states, N, True)
        there, back = input.sorted_indices, input.unsorted_indices
        if there is not None:
            states = [None if s is None else ops.index_select(s, 1, there) for s in states]
        y, last = self._all_layers(spread(data, sizes, T), states, lengths_of(sizes))
        steps = ops.index_select(y.reshape((T * N, y.shape[-1])), 0, Tensor(flat_steps(sizes, N)))
        if back is not None:
            last = tuple([ops.index_select(s, 1, back) for s in last])
        return input._replace(data=steps), last

    def _check_states(self, states: list[Tensor | None], N: int, batched: bool) -> None:
        count, H = self.num_layers * len(self._suffixes(0)), self.hidden_size
        shape = (count, N, H) if batched else (count, H)
        letters = "(layers·directions, N, H)" if batched else "(layers·directions, H)"
        for letter, state in zip(self.state_letters, states, strict=True):
            if state is not None and state.shape != shape:
                raise RuntimeError(
                    f"{type(self).__name__}: {letter}0 must be {letters} = {shape}, got shape {tuple(state.shape)}"
                )

    def extra_repr(self) -> str:
        parts = [str(self.input_size), str(self.hidden_size)]
        defaults = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        for name, default in defaults.items():
            value = getattr(self, name)
            if value != default:
                parts.append(f"{name}={value}")
        return ", ".join(parts)


class RNN(_Layers):
    r"""Plain recurrent layers, $h_t = \tanh(W_x x_t + b_x + W_h h_{t-1} + b_h)$, each on top of the one before.

    Arguments:
        input_size: D, the features of the input. hidden_size: H, the size of the state.
        num_layers: how many layers. nonlinearity: "tanh" or "relu".
        bias: whether there are b_x and b_h.
        batch_first: x and y are (N, T, ·) instead of (T, N, ·); the states stay (layers·directions, N, H).
        dropout: the probability of dropout between layers, in training.
        bidirectional: a second set of weights runs from the last step to the first; y has both states, 2H features.
        generator: what weights and dropout masks are drawn from.

    Called with x (T, N, D), (T, D) or a `PackedSequence`, and optionally the first states h0; returns y (T, N, H) and
    the last states. Nothing is remembered between calls.

    Weights: weight_ih_l0 (H, D), weight_hh_l0 (H, H), bias_ih_l0, bias_hh_l0 (H,); …_l1 of the next layer, …_reverse of
    the other direction.

    Source: Elman, Cognitive Science 14:179–211, 1990 (ERRATA 001-F6); bidirectional: Schuster and Paliwal, 1997.
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
        device: Device | str | None = None, dtype: Any = None, *, generator: Generator | None = None,
    ) -> None:  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype, generator
        )
        self.nonlinearity = nonlinearity

    def _run(self, x: Tensor, state: Sequence[Any], weights: Any, lengths: Any, reverse: bool) -> tuple[Tensor, ...]:
        return ops.rnn(x, *state, *weights, nonlinearity=self.nonlinearity, lengths=lengths, reverse=reverse)


class LSTM(_Layers):
    """Long short-term memory layers: arguments as in `RNN`, without a nonlinearity; formulas as in `ops.lstm`.

    The first state is a pair (h0, c0), and so is the last. The weights have 4H rows, those of i, f, g, o.

    Source: Hochreiter and Schmidhuber, Neural Computation 9:1735–1780, 1997; forget gate: Gers et al., 2000.
    """

    gates = 4
    state_letters = ("h", "c")

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False,
        device: Device | str | None = None, dtype: Any = None, *, generator: Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype, generator
        )

    def _run(self, x: Tensor, state: Sequence[Any], weights: Any, lengths: Any, reverse: bool) -> tuple[Tensor, ...]:
        return ops.lstm(x, *state, *weights, lengths=lengths, reverse=reverse)


class GRU(_Layers):
    """Gated recurrent units: arguments as in `RNN`, without a nonlinearity; formulas as in `ops.gru`.

    Arguments besides:
        reset: "after" the product with W_h, as in PyTorch, or "before" it, as in Cho et al. and as document 004 means
            it (ERRATA 004-F3).
        z_keeps: whether z = 1 keeps the "old" state, as in PyTorch, or takes the "new" one, as document 004 writes it
            (ERRATA 004-F4); between the two, the weights of z change sign.

    The weights have 3H rows, those of r, z, n.

    Source: Cho et al., arXiv:1406.1078.
    """

    gates = 3

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False,
        device: Device | str | None = None, dtype: Any = None, *, reset: str = "after", z_keeps: str = "old",
        generator: Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype, generator
        )
        self.reset, self.z_keeps = gru_forms("GRU", reset, z_keeps)

    def _run(self, x: Tensor, state: Sequence[Any], weights: Any, lengths: Any, reverse: bool) -> tuple[Tensor, ...]:
        return ops.gru(x, *state, *weights, reset=self.reset, z_keeps=self.z_keeps, lengths=lengths, reverse=reverse)

    def extra_repr(self) -> str:
        return super().extra_repr() + form_repr(self.reset, self.z_keeps)
