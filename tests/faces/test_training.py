"""The loop: which images a step sees, what is decayed, batches from another thread, the same bits in every run."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.backend import Generator, default_generator
from minidl.faces.batches import ImageBatches, plan
from minidl.faces.models import FaceCNN
from minidl.faces.training import Prefetched, Recipe, decayed_and_not, progress_bar, train
from minidl.kernels.threads import num_threads, set_num_threads

SIZE = (18, 16)


def _textures(people=3, each=4, seed=0):
    """Faces that are random textures: (n, 1, h, w) float32 and who they show."""
    rng = np.random.default_rng(seed)
    faces = rng.normal(size=(people, 1, 1, *SIZE)) + 0.3 * rng.normal(size=(people, each, 1, *SIZE))
    return faces.reshape(-1, 1, *SIZE).astype(np.float32), np.repeat(np.arange(people), each)


def _batches(faces, codes, batch, seed=0):
    return ImageBatches(faces[:, 0], codes, lambda shown: shown[:, None], batch, None, seed=seed)


def _trained(recipe, seed=0, **options):
    faces, codes = _textures()
    network = FaceCNN(3, SIZE, width=4, features=8, generator=Generator(seed))
    history = train(network, _batches(faces, codes, recipe.batch, seed), recipe, **options)
    return network, history


def _threads():
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("minidl-faces")}


# ── which images ──────────────────────────────────────────────────────────────────────────────────


@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 3))
def test_every_epoch_shows_every_image_once(images, batch, seed):
    plans = [plan(step, images, batch, seed) for step in range(2 * images)]
    shown = list(
        zip(np.concatenate([p.epochs for p in plans]), np.concatenate([p.indices for p in plans]), strict=True)
    )
    assert len(shown) == 2 * images * batch
    assert sorted(shown) == [(epoch, index) for epoch in range(2 * batch) for index in range(images)]


def test_orders_differ_between_epochs_and_seeds_and_depend_on_nothing_else():
    def orders(seed, batch):
        plans = [plan(step, 50, batch, seed) for step in range(100 // batch)]
        return np.concatenate([p.indices for p in plans])

    assert np.array_equal(orders(1, 10), orders(1, 25)), "the size of the batch changes nothing"
    assert not np.array_equal(orders(1, 50)[:50], orders(1, 50)[50:])
    assert not np.array_equal(orders(1, 50), orders(2, 50))


# ── the loop ──────────────────────────────────────────────────────────────────────────────────────


def test_the_loss_falls():
    _, history = _trained(Recipe(steps=25, batch=12))
    assert history["step"] == list(range(1, 26))
    assert np.mean(history["loss"][-5:]) < 0.3 * history["loss"][0]
    assert np.all(np.diff([0, *history["seconds"]]) > 0)


def test_the_rate_rises_linearly_and_then_falls_along_a_cosine():
    _, history = _trained(Recipe(steps=20, batch=4, learning_rate=0.01, warm_up=0.2))
    falling = 0.01 * 0.5 * (1 + np.cos(np.pi * np.arange(16) / 16))
    assert np.allclose(history["learning_rate"], np.r_[0.0025, 0.005, 0.0075, 0.01, falling])


def test_one_step_is_enough_to_schedule():
    assert _trained(Recipe(steps=1, batch=4))[1]["learning_rate"] == [Recipe.learning_rate]


def test_weights_decay_and_biases_and_factors_do_not():
    network = FaceCNN(3, SIZE, width=4, features=8)
    decayed, others = decayed_and_not(network)
    names = {id(p): name for name, p in network.named_parameters()}
    assert len(decayed) + len(others) == len(names)
    assert {names[id(p)].rpartition(".")[2] for p in others} == {"weight", "bias"}
    assert all(p.ndim == 1 for p in others)
    assert "classifier.weight" in {names[id(p)] for p in decayed}
    before = {name: p.numpy().copy() for name, p in network.state_dict().items()}
    faces, codes = _textures()
    train(network, _batches(faces, codes, 12), Recipe(steps=1, batch=12, learning_rate=1e-6, weight_decay=5e5))
    factor = {
        name: np.linalg.norm(p.detach().numpy()) / max(np.linalg.norm(before[name]), 1e-9)
        for name, p in network.named_parameters()
        if name.endswith("weight")
    }
    assert np.isclose(factor["classifier.weight"], 0.5, atol=0.01), "half of it: 1 - 1e-6 · 5e5"
    assert np.isclose(factor["embedding.1.weight"], 1, atol=0.01)


def test_a_step_is_never_longer_than_the_clipped_gradient_allows():
    """With a gradient clipped to almost nothing, Adam's ε dominates and nothing moves."""
    network, _ = _trained(Recipe(steps=3, batch=8, clip=1e-12, weight_decay=0.0))
    first = FaceCNN(3, SIZE, width=4, features=8, generator=Generator(0))
    for one, other in zip(network.parameters(), first.parameters(), strict=True):
        assert np.allclose(one.detach().numpy(), other.detach().numpy(), atol=2e-4)


def test_validation_is_measured_ten_times_and_at_the_end():
    _, history = _trained(Recipe(steps=20, batch=4), validate=lambda: 0.25)
    assert {row["step"]: row["error"] for row in history if "error" in row} == dict.fromkeys(range(2, 21, 2), 0.25)


def test_training_goes_on_in_training_mode_after_a_validation():
    faces, codes = _textures()
    network = FaceCNN(3, SIZE, width=4, features=8, generator=Generator(0))

    def validate():
        network.eval()
        return 0.0

    train(network, _batches(faces, codes, 4), Recipe(steps=10, batch=4), validate=validate)
    assert int(network.features[1].num_batches_tracked.item()) == 10, "batch normalisation saw every batch"


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads():
    before, threads = default_generator.get_state(), num_threads()
    runs = []
    try:
        for n in (1, 1, 3):
            set_num_threads(n)
            network, history = _trained(Recipe(steps=6, batch=10), seed=4)
            runs.append((history["loss"], [p.detach().numpy().tobytes() for p in network.parameters()]))
    finally:
        set_num_threads(threads)
    assert runs[0] == runs[1]
    assert runs[0] == runs[2]
    assert _trained(Recipe(steps=6, batch=10), seed=5)[1]["loss"] != runs[0][0]
    assert default_generator.get_state() == before


# ── batches from another thread ───────────────────────────────────────────────────────────────────


def test_results_come_in_order_from_one_other_thread():
    with Prefetched(lambda k: (k, threading.get_ident()), 20) as results:
        found = list(results)
    assert [k for k, _ in found] == list(range(20))
    assert {ident for _, ident in found}.isdisjoint({threading.get_ident()})
    assert len({ident for _, ident in found}) == 1


def test_results_are_made_ahead_but_not_too_far():
    made = []
    with Prefetched(lambda k: made.append(k) or k, 100, ahead=3) as results:
        stream = iter(results)
        assert next(stream) == 0
        deadline = time.monotonic() + 5
        while len(made) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        assert made == [0, 1, 2, 3, 4], "one taken, three waiting, one in the hand"
    assert not _threads()


def test_an_error_in_the_other_thread_is_raised_where_its_result_was_due():
    def make(k):
        if k == 2:
            raise OSError("the third is broken")
        return k

    taken = []

    def take():
        with Prefetched(make, 5) as results:
            for k in results:
                taken.append(k)

    with pytest.raises(OSError, match="the third is broken"):
        take()
    assert taken == [0, 1]
    assert not _threads()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError])
def test_an_interrupted_training_leaves_no_thread_behind(interruption):
    def watch(step, loss):
        if step == 2:
            raise interruption

    with pytest.raises(interruption):
        _trained(Recipe(steps=50, batch=4), watch=watch)
    assert not _threads()


def test_no_bar_in_a_pipe(capsys):
    with progress_bar(True, 10) as watch:
        assert watch is None
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(monkeypatch):
    pytest.importorskip("rich")
    import io
    import sys

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar(True, 10) as watch:
        watch(10, 0.5)
    assert "10/10 steps, loss 0.500" in terminal.getvalue()
