"""The time loops of recurrent networks in every room, against plain loops over rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import Array, layouts

from minidl.kernels import kernels_for, use_kernels
from minidl.kernels.threads import num_threads, set_num_threads

ROOMS = ("auto", "numpy")
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def run(room: str, name: str, *args: Any) -> tuple[Array, ...]:
    with use_kernels(room):
        result = getattr(kernels_for(args[0]), name)(*args)
    return result if isinstance(result, tuple) else (result,)


def both_passes(room: str, kind: str, form: bool, sizes: tuple[int, int, int], counts: tuple[int, ...], reverse: bool,
                dtype: str, seed: int, layout: Any = lambda x: x) -> list[Array]:  # fmt: skip
    """Everything the forward pass returns, then everything the backward pass returns."""
    T, N, H = sizes
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[kind]
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((T, N, gates * H)).astype(dtype)
    h0, c0, gh, gc = (layout(rng.standard_normal((N, H)).astype(dtype)) for _ in range(4))
    w, b = layout(rng.standard_normal((gates * H, H)).astype(dtype)), rng.standard_normal(gates * H).astype(dtype)
    gy = layout(rng.standard_normal((T, N, H)).astype(dtype))
    before = [x.copy() for x in (h0, c0, gh, gc, w, b, gy)]
    if kind == "rnn":
        (states,) = run(room, "rnn_steps", a, h0, w, counts, reverse, form)
        found = [states, *run(room, "rnn_steps_grad", gy, gh, states, w, counts, reverse, form)]
    elif kind == "lstm":
        kept = run(room, "lstm_steps", a, h0, c0, w, counts, reverse)
        gxs = run(room, "lstm_steps_grad", gy, gh, gc, c0, a, *kept[1:], w, counts, reverse)
        found = [*kept[:2], *gxs]
    else:
        states, q = run(room, "gru_steps", a, h0, w, b, counts, reverse, form)
        found = [states, *run(room, "gru_steps_grad", gy, gh, h0, a, states, q, w, counts, reverse, form)]
    for x, y in zip(before, (h0, c0, gh, gc, w, b, gy), strict=True):
        assert np.array_equal(x, y), "an input was written"
    assert {x.dtype.name for x in found} == {dtype}
    return found


@st.composite
def cases(draw: Any) -> dict[str, Any]:
    T, N, H = draw(st.integers(1, 5)), draw(st.integers(1, 6)), draw(st.sampled_from([1, 2, 3, 5, 8, 16, 17, 33]))
    counts = (N,) * T
    if draw(st.booleans()):
        counts = (N, *sorted(draw(st.lists(st.integers(0, N), min_size=T - 1, max_size=T - 1)), reverse=True))
    return {
        "kind": draw(st.sampled_from(["rnn", "lstm", "gru"])), "form": draw(st.booleans()), "sizes": (T, N, H),
        "counts": counts, "reverse": draw(st.booleans()), "dtype": draw(st.sampled_from(["float32", "float64"])),
        "seed": draw(st.integers(0, 2**31)),
    }  # fmt: skip


@pytest.mark.parametrize("room", ROOMS)
@given(case=cases())
def test_formula_and_adjoint(room: str, case: dict[str, Any]) -> None:
    """Any sizes, ragged or not, forwards and backwards in time."""
    tolerance = TOLERANCE[case["dtype"]]
    for a, b in zip(both_passes(room, **case), both_passes("reference", **case), strict=True):
        scale = max(1.0, float(np.abs(b).max(initial=0.0)))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_rows_shared_out_over_threads(kind: str, reverse: bool) -> None:
    """More rows than one thread takes: right, and the same bit for bit with any number of threads (T31)."""
    case: dict[str, Any] = {"kind": kind, "form": True, "sizes": (3, 71, 5), "counts": (71, 66, 20), "dtype": "float64",
                            "reverse": reverse, "seed": 1}  # fmt: skip
    before, found = num_threads(), []
    try:
        for n in (1, 2, 3):
            set_num_threads(n)
            found.append(both_passes("auto", **case))
    finally:
        set_num_threads(before)
    for one, two, three, expected in zip(*found, both_passes("reference", **case), strict=True):
        assert np.array_equal(one, two)
        assert np.array_equal(one, three)
        np.testing.assert_allclose(one, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_any_layout(kind: str) -> None:
    """T30: views of every kind give the numbers that copies give."""
    case: dict[str, Any] = {"kind": kind, "form": True, "sizes": (3, 4, 16), "counts": (4, 4, 2), "reverse": False,
                            "dtype": "float32", "seed": 0}  # fmt: skip
    expected = both_passes("auto", **case)
    for name in layouts(np.zeros((2, 2))):
        found = both_passes("auto", **case, layout=lambda x, name=name: layouts(x)[name])
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_large_sums_saturate(kind: str) -> None:
    """±10³⁰ in float32 are gates of 0 and 1, in every room."""
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[kind]
    for room in ROOMS:
        a = np.where(np.arange(2 * 3 * gates * 16) % 3 == 0, 1e30, -1e30).astype("f4").reshape(2, 3, gates * 16)
        h0, w, b = np.ones((3, 16), "f4"), np.ones((gates * 16, 16), "f4"), np.zeros(gates * 16, "f4")
        if kind == "rnn":
            states = run(room, "rnn_steps", a, h0, w, (3, 3), False, False)[0]
        elif kind == "lstm":
            states = run(room, "lstm_steps", a, h0, h0, w, (3, 3), False)[0]
        else:
            states = run(room, "gru_steps", a, h0, w, b, (3, 3), False, True)[0]
        assert np.isfinite(states).all()
        assert np.abs(states).max() <= 1
