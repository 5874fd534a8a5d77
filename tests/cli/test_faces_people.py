"""Knowing people from the command line: what is printed, exit codes 0, 1, 2, one sentence for every mistake."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from minidl.cli.main import main
from minidl.faces import Gallery, NoFaceFound, faces_in
from minidl.faces.generated import GeneratedFaces, generated_faces
from minidl.faces.generated.scenes import generated_scenes

SIZE = (48, 40)


def write_pgm(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    h, w = pixels.shape
    path.write_bytes(b"P5 %d %d 255\n" % (w, h) + pixels.tobytes())
    return path


def drawn(people: int, seed: int) -> GeneratedFaces:
    return generated_faces(people=people, per_person=8, size=SIZE, seed=seed, difficulty="easy")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained model, pictures of people it knows (known/pK/N.pgm) and of strangers (strangers/qK/N.pgm)."""
    folder = tmp_path_factory.mktemp("ground")
    for kind, letter, faces in (("known", "p", drawn(16, 5)), ("strangers", "q", drawn(12, 77))):
        for k, image in enumerate(faces.images):
            write_pgm(folder / kind / f"{letter}{k // 8}" / f"{k % 8}.pgm", image)
    for k in range(16):
        shutil.copytree(folder / "known" / f"p{k}", folder / "train" / f"p{k}")
        for later in (5, 6, 7):
            (folder / "train" / f"p{k}" / f"{later}.pgm").unlink()
    assert main(["faces", "train", str(folder / "train"), "--model", "fisher", "--out", str(folder / "us.minidl")]) == 0
    return folder


@pytest.fixture
def us(ground: Path, tmp_path: Path) -> Path:
    """A copy of the model, to be changed."""
    shutil.copy(ground / "us.minidl", tmp_path / "us.minidl")
    return tmp_path / "us.minidl"


def said(capsys: pytest.CaptureFixture[str], code: int, *words: object) -> str:
    """Run a command that ends with this code; what it printed."""
    capsys.readouterr()
    assert main(["faces", *map(str, words)]) == code
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    if code == 2:
        lines = printed.err.strip().splitlines()
        assert lines, "a mistake is said"
        assert all(line.startswith("minidl: ") for line in lines)
        return printed.out + printed.err
    assert printed.err == ""
    return printed.out


# ── identify ──────────────────────────────────────────────────────────────────────────────────────


def test_identify_prints_file_name_similarity_threshold(
    ground: Path, us: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = ground / "train" / "p3" / "0.pgm"
    file, name, similarity, threshold = said(capsys, 0, "identify", us, picture).strip().split(",")
    assert (file, name) == (str(picture), "p3")
    assert float(similarity) == pytest.approx(1, abs=1e-4)
    assert 0 < float(threshold) < 1


def test_a_stranger_is_unknown_and_the_exit_code_says_so(
    ground: Path, us: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = said(capsys, 1, "identify", us, ground / "train" / "p3", ground / "strangers" / "q0" / "0.pgm")
    names = [line.split(",")[1] for line in out.splitlines()]
    assert names == ["p3"] * 5 + ["unknown"]


def test_one_bad_picture_does_not_keep_the_others_from_an_answer(
    ground: Path, us: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    out = said(capsys, 2, "identify", us, ground / "train" / "p3" / "0.pgm", empty, ground / "train" / "p4" / "0.pgm")
    assert [line.split(",")[1] for line in out.splitlines()[:2]] == ["p3", "p4"]
    assert f"{empty} is empty" in out


def test_identify_as_json_shows_the_candidates(ground: Path, us: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stranger = ground / "strangers" / "q0" / "0.pgm"
    (found,) = json.loads(said(capsys, 1, "identify", us, stranger, "--json"))
    assert found["name"] is None
    assert found["file"] == str(stranger)
    assert found["similarity"] < found["threshold"]
    assert len(found["candidates"]) == 3
    assert found["candidates"][0]["similarity"] == found["similarity"]


def test_candidates_get_a_line_each_and_a_fifth_column(
    ground: Path, us: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = said(capsys, 0, "identify", us, ground / "train" / "p3" / "0.pgm", "--candidates", 2)
    lines = [line.split(",") for line in out.splitlines()]
    assert lines[0][4] == "p3"
    assert len(lines) == 2
    assert lines[1][1] == "unknown"


def test_a_photograph_without_a_face(us: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cv2", reason="finding faces needs OpenCV")
    wall = write_pgm(tmp_path / "wall.pgm", np.full((200, 300), 127, np.uint8))
    assert "no face was found" in said(capsys, 2, "identify", us, wall)


def test_every_face_of_a_photograph_is_named(us: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cv2", reason="finding faces needs OpenCV")
    photo = Path(os.environ.get("MINIDL_DATA", "")) / "portraits" / "two_people.jpg"
    if not os.environ.get("MINIDL_DATA") or not photo.is_file():
        pytest.skip("two_people.jpg is not here: set MINIDL_DATA to the folder of the photographs")
    one, two = said(capsys, 1, "identify", us, photo).splitlines()
    assert one.startswith(f"{photo},unknown,")
    assert two.startswith(f"{photo},unknown,")
    assert "shows 2 faces" in said(capsys, 2, "enrol", us, "both", photo)


def test_from_photographs_to_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rooms with one drawn person in each: the face is found and aligned for training, calibrating and asking alike."""
    pytest.importorskip("cv2", reason="finding faces needs OpenCV")
    scenes = generated_scenes(count=13, faces=(1, 1), size=(200, 240), seed=1, difficulty="easy", people=3)
    kept = dict.fromkeys(range(3), 0)
    for image, faces in zip(scenes.images, scenes.faces, strict=True):
        try:
            faces_in(image)
        except NoFaceFound:
            continue
        person = faces[0].person
        kept[person] += 1
        write_pgm(tmp_path / ("train" if kept[person] < 3 else "test") / f"p{person}" / f"{kept[person]}.pgm", image)
    model = tmp_path / "m"
    out = said(capsys, 0, "train", tmp_path / "train", "--photographs", "--model", "lbp", "--out", model)
    assert "3 people from 6 images" in out
    tests = sorted((tmp_path / "test").glob("p*/*.pgm"))
    assert main(["faces", "identify", str(model), *map(str, tests), "--json"]) in (0, 1)
    found = json.loads(capsys.readouterr().out)
    right = [row["candidates"][0]["name"] == Path(row["file"]).parent.name for row in found]
    assert len(right) == len(tests)
    assert np.mean(right) >= 0.6, "by chance a third"
    said(capsys, 0, "evaluate", model, tmp_path / "test", "--photographs")


# ── enrol, people, forget ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["王芳", "a/b", "../up", "-", "Ann, the first", "3", "O'Neil"])
def test_enrolled_recognized_listed_forgotten(
    name: str, ground: Path, us: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = ground / "strangers" / "q1"
    out = said(capsys, 0, "enrol", us, name, pictures)
    assert out == f"{name}: 8 pictures added; {us.with_suffix('.gallery')} knows 17 people\n"
    assert "0 pictures added, 8 known already" in said(capsys, 0, "enrol", us, name, pictures)
    assert name in said(capsys, 0, "people", us).splitlines()
    (found,) = json.loads(said(capsys, 0, "identify", us, pictures / "0.pgm", "--json"))
    assert found["name"] == name
    assert said(capsys, 0, "forget", us, name).startswith(f"{name}: 8 templates deleted")
    assert name not in said(capsys, 0, "people", us).splitlines()
    assert said(capsys, 1, "identify", us, pictures / "0.pgm").split(",")[-3] == "unknown"
    assert "is called" in said(capsys, 2, "forget", us, name)
    assert name.encode() not in us.with_suffix(".gallery").read_bytes() or len(name) < 3


def test_forgetting_somebody_of_the_training_says_what_stays(us: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, 0, "forget", us, "p3")
    assert "train again without them" in out
    people = said(capsys, 0, "people", us).splitlines()
    assert "p3" not in people
    assert len(people) == 15


def test_forgetting_somebody_unknown_makes_no_gallery(us: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nobody is called 'Bob'" in said(capsys, 2, "forget", us, "Bob")
    assert [p.name for p in us.parent.iterdir()] == ["us.minidl"]


def test_a_gallery_of_ones_own_may_begin_empty(ground: Path, us: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = us.parent / "own"
    said(capsys, 0, "enrol", us, "q1", ground / "strangers" / "q1", "--gallery", own, "--empty")
    assert said(capsys, 0, "people", us, "--gallery", own) == "q1\n"
    assert len(said(capsys, 0, "people", us).splitlines()) == 16, "the gallery beside the model was not touched"
    assert "does not exist" in said(capsys, 2, "people", us, "--gallery", us.parent / "other")


def test_every_command_speaks_json(ground: Path, us: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = ground / "strangers" / "q1"
    assert json.loads(said(capsys, 0, "enrol", us, "王芳", pictures, "--json"))["templates"] == 8
    people = json.loads(said(capsys, 0, "people", us, "--json"))
    assert {"name": "王芳", "templates": 8} in people
    assert json.loads(said(capsys, 0, "forget", us, "王芳", "--json"))["templates"] == 8
    assert json.loads(said(capsys, 0, "verify", us, pictures / "0.pgm", pictures / "0.pgm", "--json"))["same"] is True
    assert json.loads(said(capsys, 0, "calibrate", us, ground / "strangers", "--json"))["images"] == 96


def test_an_encrypted_gallery(
    ground: Path, us: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography", reason="sealed galleries need cryptography (extra crypto)")
    secret, wrong = us.parent / "secret", us.parent / "wrong"
    secret.write_text("correct horse\n", encoding="utf-8")
    wrong.write_text("battery staple\n", encoding="utf-8")
    said(capsys, 0, "enrol", us, "Ann of nowhere", ground / "strangers" / "q1", "--passphrase-file", secret)
    assert b"nowhere" not in us.with_suffix(".gallery").read_bytes()
    assert "not the passphrase" in said(capsys, 2, "people", us, "--passphrase-file", wrong)
    assert "encrypted" in said(capsys, 2, "people", us)
    assert "Ann of nowhere" in said(capsys, 0, "people", us, "--passphrase-file", secret)
    monkeypatch.setenv("MINIDL_PASSPHRASE", "correct horse")
    assert "Ann of nowhere" in said(capsys, 0, "people", us)


def test_a_passphrase_cannot_be_asked_for_where_nobody_is(
    ground: Path, us: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = said(capsys, 2, "enrol", us, "q1", ground / "strangers" / "q1", "--encrypt")
    assert "nobody is there to be asked" in out
    assert not us.with_suffix(".gallery").exists()


# ── verify, calibrate ─────────────────────────────────────────────────────────────────────────────


def test_verify_prints_same_or_different(ground: Path, us: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = ground / "train" / "p1", ground / "train" / "p2"
    assert said(capsys, 0, "verify", us, one / "0.pgm", one / "1.pgm").startswith("same,")
    assert said(capsys, 1, "verify", us, one / "0.pgm", other / "0.pgm").startswith("different,")
    said(capsys, 2, "verify", us, one / "0.pgm", us)


def test_calibrate_prints_a_table_and_keeps_the_threshold(
    ground: Path, us: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = said(capsys, 0, "identify", us, ground / "train" / "p1" / "0.pgm").strip().split(",")[3]
    out = said(capsys, 0, "calibrate", us, ground / "strangers", "--far", 0.05)
    assert "strangers named" in out
    after = said(capsys, 0, "identify", us, ground / "train" / "p1" / "0.pgm").strip().split(",")[3]
    assert after != before
    assert f"threshold {after}" in out
    assert len(said(capsys, 0, "people", us).splitlines()) == 16, "the people of the model are still there"


# ── what cannot be used ───────────────────────────────────────────────────────────────────────────


def test_an_empty_folder_and_a_missing_picture(us: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "none").mkdir()
    assert "holds no pictures" in said(capsys, 2, "enrol", us, "Ann", tmp_path / "none")
    assert "holds no pictures" in said(capsys, 2, "identify", us, tmp_path / "none")
    assert "does not exist" in said(capsys, 2, "enrol", us, "Ann", tmp_path / "gone.png")
    assert not us.with_suffix(".gallery").exists(), "nothing was made for a mistake"


def test_an_empty_folder_does_not_keep_the_pictures_after_it_from_an_answer(
    ground: Path, us: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none").mkdir()
    picture = ground / "train" / "p1" / "0.pgm"
    printed = said(capsys, 2, "identify", us, tmp_path / "none", picture)
    assert f"{picture},p1,1.0000," in printed
    assert printed.count("holds no pictures") == 1


def test_a_name_is_one_line_and_no_command_to_the_terminal(
    ground: Path, us: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("two\nlines", "\x1b[31mred"):
        said(capsys, 0, "enrol", us, name, ground / "train" / "p1" / "0.pgm", "--json")
    lines = said(capsys, 0, "people", us).splitlines()
    assert len(lines) == 18
    assert {'"two\\nlines"', '"\\u001b[31mred"'} <= set(lines)


def test_an_empty_word_is_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert "folder" in said(capsys, 2, "people", "")


@pytest.mark.parametrize(
    "command", [["people"], ["forget", "x"], ["identify", "x.png"], ["verify", "a", "b"], ["calibrate", "orl"]]
)
def test_a_damaged_model(command: list[str], us: Path, capsys: pytest.CaptureFixture[str]) -> None:
    us.write_bytes(us.read_bytes()[:1000])
    said(capsys, 2, command[0], us, *command[1:])


def test_a_foreign_file_as_gallery(us: Path, ground: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = ground / "train" / "p1" / "0.pgm"
    before = picture.read_bytes()
    assert "not a gallery" in said(capsys, 2, "people", us, "--gallery", picture)
    assert "not a gallery" in said(capsys, 2, "enrol", us, "Ann", picture, "--gallery", picture)
    assert picture.read_bytes() == before


def test_a_place_where_no_gallery_can_be_made(us: Path, ground: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = ground / "train" / "p1" / "0.pgm"
    assert "cannot be made" in said(capsys, 2, "enrol", us, "Ann", picture, "--gallery", "/proc/us.gallery")


def test_an_empty_name(us: Path, ground: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "needs a name" in said(capsys, 2, "enrol", us, " ", ground / "train" / "p1" / "0.pgm")


def test_training_does_not_replace_the_model_that_a_gallery_needs(
    ground: Path, us: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, 0, "enrol", us, "q1", ground / "strangers" / "q1")
    before = us.read_bytes()
    out = said(capsys, 2, "train", ground / "train", "--model", "eigen", "--out", us)
    assert "delete" in out
    assert us.read_bytes() == before
    with Gallery(us.with_suffix(".gallery")) as gallery:
        assert "q1" in gallery


def test_a_gallery_of_another_model(ground: Path, us: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, 0, "enrol", us, "q1", ground / "strangers" / "q1")
    other = us.parent / "other.minidl"
    said(capsys, 0, "train", ground / "train", "--model", "eigen", "--out", other)
    gallery = us.with_suffix(".gallery")
    for command in (
        ["identify", other, ground / "train" / "p1" / "0.pgm"],
        ["enrol", other, "x", ground / "strangers" / "q2"],
    ):
        assert "enrolled with another model" in said(capsys, 2, *command, "--gallery", gallery)
    assert "q1" in said(capsys, 0, "people", us)


@pytest.mark.parametrize("words", [["--far", "0"], ["--far", "x"], ["--far", "1.5"], ["--people", "0"]])
def test_numbers_that_cannot_be_meant(words: list[str], us: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["faces", "calibrate", str(us), "orl", *words])
    assert stopped.value.code == 2
    assert words[0] in capsys.readouterr().err
