"""From photographs to aligned faces: found where they are, none where there is none, the eyes at their place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minidl.faces import NoFaceFound, align, detect, faces_in, images
from minidl.faces.errors import BadImage, FaceError, MissingLibrary
from minidl.faces.generated import GeneratedFaces, generated_faces
from minidl.faces.generated.circumstances import draw_nuisance
from minidl.faces.generated.head import build
from minidl.faces.generated.parameters import draw_identity
from minidl.faces.generated.scene import eye_positions, render
from minidl.faces.photographs import EYES, SIZE, Box, detection
from minidl.faces.photographs.alignment import fixed_eyes, warp
from minidl.faces.photographs.eyes import usual_eyes
from minidl.faces.photographs.quality import quality

cv2 = pytest.importorskip("cv2", reason="the cascades come with OpenCV")

DATA = Path(os.environ.get("MINIDL_DATA", "/nowhere"))
PORTRAITS = DATA / "portraits"
needs_portraits = pytest.mark.skipif(not PORTRAITS.is_dir(), reason="no portraits in $MINIDL_DATA")


@pytest.fixture(scope="module")
def easy() -> GeneratedFaces:
    return generated_faces(12, 1, size=(224, 184), difficulty="easy", color=True, seed=3)


@pytest.fixture(scope="module")
def wallpaper() -> images.Pixels:
    """Stripes, checks, blobs and noise: everything a camera may see but a face."""
    y, x = np.mgrid[0:300, 0:400]
    rng = np.random.default_rng(0)
    paper = (
        128 + 60 * np.sin(x / 7) * np.sin(y / 9) + 40 * ((x // 25 + y // 25) % 2) + 12 * rng.standard_normal(x.shape)
    )
    return np.clip(paper, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def scene(wallpaper: images.Pixels, easy: GeneratedFaces) -> images.Pixels:
    """Two faces before the wallpaper, the second half as large."""
    made = np.repeat(wallpaper[..., None], 3, 2)
    made[40:264, 10:194] = easy.images[0]
    made[100:212, 250:342] = cv2.resize(easy.images[1], (92, 112), interpolation=cv2.INTER_AREA)
    return made


# ── detection ─────────────────────────────────────────────────────────────────────────────────────


def test_every_face_of_a_picture_is_found_at_its_place(scene: images.Pixels, easy: GeneratedFaces) -> None:
    boxes = detect(scene)
    assert len(boxes) == 2
    truth = [easy.eyes[0] + (10, 40), (easy.eyes[1] + 0.5) / 2 - 0.5 + (250, 100)]
    large, small = sorted(boxes, key=lambda box: -box.w)
    for box, eyes in zip((large, small), truth, strict=True):
        assert np.abs(usual_eyes(box) - eyes).max() < 0.12 * box.w
        assert 0.5 <= box.score <= 1
        assert box.w == pytest.approx(2.5 * (eyes[1, 0] - eyes[0, 0]), rel=0.2)
    assert boxes == sorted(boxes, key=lambda box: -box.score)


def test_wallpaper_noise_and_flat_pictures_show_nobody(wallpaper: images.Pixels) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (200, 200)).astype(np.uint8)
    for picture in (wallpaper, noise, np.full((150, 200), 90, np.uint8), np.zeros((9, 9), np.uint8)):
        assert detect(picture) == []


@pytest.mark.skipif(not (DATA / "cifar10_small.npz").is_file(), reason="no cifar10_small.npz in $MINIDL_DATA")
def test_animals_are_not_people() -> None:
    """FACES.md: a dog gets no embedding. Of 24 pictures of cats, dogs, horses and frogs, few fool both cascades."""
    with np.load(DATA / "cifar10_small.npz") as held:
        x, y = held["x_test"], held["y_test"]
    animals = x[np.isin(y, (3, 5, 6, 7))][:24]
    fooled = [bool(detect(cv2.resize(a, (200, 200), interpolation=cv2.INTER_CUBIC))) for a in animals]
    assert sum(fooled) <= 1


def test_the_least_score_and_the_smallest_face_are_obeyed(scene: images.Pixels) -> None:
    scores = [box.score for box in detect(scene, least=0.0)]
    middle = (max(scores) + min(scores)) / 2
    assert len(detect(scene, least=middle)) == sum(score >= middle for score in scores) < len(scores)
    widest = max(box.w for box in detect(scene))
    assert [box.w for box in detect(scene, smallest=0.3)] == pytest.approx([widest], rel=0.1)


def test_a_leaning_head_is_found_when_it_is_looked_for(easy: GeneratedFaces) -> None:
    face = np.pad(easy.images[0], ((60, 60), (60, 60), (0, 0)), mode="edge")
    h, w = face.shape[:2]
    clockwise = cv2.getRotationMatrix2D((w / 2, h / 2), -35, 1.0)
    leaning = cv2.warpAffine(face, clockwise, (w, h), borderMode=cv2.BORDER_REPLICATE)
    assert detect(leaning) == []
    (box,) = detect(leaning, tilts=(-35, 0, 35))
    assert box.tilt == 35
    truth = (easy.eyes[0] + 60) @ clockwise[:, :2].T + clockwise[:, 2]
    found = align(leaning, box)
    assert found.by == "eyes"
    assert np.abs(found.eyes - truth).max() < 6
    upright = faces_in(face)[0]
    assert np.abs(found.image.astype(int) - upright.image)[30:100, 15:77].mean() < 12


@pytest.mark.parametrize("form", ["grey", "rgb", "rgba", "16 bit", "float", "one channel"])
def test_every_form_of_array_shows_the_same_face(scene: images.Pixels, form: str) -> None:
    grey = images.to_grey(scene)
    picture = {
        "grey": grey,
        "rgb": scene,
        "rgba": np.dstack([scene, np.full(grey.shape, 255, np.uint8)]),
        "16 bit": scene.astype(np.uint16) * 257,
        "float": grey / 255,
        "one channel": grey[..., None],
    }[form]
    before = picture.copy()
    assert detect(picture) == detect(grey)
    np.testing.assert_array_equal(picture, before)


def test_the_turn_that_a_camera_noted_is_applied_and_any_path_will_do(scene: images.Pixels, tmp_path: Path) -> None:
    ok, jpeg = cv2.imencode(".jpg", np.rot90(scene)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert ok
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    data = jpeg.tobytes()
    path = tmp_path / "照片 été.jpg"
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])
    found, upright = faces_in(path), faces_in(scene)
    assert [face.box.w for face in found] == pytest.approx([face.box.w for face in upright], abs=6)
    for a, b in zip(found, upright, strict=True):
        assert np.abs(a.eyes - b.eyes).max() < 4


@pytest.mark.parametrize(
    ("photo", "says"),
    [
        (np.zeros((3, 4, 5), np.uint8), r"shape is \(3, 4, 5\)"),
        (np.zeros((0, 4), np.uint8), r"shape is \(0, 4\)"),
        (np.zeros((40, 40), np.int32), "int32"),
        (np.full((40, 40), 200.0), "from 200 to 200"),
        (np.full((40, 40), np.nan), "nan"),
        (np.broadcast_to(np.uint8(0), (8000, 8000)), "8000×8000 pixels, and the limit is 50 megapixels"),
        ([[1, 2], [3]], "rows differ"),
        ("no/such/picture.png", "does not exist"),
    ],
)
def test_what_is_no_photograph_gets_one_sentence(photo: object, says: str) -> None:
    with pytest.raises(BadImage, match=says) as caught:
        detect(photo)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_senseless_settings_get_one_sentence(wallpaper: images.Pixels) -> None:
    with pytest.raises(FaceError, match=r"least=1\.5"):
        detect(wallpaper, least=1.5)
    with pytest.raises(FaceError, match="smallest=0"):
        detect(wallpaper, smallest=0)
    with pytest.raises(FaceError, match="angle"):
        detect(wallpaper, tilts=())


def test_an_opencv_without_cascades_is_named(monkeypatch: pytest.MonkeyPatch, scene: images.Pixels) -> None:
    """OpenCV 5 ships none: the sentence says which version is there and what to install."""
    monkeypatch.delattr(cv2, "CascadeClassifier")
    monkeypatch.setattr(detection, "_loaded", __import__("threading").local())
    with pytest.raises(MissingLibrary, match=rf"this is OpenCV {cv2.__version__}.*pip install"):
        detect(scene)


# ── alignment ─────────────────────────────────────────────────────────────────────────────────────


def test_the_eyes_of_aligned_faces_lie_at_their_fixed_places(easy: GeneratedFaces) -> None:
    """Held against the ground truth of the generator, in every picture where open eyes were found."""
    off = []
    for image, truth, closed in zip(easy.images, easy.eyes, easy.nuisance["eyes_closed"], strict=True):
        for face in faces_in(image) if closed < 0.5 else []:
            if face.by == "eyes":
                off.append(np.abs(face.eyes - truth).max() / (truth[1, 0] - truth[0, 0]))
    assert len(off) >= 9
    assert np.median(off) < 0.05
    assert max(off) < 0.25


def test_the_warp_takes_the_eyes_where_they_belong() -> None:
    """Two bright dots, turned, shifted and four times too large, end at the fixed places to half a pixel."""
    eyes = np.array([[100.0, 180.0], [220.0, 120.0]])
    y, x = np.mgrid[0:400, 0:400]
    dots = sum(np.exp(-((x - u) ** 2 + (y - v) ** 2) / 60) for u, v in eyes)
    made = warp((255 * dots).clip(0, 255).astype(np.uint8), eyes, SIZE).astype(float)
    for half, (u, v) in zip((slice(0, 46), slice(46, 92)), EYES, strict=True):
        light = made[:, half]
        rows, columns = np.mgrid[0:112, half]
        assert (light * rows).sum() / light.sum() == pytest.approx(v, abs=0.5)
        assert (light * columns).sum() / light.sum() == pytest.approx(u, abs=0.5)


@pytest.mark.parametrize("size", [(112, 92), (224, 184), (64, 64), (56, 92)])
def test_a_face_of_another_size_is_not_stretched(size: tuple[int, int]) -> None:
    left, right = fixed_eyes(size)
    scale = min(size[0] / 112, size[1] / 92)
    assert right[0] - left[0] == pytest.approx(34 * scale)
    assert (left[0] + right[0]) / 2 == pytest.approx((size[1] - 1) / 2), "in the middle"
    assert left[1] == right[1]


def test_eyes_that_cannot_be_found_are_said_to_be_guessed(easy: GeneratedFaces) -> None:
    face = easy.images[0].copy()
    (box,) = detect(face)
    x, y = easy.eyes[0].mean(0).round().astype(int)
    face[y - 22 : y + 22, x - 70 : x + 70] = 0  # a black bar
    found = align(face, box)
    assert found.by == "box"
    np.testing.assert_allclose(found.eyes, usual_eyes(box))
    assert np.abs(found.eyes - easy.eyes[0]).max() < 0.2 * (easy.eyes[0][1, 0] - easy.eyes[0][0, 0])
    assert found.image.shape == SIZE


def test_a_box_outside_is_refused(scene: images.Pixels) -> None:
    for box in (Box(500, 0, 50, 50, 1.0), Box(0, 0, 0, 0, 1.0), Box(-60, 0, 50, 50, 1.0)):
        with pytest.raises(BadImage, match="lies outside the photograph of 400×300"):
            align(scene, box)


# ── quality ───────────────────────────────────────────────────────────────────────────────────────


def test_each_part_of_the_quality_falls_with_what_it_is_named_after(easy: GeneratedFaces) -> None:
    good = faces_in(easy.images[0])[0]
    assert good.quality.score > 0.8
    x = good.image
    blurred = quality(cv2.GaussianBlur(x, (0, 0), 3), 60.0)
    foggy = quality((0.25 * x + 150).astype(np.uint8), 60.0)
    turned = quality(np.roll(x, 14, axis=1), 60.0)
    whole = quality(x, 60.0)
    assert blurred.sharpness < 0.5 * whole.sharpness
    assert foggy.contrast < 0.5 * whole.contrast
    assert abs(foggy.sharpness - whole.sharpness) < 0.15, "fog takes contrast, not sharpness"
    assert turned.symmetry < 0.7 * whole.symmetry
    assert quality(x, 17.0).size == pytest.approx(0.5)
    assert all(q.score < whole.score for q in (blurred, foggy, turned, quality(x, 17.0)))
    assert quality(np.full(SIZE, 90, np.uint8), 60.0).score == 0


def test_the_symmetry_falls_as_a_head_turns_away() -> None:
    by_yaw = []
    for yaw in (0.0, 7.0, 15.0, 30.0):
        seen = []
        for person in range(6):
            p = draw_identity(1, person)
            n = draw_nuisance(1, person, 0, p, "easy") | {"roll": 0.0, "pitch": 0.0, "light_x": 0.0, "yaw": yaw}
            image, eyes = render(p, build(p), n, (112, 92), 1), eye_positions(p, build(p), n, (112, 92))
            seen.append(quality(warp(image, eyes, SIZE), 34.0).symmetry)
        by_yaw.append(float(np.mean(seen)))
    assert by_yaw[0] > 0.95
    assert by_yaw[0] > by_yaw[1] > max(by_yaw[2:])
    assert max(by_yaw[2:]) < 0.75 * by_yaw[0]


def test_quality_takes_only_a_face() -> None:
    with pytest.raises(BadImage, match=r"float64 of shape \(40, 40\)"):
        quality(np.zeros((40, 40)), 30.0)


# ── whole photographs ─────────────────────────────────────────────────────────────────────────────


@needs_portraits
@pytest.mark.parametrize(("name", "people"), [("portrait_a", 1), ("portrait_b", 1), ("two_people", 2)])
def test_the_people_of_real_photographs_are_found_and_nobody_else(name: str, people: int) -> None:
    found = faces_in(PORTRAITS / f"{name}.jpg")
    assert len(found) == people
    assert {face.by for face in found} == {"eyes"}
    assert min(face.quality.score for face in found) > 0.7


def test_no_face_is_an_error_with_a_hint(wallpaper: images.Pixels, easy: GeneratedFaces, tmp_path: Path) -> None:
    path = tmp_path / "狗.png"
    path.write_bytes(cv2.imencode(".png", wallpaper)[1].tobytes())
    with pytest.raises(NoFaceFound, match=r"狗\.png: a face must look towards the camera"):
        faces_in(path)
    with pytest.raises(NoFaceFound, match="nearly black"):
        faces_in(np.zeros((200, 200), np.uint8))
    with pytest.raises(NoFaceFound, match="only 30×20 pixels"):
        faces_in(wallpaper[:20, :30])
    face = np.pad(easy.images[0], ((40, 40), (40, 40), (0, 0)), mode="edge")
    for quarters, says in ((3, "turn it anticlockwise by 90°"), (1, "turn it clockwise by 90°"), (2, "by 180°")):
        with pytest.raises(NoFaceFound, match=says):
            faces_in(np.rot90(face, quarters))


def test_opencv_is_imported_only_when_a_photograph_comes() -> None:
    code = "import sys, minidl.faces; print('cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"
