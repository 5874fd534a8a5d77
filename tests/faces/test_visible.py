"""Which pixels show something, and that what is hidden does not touch what is seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.faces.normalise import local_contrast, zscore
from minidl.faces.visible import visible


def _face(seed=0, size=(40, 32)):
    rng = np.random.default_rng(seed)
    return rng.random((1, *size)).astype(np.float32) * 0.8 + 0.1


@given(st.integers(5, 20), st.integers(5, 20), st.integers(0, 12), st.integers(0, 20), st.floats(0, 1))
def test_a_covered_rectangle_and_one_pixel_around_it_are_hidden(tall, wide, left, top, ink):
    face = _face()
    face[:, top : top + tall, left : left + wide] = ink
    seen = visible(face)[0]
    expected = np.ones_like(seen)
    expected[max(top - 1, 0) : top + tall + 1, max(left - 1, 0) : left + wide + 1] = 0
    assert np.array_equal(seen, expected)


def test_small_flat_places_a_photograph_has_anyway_are_not_hidden():
    face = _face()
    face[:, 10:14, 10:14] = 0
    assert visible(face).all()


def test_an_image_that_shows_nothing_counts_as_visible():
    assert visible(np.full((2, 20, 20), 0.5, np.float32)).all()


def test_each_image_by_itself():
    both = np.concatenate([_face(0), _face(1)])
    both[1, :20] = 0
    seen = visible(both)
    assert seen[0].all()
    assert np.array_equal(seen[1:], visible(both[1:]))


@pytest.mark.parametrize("ink", [0.0, 0.4, 1.0])
def test_what_covers_a_part_leaves_the_rest_as_it_would_be_under_any_other_cover(ink):
    face, other = _face(3), _face(3)
    face[:, 24:], other[:, 24:] = ink, 0.77
    seen = visible(face)
    assert np.allclose(local_contrast(face, seen=seen), local_contrast(other, seen=visible(other)), atol=1e-5)
    assert (local_contrast(face, seen=seen)[seen == 0] == 0).all()
    assert not np.allclose(local_contrast(face), local_contrast(other), atol=0.1), "counted in, the cover does matter"


def test_mean_and_deviation_are_those_of_the_visible_part():
    face = _face(5)
    face[:, :, :12] = 0
    seen = visible(face)
    z = zscore(face, seen)[seen == 1]
    assert z.mean() == pytest.approx(0, abs=1e-5)
    assert z.std() == pytest.approx(1, abs=1e-4)


def test_where_everything_is_seen_nothing_changes():
    face = _face(6)
    assert np.allclose(local_contrast(face), local_contrast(face, seen=visible(face)), atol=1e-5)
