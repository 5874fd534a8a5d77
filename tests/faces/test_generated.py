"""Generated faces: reproducible, true to their parameters, as hard as they say, not told by tricks."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from minidl.faces.errors import FaceError
from minidl.faces.generated import EXPRESSIONS, GeneratedFaces, contact_sheet, generated_faces
from minidl.faces.generated import head as head_module
from minidl.faces.generated.circumstances import draw_nuisance
from minidl.faces.generated.parameters import HAIR_STYLES, IDENTITY_RANGES, draw_identity
from minidl.faces.generated.scene import eye_positions, render
from minidl.faces.protocol import split

PEOPLE = 40


@pytest.fixture(scope="module")
def normal() -> GeneratedFaces:
    return generated_faces(PEOPLE)


@pytest.fixture(scope="module")
def easy() -> GeneratedFaces:
    return generated_faces(PEOPLE, difficulty="easy")


@pytest.fixture(scope="module")
def hard() -> GeneratedFaces:
    return generated_faces(PEOPLE, difficulty="hard")


def nearest(train: Any, labels: Any, test: Any) -> Any:
    distance = (train**2).sum(1) - 2 * test @ train.T
    return labels[distance.argmin(1)]


def eigen_error(features: Any, labels: Any, seed: int = 0) -> float:
    """Error in % of PCA to 40 numbers and the nearest neighbour, on one split of the protocol."""
    train, test = split(labels, seed, 5)
    x = features.reshape(len(features), -1) / 255.0
    mean = x[train].mean(0)
    _, _, axes = np.linalg.svd(x[train] - mean, full_matrices=False)
    codes = (x - mean) @ axes[:40].T
    return float(100 * (nearest(codes[train], labels[train], codes[test]) != labels[test]).mean())


def fisher_error(features: Any, labels: Any, seed: int = 0) -> float:
    """Error in % of PCA to 80 numbers, discriminants with a shrunk covariance, and the cosine."""
    train, test = split(labels, seed, 5)
    x = features.reshape(len(features), -1) / 255.0
    mean = x[train].mean(0)
    _, _, axes = np.linalg.svd(x[train] - mean, full_matrices=False)
    codes = (x - mean) @ axes[:80].T
    means = np.array([codes[train][labels[train] == k].mean(0) for k in range(labels.max() + 1)])
    within = np.cov((codes[train] - means[labels[train]]).T)
    shrunk = 0.9 * within + 0.1 * np.trace(within) / len(within) * np.eye(len(within))
    values, vectors = np.linalg.eigh(shrunk)
    whiten = vectors / np.sqrt(values)
    _, _, directions = np.linalg.svd((means - means.mean(0)) @ whiten, full_matrices=False)
    codes = codes @ whiten @ directions[: len(means) - 1].T
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    return float(100 * (nearest(codes[train], labels[train], codes[test]) != labels[test]).mean())


def trivial_error(features: Any, labels: Any, seed: int = 0) -> float:
    train, test = split(labels, seed, 5)
    x = features.reshape(len(features), -1).astype(float)
    return float(100 * (nearest(x[train], labels[train], x[test]) != labels[test]).mean())


# ── what is returned ──────────────────────────────────────────────────────────────────────────────


def test_shapes_and_types_are_as_promised(normal: GeneratedFaces) -> None:
    n = 10 * PEOPLE
    assert normal.images.shape == (n, 112, 92)
    assert normal.images.dtype == np.uint8
    assert normal.labels.dtype == np.int64
    assert normal.labels.tolist() == [k for k in range(PEOPLE) for _ in range(10)]
    assert normal.eyes.shape == (n, 2, 2)
    assert normal.eyes.dtype == np.float32
    assert set(IDENTITY_RANGES) <= set(normal.identity)
    assert all(v.shape == (PEOPLE,) and np.isfinite(v).all() for v in normal.identity.values())
    assert all(v.shape == (n,) and np.isfinite(v).all() for v in normal.nuisance.values())


def test_the_result_cannot_be_reassigned(normal: GeneratedFaces) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        normal.labels = np.zeros(1)  # type: ignore[misc, assignment]


def test_every_expression_and_nearly_every_style_of_hair_occurs(normal: GeneratedFaces) -> None:
    assert set(normal.expressions.tolist()) == set(range(len(EXPRESSIONS)))
    assert len(set(normal.identity["style"].tolist())) >= len(HAIR_STYLES) - 2


def test_an_expression_label_tells_the_parameters_that_were_drawn(normal: GeneratedFaces) -> None:
    def mean(name: str, expression: str) -> float:
        return float(normal.nuisance[name][normal.expressions == EXPRESSIONS.index(expression)].mean())

    assert mean("smile", "happy") > 0.5 > mean("smile", "neutral") > mean("smile", "sad")
    assert mean("mouth_open", "surprise") > 0.4 > mean("mouth_open", "neutral")
    assert mean("brow_frown", "angry") > 0.5 > mean("brow_frown", "neutral")


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (48, 96), (160, 128)])
@pytest.mark.parametrize("color", [False, True])
def test_any_size_and_colour_shows_the_same_people(size: tuple[int, int], color: bool) -> None:
    faces = generated_faces(2, 2, size=size, color=color)
    assert faces.images.shape == (4, *size) + ((3,) if color else ())
    assert faces.images.dtype == np.uint8
    reference = generated_faces(2, 2)
    for name, values in reference.identity.items():
        np.testing.assert_array_equal(faces.identity[name], values)
    middle = faces.images.reshape(4, *size, -1)[:, size[0] // 4 : -size[0] // 4, size[1] // 4 : -size[1] // 4]
    assert (middle.std(axis=(1, 2, 3)) > 8).all(), "a face has contrast"


def test_colour_is_the_grey_picture_with_hues_added() -> None:
    grey = generated_faces(4, 2, difficulty="easy").images.astype(float)
    colour = generated_faces(4, 2, difficulty="easy", color=True).images.astype(float)
    luminance = np.sqrt((colour**2) @ [0.2126, 0.7152, 0.0722])
    for a, b in zip(grey, luminance, strict=True):
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.98
    skin = colour[:, 60:75, 36:56]
    assert (skin[..., 0].mean((1, 2)) > 1.1 * skin[..., 2].mean((1, 2))).all(), "skin is redder than blue"


# ── reproducible ──────────────────────────────────────────────────────────────────────────────────


def test_the_same_seed_draws_the_same_bits_and_another_seed_other_people() -> None:
    a, b = generated_faces(3, 2, seed=5), generated_faces(3, 2, seed=5)
    np.testing.assert_array_equal(a.images, b.images)
    np.testing.assert_array_equal(a.eyes, b.eyes)
    other = generated_faces(3, 2, seed=6)
    assert (a.identity["head_width"] != other.identity["head_width"]).all()
    assert (a.images != other.images).mean() > 0.5


@pytest.mark.parametrize("difficulty", ["normal", "hard"])
@pytest.mark.parametrize("color", [False, True])
def test_more_people_and_more_pictures_leave_the_earlier_ones_alone(difficulty: str, color: bool) -> None:
    few = generated_faces(2, 2, seed=3, difficulty=difficulty, color=color)
    many = generated_faces(4, 5, seed=3, difficulty=difficulty, color=color)
    earlier = [0, 1, 5, 6]
    np.testing.assert_array_equal(few.images, many.images[earlier])
    np.testing.assert_array_equal(few.eyes, many.eyes[earlier])
    for name, values in few.nuisance.items():
        np.testing.assert_array_equal(values, many.nuisance[name][earlier])
    for name, values in few.identity.items():
        np.testing.assert_array_equal(values, many.identity[name][:2])


def test_drawing_reads_and_changes_no_global_random_state() -> None:
    np.random.seed(1)  # noqa: NPY002 - the point is that nobody looks at it
    before = np.random.get_state()[1].copy()  # type: ignore[index, union-attr]  # noqa: NPY002
    a = generated_faces(1, 2)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(a.images, generated_faces(1, 2).images)


def test_who_somebody_is_depends_on_no_difficulty(easy: GeneratedFaces, hard: GeneratedFaces) -> None:
    for name, values in easy.identity.items():
        np.testing.assert_array_equal(values, hard.identity[name])


# ── true to the parameters ────────────────────────────────────────────────────────────────────────


def test_the_eyes_are_where_the_ground_truth_says(normal: GeneratedFaces) -> None:
    """The pupil is the darkest thing near an open, uncovered eye; it lies within 3 pixels of the truth."""
    seen = (normal.nuisance["eyes_closed"] < 0.2) & (normal.nuisance["glasses"] == 0)
    seen &= (np.abs(normal.nuisance["gaze_x"]) < 0.02) & (normal.identity["tone"][normal.labels] < 0.6)
    errors = []
    for image, eyes in zip(normal.images[seen].astype(float), normal.eyes[seen], strict=True):
        for x, y in eyes:
            top, left = round(float(y)) - 4, round(float(x)) - 5
            patch = image[top : top + 9, left : left + 11]
            dark = np.maximum(patch.mean() - patch, 0) ** 2
            rows, cols = np.mgrid[: patch.shape[0], : patch.shape[1]]
            centre = (rows * dark).sum() / dark.sum() + top, (cols * dark).sum() / dark.sum() + left
            errors.append(np.hypot(centre[0] - y, centre[1] - x))
    assert len(errors) > 100
    assert np.median(errors) < 1.5
    assert np.quantile(errors, 0.95) < 3


def test_the_eyes_follow_a_turn_of_the_head() -> None:
    """A head that turns to the picture's right carries both eyes there; one that rolls tilts their line."""
    p = draw_identity(0, 0)
    still = draw_nuisance(0, 0, 0, p, "easy") | {"yaw": 0.0, "pitch": 0.0, "roll": 0.0}
    shape = head_module.build(p)
    ahead, turned = (eye_positions(p, shape, still | {"yaw": a}, (112, 92)) for a in (0.0, 25.0))
    assert (turned[:, 0] > ahead[:, 0] + 5).all()
    rolled = eye_positions(p, shape, still | {"roll": 10.0}, (112, 92))
    (x0, y0), (x1, y1) = rolled
    assert np.degrees(np.arctan2(y1 - y0, x1 - x0)) == pytest.approx(10, abs=0.1)
    up = eye_positions(p, shape, still | {"pitch": 15.0}, (112, 92))
    assert (up[:, 1] < ahead[:, 1] - 3).all()


def test_rays_meet_the_head_where_its_equation_says() -> None:
    """The solver's points satisfy (x/w)² + ((z − r)/d)² = 1, in a turned and nodding pose too."""
    p = draw_identity(0, 1)
    n = draw_nuisance(0, 1, 0, p, "easy") | {"yaw": 14.0, "pitch": 7.0, "mouth_open": 0.0}
    axis = np.linspace(-0.45, 0.45, 41, dtype=np.float32)
    right, down = np.broadcast_arrays(axis[None, :], axis[:, None])
    view, profile = head_module.pose(n), head_module.head_profile(p)
    s = head_module.meet(right, down, view, profile, p, n, bare=True)
    w2, d2 = profile.at(s.y)
    r = head_module.relief(np.abs(s.x), s.y, p, n)
    residual = np.abs(s.x**2 / w2 + (s.z - r) ** 2 / d2 - 1)
    assert np.quantile(residual, 0.9) < 0.03
    assert s.depth.dtype == np.float32


def test_light_from_one_side_brightens_that_side() -> None:
    p = draw_identity(0, 3)
    n = draw_nuisance(0, 3, 0, p, "easy") | {"yaw": 0.0, "key": 1.2, "ambient": 0.1, "slope_x": 0.0}
    for lamp, sign in ((-1.2, 1), (1.2, -1)):
        picture = render(p, head_module.build(p), n | {"light_x": lamp}, (112, 92), 1)
        image = picture[40:90, 20:72].astype(float)
        halves = image[:, :26].mean() - image[:, 26:].mean()
        assert sign * halves > 15


# ── as hard as it says ────────────────────────────────────────────────────────────────────────────


def test_easy_is_easy(easy: GeneratedFaces) -> None:
    assert eigen_error(easy.images, easy.labels) <= 4


def test_normal_is_about_as_hard_as_photographs_of_forty_people(normal: GeneratedFaces) -> None:
    eigen, fisher = eigen_error(normal.images, normal.labels), fisher_error(normal.images, normal.labels)
    assert 4 <= eigen <= 18
    assert fisher <= 0.6 * eigen, "the people differ by more than the light does"


def test_hard_is_hard_but_not_hopeless(hard: GeneratedFaces) -> None:
    eigen, fisher = eigen_error(hard.images, hard.labels), fisher_error(hard.images, hard.labels)
    assert eigen >= 60
    assert 40 <= fisher < 78, "chance is 97.5 %"


@pytest.mark.parametrize("seed", [0, 1])
def test_neither_corners_nor_brightness_tell_people_apart(normal: GeneratedFaces, seed: int) -> None:
    """Wall, clothes and exposure are the picture's: alone they leave a recognizer near chance, 97.5 %."""
    x = normal.images
    corners = np.stack([x[:, :8, :8], x[:, :8, -8:], x[:, -8:, :8], x[:, -8:, -8:]], axis=1)
    assert trivial_error(corners, normal.labels, seed) > 90
    assert trivial_error(corners[:, :2], normal.labels, seed) > 90, "the wall alone"
    assert trivial_error(corners[:, 2:], normal.labels, seed) > 90, "clothes and the ends of long hair"
    assert trivial_error(x.mean((1, 2)), normal.labels, seed) > 88


def test_the_place_of_the_eyes_does_not_tell_people_apart(normal: GeneratedFaces) -> None:
    assert trivial_error(normal.eyes.mean(1), normal.labels) > 88


def test_people_differ_more_than_their_pictures(easy: GeneratedFaces) -> None:
    x = easy.images.reshape(PEOPLE, 10, -1).astype(float)
    within = np.abs(x[:, 0] - x[:, 1]).mean(1)
    between = np.array([[np.abs(a - b).mean() for b in x[:, 0]] for a in x[:, 0]])
    np.fill_diagonal(between, np.inf)
    assert (between.min(1) > within).mean() > 0.8


# ── bad arguments, and looking ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"people": 0}, "people=0"),
        ({"people": -3}, "people=-3"),
        ({"people": 2.5}, "people=2.5"),
        ({"people": True}, "people=True"),
        ({"per_person": 0}, "per_person=0"),
        ({"size": (16, 16)}, r"size=\(16, 16\) is too small"),
        ({"size": (112,)}, r"size=\(112,\)"),
        ({"size": 112}, "size=112"),
        ({"size": (112.0, 92.0)}, "whole pixels"),
        ({"seed": -1}, "seed=-1"),
        ({"difficulty": "brutal"}, "'brutal'.*easy, normal, hard"),
    ],
)
def test_a_bad_argument_gets_one_sentence_with_its_value(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(FaceError, match=says) as caught:
        generated_faces(**arguments)
    assert "\n" not in str(caught.value)


def test_a_contact_sheet_holds_every_image_in_order() -> None:
    images = np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3) + 1
    sheet = contact_sheet(images, 2)
    assert sheet.shape == (6, 6)
    for k, image in enumerate(images):
        row, column = divmod(k, 2)
        np.testing.assert_array_equal(sheet[2 * row : 2 * row + 2, 3 * column : 3 * column + 3], image)
    assert (sheet[4:, 3:] == 0).all()
    assert contact_sheet(np.zeros((3, 2, 3, 3), np.uint8), 3).shape == (2, 9, 3)
    with pytest.raises(FaceError, match="columns=0"):
        contact_sheet(images, 0)
    with pytest.raises(FaceError, match="shape"):
        contact_sheet(images[:0], 2)


def test_drawing_needs_no_library_for_images() -> None:
    """The data set that needs nothing must import nothing: no OpenCV, no Matplotlib, no engine."""
    code = (
        "import sys; from minidl.faces.generated import generated_faces; generated_faces(1, 1); "
        "print([name for name in ('cv2', 'matplotlib', 'PIL', 'numba') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
