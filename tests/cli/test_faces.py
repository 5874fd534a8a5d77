"""The command line as a user meets it: what it prints, its exit codes, one sentence for every mistake."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from minidl.cli.main import main
from minidl.faces.generated import generated_faces


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six generated people with ten small images each, as an .npz file."""
    drawn = generated_faces(people=6, per_person=10, size=(56, 46), seed=3, difficulty="easy")
    path = tmp_path_factory.mktemp("faces") / "six.npz"
    np.savez(path, images=drawn.images, labels=drawn.labels)
    return path


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that must be refused: exit code 2, nothing printed, one sentence without a traceback."""
    assert main([str(a) for a in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("minidl: ")
    assert "Traceback" not in printed.err
    return lines[0]


# ── the way through ───────────────────────────────────────────────────────────────────────────────


def test_train_then_evaluate(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "six.minidl"
    assert main(["faces", "train", str(faces), "--model", "fisher", "--out", str(model)]) == 0
    assert "learned 6 people from 60 images" in capsys.readouterr().out
    assert main(["faces", "evaluate", str(model), str(faces), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["accuracy"] > 0.95
    assert main(["faces", "evaluate", str(model), str(faces)]) == 0
    assert "accuracy" in capsys.readouterr().out


def test_compare_prints_a_table_and_draws_a_picture(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "c.png"
    words = ["faces", "compare", str(faces), "--models", "eigen,fisher", "--seeds", "0,2", "--out", str(picture)]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines() if line.startswith(("eigen", "fisher"))] == ["eigen", "fisher"]
    assert "83.3 %" in out, "guessing among six people"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_compare_as_json_names_every_run(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["faces", "compare", str(faces), "--models", "eigen", "--seeds", "0-2", "--train", "3", "--json"]
    assert main([*words, "--out", str(tmp_path / "c.png")]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [run["seed"] for run in result["runs"]] == [0, 1, 2]
    errors = [100 * run["error"] for run in result["runs"]]
    assert result["models"]["eigen"]["error"] == pytest.approx(np.mean(errors))
    assert result["models"]["eigen"]["sd"] == pytest.approx(np.std(errors, ddof=1))
    for run in result["runs"]:
        assert run["error"] == pytest.approx(len(run["mistakes"]) / result["tests"])


def test_a_pipe_gets_nothing_but_the_answer(faces: Path, tmp_path: Path) -> None:
    words = ["faces", "train", str(faces), "--model", "eigen", "--out", str(tmp_path / "m"), "--json"]
    done = subprocess.run([sys.executable, "-m", "minidl.cli.main", *words], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["people"] == 6
    assert done.stderr == ""


def test_info_names_versions_and_devices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["libraries"]["numpy"] == np.__version__
    assert "cpu" in found["devices"]
    assert main(["info"]) == 0
    assert "numpy" in capsys.readouterr().out


# ── bad input ─────────────────────────────────────────────────────────────────────────────────────


def person_folders(folder: Path, people: int, images: int) -> Path:
    for person in range(people):
        (folder / f"p{person}").mkdir(parents=True)
        for k in range(images):
            pixels = np.random.default_rng([person, k]).integers(0, 255, (30, 20), np.uint8)
            (folder / f"p{person}" / f"{k}.pgm").write_bytes(b"P5 20 30 255\n" + pixels.tobytes())
    return folder


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "does not exist" in refused(capsys, "faces", "compare", tmp_path / "nobody")


def test_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, "faces", "train", tmp_path, "--out", tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_one_person_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = person_folders(tmp_path / "data", 1, 8)
    assert "at least 2" in refused(capsys, "faces", "train", folder, "--out", tmp_path / "m")


def test_too_few_images_for_the_protocol(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = person_folders(tmp_path / "data", 3, 4)
    assert "p0" in refused(capsys, "faces", "compare", folder, "--models", "eigen")


def test_a_corrupt_image_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = person_folders(tmp_path / "data", 2, 6)
    (folder / "p1" / "3.pgm").write_bytes(b"P5 20 30 255\nshort")
    assert "3.pgm" in refused(capsys, "faces", "train", folder, "--out", tmp_path / "m")


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = person_folders(tmp_path / "data", 2, 6)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0))
    (folder / "p0" / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    assert "bomb.png" in refused(capsys, "faces", "train", folder, "--out", tmp_path / "m")


def test_images_of_a_wrong_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "flat.npz", images=np.zeros((12, 40), np.uint8), labels=np.arange(12) % 2)
    refused(capsys, "faces", "train", tmp_path / "flat.npz", "--out", tmp_path / "m")


def test_a_truncated_model_file_and_a_model_that_is_none(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "m"
    assert main(["faces", "train", str(faces), "--model", "eigen", "--out", str(model)]) == 0
    capsys.readouterr()
    whole = model.read_bytes()
    model.write_bytes(whole[: len(whole) // 2])
    refused(capsys, "faces", "evaluate", model, faces)
    model.write_bytes(b"not a model at all")
    refused(capsys, "faces", "evaluate", model, faces)
    assert "does not exist" in refused(capsys, "faces", "evaluate", tmp_path / "missing", faces)


def test_an_unknown_model_is_refused_before_anything_is_trained(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "eigen" in refused(
        capsys, "faces", "compare", faces, "--models", "eigen,oracle", "--out", tmp_path / "c.png"
    )


def test_what_was_stored_survives_a_failed_training(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "m"
    assert main(["faces", "train", str(faces), "--model", "eigen", "--out", str(model)]) == 0
    capsys.readouterr()
    before = model.read_bytes()
    refused(capsys, "faces", "train", tmp_path / "nobody", "--out", model)
    assert model.read_bytes() == before


def test_a_place_that_cannot_be_written(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = tmp_path / "no" / "such"
    assert str(nowhere) in refused(capsys, "faces", "train", faces, "--model", "eigen", "--out", nowhere / "m")
    assert str(nowhere) in refused(capsys, "faces", "compare", faces, "--models", "eigen", "--out", nowhere / "c.png")


@pytest.mark.parametrize("words", [["--seeds", "x"], ["--seeds", "3-1"], ["--train", "0"], ["--protocol", "none"]])
def test_bad_options_name_the_option(faces: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["faces", "compare", str(faces), *words])
    assert stopped.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_more_training_images_than_the_protocol_has(faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, "faces", "compare", faces, "--train", "6")


@pytest.mark.parametrize("command", [["train"], ["compare", "--models", "eigen"]], ids=["train", "compare"])
def test_a_pipe_as_out_is_refused_before_any_training(
    command: list[str], faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    said = refused(capsys, "faces", *command, faces, "--out", pipe)
    assert f"{pipe} is a device, a pipe or a socket" in said
    assert pipe.is_fifo()


def test_a_folder_as_out_is_named_as_a_folder(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{tmp_path} is a folder" in refused(capsys, "faces", "train", faces, "--out", tmp_path)


@pytest.mark.parametrize("name", ["c.xyz", "c"])
def test_a_picture_of_unknown_format_is_refused_before_any_training(
    name: str, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / name
    assert "let it end in .png, .svg, .pdf" in refused(capsys, "faces", "compare", faces, "--out", out)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--seeds", "0-99999999999", "names more than 10000 seeds"),
        ("--epochs", "many", "expected a whole number ≥ 1, got many"),
    ],
)
def test_numbers_that_cannot_be_meant(
    option: str, value: str, sentence: str, faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["faces", "compare", str(faces), option, value])
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err


def test_a_closed_standard_output_is_no_error(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["faces", "train", str(faces), "--model", "eigen", "--out", str(faces.with_suffix(".minidl"))]) == 0
