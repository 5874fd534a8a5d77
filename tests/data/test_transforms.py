"""Transforms of pictures: what must stay the same, what must move where, and draws that a key decides."""

from __future__ import annotations

import numpy as np
import pytest

from minidl import Tensor
from minidl.data import DataLoader, TensorDataset, TransformedDataset
from minidl.data import transforms as T
from minidl.data import transforms_geometry as geometry
from minidl.data import transforms_intensity as intensity

KEY = (0, 1, 2)
ALWAYS = [T.ToFloat(), T.ToGray(), T.ToRGB(), T.Resize((5, 9)), T.CenterCrop((6, 5))]
TRAIN = [
    T.RandomCrop((6, 5)),
    T.RandomCrop((11, 8), padding=2, fill=None),
    T.HorizontalFlip(),
    T.Rotate(20),
    T.Rotate(20, fill=0),
    T.ShiftScale(),
    T.BrightnessContrast(),
    T.Gamma(),
    T.RandomErasing(p=1),
    T.RandomErasing(p=1, value=0),
    T.GaussianNoise(),
]
named = pytest.mark.parametrize


@pytest.fixture
def picture(rng):
    return rng.integers(256, size=(3, 11, 8)).astype(np.uint8)


# ── what all of them keep ─────────────────────────────────────────────────────────────────────────


@named("transform", ALWAYS + TRAIN, ids=repr)
@named("dtype", ["u1", "f2", "f4", "f8"])
def test_T8_dtype_range_and_the_picture_itself_are_kept(transform, dtype, picture):
    image = picture if dtype == "u1" else (picture / 255).astype(dtype)
    image.flags.writeable = False
    y = transform(image, key=KEY)
    assert y.dtype == (np.float32 if isinstance(transform, T.ToFloat) and dtype == "u1" else image.dtype)
    assert y.ndim == 3
    assert y.min() >= 0
    assert y.max() <= (255 if y.dtype == np.uint8 else 1)


@named("transform", ALWAYS + TRAIN, ids=repr)
def test_uint8_and_float_pictures_agree(transform, picture):
    as_float = transform(picture.astype("f8") / 255, key=KEY)
    as_bytes = intensity.to_float(transform(picture, key=KEY))
    np.testing.assert_allclose(as_float, as_bytes, atol=0.5 / 255 + 1e-5)


ALIKE = [t for t in ALWAYS + TRAIN if t not in (T.GaussianNoise(), T.RandomErasing(p=1))]  # noise is each picture's own


@named("transform", ALIKE, ids=repr)
def test_a_stack_of_pictures_is_done_picture_by_picture(transform, picture):
    stack = np.stack([picture, picture[:, ::-1], 255 - picture])
    single = np.stack([transform(image, key=KEY) for image in stack])
    np.testing.assert_array_equal(transform(stack, key=KEY), single)


@named("transform", ALWAYS + TRAIN, ids=repr)
def test_tensors_come_back_as_tensors(transform, picture):
    y = transform(Tensor(picture), key=KEY)
    assert isinstance(y, Tensor)
    np.testing.assert_array_equal(y.array, transform(picture, key=KEY))


# ── draws ─────────────────────────────────────────────────────────────────────────────────────────


@named("transform", TRAIN, ids=repr)
def test_the_key_alone_decides_what_is_drawn(transform, picture):
    first = [transform(picture, key=(0, 0, i)).tobytes() for i in range(12)]
    assert [transform(picture, key=(0, 0, i)).tobytes() for i in reversed(range(12))] == first[::-1]
    assert len(set(first)) > 1
    assert [transform(picture, key=(1, 0, i)).tobytes() for i in range(12)] != first
    assert [transform(picture, key=(0, 1, i)).tobytes() for i in range(12)] != first


def test_no_global_stream_is_touched(picture):
    state = repr(np.random.get_state())  # noqa: NPY002
    for transform in TRAIN:
        transform(picture, key=KEY)
    assert repr(np.random.get_state()) == state  # noqa: NPY002


@named("transform", TRAIN, ids=repr)
def test_a_draw_without_a_key_is_refused(transform, picture):
    with pytest.raises(TypeError, match="needs a key"):
        transform(picture)


def test_002_T6_augmentation_belongs_to_training_alone(picture):
    both = T.Compose([T.ToGray(), T.Rotate(5), T.Compose([T.Gamma(), T.ToFloat()]), T.Normalize(0.5, 0.25)])
    assert both.evaluation() == T.Compose([T.ToGray(), T.Compose([T.ToFloat()]), T.Normalize(0.5, 0.25)])
    expected = (intensity.to_float(intensity.to_gray(picture)) - 0.5) / 0.25
    np.testing.assert_allclose(both.evaluation()(picture), expected, rtol=1e-6)
    assert not np.allclose(both(picture, key=KEY), expected)
    assert all(isinstance(t, T.TrainOnly) for t in TRAIN)
    assert all(isinstance(t, T.Always) for t in ALWAYS)


def test_equal_transforms_in_a_row_draw_independently(picture):
    flips = T.Compose([T.HorizontalFlip(), T.HorizontalFlip()])
    mirrored = sum(not np.array_equal(flips(picture, key=(i,)), picture) for i in range(40))
    assert 8 < mirrored < 32, "two flips drawn alike would always cancel"


def test_a_loader_keys_every_picture_by_seed_epoch_and_index(picture):
    images = np.stack([picture] * 6)
    data = TransformedDataset(TensorDataset(images, np.arange(6)), T.Compose([T.GaussianNoise(0.1), T.ToFloat()]))
    one, two = (DataLoader(data, 2, shuffle=shuffle, seed=4, num_workers=2 * shuffle) for shuffle in (False, True))

    def epoch(loader):
        return {int(i): x.array.tobytes() for xs, index in loader for x, i in zip(xs, index, strict=True)}

    first = epoch(one)
    assert len(set(first.values())) == 6
    assert epoch(two) == first, "the order and the threads do not matter"
    assert set(epoch(one).values()).isdisjoint(first.values()), "another epoch, another draw"


# ── scales and colours ────────────────────────────────────────────────────────────────────────────


def test_001_C1a_dividing_by_255_is_called_what_it_is():
    x = np.array([[[0, 128, 255]]], np.uint8)
    y = intensity.to_float(x)
    assert y.dtype == np.float32
    assert y.tolist() == [[[0, np.float32(128 / 255), 1]]]
    np.testing.assert_array_equal(intensity.to_uint8(y), x)
    assert intensity.to_float(np.array([65535], np.uint16)).item() == 1
    assert intensity.to_float(y) is y
    with pytest.raises(TypeError, match="int64"):
        intensity.to_float(np.array([[1]]))


def test_every_byte_survives_the_way_to_float_and_back():
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(intensity.to_uint8(intensity.to_float(every)), every)
    assert intensity.to_uint8(np.array([-0.3, 1.7], "f4")).tolist() == [0, 255]


def test_003_C1_grey_keeps_a_channel_axis(picture):
    assert intensity.to_gray(picture).shape == (1, 11, 8)
    white, red = np.full((3, 2, 2), 255, np.uint8), np.zeros((3, 2, 2), np.uint8)
    red[0] = 255
    assert intensity.to_gray(white).tolist() == [[[255, 255], [255, 255]]]
    assert intensity.to_gray(red).tolist() == [[[76, 76], [76, 76]]]
    grey = intensity.to_gray(picture)
    np.testing.assert_array_equal(intensity.to_gray(intensity.to_rgb(grey)), grey)
    np.testing.assert_array_equal(intensity.to_rgb(np.concatenate([picture, grey])), picture)
    with pytest.raises(ValueError, match=r"C = 1, 3 or 4, got shape \(11, 8\)"):
        intensity.to_gray(picture[0])


def test_grey_agrees_with_opencv(picture):
    cv2 = pytest.importorskip("cv2")
    expected = cv2.cvtColor(np.moveaxis(picture, 0, 2), cv2.COLOR_RGB2GRAY)
    assert np.abs(intensity.to_gray(picture)[0].astype(int) - expected).max() <= 1


def test_channels_first(picture):
    np.testing.assert_array_equal(intensity.channels_first(np.moveaxis(picture, 0, 2)), picture)
    assert intensity.channels_first(picture[0]).shape == (1, 11, 8)
    with pytest.raises(ValueError, match="C = 1, 3 or 4"):
        intensity.channels_first(picture)


def test_normalize_channel_by_channel(picture):
    x = intensity.to_float(picture)
    mean, std = tuple(x.mean((1, 2)).tolist()), tuple(x.std((1, 2)).tolist())
    y = T.Normalize(mean, std)(x)
    np.testing.assert_allclose(y.mean((1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((1, 2)), 1, atol=1e-5)
    with pytest.raises(TypeError, match="uint8; make it floating first"):
        T.Normalize(0.5, 0.5)(picture)
    with pytest.raises(ValueError, match="std must be > 0"):
        T.Normalize(0.5, 0.0)(x)


def test_light(picture):
    x = picture.astype("f8") / 255
    np.testing.assert_allclose(intensity.brightness_contrast(x), x)
    np.testing.assert_allclose(intensity.brightness_contrast(x * 0.5, 0.25).mean(), x.mean() * 0.5 + 0.25)
    softer = intensity.brightness_contrast(x, contrast=0.5)
    np.testing.assert_allclose([softer.mean(), softer.std()], [x.mean(), x.std() / 2])
    np.testing.assert_allclose(intensity.gamma(x, 2), x**2)
    edges = np.array([[[0, 255]]], np.uint8)
    np.testing.assert_array_equal(intensity.gamma(edges, 3), edges)
    np.testing.assert_array_equal(intensity.gamma(picture, 1), picture)
    with pytest.raises(ValueError, match="must be > 0"):
        intensity.gamma(x, 0)


def test_noise_has_the_size_it_says():
    grey = np.full((1, 100, 100), 0.5)
    y = T.GaussianNoise(0.05)(grey, key=KEY)
    assert abs(y.mean() - 0.5) < 0.002
    assert abs(y.std() - 0.05) < 0.002


def test_erasing_covers_the_area_it_says_and_nothing_else():
    image = np.full((2, 40, 30), 7, np.uint8)
    shares = []
    for i in range(60):
        y = T.RandomErasing(p=1, area=(0.1, 0.2), value=0)(image, key=(i,))
        rows, columns = np.nonzero(y[0] == 0)
        shares.append(len(rows) / 1200)
        assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1), "one rectangle"
        np.testing.assert_array_equal(y[0], y[1])
        assert set(np.unique(y)) == {0, 7}
    assert 0.07 < min(shares) < 0.12
    assert 0.17 < max(shares) < 0.23
    assert sum(np.array_equal(T.RandomErasing(p=0.3)(image, key=(i,)), image) for i in range(100)) in range(55, 85)


# ── geometry ──────────────────────────────────────────────────────────────────────────────────────


@named("mode", ["area", "bilinear"])
@named("size", [(11, 8), (1, 1), (5, 3), (22, 16), (7, 20), (23, 2)])
def test_resizing_keeps_a_constant_and_the_range(mode, size, rng):
    np.testing.assert_array_equal(geometry.resize(np.full((2, 11, 8), 200, np.uint8), size, mode), 200)
    x = rng.random((1, 11, 8))
    y = geometry.resize(x, size, mode)
    assert y.shape == (1, *size)
    assert x.min() - 1e-12 <= y.min() <= y.max() <= x.max() + 1e-12
    np.testing.assert_allclose(geometry.resize(x[..., ::-1], size, mode), y[..., ::-1], atol=1e-12)
    np.testing.assert_allclose(geometry.resize(x.swapaxes(1, 2), size[::-1], mode), y.swapaxes(1, 2), atol=1e-12)


def test_area_means():
    x = np.arange(24.0).reshape(1, 4, 6)
    np.testing.assert_allclose(geometry.resize(x, (2, 3)), x.reshape(1, 2, 2, 3, 2).mean((2, 4)))
    np.testing.assert_allclose(geometry.resize(x, (3, 4)).mean(), x.mean())
    np.testing.assert_allclose(geometry.resize(np.array([[0.0, 1, 2]]), (1, 2)), [[1 / 3, 5 / 3]])


SMALLER, LARGER = [(56, 46), (40, 31), (112, 46), (100, 92)], [(300, 200), (150, 60)]


@named(  # opencv's area mode follows a rule of its own when a side grows
    ("size", "mode"), [(s, "area") for s in SMALLER] + [(s, "bilinear") for s in SMALLER + LARGER]
)
def test_resizing_agrees_with_opencv(size, mode, rng):
    cv2 = pytest.importorskip("cv2")
    image = rng.integers(256, size=(112, 92)).astype(np.uint8)
    flag = cv2.INTER_AREA if mode == "area" else cv2.INTER_LINEAR
    expected = cv2.resize(image, size[::-1], interpolation=flag).astype(int)
    assert np.abs(geometry.resize(image[None], size, mode)[0].astype(int) - expected).max() <= 1


def test_turning(picture):
    x = picture.astype("f8")
    np.testing.assert_array_equal(geometry.rotate(picture, 0), picture)
    square = x[:, :8, :8]
    for quarter in range(-3, 5):
        np.testing.assert_allclose(geometry.rotate(square, 90 * quarter), np.rot90(square, quarter, (1, 2)), atol=1e-6)
    np.testing.assert_allclose(geometry.rotate(x, 180), x[:, ::-1, ::-1], atol=1e-6)
    there = geometry.rotate(np.full((1, 20, 20), 9.0), 30, fill=0)
    assert there[0, 10, 10] == 9
    assert there[0, 0, 0] == 0
    np.testing.assert_allclose(geometry.rotate(np.full((1, 20, 20), 9.0), 30, fill=None), 9)


def test_turning_agrees_with_opencv(rng):
    cv2 = pytest.importorskip("cv2")
    smooth = cv2.GaussianBlur(rng.integers(256, size=(40, 30)).astype(np.uint8), (0, 0), 3)
    for degrees, fill in ((10, 0), (-33, 0), (10, None)):
        border = cv2.BORDER_CONSTANT if fill == 0 else cv2.BORDER_REPLICATE
        matrix = cv2.getRotationMatrix2D((14.5, 19.5), degrees, 1)
        expected = cv2.warpAffine(smooth, matrix, (30, 40), borderMode=border, flags=cv2.INTER_LINEAR)
        got = geometry.rotate(smooth[None], degrees, fill)[0]
        assert np.abs(got.astype(int) - expected).max() <= (8 if fill == 0 else 2)  # opencv rounds places to 1/32 pixel


def test_moving_and_enlarging(picture):
    x = picture.astype("f8")
    moved = geometry.shift_scale(x, (2, -3))
    np.testing.assert_array_equal(moved[:, 2:, :-3], x[:, :-2, 3:])
    assert not moved[:, :2].any()
    assert not moved[:, :, -3:].any()
    np.testing.assert_array_equal(geometry.shift_scale(x), x)
    half = geometry.shift_scale(x, (0.5, 0), fill=None)
    np.testing.assert_allclose(half[:, 1:], (x[:, 1:] + x[:, :-1]) / 2)
    dot = np.zeros((1, 9, 9))
    dot[0, 6, 4] = 1
    larger = geometry.shift_scale(dot, (1, 0), 1.5)
    assert np.unravel_index(larger.argmax(), larger.shape) == (0, 8, 4), "4 + 1.5·2 + 1"
    with pytest.raises(ValueError, match="scale must be > 0"):
        geometry.shift_scale(x, scale=0)


def test_mirror_and_cut(picture):
    flip = T.HorizontalFlip(p=1)
    np.testing.assert_array_equal(flip(flip(picture, key=KEY), key=KEY), picture)
    np.testing.assert_array_equal(flip(picture, key=KEY), picture[:, :, ::-1])
    np.testing.assert_array_equal(T.HorizontalFlip(p=0)(picture, key=KEY), picture)
    np.testing.assert_array_equal(geometry.center_crop(picture, (5, 4)), picture[:, 3:8, 2:6])
    with pytest.raises(ValueError, match="do not lie within a picture of 11×8"):
        geometry.center_crop(picture, (12, 4))
    with pytest.raises(ValueError, match="do not lie within"):
        T.RandomCrop((12, 4))(picture, key=KEY)
    padded = np.pad(picture, ((0, 0), (2, 2), (2, 2)))
    places = set()
    for i in range(80):
        y = T.RandomCrop((11, 8), padding=2)(picture, key=(i,))
        found = [(t, k) for t in range(5) for k in range(5) if np.array_equal(y, padded[:, t : t + 11, k : k + 8])]
        assert len(found) == 1
        places |= set(found)
    assert len(places) > 20, "all 25 places can be drawn"


@named("bad", [(0, 3), (3, 0), (-1, 2)])
def test_sizes_that_make_no_picture_are_refused(bad, picture):
    with pytest.raises(ValueError, match="cannot be made"):
        geometry.resize(picture, bad)
    with pytest.raises(ValueError, match="mode is 'area' or 'bilinear', got 'cubic'"):
        geometry.resize(picture, (2, 2), "cubic")
    with pytest.raises(ValueError, match=r"expected a picture \(..., H, W\)"):
        geometry.resize(np.zeros((0, 3)), (2, 2))
