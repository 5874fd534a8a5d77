"""Virtual photographs: every face where the truth says, reproducible, and good enough to measure a detector on."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from minidl.faces import align, detect
from minidl.faces.errors import BadDataset
from minidl.faces.generated import GeneratedScenes, SceneFace, generated_scenes

SEED = 11


@pytest.fixture(scope="module")
def scenes() -> GeneratedScenes:
    return generated_scenes(count=8, faces=(0, 4), seed=SEED)


def overlap(box: Any, face: SceneFace) -> float:
    """Intersection over union."""
    x, y, w, h = face.box
    across = max(0.0, min(box.x + box.w, x + w) - max(box.x, x))
    down = max(0.0, min(box.y + box.h, y + h) - max(box.y, y))
    return across * down / (box.w * box.h + w * h - across * down)


def test_a_scene_depends_on_its_seed_and_number_alone(scenes: GeneratedScenes) -> None:
    fewer = generated_scenes(count=2, faces=(0, 4), seed=SEED)
    np.testing.assert_array_equal(fewer.images, scenes.images[:2])
    assert [[face.box for face in one] for one in fewer.faces] == [[f.box for f in one] for one in scenes.faces[:2]]
    assert (generated_scenes(count=1, seed=SEED + 1).images != scenes.images[0]).any()


def test_shapes_counts_and_colour_are_as_asked() -> None:
    made = generated_scenes(count=3, faces=(2, 2), size=(200, 320), seed=4, color=True)
    assert made.images.shape == (3, 200, 320, 3)
    assert made.images.dtype == np.uint8
    assert [len(found) for found in made.faces] == [2, 2, 2]
    assert all(not found for found in generated_scenes(count=3, faces=(0, 0), size=(160, 200)).faces)


def test_faces_lie_inside_and_apart_from_left_to_right(scenes: GeneratedScenes) -> None:
    h, w = scenes.images.shape[1:]
    for faces in scenes.faces:
        assert len({face.person for face in faces}) == len(faces)
        for face in faces:
            x, y, side, _ = face.box
            assert x > -0.3 * side
            assert x + side < w + 0.3 * side
            assert 0 <= y < y + side <= h
            assert (face.eyes[:, 0] > x).all()
            assert (face.eyes[:, 0] < x + side).all()
        for one, other in pairwise(faces):
            assert one.box[0] < other.box[0]
            assert other.box[0] - one.box[0] > 0.6 * max(one.box[2], other.box[2])


def test_eyes_are_dark_places_between_lighter_ones(scenes: GeneratedScenes) -> None:
    """The truth against the pixels: at open eyes the picture is darker than below them, on the cheeks."""
    darker = []
    for image, faces in zip(scenes.images.astype(float), scenes.faces, strict=True):
        for face in faces:
            reach = max(1, round(0.04 * face.box[2]))
            below = round(0.2 * face.box[2])
            for x, y in face.eyes.round().astype(int):
                at = image[y - reach : y + reach + 1, x - reach : x + reach + 1]
                cheek = image[y + below - reach : y + below + reach + 1, x - reach : x + reach + 1]
                darker.append(at.min() < 0.8 * cheek.mean())
    assert len(darker) > 20
    assert np.mean(darker) > 0.85


def test_the_detector_finds_the_faces_and_nothing_else(scenes: GeneratedScenes) -> None:
    pytest.importorskip("cv2", reason="the cascades come with OpenCV")
    hits, alarms, errors = 0, 0, []
    for image, faces in zip(scenes.images, scenes.faces, strict=True):
        left = list(faces)
        for box in detect(image):
            face = next((face for face in left if overlap(box, face) > 0.4), None)
            if face is None:
                alarms += 1
                continue
            left.remove(face)
            hits += 1
            found = align(image, box)
            if found.by == "eyes":
                errors.append(np.abs(found.eyes - face.eyes).max() / np.hypot(*(face.eyes[1] - face.eyes[0])))
    total = sum(len(faces) for faces in scenes.faces)
    assert total >= 10
    assert hits >= 0.9 * total, "recall"
    assert alarms <= 0.05 * total, "false alarms"
    assert len(errors) >= 0.7 * hits
    assert np.median(errors) < 0.06


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"count": 0}, "count=0"),
        ({"faces": (3, 2)}, r"faces=\(3, 2\)"),
        ({"faces": (0, 9)}, r"faces=\(0, 9\)"),
        ({"size": (100, 640)}, r"size=\(100, 640\) is too small"),
        ({"difficulty": "odd"}, "'odd'"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_a_bad_argument_gets_one_sentence(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(BadDataset, match=says):
        generated_scenes(**arguments)
