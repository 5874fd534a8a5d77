"""Dropout: what it keeps, what it draws from, and that both directions use one mask (T38)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minidl as dl
import minidl.nn.functional as F
from minidl.autograd.recorder import DrawEvent, record


def test_the_mean_stays_and_the_rest_is_zero(generator: dl.Generator) -> None:
    x = dl.ones(400, 500)
    y = F.dropout(x, 0.3, generator=generator).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    share = (y == 0).mean()
    assert abs(share - 0.3) < 5 * (0.3 * 0.7 / y.size) ** 0.5, f"{share} of the numbers were struck out"
    assert y.mean() == pytest.approx(1, abs=0.01)
    assert y.dtype == np.float32


def test_the_gradient_passes_the_same_mask(generator: dl.Generator) -> None:
    """T38."""
    x = dl.ones(50, 40, requires_grad=True)
    y = F.dropout(x, generator=generator)
    g = dl.randn(50, 40)
    for _ in range(2):
        (gx,) = dl.autograd.grad(y, x, g, retain_graph=True)
        np.testing.assert_array_equal(gx.numpy(), (g * y.detach()).numpy())


def test_every_stream_is_its_own() -> None:
    """T38: two models with generators of their own do not disturb each other, and a seed repeats."""
    x = dl.ones(200)
    alone = [F.dropout(x, generator=dl.Generator(1)).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*alone)
    mine, other = dl.Generator(1), dl.Generator(2)
    F.dropout(x, generator=other)
    np.testing.assert_array_equal(F.dropout(x, generator=mine).numpy(), alone[0])
    dl.manual_seed(7)
    first = F.dropout(x).numpy()
    dl.manual_seed(7)
    np.testing.assert_array_equal(F.dropout(x).numpy(), first)


def test_a_recorder_hears_the_draw(generator: dl.Generator) -> None:
    with record() as heard:
        y = F.dropout(dl.ones(3, 4), generator=generator)
    drawn = [event for event in heard.events if isinstance(event, DrawEvent)]
    assert [event.purpose for event in drawn] == ["dropout"]
    np.testing.assert_array_equal(drawn[0].value, y.numpy())


def test_whole_channels_are_struck_out(generator: dl.Generator) -> None:
    for call, shape in ((F.dropout2d, (6, 20, 3, 4)), (F.dropout1d, (6, 20, 5)), (F.dropout2d, (20, 3, 4))):
        y = call(dl.ones(*shape), 0.5, generator=generator).numpy()
        per_channel = y.reshape(-1, int(np.prod(shape[shape.index(20) + 1 :])))
        assert (per_channel == per_channel[:, :1]).all()
        assert set(np.unique(y)) == {np.float32(0), np.float32(2)}


@pytest.mark.parametrize("call", [F.dropout, F.dropout2d])
def test_the_ends(call: Any) -> None:
    x = dl.randn(2, 3, 4, 5)
    assert call(x, 0.0) is x
    assert call(x, 0.7, training=False) is x
    assert not call(x, 1.0).numpy().any()
    for p in (-0.1, 1.1):
        with pytest.raises(ValueError, match=rf"probability .* from 0 to 1; got {p}"):
            call(x, p)


def test_channels_need_pixels() -> None:
    with pytest.raises(RuntimeError, match=r"dropout2d: x must have 3 or 4 dimensions, got shape \(2, 3\)"):
        F.dropout2d(dl.ones(2, 3))
