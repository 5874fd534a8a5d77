"""Every optimizer against a transcription of its paper, and the figures that the documents' errata state."""

from __future__ import annotations

import numpy as np
import pytest
from transcriptions import (
    adadelta,
    adagrad,
    adam,
    adamw,
    amsgrad,
    documents_momentum,
    graves_rmsprop,
    heavy_ball,
    nadam,
    nesterov,
    rmsprop,
)

from minidl import Tensor, optim
from minidl.optim.lr_scheduler import InverseSqrtLR, inverse_sqrt_decay

P0 = np.array([[1.0, -2.0, 0.5], [3.0, 0.01, -0.3]])


def run(cls, gradients, p=P0, dtype="f8", **options):
    x = Tensor(p.astype(dtype), requires_grad=True)
    optimizer = cls([x], **options)
    for g in gradients:
        x.grad = Tensor(g.astype(dtype))
        optimizer.step()
    assert x.dtype == np.dtype(dtype)
    return x.array


@pytest.fixture
def gradients(rng):
    return [rng.standard_normal(P0.shape) * np.array([1e-3, 1.0, 30.0]) for _ in range(30)]


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize(
    ("cls", "options", "paper", "arguments"),
    [
        (optim.SGD, {"lr": 0.1, "momentum": 0.9}, heavy_ball, (0.1, 0.9)),
        (optim.SGD, {"lr": 0.1 * (1 - 0.9), "momentum": 0.9}, documents_momentum, (0.1, 0.9)),
        (optim.Adagrad, {"lr": 0.3, "eps": 1e-6}, adagrad, (0.3, 1e-6)),
        (optim.Adadelta, {"rho": 0.9, "eps": 1e-5}, adadelta, (0.9, 1e-5)),
        (optim.RMSprop, {"lr": 0.02, "alpha": 0.9, "eps": 1e-6}, rmsprop, (0.02, 0.9, 1e-6)),
        (
            optim.RMSprop,
            {"lr": 0.02, "alpha": 0.9, "eps": 1e-4, "momentum": 0.8, "centered": True},
            graves_rmsprop,
            (0.02, 0.9, 1e-4, 0.8),
        ),
        (optim.Adam, {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-6}, adam, (0.05, 0.8, 0.95, 1e-6)),
        (optim.Adam, {"lr": 0.05, "betas": (0.8, 0.6), "amsgrad": True}, amsgrad, (0.05, 0.8, 0.6, 1e-8)),
        (optim.AdamW, {"lr": 0.05, "weight_decay": 0.4}, adamw, (0.05, 0.9, 0.999, 1e-8, 0.4)),
        (optim.NAdam, {"lr": 0.05, "momentum_decay": 0.1}, nadam, (0.05, 0.9, 0.999, 1e-8, 0.1)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_T40_30_steps_equal_the_paper(cls, options, paper, arguments, dtype, gradients):
    tolerance = 1e-11 if dtype == "f8" else 2e-4
    expected = paper(P0, gradients, *arguments)
    np.testing.assert_allclose(run(cls, gradients, dtype=dtype, **options), expected, rtol=tolerance, atol=tolerance)


def test_nesterov_is_sutskevers_in_the_variable_ahead():
    a = np.array([1.0, 10.0, 0.3])
    start = np.array([1.0, 1.0, -2.0])
    expected, v = nesterov(start, lambda p: a * p, 40, lr=0.02, momentum=0.9)
    x = Tensor(start.copy(), requires_grad=True)
    optimizer = optim.SGD([x], lr=0.02, momentum=0.9, nesterov=True)
    for _ in range(40):
        x.grad = Tensor(a * x.array)
        optimizer.step()
    np.testing.assert_allclose(x.array, expected + 0.9 * v, rtol=1e-12)  # x is where the next gradient is taken


# ── errata 001-F4: the documents' momentum ────────────────────────────────────────────────────────


def test_F4_the_documents_momentum_is_a_smaller_rate_and_not_dampening(gradients):
    beta, lr = 0.9, 0.1
    for n in (1, 2, 30):
        documents = documents_momentum(P0, gradients[:n], lr, beta)
        rescaled = run(optim.SGD, gradients[:n], lr=(1 - beta) * lr, momentum=beta)
        dampened = run(optim.SGD, gradients[:n], lr=lr, momentum=beta, dampening=beta)
        np.testing.assert_allclose(rescaled, documents, rtol=1e-12, atol=1e-14)
        assert np.abs(dampened - documents).max() > 1e-3
    first = run(optim.SGD, gradients[:1], lr=lr, momentum=beta, dampening=beta)
    np.testing.assert_allclose(first, P0 - lr * gradients[0], rtol=1e-12)  # ten times the documents' first step


def bowl(cls, steps, start=(1.0, 1.0), schedule=None, **options):
    """Steps on ½(100a² + b²) from (1, 1)."""
    x = Tensor(np.array(start), requires_grad=True)
    optimizer = cls([x], **options)
    scheduler = None if schedule is None else schedule(optimizer)
    for _ in range(steps):
        x.grad = Tensor(np.array([100.0, 1.0]) * x.array)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return x.array


def test_F4_end_points_of_both_momenta():
    np.testing.assert_allclose(bowl(optim.SGD, 200, lr=0.001, momentum=0.9), [1e-6, 0.12041], atol=6e-7)
    averaged = bowl(optim.SGD, 200, lr=(1 - 0.9) * 0.01, momentum=0.9)
    np.testing.assert_allclose(averaged, bowl(optim.SGD, 200, lr=0.001, momentum=0.9), rtol=1e-6)
    np.testing.assert_allclose(bowl(optim.SGD, 200, lr=0.01, momentum=0.9), [-1.7e-5, -4e-6], atol=6e-7)


def test_F4a_an_average_and_a_sum():
    ones = [np.ones(1)] * 3
    walked = [-run(optim.SGD, ones[:n], p=np.zeros(1), lr=1.0, momentum=0.9)[0] for n in (1, 2, 3)]
    np.testing.assert_allclose(np.diff([0, *walked]), [1, 1.9, 2.71])
    walked = [-run(optim.SGD, ones[:n], p=np.zeros(1), lr=1 - 0.9, momentum=0.9)[0] for n in (1, 2, 3)]
    np.testing.assert_allclose(np.diff([0, *walked]), [0.1, 0.19, 0.271])


# ── errata 001-F5: one global decay is not a rate for each parameter ──────────────────────────────


def test_F5_the_documents_decay():
    assert inverse_sqrt_decay(0, 0.01) == 1
    assert round(inverse_sqrt_decay(100, 0.01), 4) == 0.7071
    assert inverse_sqrt_decay(10_000, 1e-8) >= 0.9999


@pytest.mark.parametrize("epsilon", [1e-8, 1.0])
def test_F5_the_documents_rate_diverges_within_8_steps(epsilon):
    end = bowl(optim.SGD, 8, lr=1.0, schedule=lambda o: InverseSqrtLR(o, epsilon))
    assert np.abs(end).max() > 1e6


def test_F5_what_reaches_the_minimum():
    np.testing.assert_allclose(bowl(optim.SGD, 200, lr=0.01), [0, 0.134], atol=6e-4)
    np.testing.assert_allclose(bowl(optim.Adam, 200, lr=0.1), [-7e-6, -7e-6], atol=6e-7)


def test_F5_the_first_step_of_adam_has_the_size_of_the_rate():
    moved = run(optim.Adam, [np.array([0.1, -10.0])], p=np.zeros(2), lr=1e-3)
    np.testing.assert_allclose(moved, [-1e-3, 1e-3], rtol=1e-6)


def test_F5b_adam_fails_where_amsgrad_does_not():
    """Reddi et al. 2018, section 3: f_t(x) = Cx every third step, −x otherwise, on [−1, 1]; the best x is −1."""
    C = 4.0
    beta2 = 1 / (1 + C**2)

    def end(amsgrad):
        x = Tensor(np.array([0.0]), requires_grad=True)
        optimizer = optim.Adam([x], lr=0.1, betas=(0.0, beta2), eps=0.0, amsgrad=amsgrad)
        for t in range(1, 10_001):
            optimizer.param_groups[0]["lr"] = 0.1 / np.sqrt(t)
            x.grad = Tensor(np.array([C if t % 3 == 1 else -1.0]))
            optimizer.step()
            x.array[:] = np.clip(x.array, -1, 1)
        return x.array[0]

    assert end(amsgrad=False) > 0.95
    assert end(amsgrad=True) < -0.95


# ── float16 ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cls", [optim.Adam, optim.AdamW, optim.NAdam, optim.RMSprop, optim.Adagrad, optim.Adadelta])
def test_T40_float16_parameters_survive_an_eps_that_float16_cannot_hold(cls):
    assert np.float16(1e-8) == 0
    small = [np.array([0.0, 1e-4, 1.0])] * 5  # (1e-4)² is 0 in float16
    p = np.array([1.0, 1.0, 1.0])
    half = run(cls, small, p=p, dtype="f2", lr=0.01)
    assert np.isfinite(half).all()
    assert half[0] > 0.98  # no gradient: at most decay
    np.testing.assert_allclose(half, run(cls, small, p=p, dtype="f4", lr=0.01), atol=5e-3)


def test_rmsprop_centered_on_a_constant_gradient_stays_finite():
    """The running variance of a constant is 0 and rounding makes it negative; PyTorch gives nan."""
    constants = np.linspace(0.1, 1, 200)
    x = Tensor(np.zeros(200, "f4"), requires_grad=True)
    optimizer = optim.RMSprop([x], centered=True, alpha=0.9)
    negative = False
    for _ in range(300):
        x.grad = Tensor(constants.astype("f4"))
        optimizer.step()
        state = optimizer.state[0]
        negative |= bool((state["square_avg"] - state["grad_avg"] ** 2 < 0).any())
    assert negative, "the case that this test is about did not come up"
    assert np.isfinite(x.array).all()
