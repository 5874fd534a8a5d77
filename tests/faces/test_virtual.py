"""People made of people: who they are made of, that they are classes of their own, and the same every time."""

import numpy as np
import pytest

from minidl.faces.augment import Augmentation
from minidl.faces.virtual import SEAM, VirtualPeople

PEOPLE, EACH, SIZE = 4, 3, (30, 20)
CODES = np.repeat(np.arange(PEOPLE), EACH)


def _virtual(most=10_000, change=None, each=1, seed=0, batch=40):
    """Faces whose pixels say who it is, in another way above and below and left and right."""
    rng = np.random.default_rng(7)
    faces = rng.random((PEOPLE, *SIZE))[CODES] + 0.01 * rng.random((len(CODES), *SIZE))
    return VirtualPeople(faces.astype(np.float32), CODES, lambda x: x[:, None], batch, change, most, each, seed)


def _many(virtual, steps=60):
    batches = [virtual(step) for step in range(steps)]
    return np.concatenate([faces[:, 0] for faces, _ in batches]), np.concatenate([codes for _, codes in batches])


def test_two_people_make_others_by_halves_and_by_means_and_each_is_another_in_the_mirror():
    mirrored, halves, means = PEOPLE, PEOPLE * (PEOPLE - 1), PEOPLE * (PEOPLE - 1) // 2
    assert _virtual().classes == PEOPLE + mirrored + halves + means
    assert _virtual(most=5).classes == PEOPLE + 5
    assert _virtual(most=0).classes == PEOPLE


def test_every_class_is_one_appearance_and_no_two_are_alike():
    faces, codes = _many(_virtual(), 100)
    assert set(codes) == set(range(_virtual().classes)), "everybody is shown"
    flat = faces.reshape(len(faces), -1)
    flat = (flat - flat.mean(1, keepdims=True)) / flat.std(1, keepdims=True)
    first = {code: flat[np.flatnonzero(codes == code)[0]] for code in set(codes)}
    centres = np.stack([first[code] for code in sorted(first)])
    assert np.array_equal((flat @ centres.T).argmax(1), codes)


def test_the_upper_half_is_of_one_and_the_lower_of_another():
    virtual = _virtual()
    faces, codes = _many(virtual)
    kind, a, b, _ = virtual._made.T
    chosen = next(k for k in codes if k >= PEOPLE and kind[k - PEOPLE] == 1 and virtual._made[k - PEOPLE, 3] == 0)
    face = faces[np.flatnonzero(codes == chosen)[0]]
    row = int(SEAM * SIZE[0])

    def likeness(person, rows):
        return max(np.corrcoef(face[rows].ravel(), own[rows].ravel())[0, 1] for own in virtual.faces[person == CODES])

    above, below = slice(0, row - 3), slice(row + 4, None)
    first, second = a[chosen - PEOPLE], b[chosen - PEOPLE]
    assert likeness(first, above) > 0.99
    assert likeness(second, below) > 0.99
    assert likeness(second, above) < 0.5
    assert likeness(first, below) < 0.5


def test_two_fifths_of_what_is_shown_are_real_people():
    _, codes = _many(_virtual())
    assert np.mean(codes < PEOPLE) == pytest.approx(0.4, abs=0.04)


def test_several_of_a_person_where_the_loss_compares():
    _, codes = _virtual(each=4, batch=12)(0)
    assert (codes.reshape(3, 4) == codes[::4, None]).all()


def test_a_batch_depends_on_seed_and_step_alone():
    one, same, other = (_virtual(change=Augmentation(flip=0), seed=seed)(5) for seed in (1, 1, 2))
    assert np.array_equal(one[0], same[0])
    assert np.array_equal(one[1], same[1])
    assert not np.array_equal(one[0], other[0])
