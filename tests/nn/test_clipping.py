"""Clipping: the norm over all gradients as one vector, and gradients that nobody shares."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl import nn
from minidl.nn.clipping import CHUNK
from minidl.nn.utils import clip_grad_norm_, clip_grad_value_, parameters_to_vector, vector_to_parameters


class Residual(nn.Module):
    """Gradients meet at an addition, and one weight is used in two places: where aliasing would show."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.shift, self.offset = nn.Parameter(dl.zeros(4)), nn.Parameter(dl.zeros(4))
        self.tied = nn.Linear(4, 4, bias=False)
        self.tied.weight = self.first.weight

    def forward(self, x: dl.Tensor) -> dl.Tensor:
        return self.tied(self.second(self.first(x)) + x + (self.shift + self.offset))


def _norm(model: nn.Module) -> float:
    return math.sqrt(sum(float((p.grad.array.astype("f8") ** 2).sum()) for p in model.parameters()))


def test_after_clipping_the_norm_is_the_one_that_was_asked_for() -> None:
    """T1: with gradients aliased by the addition or counted twice by the tie, it came out as 0.508 elsewhere."""
    model = Residual()
    (100 * model(dl.randn(8, 4)).square().sum()).backward()
    before = _norm(model)
    returned = clip_grad_norm_(model.parameters(), 1.0)
    assert returned.item() == pytest.approx(before, rel=1e-6)
    assert _norm(model) == pytest.approx(1.0, rel=1e-5)
    gradients = [p.grad.array for p in model.parameters()]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(gradients) for b in gradients[:i])


def test_a_parameter_given_twice_counts_once() -> None:
    p = nn.Parameter(dl.zeros(2))
    p.grad = dl.tensor([3.0, 4.0])
    assert clip_grad_norm_([p, p], 1.0).item() == 5
    np.testing.assert_allclose(p.grad, [0.6, 0.8], rtol=1e-6)


def test_short_gradients_stay_as_they_are_and_missing_ones_are_passed_over() -> None:
    """T39."""
    with_one, without = nn.Parameter(dl.zeros(2)), nn.Parameter(dl.zeros(2))
    with_one.grad = dl.tensor([0.3, 0.4])
    assert clip_grad_norm_([without, with_one], 1.0).item() == pytest.approx(0.5)
    assert with_one.grad.equal(dl.tensor([0.3, 0.4]))
    assert without.grad is None
    assert clip_grad_norm_([without], 1.0).item() == 0
    assert clip_grad_norm_(iter([]), 1.0).item() == 0
    clip_grad_value_([without, with_one], 0.35)
    assert with_one.grad.equal(dl.tensor([0.3, 0.35]))


@pytest.mark.oracle
@pytest.mark.parametrize("norm_type", [1, 2, 3.5, math.inf])
@pytest.mark.parametrize("max_norm", [0.5, 1000.0])
def test_norms_are_torchs(norm_type: float, max_norm: float, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    grads = [rng.standard_normal(shape) for shape in ((3, 4), (5,), (), (0, 2))]
    ours = [nn.Parameter(dl.tensor(g)) for g in grads]
    theirs = [torch.nn.Parameter(torch.tensor(g)) for g in grads]
    for g, p, q in zip(grads, ours, theirs, strict=True):
        p.grad, q.grad = dl.tensor(g), torch.tensor(g)
    if math.isinf(norm_type):
        theirs[-1].grad = None  # PyTorch has no largest number of none
    norm = clip_grad_norm_(ours, max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert norm.dtype == dl.float64
    np.testing.assert_allclose(norm, expected, rtol=1e-12)
    for p, q in zip(ours[:3], theirs[:3], strict=True):
        np.testing.assert_allclose(p.grad, q.grad, rtol=1e-12)


def test_the_norm_is_summed_in_float64() -> None:
    """In float32 the sum of a hundred million small squares, and any square above 3·10³⁸, would be lost."""
    p, q = nn.Parameter(dl.zeros(2)), nn.Parameter(dl.zeros(1))
    p.grad, q.grad = dl.tensor([3e25, 4e25]), dl.tensor([0.0])
    norm = clip_grad_norm_([p, q], 1.0)
    assert norm.item() == pytest.approx(5e25)
    assert norm.dtype == p.grad.dtype == dl.float32
    np.testing.assert_allclose(p.grad, [0.6, 0.8], rtol=1e-6)
    h = nn.Parameter(dl.zeros(2, dtype=dl.float16))
    h.grad = dl.tensor([30000.0, 40000.0], dtype=dl.float16)
    assert clip_grad_norm_(h, 1.0).item() == pytest.approx(50000)
    assert h.grad.dtype == dl.float16


@pytest.mark.parametrize("norm_type", [1.0, 2.0])
def test_large_gradients_are_summed_to_the_last_number(norm_type: float) -> None:
    """The sum goes chunk by chunk; the last one is short."""
    p = nn.Parameter(dl.zeros(3, 2 * CHUNK // 3))
    p.grad = dl.ones(*p.shape)
    p.grad.array[-1, -1] = 1000
    expected = (p.numel() - 1 + 1000**norm_type) ** (1 / norm_type)
    assert clip_grad_norm_(p, 1e9, norm_type).item() == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_norms_that_are_not_finite(bad: float) -> None:
    p, q = nn.Parameter(dl.zeros(2)), nn.Parameter(dl.zeros(1))
    p.grad, q.grad = dl.tensor([bad, 1.0]), dl.tensor([2.0])
    with pytest.raises(RuntimeError, match=f"the norm of the gradients is {bad}; nothing was changed"):
        clip_grad_norm_([p, q], 1.0, error_if_nonfinite=True)
    assert q.grad.item() == 2
    for norm_type in (2.0, math.inf):
        q.grad = dl.tensor([2.0])
        with np.errstate(invalid="ignore"):
            assert str(clip_grad_norm_([p, q], 1.0, norm_type).item()) == str(bad)
        assert q.grad.item() != 2, "the other gradients show that something is wrong, as in PyTorch"
        p.grad = dl.tensor([bad, 1.0])
    with pytest.raises(ValueError, match="norm_type must be positive, got 0"):
        clip_grad_norm_([p], 1.0, 0)


def test_clipping_by_value() -> None:
    p = nn.Parameter(dl.zeros(3))
    p.grad = dl.tensor([-3.0, 0.5, 9.0])
    clip_grad_value_(p, 1.0)
    assert p.grad.tolist() == [-1, 0.5, 1]


def test_clipping_tells_the_version_of_the_gradient() -> None:
    """T5."""
    p = nn.Parameter(dl.zeros(2))
    p.grad = dl.tensor([3.0, 4.0])
    before = p.grad.version
    clip_grad_norm_(p, 1.0)
    clip_grad_value_(p, 0.1)
    assert p.grad.version == before + 2


def test_parameters_as_one_vector_and_back() -> None:
    model = Residual()
    vector = parameters_to_vector(model.parameters())
    assert vector.shape == (sum(p.numel() for p in model.parameters()),)
    (2 * vector).sum().backward()
    assert all(p.grad.array.flatten().tolist() == [2.0] * p.numel() for p in model.parameters())
    vector_to_parameters(vector.detach() + 1, model.parameters())
    np.testing.assert_allclose(parameters_to_vector(model.parameters()).detach(), vector.detach() + 1)
    kept: Any = model.first.weight.tolist()
    with pytest.raises(RuntimeError, match=r"expected a vector of 48 numbers, got shape \(47,\)"):
        vector_to_parameters(vector.detach()[1:], model.parameters())
    assert model.first.weight.tolist() == kept
