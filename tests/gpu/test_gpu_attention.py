"""CUDA attention by tiles against the whole matrix of weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rooms import Room, assert_close

from minidl.kernels import attention as expressions
from minidl.kernels.attention import Rules


def whole(gy: Any, q: Any, k: Any, v: Any, bias: Any, rules: Rules) -> list[Any]:
    """o and the gradients of q, k and v, all weights in one matrix."""
    gy, q, k, v = (x.astype("f8") for x in (gy, q, k, v))
    scores = rules.scale * q @ k.swapaxes(-1, -2) + (0 if bias is None else bias.astype("f8"))
    if rules.allowed is not None:
        scores = np.where(rules.allowed, scores, -np.inf)
    if rules.causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    most = scores.max(axis=-1, keepdims=True)
    p = np.exp(scores - np.where(most == -np.inf, 0, most))
    total = p.sum(axis=-1, keepdims=True)
    p = p / np.where(total == 0, 1, total)
    o = p @ v
    gp = gy @ v.swapaxes(-1, -2)
    gs = p * (gp - (gp * p).sum(axis=-1, keepdims=True))
    return [o, rules.scale * gs @ k, rules.scale * gs.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ gy]


def check(room: Room, lead: tuple[int, ...], sizes: tuple[int, int, int, int], dtype: str, causal: bool, mask: Any,
          bias_shape: Any, seed: int) -> None:  # fmt: skip
    L, S, E, D = sizes
    rng = np.random.default_rng(seed)
    q, k, v, gy = (rng.standard_normal((*lead, n, m)).astype(dtype) for n, m in ((L, E), (S, E), (S, D), (L, D)))
    allowed = None if mask is None else rng.random(mask) < 0.6
    bias = None if bias_shape is None else rng.standard_normal(bias_shape).astype(dtype)
    rules = Rules(0.3, causal, allowed)
    o, log_sum = room.run("attention", q, k, v, bias, rules)
    assert log_sum.shape == (int(np.prod(lead)), L, 1)
    needs = (True, True, True) + (() if bias is None else (False,))
    gxs = room.run("attention_grad", gy, q, k, v, bias, o, log_sum, needs, rules)
    for actual, expected in zip([o, *gxs[:3]], whole(gy, q, k, v, bias, rules), strict=True):
        assert_close(actual, expected.astype(dtype), times=3)


@settings(max_examples=25, deadline=None)
@given(sizes=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20), st.integers(1, 40)),
       dtype=st.sampled_from(["float32", "float64", "float16"]), causal=st.booleans(),
       mask=st.sampled_from([None, "whole", "keys", "one"]), biased=st.booleans(),
       seed=st.integers(0, 2**31))  # fmt: skip
def test_tiles_are_the_whole(
    room: Room, sizes: Any, dtype: str, causal: bool, mask: Any, biased: bool, seed: int
) -> None:
    """Ragged numbers of queries and keys, masks that repeat; a query that may look nowhere gets 0."""
    L, S = sizes[:2]
    shapes = {None: None, "whole": (2, 1, L, S), "keys": (3, 1, S), "one": (L, 1)}
    check(room, (2, 3), sizes, dtype, causal, shapes[mask], (1, 3, L, S) if biased else None, seed)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("sizes", [(70, 35, 64, 64), (20, 33, 65, 128), (33, 17, 100, 7)])
def test_wide_heads(room: Room, sizes: Any, dtype: str) -> None:
    check(room, (2,), sizes, dtype, True, None, None, 4)


def test_double_heads_of_64(room: Room) -> None:
    check(room, (1,), (20, 18, 64, 33), "float64", False, None, None, 5)


def test_what_has_no_kernel_is_computed_by_expressions(room: Room) -> None:
    """Dropout of weights draws on the host; the gradient of a bias is summed over what shares it."""
    rng = np.random.default_rng(0)
    q, k, v, gy = (rng.standard_normal((2, 5, 3)) for _ in range(4))
    bias = rng.standard_normal((5, 5))
    before = room.ran
    for rules in (Rules(0.5, p=0.5, key=np.array([1, 2], np.uint64)), Rules(0.5)):
        o, log_sum = expressions.attention(q, k, v, bias, rules)
        args = (gy, q, k, v, bias, o, log_sum, (True,) * 4, rules)
        for actual, expected in zip(room.run("attention_grad", *args), expressions.attention_grad(*args), strict=True):
            np.testing.assert_array_equal(actual, expected)
    assert room.ran == before
