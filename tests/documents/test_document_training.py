"""What the documents' ways of training do: where they end, and what they cannot do.

½(100a² + b²) starts at (1, 1): the pages do not say so, but SGD(.01) reaches b = .99²⁰⁰ = .134 from there only.
L11 prints no width and no bound of saturation; with 100 units N(0, .01) shrinks a signal to a tenth in each layer, as
printed, and a unit is saturated above .99. The printed numbers are single draws, so bands are tested.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from printed import Row, rounds_to

import minidl as dl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.nn import init
from minidl.optim.lr_scheduler import InverseSqrtLR


def bowl(steps: int, make: Callable[[Any], Any], schedule: Any = None) -> list[tuple[float, float]]:
    """The path of an optimizer on ½(100a² + b²) from (1, 1), in float64."""
    x = dl.ones(2, dtype=dl.float64, requires_grad=True)
    curvature = dl.tensor([100.0, 1.0], dtype=dl.float64)
    optimizer = make([x])
    scheduler = schedule(optimizer) if schedule else None
    path = []
    for _ in range(steps):
        optimizer.zero_grad()
        (curvature * x * x / 2).sum().backward()
        optimizer.step()
        if scheduler:
            scheduler.step()
        path.append(tuple(x.tolist()))
    return path


def end(make: Callable[[Any], Any]) -> tuple[float, float]:
    """Where 200 steps end."""
    return bowl(200, make)[-1]


ENDS = [
    Row("001-F4", "the documents' momentum, α = .01: SGD(lr=(1 − β)α)", "1e-6 .12041",
        lambda: end(lambda p: optim.SGD(p, lr=(1 - 0.9) * 0.01, momentum=0.9))),
    Row("001-F4", "heavy ball, α = .001", "1e-6 .12041", lambda: end(lambda p: optim.SGD(p, lr=0.001, momentum=0.9))),
    Row("001-F4", "heavy ball, α = .01", "-1.7e-5 -4e-6", lambda: end(lambda p: optim.SGD(p, lr=0.01, momentum=0.9))),
    Row("001-F5", "SGD, α = .01", "0.000 .134", lambda: end(lambda p: optim.SGD(p, lr=0.01))),
    Row("001-F5", "Adam, α = .1", "-7e-6 -7e-6", lambda: end(lambda p: optim.Adam(p, lr=0.1))),
]  # fmt: skip


@pytest.mark.parametrize("row", ENDS, ids=str)
def test_end_of_200_steps(row: Row) -> None:
    rounds_to(row)


@pytest.mark.parametrize("epsilon", [1e-8, 1.0])
def test_001_F5_the_articles_rate_diverges_within_8_steps(epsilon: float) -> None:
    """1/√(1 + ε·iter) with no rate before it: every one of the first 8 steps leads farther away."""
    path = bowl(8, lambda p: optim.SGD(p, lr=1.0), lambda o: InverseSqrtLR(o, epsilon))
    distances = [1.0, *(abs(a) for a, _ in path)]
    assert all(after > 10 * before for before, after in pairwise(distances))


@pytest.mark.parametrize(("rate", "approaches"), [(0.019, True), (0.021, False)])
def test_001_T25_descent_needs_a_rate_below_two_over_the_curvature(rate: float, approaches: bool) -> None:
    path = bowl(50, lambda p: optim.SGD(p, lr=rate))
    assert (abs(path[-1][0]) < 1) is approaches


# ── L11: twenty layers of tanh ────────────────────────────────────────────────────────────────────


def twenty_layers(fill: Callable[[Any, Any], Any], seed: int) -> np.ndarray:
    """What comes out of 20 layers of 100 units."""
    generator = dl.Generator(seed)
    x = dl.randn(500, 100, generator=generator, dtype=dl.float64)
    with dl.no_grad():
        for _ in range(20):
            w = dl.empty(100, 100, dtype=dl.float64)
            fill(w, generator)
            x = F.tanh(F.linear(x, w))
    return x.numpy()


@pytest.mark.parametrize(
    ("fill", "low", "high"),
    [
        (lambda w, g: init.normal_(w, std=1.0, generator=g), 0.95, 0.965),
        (lambda w, g: init.normal_(w, std=0.01, generator=g), 3e-21, 3e-20),
        (lambda w, g: init.xavier_normal_(w, generator=g), 0.14, 0.18),
    ],
    ids=["N(0, 1): .96", "N(0, .01): 8e-21", "Glorot: .16"],
)
def test_L11_spread_behind_twenty_layers(fill: Any, low: float, high: float) -> None:
    spread = np.median([twenty_layers(fill, seed).std() for seed in range(5)])
    assert low < spread < high, spread


def test_L11_saturated_units_of_the_standard_normal() -> None:
    """Printed: 79 %."""
    y = twenty_layers(lambda w, g: init.normal_(w, generator=g), 0)
    assert 0.77 < (np.abs(y) > 0.99).mean() < 0.81


def test_L11_he_for_three_by_three_by_three(generator: dl.Generator) -> None:
    """√(2/27) = .272, where 001-C2a draws from N(0, 1)."""
    w = init.kaiming_normal_(dl.empty(4000, 3, 3, 3), nonlinearity="relu", generator=generator)
    assert abs(w.std().item() - 0.272) < 0.003


# ── L13: the next letter of 'abcabc' ──────────────────────────────────────────────────────────────


def test_L13_the_next_letter_of_abcabc(generator: dl.Generator) -> None:
    """ERRATA 001-C10: states, logits, one loss over time, one update; below .01 in 100 steps."""
    letters = dl.tensor([["abc".index(letter) for letter in "abcabc"]])
    x, target = F.one_hot(letters[:, :-1], 3).float(), letters[:, 1:]
    rnn = nn.RNN(3, 8, batch_first=True, generator=generator)
    head = nn.Linear(8, 3, generator=generator)
    optimizer = optim.Adam([*rnn.parameters(), *head.parameters()], lr=0.05)
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        states, _ = rnn(x)
        loss = F.cross_entropy(head(states).flatten(0, 1), target.flatten())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 0.9
    assert losses[-1] < 0.01
    assert "".join("abc"[i] for i in head(rnn(x)[0])[0].argmax(-1).tolist()) == "bcabc"
