"""The counter-based generator, dropout masks, sums into repeated rows, and steps of optimizers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rooms import Room, assert_close, reference

from minidl.kernels import capture
from minidl.kernels.gpu import launcher, random

FAST = settings(max_examples=20, deadline=None)


# kat_vectors of Random123 for philox4x32-10: (counter, key, words)
VECTORS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]  # fmt: skip


@pytest.mark.parametrize(("counter", "key", "words"), VECTORS)
def test_philox_gives_the_published_words(room: Room, counter: Any, key: Any, words: Any) -> None:
    counters = np.array([[counter[0] | counter[1] << 32, counter[2] | counter[3] << 32]], np.uint64)
    found = room.run("philox_words", counters, key[0] | key[1] << 32)
    assert tuple(found[0]) == words


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_a_mask_depends_on_its_key_and_places_alone(room: Room, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = (np, (3, 501), np.dtype(dtype), 0.3)
    mask = room.run("dropout_mask", *draw, 77)
    assert {*np.unique(mask)} == {np.dtype(dtype).type(0), np.dtype(dtype).type(1 / 0.7)}
    assert abs((mask == 0).mean() - 0.3) < 0.04
    assert (room.run("dropout_mask", *draw, 78) != mask).any()
    np.testing.assert_array_equal(room.run("dropout_mask", np, (1503,), np.dtype(dtype), 0.3, 77), mask.ravel())
    for threads, most in ((32, 3), (64, 1)):
        monkeypatch.setattr(random, "spread", lambda n, t=threads, m=most: launcher.spread(n, t, m))
        np.testing.assert_array_equal(room.run("dropout_mask", *draw, 77), mask)


def test_masks_at_the_ends(room: Room) -> None:
    for p, expected in ((0.0, 1.0), (1.0, 0.0)):
        mask = room.run("dropout_mask", np, (100,), np.dtype("f4"), p, 1)
        np.testing.assert_array_equal(mask, np.full(100, expected, "f4"))


def test_a_captured_graph_draws_anew(emulated: Room) -> None:
    """T38: what lies in the memory of the GPU says how often the graph has run."""
    draw = ("dropout_mask", np, (64,), np.dtype("f4"), 0.5, 1)
    with capture.capturing(np) as replays:
        masks = [emulated.run(*draw)]
        emulated.run("count_on", replays)
        masks.append(emulated.run(*draw))
    assert int(replays) == 1
    assert (masks[1] != masks[0]).any()
    np.testing.assert_array_equal(masks[0], emulated.run(*draw))


def test_a_step_of_an_optimizer_cannot_be_captured(emulated: Room) -> None:
    p, g, m, v = (np.ones(4) for _ in range(4))
    with capture.capturing(np), pytest.raises(RuntimeError, match=r"leave optimizer.step\(\) out of the function"):
        emulated.run("adam_update", p, g, m, v, None, 0.1, 0.5, 0.9, 0.99, 1e-8, 0.0, 1.0, 1)
    assert capture.current_replay() is None


@FAST
@given(n=st.integers(0, 40), V=st.integers(1, 9), columns=st.sampled_from([1, 3, 33, 300]),
       dtype=st.sampled_from(["float32", "float64", "float16"]), seed=st.integers(0, 2**31))  # fmt: skip
def test_repeated_rows_are_added_in_order(room: Room, n: int, V: int, columns: int, dtype: str, seed: int) -> None:
    """T29, T32."""
    rng = np.random.default_rng(seed)
    index, rows = rng.integers(-V, V, n), rng.standard_normal((n, columns)).astype(dtype)
    y = rng.standard_normal((V, columns)).astype(dtype)
    expected = y.astype("f8")
    np.add.at(expected, index, rows.astype("f8"))
    room.run("add_rows", y, index, rows)
    assert_close(y, expected.astype(dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("sign", [1, -1])
def test_sgd(room: Room, dtype: str, nesterov: bool, momentum: float, sign: int) -> None:
    rng = np.random.default_rng(0)
    p, g, b = (rng.standard_normal(777).astype(dtype) for _ in range(3))
    numbers = (0.1, momentum, 0.5, nesterov, 0.2, sign)
    found, expected = ([p.copy(), b.copy() if momentum else None] for _ in range(2))
    room.run("sgd_update", found[0], g, found[1], *numbers)
    reference("sgd_update", expected[0], g, expected[1], *numbers)
    for actual, wanted in zip(found, expected, strict=True):
        if actual is not None:
            assert_close(actual, wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("decay", "shrink"), [(0.0, 1.0), (0.2, 1.0), (0.0, 0.98)])
def test_adam(room: Room, dtype: str, decay: float, shrink: float) -> None:
    rng = np.random.default_rng(0)
    p, g, m = (rng.standard_normal(777).astype(dtype) for _ in range(3))
    v = rng.random(777).astype(dtype)
    largest = rng.random(777).astype(dtype)
    for amsgrad in (False, True):
        found, expected = ([a.copy() for a in (p, m, v, largest)] for _ in range(2))
        for (p_, m_, v_, most), run in ((found, room.run), (expected, reference)):
            numbers = (0.1, 0.7, 0.9, 0.99, 1e-3, decay, shrink, -1)
            run("adam_update", p_, g, m_, v_, most if amsgrad else None, *numbers)
        for actual, wanted in zip(found, expected, strict=True):
            assert_close(actual, wanted)
