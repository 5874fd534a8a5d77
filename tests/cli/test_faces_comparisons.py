"""`minidl faces compare --damage`, `--unseen`, `ablate`: tables, JSON, and what is refused before a training."""

import importlib.util
import json

import numpy as np
import pytest

from minidl.cli.main import main
from minidl.faces.generated import generated_faces
from minidl.faces.recognizer import MODELS


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    drawn = generated_faces(people=4, per_person=7, size=(32, 32), seed=3, difficulty="easy")
    path = tmp_path_factory.mktemp("faces") / "four.npz"
    np.savez(path, images=drawn.images, labels=drawn.labels)
    return str(path)


def test_a_table_of_damage(faces, capsys):
    assert main(["faces", "compare", faces, "--damage", "--models", "lbp,fisher", "--train", "3"]) == 0
    printed = capsys.readouterr().out
    assert "lower half" in printed
    assert [line.split()[0] for line in printed.splitlines()[-2:]] == ["lbp", "fisher"]


def test_a_table_of_unseen_people(faces, capsys):
    assert main(["faces", "compare", faces, "--unseen", "--models", "lbp", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pairs"] == {"same": 42, "different": 49}
    assert set(found["models"]["lbp"]) >= {"eer", "auc", "tar@far=1%"}


def test_a_table_of_what_each_trick_buys(faces, capsys):
    words = ["faces", "ablate", faces, "--model", "gru", "--changes", "the recipe,no augmentation", "--seeds", "0"]
    assert main([*words, "--epochs", "2"]) == 0
    printed = capsys.readouterr().out
    assert "no augmentation" in printed
    assert main([*words, "--epochs", "2", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["changes"]) == {"the recipe", "no augmentation"}


def test_all_models(faces, tmp_path, capsys):
    words = ["faces", "compare", faces, "--models", "all", "--epochs", "1", "--seeds", "0", "--json"]
    assert main([*words, "--out", str(tmp_path / "c.png")]) == 0
    assert len(json.loads(capsys.readouterr().out)["models"]) == len(MODELS) == 12


def test_a_network_is_trained_for_a_purpose_by_a_loss(faces, tmp_path, capsys):
    words = ["faces", "train", faces, "--model", "gru", "--purpose", "verification", "--loss", "arcface"]
    assert main([*words, "--epochs", "1", "--out", str(tmp_path / "m")]) == 0
    assert "learned 4 people" in capsys.readouterr().out


def test_no_matplotlib_is_said_before_the_training(faces, tmp_path, monkeypatch, capsys):
    there = importlib.util.find_spec

    def nowhere(name, *rest):
        return None if name == "matplotlib" else there(name, *rest)

    monkeypatch.setattr("minidl.faces.picture.find_spec", nowhere)
    monkeypatch.setattr("minidl.faces.comparison.compare", lambda *a, **k: pytest.fail("it trained"))
    assert main(["faces", "compare", faces, "--models", "eigen", "--out", str(tmp_path / "c.png")]) == 2
    assert "pip install 'minidl[faces]'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--changes", "magic"], ["--train", "5"]])
def test_what_cannot_be_is_one_sentence(faces, words, capsys):
    assert main(["faces", "ablate", faces, *words]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
