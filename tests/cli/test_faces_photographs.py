"""`minidl faces detect`, `expression` and `explain` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from minidl.cli.main import main
from minidl.faces.generated import EXPRESSIONS, generated_faces, generated_scenes
from minidl.faces.images import encode_png, read_image

pytest.importorskip("cv2", reason="the cascades, and reading png, need OpenCV")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene with two people, an empty room, something that is no picture, faces, and a model of them."""
    made = tmp_path_factory.mktemp("照片")
    scene = generated_scenes(1, (2, 2), seed=5, difficulty="easy", color=True)
    (made / "two.png").write_bytes(encode_png(scene.images[0]))
    room = generated_scenes(1, (0, 0), size=(200, 240), seed=1)
    (made / "room.png").write_bytes(encode_png(room.images[0]))
    (made / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    faces = generated_faces(5, 8, seed=6, difficulty="easy")
    np.savez(made / "people.npz", images=faces.images, labels=np.array(["ann", "bob", "cy", "di", "ed"])[faces.labels])
    (made / "face.png").write_bytes(encode_png(faces.images[0]))
    usage = (faces.labels == 4) * 2
    np.savez(
        made / "expressions.npz",
        images=faces.images,
        labels=faces.expressions,
        classes=np.array(EXPRESSIONS),
        usage=usage,
        people=faces.labels,
    )
    assert main(["faces", "train", str(made / "people.npz"), "--model", "eigen", "--out", str(made / "m.minidl")]) == 0
    return made


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["faces", *map(str, words)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


# ── detect ────────────────────────────────────────────────────────────────────────────────────────


def test_detect_prints_a_line_a_face(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "detect", folder / "two.png")
    assert (code, err) == (0, "")
    lines = [line.split(",") for line in out.splitlines()]
    assert len(lines) == 2
    for file, x, y, w, h, score, quality, by in lines:
        assert file.endswith("two.png")
        assert min(int(x), int(y)) >= 0
        assert int(w) > 20
        assert int(h) > 20
        assert 0.5 <= float(score) <= 1
        assert 0 < float(quality) <= 1
        assert by in ("eyes", "box")


def test_detect_marks_a_picture_and_puts_faces_into_a_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, crops = tmp_path / "marked.png", tmp_path / "crops"
    code, text, _ = run(capsys, "detect", folder / "two.png", "--json", "--out", out, "--crops", crops)
    assert code == 0
    (facts,) = json.loads(text)
    box = facts["faces"][0]
    marked, plain = read_image(out, color=True), read_image(folder / "two.png", color=True)
    assert marked.shape == plain.shape
    assert marked[box["y"], box["x"]].tolist() == [232, 90, 40]
    assert sorted(file.name for file in crops.iterdir()) == ["two-1.png", "two-2.png"]
    assert read_image(crops / "two-1.png").shape == (112, 92)


def test_detect_says_no_with_1_and_bad_input_with_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "detect", folder / "room.png", folder / "two.png")
    assert code == 1
    assert len(out.splitlines()) == 2, "the other picture is searched all the same"
    assert "room.png: no face was found" in err
    code, out, err = run(capsys, "detect", folder / "torn.png", folder / "two.png")
    assert code == 2
    assert len(out.splitlines()) == 2
    assert err.count("\n") == 1
    code, _, err = run(capsys, "detect", folder / "two.png", folder / "room.png", "--out", "a.png")
    assert code == 2
    assert "2 are given" in err
    code, _, err = run(capsys, "detect", folder / "two.png", "--out", "a.gif")
    assert (code, ".png" in err) == (2, True)
    with pytest.raises(SystemExit) as stopped:
        main(["faces", "detect", str(folder / "two.png"), "--least", "7"])
    assert stopped.value.code == 2


# ── expression ────────────────────────────────────────────────────────────────────────────────────


def test_expressions_are_learned_saved_and_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "m.minidl"
    model.write_bytes((folder / "m.minidl").read_bytes())
    code, _, err = run(capsys, "expression", model, folder / "face.png")
    assert code == 2
    assert "knows no expressions yet" in err
    code, out, _ = run(capsys, "expression", model, "--fit", folder / "expressions.npz", "--epochs", 2, "--json")
    assert code == 0
    facts = json.loads(out)
    assert facts["images"] == 32
    assert set(facts["classes"]) <= set(EXPRESSIONS)
    assert facts["test"]["images"] == facts["patterns"]["images"] == 8
    code, out, _ = run(capsys, "expression", model, folder / "face.png")
    assert code == 0
    _, name, probability = out.strip().split(",")
    assert name in EXPRESSIONS
    assert 0 < float(probability) <= 1
    code, _, err = run(capsys, "expression", model, folder / "room.png")
    assert code == 2
    assert "room.png: no face" in err
    assert run(capsys, "evaluate", model, folder / "people.npz")[0] == 0, "it still recognizes people"


def test_expressions_need_data_that_fit(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "expression", folder / "m.minidl")
    assert (code, "nothing to do" in err) == (2, True)
    images = np.zeros((3, 48, 48), np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.array([0, 1, 5]), classes=np.array(["x", "y"]))
    code, _, err = run(capsys, "expression", folder / "m.minidl", "--fit", tmp_path / "a.npz")
    assert code == 2
    assert "whole numbers from 0 to 1" in err
    np.savez(tmp_path / "b.npz", images=images, labels=np.array([0, 1, 1]), usage=np.array([0]))
    code, _, err = run(capsys, "expression", folder / "m.minidl", "--fit", tmp_path / "b.npz")
    assert code == 2
    assert "usage of shape (1,) for 3 images" in err


# ── explain ───────────────────────────────────────────────────────────────────────────────────────


def test_explain_draws_which_pixels_speak(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "why.png"
    code, out, _ = run(capsys, "explain", folder / "m.minidl", folder / "face.png", "--out", picture)
    assert code == 0
    assert out.startswith("ann: ")
    drawn = read_image(picture, color=True)
    assert drawn.shape == (336, 552, 3)
    grey = drawn.max(2) == drawn.min(2)
    assert grey[:, :276].all(), "the face as it is"
    assert grey[:, 276:].mean() < 0.5, "the face under colours"
    words = ("explain", folder / "m.minidl", folder / "face.png", "--out", picture, "--person", "bob", "--json")
    code, out, _ = run(capsys, *words)
    facts = json.loads(out)
    assert (code, facts["person"], facts["method"]) == (0, "bob", "occlusion")
    assert np.shape(facts["map"]) == (112, 92)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--person", "zoe"], "nobody in the training is called 'zoe': known are ann, bob"),
        (["--method", "grad-cam"], "needs a network"),
        (["--out", "why.jpg"], "let it end in .png"),
    ],
)
def test_explain_refuses_in_one_sentence(
    words: list[str], says: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = [] if "--out" in words else ["--out", tmp_path / "why.png"]
    code, printed, err = run(capsys, "explain", folder / "m.minidl", folder / "face.png", *out, *words)
    assert (code, printed) == (2, "")
    assert says in err
    assert err.count("\n") == 1
