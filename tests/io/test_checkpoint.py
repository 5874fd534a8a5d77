"""Checkpoints: resuming bit for bit, all or nothing, and a crash that leaves the old file whole."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from resume_runs import OPTIMIZERS, Run

from minidl import Tensor, nn, optim
from minidl.backend import Generator
from minidl.data import DataLoader
from minidl.io import BadFile, Mismatch, checkpoint, load_safetensors, save_safetensors

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """Every run trained for 3 steps and saved here, then resumed for 3 more in another process."""
    folder = tmp_path_factory.mktemp("resumed")
    for name in OPTIMIZERS:
        Run(name, seed=5).train(3, folder / f"{name}.safetensors")
    subprocess.run([sys.executable, HERE / "resume_runs.py", folder], check=True, env=os.environ | PATH, timeout=120)
    return folder


PATH = {"PYTHONPATH": os.pathsep.join([str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")])}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_T26_six_steps_equal_three_and_three_in_a_new_process_bit_for_bit(name, resumed):
    whole = Run(name, seed=5)
    whole.train(3)  # the loader's epoch is left by break here, and in the saved run inside the loop
    whole = Run(name, seed=5)
    whole.train(6)
    digest, losses = pickle.loads((resumed / f"{name}.resumed").read_bytes())
    assert losses == whole.losses
    assert len(set(losses)) == 6
    assert digest == whole.digest()[0]


def test_every_optimizer_is_resumed():
    made = {type(make([Tensor(np.ones(1), requires_grad=True)])) for make in OPTIMIZERS.values()}
    everything = {v for v in vars(optim).values() if isinstance(v, type) and issubclass(v, optim.Optimizer)}
    assert made == everything - {optim.Optimizer}


# ── what is stored ────────────────────────────────────────────────────────────────────────────────


def test_a_checkpoint_is_a_safetensors_file_of_the_model(tmp_path):
    run = Run("AdamW", seed=1)
    run.train(2, tmp_path / "c")
    tensors = load_safetensors(tmp_path / "c")
    for name, value in run.model.state_dict().items():
        assert tensors[f"model.{name}"].equal(value)
    assert checkpoint.load(tmp_path / "c") == {"steps": 2, "losses": run.losses}


def test_the_model_alone_is_enough_for_inference(tmp_path):
    run, other = Run("Adam", seed=1), Run("Adam", seed=2)
    run.train(2, tmp_path / "c")
    before = other.optimizer.state_dict(), other.generator.get_state()
    checkpoint.load(tmp_path / "c", model=other.model)
    x = Tensor(np.ones((2, 6), "f4"))
    assert run.model.eval()(x).equal(other.model.eval()(x))
    assert (other.optimizer.state_dict(), other.generator.get_state()) == before


@pytest.mark.parametrize(
    "extra",
    [
        None,
        3,
        2**127 - 1,
        0.1 + 0.2,
        float("inf"),
        "größer",
        [1, (2.5, "x"), {"a": None, "b": [True, False]}],
        {1: "a", None: 2},
        {"$array": "not one"},
        3 + 4j,
        np.float32(0.1),
        {"a.b": np.zeros(2), "a": {"b": np.ones(3)}},
        {"history": np.arange(6.0).reshape(2, 3).T, "t": Tensor([1, 2]), "scalar": np.array(2.0)},
    ],
    ids=repr,
)
def test_extra_comes_back_as_it_was(extra, tmp_path):
    checkpoint.save(tmp_path / "c", extra=extra)
    back = checkpoint.load(tmp_path / "c")

    def same(a, b):
        if isinstance(a, np.ndarray | Tensor):
            return isinstance(b, np.ndarray) and np.array_equal(np.asarray(a), b) and a.dtype == b.dtype
        if isinstance(a, dict):
            return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
        return a == b and (isinstance(a, np.generic) or type(a) is type(b))

    assert same(extra, back)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"f": [1, print]}, r"extra\.f\.1 is a builtin_function_or_method"),
        ({("a", "b"): 1}, "extra is a dict"),
        (np.array(["x"]), "has dtype str"),
        ({1, 2}, "extra is a set"),
    ],
)
def test_what_cannot_be_stored_is_named_and_the_old_file_kept(extra, message, tmp_path):
    checkpoint.save(tmp_path / "c", extra="old")
    with pytest.raises(TypeError, match=message):
        checkpoint.save(tmp_path / "c", extra=extra)
    assert checkpoint.load(tmp_path / "c") == "old"
    assert os.listdir(tmp_path) == ["c"]


# ── all or nothing ────────────────────────────────────────────────────────────────────────────────


def everything(run):
    return run.digest()[0], run.loader.state_dict()


@pytest.mark.parametrize(
    ("make", "parts", "message"),
    [
        (lambda: Run("SGD momentum", 2), None, "holds the optimizer AdamW, this one is SGD"),
        (lambda: Run("AdamW", 2), {"model": nn.Linear(6, 4)}, "does not fit Linear"),
        (lambda: Run("AdamW", 2), {"optimizer": optim.AdamW(nn.Linear(6, 4).parameters())}, "groups of"),
        (lambda: Run("AdamW", 2), {"loader": DataLoader(range(9), 2)}, "saved with 3 batches"),
        (
            lambda: Run("AdamW", 2),
            {"scheduler": optim.lr_scheduler.WarmupCosine(optim.SGD(nn.Linear(1, 1).parameters()), 1, 8)},
            "saved with warmup_steps=2",
        ),
    ],
)
def test_T27_a_part_that_does_not_fit_is_named_and_nothing_changes(make, parts, message, tmp_path):
    saved = Run("AdamW", 1)
    saved.train(4, tmp_path / "c")
    run = make()
    run.train(2)
    before = everything(run)
    with pytest.raises((ValueError, RuntimeError), match=message):
        checkpoint.load(tmp_path / "c", **(run.parts | (parts or {})))
    assert everything(run) == before
    run.train(3)


def test_a_part_that_is_not_there_is_named(tmp_path):
    run = Run("Adam", 1)
    checkpoint.save(tmp_path / "c", model=run.model)
    with pytest.raises(Mismatch, match="holds no optimizer; it holds model"):
        checkpoint.load(tmp_path / "c", model=run.model, optimizer=run.optimizer)


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    path = tmp_path / "c"
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        checkpoint.load(path)
    save_safetensors(path, {"w": np.ones(2)})
    with pytest.raises(BadFile, match="no checkpoint of minidl; load_safetensors reads its tensors"):
        checkpoint.load(path)
    save_safetensors(path, {}, {"minidl.checkpoint": '{"version": 99}'})
    with pytest.raises(BadFile, match="format version 99, this minidl reads up to 1; update minidl"):
        checkpoint.load(path)


def test_a_flipped_bit_is_noticed_and_nothing_changes(tmp_path):
    run = Run("Adam", 1)
    run.train(2, tmp_path / "c")
    before = everything(run)
    whole = bytearray((tmp_path / "c").read_bytes())
    whole[-7] ^= 4
    (tmp_path / "c").write_bytes(whole)
    with pytest.raises(BadFile, match="does not match its checksum"):
        checkpoint.load(tmp_path / "c", **run.parts)
    assert everything(run) == before


# ── crashes ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("broken", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt()])
def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(broken, error, tmp_path, monkeypatch):
    checkpoint.save(tmp_path / "c", extra="old")

    def fail(*args, **kwargs):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(os, broken, fail)
        with pytest.raises(type(error)):
            checkpoint.save(tmp_path / "c", extra="new")
    assert checkpoint.load(tmp_path / "c") == "old"
    assert os.listdir(tmp_path) == ["c"]


SAVER = """
import sys, numpy as np
from minidl.io import checkpoint
big = np.zeros(500_000)
for i in range(10_000):
    checkpoint.save(sys.argv[1], extra={"i": i, "big": big + i})
    if i == 0: print("ready", flush=True)
"""


def test_a_process_killed_while_saving_leaves_a_whole_file(tmp_path, rng):
    path, seen = tmp_path / "c", []
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVER, path], stdout=subprocess.PIPE, env=os.environ | PATH, text=True
        )
        try:
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.05 + 0.1 * rng.random())
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
        extra = checkpoint.load(path)
        assert (extra["big"] == extra["i"]).all()
        seen.append(extra["i"])
    assert max(seen) > 0, "no process lived long enough to save a second time"


def test_a_generator_continues_where_it_stood(tmp_path):
    one, two = Generator(3), Generator(4)
    one.numpy.standard_normal(7)
    checkpoint.save(tmp_path / "c", generator=one)
    checkpoint.load(tmp_path / "c", generator=two)
    assert two.initial_seed() == 3
    assert one.numpy.standard_normal(5).tolist() == two.numpy.standard_normal(5).tolist()
