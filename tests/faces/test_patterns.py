"""Local binary patterns: what they see, what they do not, and against the definition pixel by pixel."""

import numpy as np
import pytest

from minidl.faces.errors import BadDataset, BadImage, BadModelFile, NotFitted
from minidl.faces.generated import generated_faces
from minidl.faces.patterns import GRID, PATTERNS, LocalBinaryPatterns, local_binary_patterns, pattern_histograms

CIRCLE = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)]


def _image(seed=0, size=(12, 10)):
    return np.random.default_rng(seed).integers(0, 256, (1, *size), np.uint8)


def test_two_pixels_have_one_pattern_exactly_if_their_uniform_codes_are_equal():
    image = _image(size=(30, 30))
    found = local_binary_patterns(image)[0]
    pattern_of = {}
    for y in range(1, 29):
        for x in range(1, 29):
            bits = [int(image[0, y + dy, x + dx] >= image[0, y, x]) for dy, dx in CIRCLE]
            changes = sum(a != b for a, b in zip(bits, bits[1:] + bits[:1], strict=True))
            code = tuple(bits) if changes <= 2 else "mixed"
            assert pattern_of.setdefault(code, found[y - 1, x - 1]) == found[y - 1, x - 1]
    assert len(set(pattern_of.values())) == len(pattern_of) > 40
    assert max(pattern_of.values()) == PATTERNS - 1 == pattern_of["mixed"]


def test_an_increasing_change_of_light_changes_no_pattern():
    image = _image(1).astype(float)
    assert np.array_equal(local_binary_patterns(image), local_binary_patterns(np.log1p(image) * 3 + 7))


def test_embeddings_have_length_one_and_every_cell_the_same_weight():
    histograms = pattern_histograms(generated_faces(people=3, per_person=2, size=(56, 46), difficulty="easy").images)
    assert histograms.shape == (6, GRID[0] * GRID[1] * PATTERNS)
    assert np.allclose(np.linalg.norm(histograms, axis=1), 1, atol=1e-5)
    cells = np.square(histograms).reshape(6, GRID[0] * GRID[1], PATTERNS).sum(2)
    assert np.allclose(cells, 1 / (GRID[0] * GRID[1]), atol=1e-5)


def test_likeness_is_the_mean_bhattacharyya_coefficient_of_the_cells():
    one, other = pattern_histograms(np.concatenate([_image(2, (40, 40)), _image(3, (40, 40))]))
    p, q = np.square(one) * GRID[0] * GRID[1], np.square(other) * GRID[0] * GRID[1]
    assert one @ other == pytest.approx(np.sqrt(p * q).sum() / (GRID[0] * GRID[1]), abs=1e-5)


def test_it_names_people_and_the_same_at_twice_the_size():
    faces = generated_faces(people=6, per_person=6, size=(112, 92), seed=2, difficulty="easy")
    learn = np.arange(36) % 6 < 4
    small = np.rint(faces.images.reshape(36, 56, 2, 46, 2).mean((2, 4))).astype(np.uint8)
    for images in (faces.images, small):
        model = LocalBinaryPatterns().fit(images[learn], faces.labels[learn])
        assert np.array_equal(model.predict(images[~learn]), faces.labels[~learn])


def test_what_cannot_be_used_is_refused_in_a_sentence():
    with pytest.raises(NotFitted, match="learned nothing yet"):
        LocalBinaryPatterns().predict(_image())
    with pytest.raises(BadImage, match=r"images of 5×9 pixels .* need 7×6"):
        LocalBinaryPatterns().fit(np.zeros((2, 5, 9), np.uint8), np.array([0, 1]))
    with pytest.raises(BadDataset, match="every image needs a label"):
        LocalBinaryPatterns().fit(np.zeros((2, 9, 9), np.uint8), np.array([0]))
    model = LocalBinaryPatterns().fit(np.concatenate([_image(0), _image(1)]), np.array([0, 1]))
    with pytest.raises(
        BadImage, match=r"takes uint8 images of shape \(n, 12, 10\), but got uint8 of shape \(1, 9, 9\)"
    ):
        model.represent(_image(size=(9, 9)))
    state = model.state()
    with pytest.raises(BadModelFile, match="it lacks gallery"):
        LocalBinaryPatterns.from_state({key: state[key] for key in ("size", "labels")})
    with pytest.raises(BadModelFile, match="damaged"):
        LocalBinaryPatterns.from_state({**state, "gallery": state["gallery"][:, 1:]})
