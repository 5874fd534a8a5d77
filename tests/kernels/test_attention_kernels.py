"""Attention by tiles in every room."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import Array, layouts

from minidl.kernels import kernels_for, use_kernels
from minidl.kernels.attention import Rules
from minidl.kernels.threads import num_threads, set_num_threads

ROOMS = ("auto", "numpy")
TOLERANCE = {"float32": 3e-5, "float64": 1e-11}
MASKS = [None, (1, 1, 0, 1), (1, 1, 1, 1), (0, 0, 1, 1), (1, 0, 1, 0)]
"""Which of the dimensions (B, H, L, S) a mask has in full; in the others it repeats."""


def both_passes(room: str, arrays: list[Array], bias: Array | None, rules: Rules) -> list[Array]:
    q, k, v, gy = arrays
    needs = (True, True, True, *(() if bias is None else (False,)))
    with use_kernels(room):
        kernels = kernels_for(q)
        o, log_sum = kernels.attention(q, k, v, bias, rules)
        gxs = kernels.attention_grad(gy, q, k, v, bias, o, log_sum, needs, rules)
    return [o, log_sum, *gxs[:3]]


def drawn(sizes: tuple[int, ...], dtype: str, seed: int) -> list[Array]:
    B, H, L, S, E, D = sizes
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((B, H, *s)).astype(dtype) for s in ((L, E), (S, E), (S, D), (L, D))]


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    feature = st.sampled_from([1, 3, 8, 16, 17, 32, 50])
    length = st.sampled_from([1, 2, 3, 15, 17, 40])
    sizes = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(length), draw(length), draw(feature), draw(feature))
    return {
        "sizes": sizes, "mask": draw(st.sampled_from(MASKS)), "boolean": draw(st.booleans()),
        "causal": draw(st.booleans()), "dtype": draw(st.sampled_from(["float32", "float64"])),
        "seed": draw(st.integers(0, 2**31)),
    }  # fmt: skip


def check(room: str, sizes: tuple[int, ...], mask: tuple[int, ...] | None, boolean: bool, causal: bool, dtype: str,
          seed: int) -> None:  # fmt: skip
    arrays, rng = drawn(sizes, dtype, seed), np.random.default_rng(seed + 1)
    bias = allowed = None
    if mask is not None:
        shape = [n if whole else 1 for n, whole in zip(sizes, mask, strict=False)]
        allowed = rng.random(shape) < 0.7 if boolean else None  # some queries may see nothing
        bias = None if boolean else rng.standard_normal(shape).astype(dtype)
    rules = Rules(0.3, causal, allowed)
    expected = both_passes("reference", arrays, bias, rules)
    for a, e in zip(both_passes(room, arrays, bias, rules), expected, strict=True):
        assert a.dtype == dtype
        tolerance = TOLERANCE[dtype] * max(1.0, float(np.abs(e[np.isfinite(e)]).max(initial=0)))
        np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("room", ROOMS)
@given(case=cases())
def test_formula_and_adjoint(room: str, case: dict[str, Any]) -> None:
    """Any sizes, masks of any shape, queries that see nothing."""
    check(room, **case)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("sizes", [(1, 1, 70, 400, 8, 17), (2, 1, 130, 197, 3, 5), (1, 2, 300, 60, 32, 33)], ids=str)
def test_several_tiles(sizes: tuple[int, ...], causal: bool) -> None:
    """More queries and keys than one tile takes, and few batch elements, so that their queries are cut into parts."""
    check("auto", sizes, (0, 0, 1, 1), False, causal, "float32", 0)


def test_a_score_that_grows_from_tile_to_tile() -> None:
    """What was summed before shrinks by e⁻¹⁰⁰ or more and must neither overflow nor be lost where it counts."""
    q, k, v, gy = drawn((1, 1, 3, 600, 4, 4), "float32", 0)
    q[...], k[...] = 1, np.arange(600)[:, None] / 4
    expected = both_passes("reference", [q, k, v, gy], None, Rules(1.0))
    for a, e in zip(both_passes("auto", [q, k, v, gy], None, Rules(1.0)), expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-3, atol=2e-4)


def test_nan_reaches_its_query_only() -> None:
    q, k, v, gy = drawn((1, 2, 20, 30, 8, 8), "float32", 0)
    q[0, 0, 3, 2] = np.nan
    o, *_ = both_passes("auto", [q, k, v, gy], None, Rules(0.3))
    bad = np.isnan(o).all(axis=-1)
    assert bad[0, 0, 3]
    assert bad.sum() == np.isnan(o).any(axis=-1).sum() == 1


def test_any_layout_and_any_number_of_threads_give_the_same_bits() -> None:
    """T30, T31."""
    arrays, rules = drawn((2, 2, 70, 33, 17, 16), "float32", 0), Rules(0.3, True)
    expected = both_passes("auto", arrays, None, rules)
    before = num_threads()
    try:
        for n, name in enumerate(layouts(arrays[0])):
            set_num_threads(n % 3 + 1)
            found = both_passes("auto", [layouts(x)[name] for x in arrays], None, rules)
            for a, e in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a, e, err_msg=name)
    finally:
        set_num_threads(before)


def test_heads_taken_out_of_rows_go_back_into_rows() -> None:
    """T30: what lies as (N, T, h, E), seen as (N, h, T, E), gives the same bits, and results that lie alike."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((2, 70, 4, 2, 16)).astype(np.float32)
    arrays, rules = [rows[:, :, i].swapaxes(1, 2) for i in range(4)], Rules(0.3)
    found = both_passes("auto", arrays, None, rules)
    expected = both_passes("auto", [np.ascontiguousarray(x) for x in arrays], None, rules)
    for a, e in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, e)
    o, _, gq, *_ = found
    assert o.swapaxes(1, 2).flags.c_contiguous
    assert gq.swapaxes(1, 2).flags.c_contiguous
