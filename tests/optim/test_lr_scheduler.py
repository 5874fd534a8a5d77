"""Schedules: PyTorch's rates over 50 epochs, the documents' decay, and resuming."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minidl import Tensor
from minidl.optim import SGD, lr_scheduler

CASES = {
    "LambdaLR": lambda m, o: m.LambdaLR(o, lambda t: 0.9**t),
    "LambdaLR for each group": lambda m, o: m.LambdaLR(o, [lambda t: 1 / (1 + t), lambda t: 0.5]),
    "StepLR": lambda m, o: m.StepLR(o, 7, gamma=0.3),
    "MultiStepLR": lambda m, o: m.MultiStepLR(o, [30, 3, 11, 11], gamma=0.5),
    "ExponentialLR": lambda m, o: m.ExponentialLR(o, 0.93),
    "CosineAnnealingLR": lambda m, o: m.CosineAnnealingLR(o, 20, eta_min=0.001),
    "LinearLR": lambda m, o: m.LinearLR(o, start_factor=0.25, end_factor=0.8, total_iters=9),
    "SequentialLR": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o, 0.1, total_iters=4), m.StepLR(o, 5, 0.5), m.ExponentialLR(o, 0.8)], [4, 30]
    ),
}


def optimizer(lr=(0.1, 0.01)):
    return SGD([{"params": [Tensor(np.ones(1, "f4"), requires_grad=True)], "lr": rate} for rate in lr])


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.filterwarnings("ignore:The epoch parameter in")
@pytest.mark.parametrize("name", CASES)
def test_50_epochs_equal_pytorch(name):
    torch = pytest.importorskip("torch")
    ours = optimizer()
    theirs = torch.optim.SGD([{"params": [torch.ones(1, requires_grad=True)], "lr": rate} for rate in (0.1, 0.01)])
    mine, other = CASES[name](lr_scheduler, ours), CASES[name](torch.optim.lr_scheduler, theirs)
    for _ in range(51):
        expected = [group["lr"] for group in theirs.param_groups]
        np.testing.assert_allclose(mine.get_last_lr(), expected, rtol=1e-12, atol=1e-17)
        theirs.step()
        mine.step()
        other.step()


@pytest.mark.oracle
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "max", "factor": 0.5, "patience": 1},
        {"threshold_mode": "abs", "threshold": 0.05, "patience": 2},
        {"patience": 1, "cooldown": 3, "min_lr": [0.02, 0.0001], "factor": 0.3},
        {"patience": 0, "factor": 0.9, "eps": 0.005},
    ],
)
def test_reduce_on_plateau_equals_pytorch(options, rng):
    torch = pytest.importorskip("torch")
    ours = optimizer()
    theirs = torch.optim.SGD([{"params": [torch.ones(1, requires_grad=True)], "lr": rate} for rate in (0.1, 0.01)])
    mine = lr_scheduler.ReduceLROnPlateau(ours, **options)
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    changes = 0
    for value in 1 / np.arange(1, 51) ** 0.3 + rng.random(50) * 0.1:
        before = mine.get_last_lr()
        mine.step(Tensor(value))
        other.step(value)
        changes += mine.get_last_lr() != before
        np.testing.assert_allclose(mine.get_last_lr(), [g["lr"] for g in theirs.param_groups], rtol=1e-12)
    assert changes or not options


def test_warmup_then_cosine():
    o = optimizer((0.2,))
    scheduler = lr_scheduler.WarmupCosine(o, 4, 12)
    rates = []
    for _ in range(14):
        rates.append(o.param_groups[0]["lr"])
        scheduler.step()
    np.testing.assert_allclose(rates[:5], [0.05, 0.1, 0.15, 0.2, 0.2])
    np.testing.assert_allclose(
        rates[4:], [0.1 * (1 + math.cos(math.pi * min(t, 8) / 8)) for t in range(10)], atol=1e-17
    )
    assert rates[12] == 0
    assert rates[11] > 0, "the last of the 12 steps still moves"
    assert lr_scheduler.WarmupCosine(optimizer((0.2,)), 0, 5).get_last_lr() == [0.2]


def test_inverse_square_root_is_the_same_for_all_groups():
    o = optimizer((1.0, 0.5))
    scheduler = lr_scheduler.InverseSqrtLR(o, 0.01)
    for _ in range(100):
        scheduler.step()
    assert [round(rate, 4) for rate in scheduler.get_last_lr()] == [0.7071, 0.3536]


RESUMED = {
    **{name: make for name, make in CASES.items() if "Lambda" not in name},
    "WarmupCosine": lambda m, o: m.WarmupCosine(o, 3, 30),
    "InverseSqrtLR": lambda m, o: m.InverseSqrtLR(o, 0.5),
    "LambdaLR": lambda m, o: m.LambdaLR(o, lambda t: 1 / (1 + t)),
}


@pytest.mark.parametrize("name", RESUMED)
def test_T26_a_loaded_schedule_goes_on_where_it_stood(name):
    ours = optimizer()
    scheduler = RESUMED[name](lr_scheduler, ours)
    for _ in range(9):
        scheduler.step()
    saved, saved_optimizer = scheduler.state_dict(), ours.state_dict()
    fresh = optimizer((0.7, 0.7))
    resumed = RESUMED[name](lr_scheduler, fresh)
    fresh.load_state_dict(saved_optimizer)
    resumed.load_state_dict(saved)
    for _ in range(30):
        assert resumed.get_last_lr() == scheduler.get_last_lr()
        scheduler.step()
        resumed.step()


def test_T26_a_loaded_plateau_goes_on_counting():
    values = [1.0, 0.9, 0.9, 0.9, 0.9, 0.8, 0.8, 0.8, 0.8, 0.8]
    whole = lr_scheduler.ReduceLROnPlateau(optimizer(), patience=2)
    for value in values:
        whole.step(value)
    first, second = optimizer(), optimizer()
    half = lr_scheduler.ReduceLROnPlateau(first, patience=2)
    for value in values[:4]:
        half.step(value)
    rest = lr_scheduler.ReduceLROnPlateau(second, patience=2)
    rest.load_state_dict(half.state_dict())
    second.load_state_dict(first.state_dict())
    for value in values[4:]:
        rest.step(value)
    assert rest.get_last_lr() == whole.get_last_lr() < [0.1, 0.01]
    with pytest.raises(ValueError, match="saved with mode='min'"):
        lr_scheduler.ReduceLROnPlateau(optimizer(), mode="max").load_state_dict(half.state_dict())


@pytest.mark.parametrize(
    ("make", "load", "message"),
    [
        ("StepLR", lambda o: lr_scheduler.StepLR(o, 8), "saved with step_size=8, made with step_size=7"),
        ("StepLR", lambda o: lr_scheduler.ExponentialLR(o, 0.1), "expected .*step_size"),
        ("ExponentialLR", lambda o: lr_scheduler.ExponentialLR(o, 0.1), "saved with gamma=0.1"),
        ("SequentialLR", lambda o: lr_scheduler.ExponentialLR(o, 0.1), "expected 3 parts"),
        (
            "SequentialLR",
            lambda o: lr_scheduler.SequentialLR(
                o,
                [
                    lr_scheduler.LinearLR(o, 0.1, total_iters=4),
                    lr_scheduler.StepLR(o, 5, 0.5),
                    lr_scheduler.ExponentialLR(o, 0.9),
                ],
                [4, 30],
            ),
            "saved with gamma=0.9",
        ),
    ],
)
def test_T27_a_schedule_that_does_not_fit_is_refused_and_changes_nothing(make, load, message):
    ours = optimizer()
    scheduler = CASES[make](lr_scheduler, ours)
    scheduler.step()
    before = scheduler.state_dict(), scheduler.get_last_lr()
    with pytest.raises(ValueError, match=message):
        scheduler.load_state_dict(load(optimizer((0.7, 0.7))).state_dict())
    assert (scheduler.state_dict(), scheduler.get_last_lr()) == before


@pytest.mark.parametrize(
    "make",
    [
        lambda o: lr_scheduler.StepLR(o, 0),
        lambda o: lr_scheduler.CosineAnnealingLR(o, 0),
        lambda o: lr_scheduler.LinearLR(o, 0.0),
        lambda o: lr_scheduler.WarmupCosine(o, 5, 5),
        lambda o: lr_scheduler.InverseSqrtLR(o, -1.0),
        lambda o: lr_scheduler.LambdaLR(o, [abs]),
        lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(o, 1)], [3]),
        lambda o: lr_scheduler.ReduceLROnPlateau(o, mode="least"),
        lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1.0),
    ],
)
def test_numbers_that_make_no_schedule_are_refused(make):
    with pytest.raises(ValueError, match=r"\w+LR|WarmupCosine"):
        make(optimizer())


def test_a_schedule_needs_an_optimizer_and_its_groups():
    with pytest.raises(TypeError, match="expected an optimizer, got list"):
        lr_scheduler.StepLR([], 3)
    o = optimizer()
    scheduler = lr_scheduler.StepLR(o, 3)
    o.add_param_group({"params": [Tensor(np.ones(1), requires_grad=True)]})
    with pytest.raises(ValueError, match="made for 2 groups, the optimizer now has 3"):
        scheduler.step()
    with pytest.raises(TypeError, match="ReduceLROnPlateau is not a function of the epoch"):
        lr_scheduler.SequentialLR(o, [lr_scheduler.ReduceLROnPlateau(o), lr_scheduler.StepLR(o, 1)], [3])
