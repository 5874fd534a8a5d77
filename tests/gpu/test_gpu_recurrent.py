"""CUDA recurrent sequences against plain loops over rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rooms import Room, assert_close, reference

Run = Any


def both_passes(run: Run, kind: str, form: bool, sizes: tuple[int, int, int], counts: tuple[int, ...], reverse: bool,
                dtype: str, seed: int) -> list[Any]:  # fmt: skip
    """Everything the forward pass returns, then everything the backward pass returns."""
    T, N, H = sizes
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[kind]
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> Any:
        return (rng.standard_normal(shape) / 2).astype(dtype)

    a, h0, c0, gh, gc = draw(T, N, gates * H), *(draw(N, H) for _ in range(4))
    w, b, gy = draw(gates * H, H), draw(gates * H), draw(T, N, H)
    if kind == "rnn":
        states = run("rnn_steps", a, h0, w, counts, reverse, form)
        return [states, *run("rnn_steps_grad", gy, gh, states, w, counts, reverse, form)]
    if kind == "lstm":
        kept = run("lstm_steps", a, h0, c0, w, counts, reverse)
        gxs = run("lstm_steps_grad", gy, gh, gc, c0, a, *kept[1:], w, counts, reverse)
        return [*kept[:2], *gxs]
    states, q = run("gru_steps", a, h0, w, b, counts, reverse, form)
    return [states, *run("gru_steps_grad", gy, gh, h0, a, states, q, w, counts, reverse, form)]


@st.composite
def cases(draw: Any) -> dict[str, Any]:
    T, N, H = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.sampled_from([1, 2, 5, 31, 33]))
    counts = (N,) * T
    if draw(st.booleans()):
        counts = (N, *sorted(draw(st.lists(st.integers(0, N), min_size=T - 1, max_size=T - 1)), reverse=True))
    return {
        "kind": draw(st.sampled_from(["rnn", "lstm", "gru"])), "form": draw(st.booleans()), "sizes": (T, N, H),
        "counts": counts, "reverse": draw(st.booleans()),
        "dtype": draw(st.sampled_from(["float32", "float64", "float16"])), "seed": draw(st.integers(0, 2**31)),
    }  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_formula_and_adjoint(room: Room, case: dict[str, Any]) -> None:
    """Any sizes, ragged or not, forwards and backwards in time."""
    for actual, expected in zip(both_passes(room.run, **case), both_passes(reference, **case), strict=True):
        assert_close(actual, expected, times=3)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("form", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_as_many_units_as_a_block_has_threads(room: Room, kind: str, form: bool, dtype: str) -> None:
    case: dict[str, Any] = {"kind": kind, "form": form, "sizes": (2, 2, 256), "counts": (2, 1), "reverse": True,
                            "dtype": dtype, "seed": 1}  # fmt: skip
    for actual, expected in zip(both_passes(room.run, **case), both_passes(reference, **case), strict=True):
        assert_close(actual, expected, times=3)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_larger_states_are_multiplied_by_blas(room: Room, kind: str) -> None:
    case: dict[str, Any] = {"kind": kind, "form": True, "sizes": (2, 2, 257), "counts": (2, 1), "reverse": False,
                            "dtype": "float64", "seed": 1}  # fmt: skip
    before = room.ran
    for actual, expected in zip(both_passes(room.run, **case), both_passes(reference, **case), strict=True):
        assert_close(actual, expected)
    assert room.ran == before
