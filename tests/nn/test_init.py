"""Initialisers: exact bounds, the right spread, PyTorch's scales, and draws that come from where one says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl import nn
from minidl.autograd import record
from minidl.autograd.recorder import DrawEvent
from minidl.nn import init


def _uniform(values: Any, bound: float) -> None:
    """Inside ±bound to the last bit, reaching near both ends, with the variance of a uniform distribution."""
    values = np.asarray(values.detach()).ravel()
    edge = values.dtype.type(bound)
    assert -edge <= values.min() < -0.99 * bound
    assert 0.99 * bound < values.max() <= edge
    assert abs(values.mean()) < 5 * bound / math.sqrt(3 * values.size)
    np.testing.assert_allclose(values.std(), bound / math.sqrt(3), rtol=0.03)


def _normal(values: Any, std: float) -> None:
    """Mean 0, the right spread, and the four moments of a normal distribution."""
    values = np.asarray(values.detach(), np.float64).ravel()
    assert abs(values.mean()) < 5 * std / math.sqrt(values.size)
    np.testing.assert_allclose(values.std(), std, rtol=0.03)
    np.testing.assert_allclose((values**4).mean(), 3 * std**4, rtol=0.15)


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (lambda g: nn.Linear(50, 80, generator=g), 50),
        (lambda g: nn.Conv1d(8, 90, 7, groups=2, generator=g), 28),
        (lambda g: nn.Conv2d(6, 100, (3, 5), generator=g), 90),
        (lambda g: nn.ConvTranspose2d(100, 6, (3, 5), generator=g), 90),
    ],
)
def test_layers_start_uniform_between_plus_and_minus_one_over_root_fan_in(layer: Any, fan_in: int) -> None:
    made = layer(dl.Generator(5))
    _uniform(made.weight, 1 / math.sqrt(fan_in))
    biases = np.concatenate([layer(dl.Generator(seed)).bias.detach().numpy() for seed in range(60)])
    assert abs(biases).max() <= np.float32(1 / math.sqrt(fan_in))
    np.testing.assert_allclose(biases.std(), 1 / math.sqrt(3 * fan_in), rtol=0.2)


def test_embeddings_start_standard_normal() -> None:
    _normal(nn.Embedding(200, 60, generator=dl.Generator(1)).weight, 1.0)


@pytest.mark.oracle
def test_default_distributions_are_torchs() -> None:
    """Quantile by quantile, 20,000 weights of each."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    dl.manual_seed(0)
    q = np.linspace(0, 1, 21)
    for make in (lambda nn: nn.Linear(100, 200), lambda nn: nn.Conv2d(20, 40, 5), lambda nn: nn.Embedding(200, 100)):
        ours, theirs = (np.asarray(make(library).weight.detach()) for library in (nn, torch.nn))
        spread = theirs.std()
        np.testing.assert_allclose(np.quantile(ours, q)[1:-1], np.quantile(theirs, q)[1:-1], atol=0.06 * spread)


def test_uniform_and_normal(generator: dl.Generator) -> None:
    x = init.uniform_(dl.empty(100, 200), -0.25, 0.25, generator=generator)
    _uniform(x, 0.25)
    y = init.normal_(dl.empty(100, 200), 2.0, 0.5, generator=generator)
    _normal(y - 2.0, 0.5)


@pytest.mark.parametrize(("a", "b"), [(-2.0, 2.0), (-0.5, 1.0), (2.0, 3.0)])
def test_truncated_normal(a: float, b: float, generator: dl.Generator) -> None:
    """Against the distribution function, at the quartiles."""
    x = init.trunc_normal_(dl.empty(20000, dtype=dl.float64), 0.5, 1.5, a, b, generator=generator).numpy()
    assert a <= x.min() < a + 0.02 * (b - a)
    assert b - 0.02 * (b - a) < x.max() <= b

    def cdf(t: float) -> float:
        return 0.5 * (1 + math.erf((t - 0.5) / (1.5 * math.sqrt(2))))

    for q in (0.25, 0.5, 0.75):
        reached = (cdf(float(np.quantile(x, q))) - cdf(a)) / (cdf(b) - cdf(a))
        assert abs(reached - q) < 0.02
    with pytest.raises(ValueError, match="expected std > 0 and a < b"):
        init.trunc_normal_(dl.empty(2), a=1, b=1)


def test_constants() -> None:
    w = nn.Parameter(dl.empty(2, 3))
    assert init.constant_(w, 0.3) is w
    assert w.detach().numpy().tolist() == [[np.float32(0.3)] * 3] * 2
    assert not init.zeros_(w).array.any()
    assert init.ones_(w).array.all()
    assert w.requires_grad
    assert w.is_leaf


@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_he(mode: str, generator: dl.Generator) -> None:
    w = dl.empty(64, 32, 3, 3)
    fan = {"fan_in": 32 * 9, "fan_out": 64 * 9}[mode]
    init.kaiming_normal_(w, mode=mode, nonlinearity="relu", generator=generator)
    _normal(w, math.sqrt(2 / fan))
    init.kaiming_uniform_(w, a=0.2, mode=mode, generator=generator)
    _uniform(w, math.sqrt(6 / (fan * (1 + 0.2**2))))


def test_he_for_the_filter_of_lesson_11(generator: dl.Generator) -> None:
    """LESSONS L11: for 3·3·3 inputs the standard deviation is 0.272."""
    w = init.kaiming_normal_(dl.empty(500, 3, 3, 3), nonlinearity="relu", generator=generator)
    np.testing.assert_allclose(w.numpy().std(), 0.272, rtol=0.02)


def test_glorot(generator: dl.Generator) -> None:
    w = dl.empty(200, 100)
    init.xavier_normal_(w, 1.5, generator=generator)
    _normal(w, 1.5 * math.sqrt(2 / 300))
    init.xavier_uniform_(w, generator=generator)
    _uniform(w, math.sqrt(6 / 300))


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (8, 2, 3, 2), (10, 10)])
def test_orthogonal(shape: tuple[int, ...], generator: dl.Generator) -> None:
    w = init.orthogonal_(dl.empty(shape, dtype=dl.float64), gain=2.0, generator=generator).numpy().reshape(shape[0], -1)
    square = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(square, 4 * np.eye(len(square)), atol=1e-12)


def test_orthogonal_matrices_prefer_no_sign() -> None:
    """The QR factorisation alone would give the first column a sign of its own."""
    corners = [init.orthogonal_(dl.empty(2, 2), generator=dl.Generator(seed)).numpy()[0, 0] for seed in range(200)]
    assert 60 < sum(corner > 0 for corner in corners) < 140


@pytest.mark.oracle
def test_gains_and_fans_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name), rel=1e-15)
    assert init.calculate_gain("leaky_relu", 0.3) == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", 0.3))
    theirs = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(4, 3, 2, 5))
    assert init.calculate_fan_in_and_fan_out(dl.empty(4, 3, 2, 5)) == theirs


def test_bad_arguments_are_sentences() -> None:
    with pytest.raises(ValueError, match="unknown nonlinearity 'swish'; known: conv1d"):
        init.calculate_gain("swish")
    with pytest.raises(ValueError, match=r"two dimensions or more, got shape \(3,\)"):
        init.xavier_uniform_(dl.empty(3))
    with pytest.raises(ValueError, match="mode must be 'fan_in' or 'fan_out', got 'in'"):
        init.kaiming_normal_(dl.empty(3, 3), mode="in")
    with pytest.raises(TypeError, match="expected a floating tensor, got int64"):
        init.normal_(dl.tensor([1, 2]))
    with pytest.raises(ValueError, match="two dimensions or more"):
        init.orthogonal_(dl.empty(3))


# ── where the draws come from ─────────────────────────────────────────────────────────────────────


def test_a_seed_decides_the_weights() -> None:
    first, second = (dl.manual_seed(7) and nn.Conv2d(2, 3, 3) for _ in range(2))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert np.array_equal(a, b)
    own = nn.Conv2d(2, 3, 3, generator=dl.Generator(7))
    assert np.array_equal(own.weight, first.weight)


def test_an_explicit_generator_leaves_the_default_one_alone() -> None:
    """T38: two models do not disturb each other."""
    before = dl.backend.default_generator.get_state()
    generator = dl.Generator(3)
    nn.Linear(4, 4, generator=generator)
    nn.Embedding(4, 4, generator=generator)
    nn.Dropout(0.5, generator=generator)(dl.ones(9))
    init.orthogonal_(dl.empty(3, 3), generator=generator)
    assert dl.backend.default_generator.get_state() == before


@pytest.mark.parametrize("dtype", [dl.float16, dl.float32, dl.float64])
def test_weights_of_any_dtype_are_the_same_draws(dtype: Any) -> None:
    """T8: the dtype is what was asked for, and the numbers are those of float64, rounded."""
    layer = nn.Linear(3, 4, dtype=dtype, generator=dl.Generator(1))
    wide = nn.Linear(3, 4, dtype=dl.float64, generator=dl.Generator(1))
    assert layer.weight.dtype == layer.bias.dtype == dtype
    assert np.array_equal(layer.weight, wide.weight.detach().numpy().astype(dtype))


def test_the_recorder_hears_of_every_draw() -> None:
    with record() as heard:
        layer = nn.Linear(3, 4)
        nn.init.trunc_normal_(dl.empty(2))
    draws = [event for event in heard.events if isinstance(event, DrawEvent)]
    assert [event.purpose for event in draws] == ["uniform_", "uniform_", "trunc_normal_"]
    assert np.array_equal(draws[0].value, layer.weight)
    with dl.no_grad():
        layer.weight.zero_()
    assert draws[0].value.any(), "the event keeps what was drawn"
