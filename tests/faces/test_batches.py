"""What a network is shown: everybody equally often, several of a person for a loss that compares, always the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.faces.augment import Augmentation
from minidl.faces.batches import ImageBatches, balanced

CODES = np.array([0] * 9 + [1] * 2 + [2] * 5)


def _faces(codes, seed=0):
    """(n, 20, 18) grey levels: noise about a level of its own for each image."""
    rng = np.random.default_rng(seed)
    return (rng.random((len(codes), 20, 18)) * 0.2 + np.arange(len(codes))[:, None, None] / 20).astype(np.float32)


def _shown(batches, steps):
    return np.concatenate([batches(step)[1] for step in range(steps)])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_after_balancing_everybody_has_as_many_images_and_no_image_is_lost(people):
    codes = np.array(people)
    order = balanced(codes)
    counts = np.bincount(codes[order])
    assert set(counts[counts > 0]) == {np.bincount(codes).max()}
    assert set(order) == set(range(len(codes)))
    if len(set(np.bincount(codes)[np.bincount(codes) > 0])) == 1:
        assert order.tolist() == list(range(len(codes))), "a balanced gallery stays as it is"


def test_a_person_with_few_images_is_shown_as_often_as_the_others():
    shown = _shown(ImageBatches(_faces(CODES), CODES, lambda x: x[:, None], 9, None), 9)
    assert np.bincount(shown).tolist() == [27, 27, 27]


def test_a_repeated_image_is_changed_anew_each_time():
    codes = np.array([0, 0, 0, 1])
    batches = ImageBatches(_faces(codes), codes, lambda x: x[:, None], 6, Augmentation())
    faces, people = batches(0)
    repeated = faces[people == 1]
    assert len(repeated) == 3
    assert not np.array_equal(repeated[0], repeated[1])


@pytest.mark.parametrize("each", [1, 3])
def test_a_batch_depends_on_seed_and_step_alone(each):
    def made(seed):
        return ImageBatches(_faces(CODES), CODES, lambda x: x[:, None], 6, Augmentation(), each, seed)

    there, back = [made(3)(step) for step in range(4)], [made(3)(step) for step in (3, 2, 1, 0)][::-1]
    for (one, who), (other, same) in zip(there, back, strict=True):
        assert np.array_equal(one, other)
        assert np.array_equal(who, same)
    assert not np.array_equal(made(3)(0)[0], made(4)(0)[0])


@given(st.integers(2, 5), st.integers(2, 20), st.integers(0, 3))
def test_a_loss_that_compares_gets_several_images_of_each_of_several_people(each, batch, seed):
    batches = ImageBatches(_faces(CODES), CODES, lambda x: x[:, None], batch, None, each, seed)
    for step in range(3):
        _, people = batches(step)
        assert (people.reshape(-1, each) == people[::each, None]).all()
        assert len(people) == each * max(2, batch // each)
        if batch // each <= 3 and step == 0:
            assert len(set(people)) == max(2, batch // each), "no person twice before everybody was shown"


def test_without_augmentation_the_images_are_shown_as_they_are():
    faces = _faces(CODES)
    shown, people = ImageBatches(faces, CODES, lambda x: x[:, None], 8, None)(0)
    for one, code in zip(shown[:, 0], people, strict=True):
        assert any(np.array_equal(one, face) for face in faces[code == CODES])
