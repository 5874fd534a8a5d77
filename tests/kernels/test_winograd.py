"""Convolutions by Winograd's tiles against the formula: ragged tiles, groups, parts of images, nan and infinity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_cases import Array, ConvCase, layouts

pytest.importorskip("numba")

from minidl.kernels import cpu, portable, threads
from minidl.kernels.cpu import runs, winograd, winograd_weights
from minidl.kernels.cpu.jit import INTERPRETED, jit
from minidl.kernels.geometry import DEAD, convolution

POOL = ((2, 2), (2, 2))
ALL = (True, True, True)


@pytest.fixture(autouse=True)
def every_size_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small cases and every window, which would be computed directly where tiles do not pay."""
    monkeypatch.setattr(winograd, "CHANNELS", 1)
    monkeypatch.setattr(winograd, "WORTH", 100.0)
    monkeypatch.setattr(winograd_weights, "CHANNELS", 1)
    monkeypatch.setattr(winograd_weights, "SHORT", 1)


@st.composite
def cases(draw: st.DrawFn) -> ConvCase:
    """Windows over planes of unequal sides, with padding of unequal sides, some of it beyond the window's reach."""
    KH, KW = draw(st.just((3, 3)) | st.tuples(st.integers(1, 7), st.integers(1, 7)))
    groups = draw(st.integers(1, 2))
    C, O = (groups * draw(st.integers(1, 11)) for _ in range(2))
    padding = draw(st.tuples(*[st.integers(0, 3)] * 4))
    H = draw(st.integers(max(1, KH - padding[0] - padding[1]), 12))
    W = draw(st.integers(max(1, KW - padding[2] - padding[3]), 40).filter(lambda W: W != H))
    shapes = (draw(st.integers(1, 3)), C, H, W), (O, C // groups, KH, KW)
    return ConvCase(*shapes, (1, 1), padding, (1, 1), groups, draw(st.integers(0, 2**31)))


def close(actual: Array, exact: Array) -> None:
    assert (actual.shape, actual.dtype) == (exact.shape, np.float32)
    np.testing.assert_allclose(actual, exact, rtol=0, atol=2e-6 * max(1.0, float(np.abs(exact).max(initial=0))))


def given_gradient(case: ConvCase, x: Array, w: Array) -> Array:
    shape = portable.conv2d(x, w, None, *case.window).shape
    return np.random.default_rng(case.seed + 1).standard_normal(shape).astype(np.float32)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases(), bias=st.booleans())
def test_the_three_convolutions_are_their_formulas(case: ConvCase, bias: bool) -> None:
    x, w, b = case.arrays("float32")
    gy, used = given_gradient(case, x, w), b if bias else None
    X, W, B, GY = (a.astype(np.float64) for a in (x, w, b, gy))
    close(cpu.conv2d(x, w, used, *case.window), portable.conv2d(X, W, B if bias else None, *case.window))
    hw = x.shape[2:]
    close(
        cpu.conv2d_input_grad(gy, w, hw, *case.window),
        portable.conv2d_input_grad(GY, W, hw, *case.window),
    )
    close(
        cpu.conv2d_weight_grad(x, gy, w.shape[2:], *case.window),
        portable.conv2d_weight_grad(X, GY, w.shape[2:], *case.window),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases(), bias=st.booleans(), needs=st.tuples(*[st.booleans()] * 3))
def test_the_fused_function_is_its_formula(case: ConvCase, bias: bool, needs: tuple[bool, bool, bool]) -> None:
    """Small whole numbers are exact in every transform, so winners and ties agree to the last one (T10)."""
    x, w, b = (np.rint(2 * a).astype(np.float32) for a in case.arrays("float32"))
    if min(portable.conv2d(x, w, None, *case.window).shape[2:]) < 2:
        return
    args = (x, w, b if bias else None, *case.window, *POOL)
    y, argmax = cpu.conv2d_relu_max_pool2d(*args)
    y0, argmax0 = portable.conv2d_relu_max_pool2d(*args)
    np.testing.assert_array_equal(y, y0)
    np.testing.assert_array_equal(argmax, argmax0)
    gy = np.random.default_rng(case.seed).standard_normal(y.shape)
    tail = (*case.window, *POOL, needs)
    exact = portable.conv2d_relu_max_pool2d_grad(gy, argmax, x.astype(float), w.astype(float), *tail)
    found = cpu.conv2d_relu_max_pool2d_grad(gy.astype(np.float32), argmax, x, w, *tail)
    for wanted, a, e in zip(needs, found, exact, strict=True):
        assert (a is not None) == wanted
        if wanted:
            close(a, e)


# Planes of many strips, rows of tiles longer and shorter than a strip, channels between the sizes of blocks.
LARGE = [
    ConvCase((2, 17, 23, 46), (21, 17, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1, 1),
    ConvCase((9, 16, 13, 14), (24, 8, 3, 3), (1, 1), (0, 2, 1, 0), (1, 1), 2, 2),
    ConvCase((1, 5, 7, 131), (8, 5, 3, 3), (1, 1), (0, 0, 0, 0), (1, 1), 1, 3),
    ConvCase((20, 8, 4, 5), (9, 8, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1, 4),
    ConvCase((9, 10, 14, 15), (18, 5, 5, 5), (1, 1), (2, 2, 2, 2), (1, 1), 2, 5),
]


@pytest.mark.parametrize("case", LARGE, ids=lambda case: str(case.x_shape))
def test_many_strips_agree_with_plain_numpy(case: ConvCase) -> None:
    x, w, b = case.arrays("float32")
    gy, hw = given_gradient(case, x, w), x.shape[2:]
    X, W, B, GY = (a.astype(np.float64) for a in (x, w, b, gy))
    close(cpu.conv2d(x, w, b, *case.window), portable.conv2d(X, W, B, *case.window))
    close(cpu.conv2d_input_grad(gy, w, hw, *case.window), portable.conv2d_input_grad(GY, W, hw, *case.window))
    gw = cpu.conv2d_weight_grad(x, gy, w.shape[2:], *case.window)
    close(gw, portable.conv2d_weight_grad(X, GY, w.shape[2:], *case.window))
    y, argmax = cpu.conv2d_relu_max_pool2d(x, w, b, *case.window, *POOL)
    close(y, portable.conv2d_relu_max_pool2d(X, W, B, *case.window, *POOL)[0])
    gy = np.ascontiguousarray(gy[:, :, : y.shape[2], : y.shape[3]])
    found = cpu.conv2d_relu_max_pool2d_grad(gy, argmax, x, w, *case.window, *POOL, ALL)
    exact = portable.conv2d_relu_max_pool2d_grad(gy.astype(float), argmax, X, W, *case.window, *POOL, ALL)
    for a, e in zip(found, exact, strict=True):
        close(a, e)


def everything(case: ConvCase, x: Array, w: Array, b: Array, gy: Array) -> list[Array]:
    """Every result that comes in tiles."""
    y, argmax = cpu.conv2d_relu_max_pool2d(x, w, b, *case.window, *POOL)
    pooled = np.ascontiguousarray(gy[:, :, : y.shape[2], : y.shape[3]])
    return [
        cpu.conv2d(x, w, b, *case.window),
        cpu.conv2d_input_grad(gy, w, x.shape[2:], *case.window),
        cpu.conv2d_weight_grad(x, gy, w.shape[2:], *case.window),
        *(y, argmax),
        *cpu.conv2d_relu_max_pool2d_grad(pooled, argmax, x, w, *case.window, *POOL, ALL),
    ]


@pytest.mark.parametrize("case", LARGE, ids=lambda case: str(case.x_shape))
def test_the_number_of_threads_changes_no_bit(case: ConvCase) -> None:
    arrays = case.arrays("float32")
    gy, before, results = given_gradient(case, *arrays[:2]), threads.num_threads(), []
    try:
        for n in (1, 3):
            threads.set_num_threads(n)
            results.append(everything(case, *arrays, gy))
    finally:
        threads.set_num_threads(before)
    for one, three in zip(*results, strict=True):
        np.testing.assert_array_equal(one, three)


def test_an_image_alone_and_in_a_batch_are_the_same() -> None:
    """A small batch is cut into parts of images, a large one is not."""
    case = LARGE[1]
    x, w, b = case.arrays("float32")
    gy = given_gradient(case, x, w)
    whole = [cpu.conv2d(x, w, b, *case.window), cpu.conv2d_input_grad(gy, w, x.shape[2:], *case.window)]
    for n in range(len(x)):
        np.testing.assert_array_equal(cpu.conv2d(x[n : n + 1], w, b, *case.window)[0], whole[0][n])
        alone = cpu.conv2d_input_grad(gy[n : n + 1], w, x.shape[2:], *case.window)
        np.testing.assert_array_equal(alone[0], whole[1][n])


def test_every_layout_gives_the_same_bits() -> None:
    """T30, and inputs are left as they were."""
    case = ConvCase((2, 6, 9, 8), (4, 3, 3, 3), (1, 1), (1, 0, 2, 1), (1, 1), 2, seed=5)
    x, w, b = case.arrays("float32")
    arrays = (x, w, b, given_gradient(case, x, w))
    expected = everything(case, *arrays)
    for position, array in enumerate(arrays):
        for name, view in layouts(array).items():
            kept = view.copy()
            found = everything(case, *arrays[:position], view, *arrays[position + 1 :])
            for a, e in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a, e, err_msg=f"argument {position}, {name}")
            np.testing.assert_array_equal(view, kept)


@pytest.mark.parametrize("value", [1e5, 1e7, 1e9])
@pytest.mark.parametrize("window", [3, 5])
def test_one_number_that_outweighs_the_others_spoils_only_what_sees_it(window: int, value: float) -> None:
    """A transform adds it to numbers that others see, and its rounding error is larger than they are."""
    side, edge = window, window // 2
    case = ConvCase((2, 32, 14, 14), (32, 32, side, side), (1, 1), (edge,) * 4, (1, 1), 1, seed=3)
    x, w, b = case.arrays("float32")
    gy = given_gradient(case, x, w)

    def results(room: Any, dtype: str, *arrays: Any) -> list[Any]:
        x, w, gy = (a.astype(dtype) for a in arrays)
        return [
            room.conv2d(x, w, b.astype(dtype), *case.window),
            room.conv2d_input_grad(gy, w, x.shape[2:], *case.window),
            room.conv2d_weight_grad(x, gy, w.shape[2:], *case.window),
        ]

    for position, place in enumerate([(0, slice(None), 7, 7), (0, 0, 0, 0), (0, slice(None), 7, 7)]):
        arrays, without = [x, w, gy], [x, w, gy]
        arrays[position], without[position] = arrays[position].copy(), arrays[position].copy()
        arrays[position][place], without[position][place] = value, 0
        found, right, other = (
            results(cpu, "float32", *arrays), results(portable, "float64", *arrays),
            results(portable, "float64", *without),
        )  # fmt: skip
        assert (right[0] == other[0]).any() or (right[1] == other[1]).any()
        for f, r, o in zip(found, right, other, strict=True):
            unseen = r == o
            np.testing.assert_allclose(f[unseen], r[unseen], atol=2e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30], ids=str)
@pytest.mark.parametrize("images", [3, 9])
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_what_is_no_moderate_number_reaches_whom_it_would_reach_directly(
    value: float, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a transform ∞ − ∞ would reach the whole tile, and 1e30 would leave nothing of its neighbours."""
    case = ConvCase((images, 16, 9, 12), (16, 16, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1, seed=9)
    x, w, b = case.arrays("float32")
    arrays = [x, w, b, given_gradient(case, x, w)]
    clean = everything(case, *arrays)
    for position, place in ((0, (1, 2, 4, 5)), (1, (3, 2, 1, 1)), (2, (3,)), (3, (1, 2, 0, 1))):
        struck = [a.copy() for a in arrays]
        struck[position][place] = value
        found = everything(case, *struck)
        with monkeypatch.context() as patched:
            patched.setattr(winograd, "CHANNELS", 1000)
            direct = everything(case, *struck)
        for i, (a, d) in enumerate(zip(found, direct, strict=True)):
            if a.dtype == np.uint8:
                continue  # winners are compared through the gradients below
            np.testing.assert_array_equal(np.isfinite(a), np.isfinite(d), err_msg=f"result {i}, argument {position}")
            finite = np.isfinite(d)
            np.testing.assert_array_equal(a[~finite], d[~finite])
            np.testing.assert_allclose(a[finite], d[finite], rtol=1e-4, atol=2e-5 * np.abs(clean[i]).max())
        if position == 0:  # and the other images keep their every bit
            for i in (0, 3, 4):
                np.testing.assert_array_equal(np.delete(found[i], 1, 0), np.delete(clean[i], 1, 0))


def test_the_choice_of_tiles_depends_on_the_problem_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles are for windows one apart that they save products on, and for channels enough to pay for the transforms."""
    monkeypatch.undo()
    s = convolution("test", (2, 32, 9, 8), (32, 32, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1)
    for size, worth in (((3, 3), True), ((5, 5), True), ((3, 5), True), ((4, 4), False), ((3, 1), False)):
        KH, KW = size
        assert winograd.pays(s._replace(windows=s.windows._replace(KH=KH, KW=KW))) == worth
    for change in ({"SH": 2}, {"SW": 2}, {"DH": 2}, {"DW": 2}):
        assert not winograd.pays(s._replace(windows=s.windows._replace(**change)))
    assert not winograd.pays(s._replace(G=16))
    assert winograd.pays_back(s)
    assert not winograd.pays_back(s._replace(windows=s.windows._replace(left=3)))
    for size, images, worth in ((9, 2, False), (40, 2, True), (40, 1, False), (100, 2, False)):
        shape = (images, 32, size, size + 1)
        t = convolution("test", shape, (32, 32, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1)
        assert winograd_weights.pays(t) == worth


def test_a_dead_window_passes_no_gradient_on() -> None:
    """T10: not even where the gradient given to it is not a number."""
    x = -np.ones((1, 2, 4, 6), np.float32)
    w = np.ones((3, 2, 3, 3), np.float32)
    plain = ((1, 1), (1, 1, 1, 1), (1, 1), 1, *POOL)
    y, argmax = cpu.conv2d_relu_max_pool2d(x, w, None, *plain)
    assert (y == 0).all()
    assert (argmax == DEAD).all()
    for value in (1, np.nan):
        for grad in cpu.conv2d_relu_max_pool2d_grad(np.full_like(y, value), argmax, x, w, *plain, ALL):
            assert grad is not None
            assert (grad == 0).all()


@pytest.mark.parametrize("zipping", [True, False])
def test_runs_are_zipped_and_unzipped_in_place(zipping: bool) -> None:
    word = runs.zip_runs if zipping else runs.unzip_run

    def call(x: Any, xo: int, out: Any, oo: int, other: int, n: int) -> None:
        word(x, xo, out, oo, other, n)

    copy = call if INTERPRETED else jit(call)
    x = np.arange(200, dtype=np.float32)
    for n in range(40):
        out = np.full(200, -1, np.float32)
        copy(x, 3, out, 5, 90, n)
        expected = np.full(200, -1, np.float32)
        for odd in (0, 1):
            if zipping:
                expected[5 + odd : 5 + odd + 2 * n : 2] = x[3 + 90 * odd : 3 + 90 * odd + n]
            else:
                expected[5 + 90 * odd : 5 + 90 * odd + n] = x[3 + odd : 3 + odd + 2 * n : 2]
        np.testing.assert_array_equal(out, expected)
