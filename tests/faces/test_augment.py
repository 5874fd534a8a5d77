"""What augmentation does to a face, one change at a time, and that it is decided by the key alone."""

from dataclasses import fields, replace

import numpy as np
import pytest

from minidl.faces.augment import CLEAN, DAMAGE, TURNS, Augmentation, keys
from minidl.faces.errors import BadImage

NOTHING = Augmentation(
    shift=0, scale=0, aspect=0, rotation=0, flip=0, elastic=0, gamma=0, light=0, noisy=0, erased=0
)  # fmt: skip


def _faces(n=6, h=56, w=46, seed=0):
    """Smooth pictures within 0.1 and 0.9, no two alike, none symmetric."""
    rng = np.random.default_rng(seed)
    y, x = np.linspace(-1, 1, h)[:, None], np.linspace(-1, 1, w)
    a, b, c = rng.uniform(1, 3, (3, n, 1, 1))
    return (0.5 + 0.4 * np.sin(a * y + c) * np.sin(b * x + 0.7 * c)).astype(np.float32)


def _keys(n, epoch=0, seed=3):
    return keys(seed, epoch, np.arange(n))


def test_nothing_asked_for_is_nothing_done():
    x = _faces()
    assert np.abs(NOTHING(x, _keys(6)) - x).max() < 1e-5


@pytest.mark.parametrize("way", [CLEAN, TURNS, DAMAGE])
def test_order_and_batch_do_not_matter(way):
    x, k = _faces(), _keys(6)
    together = way(x, k)
    order = np.array([4, 0, 5, 1, 3, 2])
    assert np.array_equal(way(x[order], k[order]), together[order])
    for i in range(6):
        assert np.array_equal(way(x[i : i + 1], k[i : i + 1])[0], together[i])


def test_the_same_key_is_the_same_face_and_another_is_another():
    x = np.repeat(_faces(1), 4, 0)
    key = np.array([[3, 5, 7], [4, 5, 7], [3, 6, 7], [3, 5, 8]])
    out = CLEAN(x, key)
    assert np.array_equal(out, CLEAN(x, key))
    for i in range(4):
        for j in range(i):
            assert np.abs(out[i] - out[j]).mean() > 1e-3


def test_epoch_and_index_are_not_mixed_up():
    x = np.repeat(_faces(1), 2, 0)
    a, b = CLEAN(x, np.array([[0, 1, 2], [0, 2, 1]]))
    assert np.abs(a - b).mean() > 1e-3


def test_one_setting_does_not_change_the_draws_of_another():
    # The same shift, whether or not there is noise, a block, a turn: settings can be compared fairly.
    x, k = _faces(), _keys(6)
    moved = replace(NOTHING, shift=0.1)(x, k)
    covered = replace(NOTHING, shift=0.1, erased=1.0, black=1.0)(x, k)
    untouched = covered > 0
    assert 0.3 < untouched.mean() < 1
    assert np.array_equal(covered[untouched], moved[untouched])


@pytest.mark.parametrize("way", [CLEAN, TURNS, DAMAGE])
@pytest.mark.parametrize("size", [(56, 46), (112, 92), (7, 5), (2, 2)])
def test_the_result_is_float32_in_range_and_the_input_is_left_alone(way, size):
    x = _faces(5, *size)
    before = x.copy()
    for dtype in (np.float32, np.float64):
        out = way(x.astype(dtype), _keys(5))
        assert out.shape == x.shape
        assert out.dtype == np.float32
        assert out.min() >= 0
        assert out.max() <= 1
        assert np.isfinite(out).all()
    way(x, _keys(5))
    assert np.array_equal(x, before)


def test_strided_views_and_black_images_work():
    # T30: a view with a step; log(0) of the gamma.
    x = _faces(4)
    assert np.array_equal(CLEAN(x[::-2], _keys(2)), CLEAN(x[::-2].copy(), _keys(2)))
    assert np.array_equal(CLEAN(x.swapaxes(1, 2), _keys(4)), CLEAN(x.swapaxes(1, 2).copy(), _keys(4)))
    black = replace(CLEAN, noisy=0, erased=0)(np.zeros((2, 9, 9), np.float32), _keys(2))
    assert black.max() < 0.02


def test_the_arguments_are_checked():
    with pytest.raises(BadImage, match=r"floating images .* got uint8"):
        CLEAN(np.zeros((1, 4, 4), np.uint8), _keys(1))
    with pytest.raises(
        BadImage, match=r"2 images need integer keys of shape \(2, 3\), but got uint64 of shape \(1, 3\)"
    ):
        CLEAN(_faces(2), _keys(1))
    assert CLEAN(np.zeros((0, 4, 4), np.float32), _keys(0)).shape == (0, 4, 4)


# ── one change at a time ──────────────────────────────────────────────────────────────────────────


def _centre(faces):
    """(n, 2) the mean row and column of the light."""
    h, w = faces.shape[1:]
    total = faces.sum((1, 2))
    return np.stack([(faces.sum(2) @ np.arange(h)) / total, (faces.sum(1) @ np.arange(w)) / total], 1)


def _spot(n, h=56, w=46, at=(28, 22), sigma=3.0):
    y, x = np.arange(h)[:, None] - at[0], np.arange(w) - at[1]
    return np.repeat(np.exp(-0.5 * (y**2 + x**2) / sigma**2)[None], n, 0).astype(np.float32)


def test_a_shift_moves_up_to_its_fraction_of_each_side():
    n = 300
    moved = _centre(replace(NOTHING, shift=0.1)(_spot(n), _keys(n))) - [28, 22]
    assert 0.95 < np.abs(moved[:, 0]).max() / 5.5 <= 1.01
    assert 0.95 < np.abs(moved[:, 1]).max() / 4.5 <= 1.01
    assert np.abs(moved.mean(0)).max() < 0.6
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.2


def test_a_rotation_turns_pixels_and_not_halves():
    # A spot 20 pixels above the middle goes round a circle of 20 pixels, up to the stated angle.
    n = 200
    out = _centre(replace(NOTHING, rotation=30)(_spot(n, at=(7.5, 22.5), sigma=2), _keys(n))) - [27.5, 22.5]
    assert np.abs(np.hypot(*out.T) - 20).max() < 0.03
    angles = np.rad2deg(np.arctan2(out[:, 1], -out[:, 0]))
    assert 28 < np.abs(angles).max() <= 30.2


def test_scale_and_aspect_change_sizes_by_their_factor():
    n = 300

    def spreads(faces):
        h, w = faces.shape[1:]
        y, x = (np.arange(h) - 27.5)[None, :, None], (np.arange(w) - 22.5)[None, None]
        total = faces.sum((1, 2))
        return np.sqrt((faces * y**2).sum((1, 2)) / total), np.sqrt((faces * x**2).sum((1, 2)) / total)

    spot = _spot(n, at=(27.5, 22.5), sigma=4)
    tall, wide = spreads(replace(NOTHING, scale=0.3)(spot, _keys(n)))
    assert np.abs(tall / wide - 1).max() < 0.02
    assert np.allclose([tall.min() / 4, tall.max() / 4], np.exp([-0.3, 0.3]), rtol=0.03)
    tall, wide = spreads(replace(NOTHING, aspect=0.3)(spot, _keys(n)))
    assert np.abs(tall * wide / 16 - 1).max() < 0.02
    assert np.allclose([tall.min() / 4, tall.max() / 4], np.exp([-0.3, 0.3]), rtol=0.03)


def test_flips_mirror_exactly_and_as_often_as_asked():
    x = _faces(400)
    out = replace(NOTHING, flip=0.3)(x, _keys(400))
    mirrored = np.abs(out - x[:, :, ::-1]).max((1, 2)) < 1e-5
    same = np.abs(out - x).max((1, 2)) < 1e-5
    assert (mirrored ^ same).all()
    assert 0.22 < mirrored.mean() < 0.38


def test_bending_has_the_stated_size_and_keeps_no_side():
    n = 400
    moved = _centre(replace(NOTHING, elastic=0.05)(_spot(n, at=(22, 23), sigma=1.5), _keys(n))) - [22, 23]
    # At a control point (row 2 of 6, column 2 of 5) the displacement is the normal number itself.
    assert np.allclose(moved.std(0), [0.05 * 27.5, 0.05 * 22.5], rtol=0.25)
    assert np.abs(moved.mean(0)).max() < 0.3


def test_a_turn_moves_the_middle_and_holds_the_edge():
    n = 200
    middle = _centre(replace(NOTHING, turn=15)(_spot(n, at=(28, 22.5), sigma=1), _keys(n))) - [28, 22.5]
    edge = _centre(replace(NOTHING, turn=15)(_spot(n, at=(28, 40), sigma=1), _keys(n))) - [28, 40]
    assert np.abs(middle[:, 0]).max() < 0.01
    assert np.abs(middle[:, 1]).max() == pytest.approx(0.85 * np.sin(np.deg2rad(15)) * 22.5, rel=0.1)
    assert np.abs(edge[:, 1]).max() < 0.6 * np.abs(middle[:, 1]).max()
    nod = _centre(replace(NOTHING, nod=8)(_spot(n, sigma=1), _keys(n))) - [28, 22]
    assert np.abs(nod[:, 1]).max() < 0.01
    assert np.abs(nod[:, 0]).max() == pytest.approx(np.sin(np.deg2rad(8)) * 27.5, rel=0.1)


def test_gamma_is_a_power_within_its_range():
    x = _faces(200)
    out = replace(NOTHING, gamma=0.5)(x, _keys(200))
    powers = np.log(out) / np.log(x)
    assert np.abs(powers.max((1, 2)) - powers.min((1, 2))).max() < 1e-2
    assert np.allclose([powers.min(), powers.max()], np.exp([-0.5, 0.5]), rtol=0.03)


def test_light_falls_off_linearly():
    x = np.full((200, 11, 9), 0.5, np.float32)
    out = replace(NOTHING, light=0.4)(x, _keys(200)) / 0.5
    assert np.abs(np.diff(out, 2, axis=1)).max() < 1e-5
    assert np.abs(np.diff(out, 2, axis=2)).max() < 1e-5
    assert np.abs(out[:, 5, 4] - 1).max() < 1e-5
    assert 0.38 < np.abs(out[:, 0, 4] - 1).max() <= 0.4001


def test_noise_has_up_to_its_spread_on_its_share_of_images():
    x = np.full((300, 20, 20), 0.5, np.float32)
    spread = (replace(NOTHING, noisy=0.4, noise=0.1)(x, _keys(300)) - x).std((1, 2))
    noisy = spread > 1e-6
    assert 0.32 < noisy.mean() < 0.48
    assert 0.085 < spread.max() < 0.112
    assert spread[noisy].mean() == pytest.approx(0.05, abs=0.01)


def test_dark_images_keep_their_share_of_light_and_show_the_sensor():
    x = np.full((400, 20, 20), 0.8, np.float32)
    out = replace(NOTHING, dim=0.25, darkness=(0.12, 0.5))(x, _keys(400))
    factor = out.mean((1, 2)) / 0.8
    dark = factor < 0.9
    assert 0.19 < dark.mean() < 0.31
    assert 0.1 < factor[dark].min() < 0.15
    assert 0.45 < factor[dark].max() < 0.52
    assert out[dark].std((1, 2)).mean() == pytest.approx(0.012, rel=0.1)
    assert np.abs(out[~dark] - 0.8).max() < 1e-5


def test_a_rectangle_of_one_level_within_its_size_is_covered():
    x = np.full((400, 40, 30), 0.37, np.float32)
    out = replace(NOTHING, erased=0.5, erased_size=(0.1, 0.5), black=0.6)(x, _keys(400))
    black = seen = 0
    tops = []
    for face in out:
        covered = np.abs(face - 0.37) > 1e-4
        if not covered.any():
            continue
        rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
        inside = face[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert np.ptp(inside) == 0
        assert covered.sum() == inside.size
        assert 4 <= inside.shape[0] <= 20
        assert 3 <= inside.shape[1] <= 15
        seen += 1
        black += inside[0, 0] == 0
        tops.append(rows[0])
    assert 0.42 < seen / 400 < 0.58
    assert 0.5 < black / seen < 0.7
    assert min(tops) == 0
    assert max(tops) > 25


def test_blocks_hide_each_part_about_as_often():
    x = np.full((800, 50, 40), 0.5, np.float32)
    out = replace(NOTHING, block=1.0, black=1.0)(x, _keys(800))
    hidden = out == 0
    full_rows = hidden.all(2)
    lower = full_rows[:, -1] & ~full_rows[:, 0] & (full_rows.mean(1) >= 0.4)
    upper = full_rows[:, 0] & ~full_rows[:, -1] & (full_rows.mean(1) >= 0.3)
    side = hidden.all(1).any(1)
    band = ~lower & ~upper & ~side
    for part, (least, most) in ((lower, (0.4, 0.6)), (upper, (0.3, 0.5)), (side, (0.4, 0.6)), (band, (0.15, 0.27))):
        assert 0.2 < part.mean() < 0.3
        shares = hidden[part].mean((1, 2))
        assert shares.min() == pytest.approx(least, abs=0.02)
        assert shares.max() == pytest.approx(most, abs=0.02)
    left = hidden[side][:, 0, 0]
    assert 0.4 < left.mean() < 0.6
    assert full_rows[band].argmax(1).min() == 0


def test_every_setting_is_read():
    # Each field changes the result of an augmentation in which everything happens.
    x = _faces(40)
    everything = Augmentation(turn=15, nod=8, dim=0.5, erased=0.5, block=0.5)
    base = everything(x, _keys(40))
    for field in fields(Augmentation):
        value = getattr(everything, field.name)
        other = tuple(v * 0.7 for v in value) if isinstance(value, tuple) else value * 0.5
        assert np.abs(replace(everything, **{field.name: other})(x, _keys(40)) - base).max() > 1e-3, field.name
