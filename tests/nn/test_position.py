"""Position encodings: the formula, the numbers of the errata, and where they are added."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl import nn, ops


def test_position_one_of_errata_003_t22() -> None:
    pe = ops.position_encoding(dl.tensor([0.0, 1.0], dtype=dl.float64), 4).numpy()
    assert pe[1].round(4).tolist() == [0.8415, 0.5403, 0.01, 1.0]
    assert pe[0].tolist() == [0.0, 1.0, 0.0, 1.0]


def test_encodings_follow_the_formula_also_far_out() -> None:
    """Whole numbers are encoded in float64: in float32 the angle of position 8191 would be off by 5·10⁻⁴."""
    pe = ops.position_encoding(dl.tensor([3, 8191]), 10)
    assert pe.dtype == dl.float32
    for row, position in enumerate((3, 8191)):
        for i in range(5):
            angle = position / 10000 ** (2 * i / 10)
            np.testing.assert_allclose(pe.numpy()[row, 2 * i], math.sin(angle), atol=1e-7)
            np.testing.assert_allclose(pe.numpy()[row, 2 * i + 1], math.cos(angle), atol=1e-7)


def test_a_step_is_the_same_rotation_everywhere() -> None:
    """Why sines and cosines: PE(pos + k) is a linear map of PE(pos) that depends on k only."""
    pe = ops.position_encoding(dl.tensor(np.arange(20.0)), 6).numpy()
    step, *_ = np.linalg.lstsq(pe[:10], pe[3:13], rcond=None)
    np.testing.assert_allclose(pe[10:17] @ step, pe[13:], atol=1e-9)


def test_two_dimensions_are_two_halves() -> None:
    pe = ops.position_encoding_2d(dl.arange(3).unsqueeze(1), dl.arange(4), 8).numpy()
    assert pe.shape == (3, 4, 8)
    one = ops.position_encoding(dl.arange(4), 4).numpy()
    for row in range(3):
        for column in range(4):
            np.testing.assert_array_equal(pe[row, column], [*one[row], *one[column]])


@pytest.mark.parametrize(
    "make", [lambda first: nn.SinusoidalPositions(6, 9, first), lambda first: nn.LearnedPositions(9, 6, first)]
)
def test_positions_are_added_along_the_sequence(rng: np.random.Generator, make: Any) -> None:
    first, second = make(True), make(False)
    if isinstance(first, nn.LearnedPositions):
        second.load_state_dict(first.state_dict())
        assert [*first.state_dict()] == ["weight"]
    else:
        assert not first.state_dict()
    x = dl.tensor(rng.standard_normal((2, 5, 6)).astype("f4"))
    y = first(x).detach().numpy()
    np.testing.assert_array_equal(second(x.transpose(0, 1)).transpose(0, 1).detach().numpy(), y)
    np.testing.assert_array_equal(second(x[0]).detach().numpy(), y[0])
    assert len(np.unique((y - x.numpy())[0].round(5), axis=0)) == 5


def test_positions_of_pixels(rng: np.random.Generator) -> None:
    layer = nn.SinusoidalPositions2d(8, 5, 6)
    x = dl.tensor(rng.standard_normal((2, 8, 3, 4)).astype("f4"))
    expected = ops.position_encoding_2d(dl.arange(3).unsqueeze(1), dl.arange(4), 8).permute(2, 0, 1).numpy()
    np.testing.assert_allclose((layer(x) - x).numpy(), np.broadcast_to(expected, x.shape), atol=1e-6)
    assert not layer.state_dict()
    assert layer.double().table.dtype == dl.float64


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: nn.SinusoidalPositions(6, 4)(dl.zeros(1, 5, 6)), RuntimeError, "T=5 positions, but max_length=4"),
        (lambda: nn.LearnedPositions(9, 6)(dl.zeros(1, 5, 7)), RuntimeError, "E=6"),
        (lambda: nn.SinusoidalPositions2d(6, 4, 4)(dl.zeros(1, 6, 5, 4)), RuntimeError, "H ≤ 4"),
        (lambda: ops.position_encoding_2d(dl.arange(2), dl.arange(2), 5), ValueError, "even"),
        (lambda: ops.position_encoding(dl.arange(2), 0), ValueError, "got 0"),
    ],
)
def test_what_does_not_fit_is_refused(call: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        call()
