"""What each normalisation takes out, and that it does so for every image by itself."""

import numpy as np
import pytest

from minidl.faces.errors import BadImage
from minidl.faces.normalise import area_mean, normalise

WAYS = ("zscore", "gamma", "dog", "lcn")


def _faces(n=4, h=56, w=46, seed=0):
    """Smooth random pictures in 0..1."""
    rng = np.random.default_rng(seed)
    rows = np.sin(np.linspace(0, 7, h)[:, None] * rng.uniform(0.5, 2, (n, 1, 1)) + rng.uniform(0, 6, (n, 1, 1)))
    columns = np.cos(np.linspace(0, 5, w) * rng.uniform(0.5, 2, (n, 1, 1)))
    return (0.5 + 0.2 * rows * columns + 0.05 * rng.normal(size=(n, h, w))).clip(0.02, 0.98).astype(np.float32)


def _blur9(x):
    """The mean of 9 × 9 pixels by its definition, the border repeated."""
    padded = np.pad(x.astype(np.float64), 4, mode="edge")
    return np.array([[padded[i : i + 9, j : j + 9].mean() for j in range(x.shape[1])] for i in range(x.shape[0])])


def test_local_contrast_equals_its_definition():
    x = _faces(1, 23, 17)[0].astype(np.float64)
    z = (x - x.mean()) / x.std()
    d = z - _blur9(_blur9(z))
    expected = d / (np.sqrt(_blur9(_blur9(d * d))) + 0.2)
    assert np.abs(normalise(x, "lcn") - expected).max() < 1e-5


def test_zscore_has_mean_zero_and_spread_one():
    z = normalise(_faces())
    assert np.abs(z.mean((1, 2))).max() < 1e-6
    assert np.abs(z.std((1, 2)) - 1).max() < 1e-5


@pytest.mark.parametrize("how", ["zscore", "lcn"])
def test_brightness_and_contrast_of_the_whole_image_do_not_matter(how):
    x = _faces()
    assert np.abs(normalise(0.2 * x + 0.1, how) - normalise(x, how)).max() < 1e-3


def test_local_contrast_takes_out_a_slope_of_light_that_zscore_keeps():
    x = _faces()
    slope = x * np.linspace(0.4, 1.6, x.shape[2], dtype=np.float32)

    def change(how):
        return np.abs(normalise(slope, how) - normalise(x, how)).mean() / np.abs(normalise(x, how)).mean()

    assert change("lcn") < 0.5 * change("zscore")


def test_gamma_brings_dark_and_bright_near_one_half():
    x = _faces()
    assert normalise(x**3, "gamma").mean((1, 2)) == pytest.approx(0.5, abs=0.06)
    assert normalise(x**0.3, "gamma").mean((1, 2)) == pytest.approx(0.5, abs=0.06)


def test_difference_of_gaussians_ignores_the_strength_of_light():
    x = _faces()
    assert np.abs(normalise(0.3 * x, "dog") - normalise(x, "dog")).max() < 1e-3
    assert np.abs(normalise(x, "dog")).max() <= 10


@pytest.mark.parametrize("how", WAYS)
def test_an_image_is_normalised_alike_alone_and_among_others(how):
    x = _faces()
    together = normalise(x, how)
    assert together.dtype == np.float32
    for k in range(len(x)):
        assert np.array_equal(normalise(x[k], how), together[k])
    assert np.array_equal(normalise(x[::-1], how), together[::-1])  # T30: a strided view


@pytest.mark.parametrize("how", WAYS)
def test_uint8_means_the_same_as_its_fraction_of_255(how):
    x = (_faces() * 255).astype(np.uint8)
    assert np.array_equal(normalise(x, how), normalise(x.astype(np.float32) / np.float32(255), how))


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("level", [0, 3, 255])
def test_an_image_of_one_grey_level_stays_quiet(how, level):
    # T28: nothing is divided by a spread of zero.
    y = normalise(np.full((2, 30, 20), level, np.uint8), how)
    assert np.isfinite(y).all()
    assert np.ptp(y) < 0.02


@pytest.mark.parametrize("how", WAYS)
def test_tiny_images_work(how):
    assert normalise(np.array([[[10, 200], [30, 40]]], np.uint8), how).shape == (1, 2, 2)


@pytest.mark.parametrize("how", WAYS)
def test_the_input_is_left_alone(how):
    x = _faces()
    before = x.copy()
    normalise(x, how)
    assert np.array_equal(x, before)


def test_area_mean_of_whole_blocks_is_their_mean():
    x = np.random.default_rng(0).integers(0, 256, (3, 112, 92), dtype=np.uint8)
    expected = x.reshape(3, 56, 2, 46, 2).mean((2, 4)) / 255
    assert np.abs(area_mean(x, (56, 46)) - expected).max() < 1e-6


def test_area_mean_of_fractions_keeps_the_mean_and_splits_pixels():
    assert np.allclose(area_mean(np.array([[0.0, 3.0, 6.0]]), (1, 2)), [[1.0, 5.0]])
    x = _faces(2, 37, 29)
    assert np.allclose(area_mean(x, (11, 13)).mean((1, 2)), x.mean((1, 2)), atol=1e-5)
    assert np.allclose(area_mean(x, (37, 29)), x)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: normalise(np.zeros((3, 3), np.uint8), "magic"),
            "zscore, gamma, dog, lcn, but was asked for 'magic'",
        ),
        (lambda: normalise(np.zeros((3, 3), np.int64)), "it is int64"),
        (lambda: normalise(np.full((3, 3), np.nan)), "NaN or infinite"),
        (lambda: normalise(np.zeros((1, 3, 3, 3))), r"\(1, 3, 3, 3\)"),
        (lambda: normalise(np.zeros((0, 3, 3))), "at least one pixel"),
        (lambda: area_mean(np.zeros((3, 3)), (4, 2)), "3×3 pixels .* 4×2"),
    ],
)
def test_bad_input_gets_one_sentence(call, sentence):
    with pytest.raises(BadImage, match=sentence):
        call()
