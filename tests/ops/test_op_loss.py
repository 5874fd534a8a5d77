"""Losses: the figures of the errata, PyTorch's values and gradients, and numbers at the edges (T9)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
import minidl.nn.functional as F
from minidl.kernels import use_kernels

# ── by hand ───────────────────────────────────────────────────────────────────────────────────────


def test_cross_entropy_by_hand() -> None:
    """Lesson 3: softmax(2, 1, 0) = (.6652, .2447, .0900); the loss of class 0 is .4076, its gradient p − onehot."""
    x = dl.tensor([[2.0, 1.0, 0.0]], requires_grad=True)
    loss = F.cross_entropy(x, dl.tensor([0]))
    loss.backward()
    assert loss.item() == pytest.approx(0.407606, abs=1e-6)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [[-0.334759, 0.244728, 0.090031]], atol=1e-6)


def test_the_binary_formula_is_another_loss() -> None:
    """ERRATA 001-F1: for p = (.7, .2, .1) and class 0 the document's formula gives .228393 or .685179, not .356675."""
    p, onehot = dl.tensor([[0.7, 0.2, 0.1]]), dl.tensor([[1.0, 0.0, 0.0]])
    assert F.nll_loss(p.log(), dl.tensor([0])).item() == pytest.approx(0.356675, abs=1e-6)
    assert F.cross_entropy(p.log(), onehot).item() == pytest.approx(0.356675, abs=1e-6)
    assert F.binary_cross_entropy(p, onehot).item() == pytest.approx(0.228393, abs=1e-6)
    assert F.binary_cross_entropy(p, onehot, reduction="sum").item() == pytest.approx(0.685179, abs=1e-6)


def test_scores_of_a_thousand() -> None:
    """ERRATA 001-F1a: logits (1000, 1001): the loss of class 0 is 1001.313262 − 1000."""
    x = dl.tensor([[1000.0, 1001.0]], dtype=dl.float64)
    assert F.cross_entropy(x, dl.tensor([0])).item() == pytest.approx(1.313262, abs=1e-6)


def test_squares_by_hand() -> None:
    """ERRATA 001-F2: y = (1, 0, 2), ŷ = (.5, .5, 1): L = .5 and the gradient (−1/3, 1/3, −2/3); lesson 3: BCE .3711."""
    x = dl.tensor([0.5, 0.5, 1.0], requires_grad=True)
    loss = F.mse_loss(x, dl.tensor([1.0, 0.0, 2.0]))
    loss.backward()
    assert loss.item() == 0.5
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [-1 / 3, 1 / 3, -2 / 3], rtol=1e-6)
    yes = F.binary_cross_entropy_with_logits(dl.tensor(0.8), dl.tensor(1.0))
    assert yes.item() == pytest.approx(0.3711, abs=1e-4)


# ── against PyTorch ───────────────────────────────────────────────────────────────────────────────

REDUCTIONS = st.sampled_from(["mean", "sum", "none"])


@st.composite
def classified(draw: Any) -> dict[str, Any]:
    """Scores and labels with any number of dimensions behind the classes; some labels are ignored."""
    N, K = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    rest = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    single = not rest and draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from(["float64", "float32"]))
    labels = rng.integers(0, K, () if single else (N, *rest))
    ignore = draw(st.sampled_from([-100, -100, 0, 1]))
    if ignore == -100 and labels.ndim and draw(st.booleans()):
        labels[rng.random(labels.shape) < 0.3] = -100
    return {
        "x": rng.normal(size=(K,) if single else (N, K, *rest)).astype(dtype),
        "labels": np.asarray(labels),
        "p": rng.dirichlet(np.ones(K), size=() if single else (N, *rest)),
        "weight": rng.uniform(0.5, 2, K).astype(dtype) if draw(st.booleans()) else None,
        "ignore_index": ignore,
    }


def tensors(library: Any, weight: Any) -> Any:
    return None if weight is None else library.tensor(weight)


@pytest.mark.oracle
@given(case=classified(), reduction=REDUCTIONS, smoothing=st.sampled_from([0.0, 0.0, 0.1, 1.0]))
def test_cross_entropy_as_in_pytorch(case: dict[str, Any], reduction: str, smoothing: float) -> None:
    from against_torch import same, torch

    kw = {"ignore_index": case["ignore_index"], "reduction": reduction, "label_smoothing": smoothing}
    w = case["weight"]
    same(lambda x, t: F.cross_entropy(x, t, tensors(dl, w), **kw),
         lambda x, t: torch.nn.functional.cross_entropy(x, t, tensors(torch, w), **kw),
         case["x"], case["labels"])  # fmt: skip
    kw["ignore_index"] = -100
    p = np.moveaxis(case["p"], -1, min(case["x"].ndim - 1, 1)).astype(case["x"].dtype)
    same(lambda x, t: F.cross_entropy(x, t, tensors(dl, w), **kw),
         lambda x, t: torch.nn.functional.cross_entropy(x, t, tensors(torch, w), **kw), case["x"], p)  # fmt: skip


@pytest.mark.oracle
@given(case=classified(), reduction=REDUCTIONS)
def test_nll_loss_as_in_pytorch(case: dict[str, Any], reduction: str) -> None:
    from against_torch import same, torch

    kw, w = {"ignore_index": case["ignore_index"], "reduction": reduction}, case["weight"]
    same(lambda x, t: F.nll_loss(x, t, tensors(dl, w), **kw),
         lambda x, t: torch.nn.functional.nll_loss(x, t, tensors(torch, w), **kw),
         case["x"], case["labels"])  # fmt: skip


SHAPES = st.sampled_from([(), (3,), (2, 3), (0, 2), (2, 1, 2)])


@st.composite
def pairs(draw: Any) -> dict[str, Any]:
    shape = draw(SHAPES)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from(["float64", "float32"]))
    return {
        "x": np.asarray(rng.normal(size=shape) * 2).astype(dtype),
        "t": np.asarray(rng.uniform(0.01, 0.99, shape)).astype(dtype),
        "weight": rng.uniform(0.5, 2, shape[-1:]).astype(dtype) if draw(st.booleans()) else None,
    }


@pytest.mark.oracle
@given(case=pairs(), reduction=REDUCTIONS)
def test_yes_or_no_as_in_pytorch(case: dict[str, Any], reduction: str) -> None:
    from against_torch import same, torch

    f, w, x, t = torch.nn.functional, case["weight"], case["x"], case["t"]
    p = (1 / (1 + np.exp(-x))).astype(x.dtype)
    same(lambda p, t: F.binary_cross_entropy(p, t, tensors(dl, w), reduction=reduction),
         lambda p, t: f.binary_cross_entropy(p, t, tensors(torch, w), reduction=reduction),
         np.asarray(p), t)  # fmt: skip
    same(lambda x, t: F.binary_cross_entropy_with_logits(x, t, tensors(dl, w), reduction=reduction),
         lambda x, t: f.binary_cross_entropy_with_logits(x, t, tensors(torch, w), reduction=reduction),
         x, t)  # fmt: skip
    same(lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction=reduction, pos_weight=tensors(dl, w)),
         lambda x, t: f.binary_cross_entropy_with_logits(x, t, reduction=reduction, pos_weight=tensors(torch, w)),
         x, t)  # fmt: skip


NUMBERS: dict[str, dict[str, Any]] = {
    "mse_loss": {}, "l1_loss": {}, "smooth_l1_loss": {"beta": 0.7}, "huber_loss": {"delta": 0.6}, "kl_div": {},
}  # fmt: skip


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:reduction")
@pytest.mark.parametrize("name", NUMBERS)
@given(case=pairs(), reduction=REDUCTIONS, default=st.booleans())
def test_distances_as_in_pytorch(name: str, case: dict[str, Any], reduction: str, default: bool) -> None:
    from against_torch import same, torch

    kw = {"reduction": reduction} | ({} if default else NUMBERS[name])
    same(lambda x, t: getattr(F, name)(x, t, **kw), lambda x, t: getattr(torch.nn.functional, name)(x, t, **kw),
         case["x"], case["t"])  # fmt: skip


@pytest.mark.oracle
def test_kl_div_of_zeros_and_of_logarithms() -> None:
    from against_torch import same, torch

    x, t = np.log([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]), np.array([[1.0, 0.0, 0.0], [0.2, 0.0, 0.8]])
    f = torch.nn.functional
    same(lambda x: F.kl_div(x, dl.tensor(t), reduction="batchmean"),
         lambda x: f.kl_div(x, torch.tensor(t), reduction="batchmean"), x)  # fmt: skip
    same(lambda x, t: F.kl_div(x, t, reduction="sum", log_target=True),
         lambda x, t: f.kl_div(x, t, reduction="sum", log_target=True), x, x[::-1].copy())  # fmt: skip


# ── the edges ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("scale", [1e4, 1e30])
@pytest.mark.parametrize("kernels_in", ["auto", "numpy"])
def test_huge_scores_have_exact_losses_and_gradients(scale: float, kernels_in: str) -> None:
    """T9: logits of ±1e4 in float32: the values and gradients are those of float64."""
    scores = np.array([[1, -1, 0], [-1, 1, 0.5], [1, 1, -1], [-1, -1, -1]]) * scale
    labels = np.array([0, 0, 1, 2])
    with use_kernels(kernels_in):
        x = dl.tensor(scores.astype("f4"), requires_grad=True)
        losses = F.cross_entropy(x, dl.tensor(labels), reduction="none")
        losses.sum().backward()
    z = scores - scores.max(axis=1, keepdims=True)
    expected = np.log(np.exp(z).sum(axis=1)) - z[np.arange(4), labels]
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    p[np.arange(4), labels] -= 1
    np.testing.assert_allclose(losses.detach().numpy(), expected, rtol=1e-6)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), p, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("score", [1e4, -1e4, 100.0, -100.0, 30.0, -30.0, 0.0])
@pytest.mark.parametrize("t", [0.0, 1.0, 0.3])
def test_huge_scores_of_yes_or_no(score: float, t: float) -> None:
    """T9: also where the naive formula takes the logarithm of 0."""
    x = dl.tensor(score, requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(x, dl.tensor(t))
    loss.backward()
    small = math.exp(-abs(score))
    likely, unlikely = 1 / (1 + small), small / (1 + small)
    yes, no = (likely, unlikely) if score > 0 else (unlikely, likely)
    missed_yes = math.log1p(small) + max(-score, 0.0)
    missed_no = math.log1p(small) + max(score, 0.0)
    assert loss.item() == pytest.approx(t * missed_yes + (1 - t) * missed_no, rel=1e-6, abs=1e-30)
    assert x.grad is not None
    assert x.grad.item() == pytest.approx((1 - t) * yes - t * no, rel=1e-5, abs=1e-30)


@pytest.mark.oracle
def test_certainty_costs_a_hundred_and_not_infinity() -> None:
    """T9: log is held at −100, and the gradient at p = 0 and 1 is finite, as in PyTorch."""
    from against_torch import same, torch

    p = np.array([0.0, 0.0, 1.0, 1.0, 1e-30, 1 - 1e-7], "f4")
    t = np.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0], "f4")
    same(lambda p: F.binary_cross_entropy(p, dl.tensor(t), reduction="none"),
         lambda p: torch.nn.functional.binary_cross_entropy(p, torch.tensor(t), reduction="none"), p)  # fmt: skip


def test_ignored_labels_cost_nothing() -> None:
    """ERRATA 001-F9: padding in a batch of sequences."""
    x = dl.tensor(np.random.default_rng(0).normal(size=(4, 3)), requires_grad=True)
    short = F.cross_entropy(x[:2], dl.tensor([0, 2]))
    padded = F.cross_entropy(x, dl.tensor([0, 2, -100, -100]))
    assert padded.item() == short.item()
    padded.backward()
    assert x.grad is not None
    assert not x.grad.numpy()[2:].any()
    with np.errstate(invalid="ignore"):
        assert math.isnan(F.cross_entropy(x.detach(), dl.tensor([-100] * 4)).item())


def test_float32_stays_float32() -> None:
    """T8: no loss and no gradient becomes float64."""
    x, labels = dl.randn(4, 3, requires_grad=True), dl.tensor([0, 1, 2, 0])
    t = dl.rand(4, 3)
    for loss in (
        F.cross_entropy(x, labels), F.cross_entropy(x, labels, label_smoothing=0.1), F.nll_loss(x, labels),
        F.cross_entropy(x, t), F.binary_cross_entropy_with_logits(x, t), F.binary_cross_entropy(x.sigmoid(), t),
        F.mse_loss(x, t), F.l1_loss(x, t), F.smooth_l1_loss(x, t), F.huber_loss(x, t), F.kl_div(x, t),
    ):  # fmt: skip
        assert loss.dtype == dl.float32
        (gx,) = dl.autograd.grad(loss, x)
        assert gx.dtype == dl.float32


# ── what is refused ───────────────────────────────────────────────────────────────────────────────


RIGHT = dl.tensor([0, 1, 1, 1])


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda x: F.cross_entropy(x, dl.tensor([0, 3, 1, 1])), IndexError, r"label 3 at \(1,\) .* lie in \[0, 3\)"),
        (lambda x: F.cross_entropy(x, dl.tensor([0, -1, 1, 1])), IndexError, r"label -1 at \(1,\) is no class"),
        (lambda x: F.cross_entropy(x[0], dl.tensor(5)), IndexError, r"label 5 at \(\) is no class"),
        (lambda x: F.cross_entropy(x, dl.tensor([[0], [1], [2], [0]])), ValueError, r"labels of shape \(4,\), got"),
        (lambda x: F.cross_entropy(x, dl.tensor([0.0, 1.0, 2.0, 0.0])), RuntimeError, "must be integers, got float32"),
        (lambda x: F.cross_entropy(x, dl.ones(4, 3), ignore_index=1), RuntimeError, "the target has probabilities"),
        (lambda x: F.cross_entropy(x, RIGHT, dl.ones(2)), RuntimeError, r"weight must have shape \(3,\)"),
        (lambda x: F.cross_entropy(x, RIGHT, reduction="avg"), ValueError, "got 'avg'"),
        (lambda x: F.cross_entropy(x, RIGHT, label_smoothing=2), ValueError, r"lie in \[0, 1\], got 2"),
        (lambda x: F.binary_cross_entropy(x, dl.ones(4, 3)), RuntimeError, r"lie in \[0, 1\], got values"),
        (lambda x: F.binary_cross_entropy_with_logits(x, dl.ones(4)), ValueError, r"\(4, 3\), but targets"),
        (lambda x: F.huber_loss(x, x, delta=0), ValueError, "delta must be positive"),
        (lambda x: F.smooth_l1_loss(x, x, beta=-1), ValueError, "beta must not be negative"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(call: Any, error: type[Exception], sentence: str) -> None:
    x = dl.tensor(np.random.default_rng(0).normal(size=(4, 3)) * 3)
    with pytest.raises(error, match=sentence):
        call(x)


def test_broadcasting_targets_are_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"mse_loss: predictions of shape \(4, 1\) and targets of shape \(4,\)"):
        F.mse_loss(dl.ones(4, 1), dl.ones(4))


def test_the_loss_of_yes_or_no_means_what_its_composite_says() -> None:
    """The fast body of the logistic loss against plain operations: value, first and second gradients."""
    rng, results = np.random.default_rng(0), []
    arrays = rng.normal(size=5), rng.random(5)
    for choice in ("auto", "numpy"):
        x, t = [dl.tensor(a, requires_grad=True) for a in arrays]
        with use_kernels(choice):
            y = F.binary_cross_entropy_with_logits(x, t, reduction="none")
        plain = dl.autograd.grad((y**2).sum(), [x, t], retain_graph=True)
        first = dl.autograd.grad((y**2).sum(), [x, t], create_graph=True)
        second = dl.autograd.grad(first[0].sum() + (first[1] ** 2).sum(), [x, t])
        results.append([a.detach().numpy() for a in (y, *plain, *first, *second)])
    for fast, composite in zip(*results, strict=True):
        np.testing.assert_allclose(fast, composite, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("classes", [127, 128, 157, 200, 256, 300])
def test_negative_labels_of_few_bytes_are_no_classes(classes: int) -> None:
    """Read as an unsigned number, −100 of one byte is 156."""
    x = np.random.default_rng(3).standard_normal((3, classes)).astype(np.float32)
    scores = dl.tensor(x, requires_grad=True)
    loss = F.cross_entropy(scores, dl.tensor(np.array([-100, 1, 2], np.int8)))
    loss.backward()
    expected = np.mean([np.log(np.exp(x[n].astype(float)).sum()) - x[n, n] for n in (1, 2)])
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-5)
    assert scores.grad is not None
    assert not scores.grad.numpy()[0].any()
    with pytest.raises(IndexError, match="label -1 at \\(1,\\) is no class"):
        F.cross_entropy(scores, dl.tensor(np.array([3, -1, 2], np.int8)))
    F.cross_entropy(scores, dl.tensor(np.array([3, min(classes, 255) - 1, 2], np.uint8)))
