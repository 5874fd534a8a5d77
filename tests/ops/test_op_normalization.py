"""Normalisation: against PyTorch, running averages, evaluation (T16), and derivatives up to the third (T14)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
import minidl.nn.functional as F
from minidl.autograd import enable_grad, grad, gradcheck, gradgradcheck
from minidl.kernels import use_kernels
from minidl.ops.fused import Fused
from minidl.ops.normalization import BatchNorm, LayerNorm, Standardize

EXACT = {"method": "complex", "atol": 1e-8, "rtol": 1e-8}
SHAPES = st.sampled_from([(4, 3), (2, 3, 5), (3, 2, 2, 4), (1, 2, 3, 3), (2, 4, 1, 3)])


def drawn(shape: tuple[int, ...], seed: int, dtype: str = "float64") -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape) * 2 + 3
    w, b, mu, var = rng.normal(size=(4, shape[1]))
    return tuple([a.astype(dtype) for a in (x, w, b, mu, np.exp(var))])


@pytest.mark.oracle
@given(shape=SHAPES, seed=st.integers(0, 99), dtype=st.sampled_from(["float64", "float32"]),
       momentum=st.sampled_from([0.1, 1.0, 0.0]), affine=st.booleans())  # fmt: skip
def test_batch_norm_as_in_pytorch(shape: tuple[int, ...], seed: int, dtype: str, momentum: float, affine: bool) -> None:
    """Values, gradients, and the running averages with the unbiased variance."""
    from against_torch import agree, same, torch

    x, w, b, mu, var = drawn(shape, seed, dtype)
    f = torch.nn.functional
    for training in (True, False):
        kept = [dl.tensor(mu), dl.tensor(var)], [torch.tensor(mu), torch.tensor(var)]
        versions = [r.version for r in kept[0]]
        same(lambda x, *wb, t=training, k=kept[0]: F.batch_norm(x, *k, *wb, training=t, momentum=momentum),
             lambda x, *wb, t=training, k=kept[1]: f.batch_norm(x, *k, *wb, training=t, momentum=momentum),
             x, *((w, b) if affine else ()), tolerance=1e-4 if dtype == "float32" else None)  # fmt: skip
        for ours, theirs, before in zip(*kept, versions, strict=True):
            agree(ours.numpy(), theirs.numpy(), 1e-5)
            assert (ours.version > before) == training
    same(lambda x: F.batch_norm(x, None, None, training=True), lambda x: f.batch_norm(x, None, None, training=True),
         x, tolerance=1e-4 if dtype == "float32" else None)  # fmt: skip


@pytest.mark.oracle
@given(shape=SHAPES, seed=st.integers(0, 99), affine=st.booleans())
def test_the_others_as_in_pytorch(shape: tuple[int, ...], seed: int, affine: bool) -> None:
    from against_torch import same, torch

    f = torch.nn.functional
    x, w, b, mu, var = drawn(shape, seed)
    own = (w, b) if affine else ()
    for groups in [g for g in (1, 2, shape[1]) if shape[1] % g == 0]:
        if x[0].size > groups:
            same(lambda x, *wb, g=groups: F.group_norm(x, g, *wb), lambda x, *wb, g=groups: f.group_norm(x, g, *wb),
                 x, *own)  # fmt: skip
    ends = [shape[i:] for i in range(1, len(shape))]
    for end in [e for e in ends if np.prod(e) > 1]:
        lw, lb = np.random.default_rng(seed).normal(size=(2, *end))
        same(lambda x, *wb, e=end: F.layer_norm(x, e, *wb), lambda x, *wb, e=end: f.layer_norm(x, e, *wb), x,
             *((lw, lb) if affine else ()))  # fmt: skip
        same(lambda x, *w, e=end: F.rms_norm(x, e, *w), lambda x, *w, e=end: f.rms_norm(x, e, *w), x,
             *((lw,) if affine else ()))  # fmt: skip
    if len(shape) > 2:
        same(lambda x, *wb: F.instance_norm(x, None, None, *wb), lambda x, *wb: f.instance_norm(x, None, None, *wb),
             x, *own)  # fmt: skip
        kept = [dl.tensor(mu), dl.tensor(var)], [torch.tensor(mu), torch.tensor(var)]
        for use in (True, False):
            same(lambda x, u=use: F.instance_norm(x, *kept[0], use_input_stats=u),
                 lambda x, u=use: f.instance_norm(x, *kept[1], use_input_stats=u), x)  # fmt: skip
            for ours, theirs in zip(*kept, strict=True):
                np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-9)


@pytest.mark.oracle
@given(seed=st.integers(0, 99), p=st.sampled_from([2.0, 1.0, 3.0]), dim=st.sampled_from([0, 1, -1]))
def test_normalize_as_in_pytorch(seed: int, p: float, dim: int) -> None:
    from against_torch import same, torch

    x = np.random.default_rng(seed).normal(size=(3, 4, 2))
    same(lambda x: F.normalize(x, p, dim), lambda x: torch.nn.functional.normalize(x, p, dim), x)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_zero_embedding_stays_zero_with_a_finite_gradient(dtype: str) -> None:
    """T28: one empty picture must not turn every weight into nan."""
    x = dl.tensor(np.array([[0.0, 0.0], [3.0, 4.0]], dtype), requires_grad=True)
    y = F.normalize(x)
    np.testing.assert_allclose(y.detach().numpy(), [[0, 0], [0.6, 0.8]], rtol=1e-3)
    F.cross_entropy(y, dl.tensor([0, 1])).backward()
    assert x.grad is not None
    assert np.isfinite(x.grad.numpy()).all()


# ── what training does and evaluation does not ────────────────────────────────────────────────────


def test_evaluation_is_differentiable() -> None:
    """T16: saliency maps and fine-tuning with frozen averages."""
    x, w, b, mu, var = [dl.tensor(a) for a in drawn((2, 3, 2, 2), 0)]
    for t in (x, w, b):
        t.requires_grad_()
    assert gradcheck(lambda x, w, b: F.batch_norm(x, mu, var, w, b), [x, w, b], **EXACT)
    assert gradgradcheck(lambda x, w, b: F.batch_norm(x, mu, var, w, b), [x, w, b], **EXACT)


def test_the_averages_are_off_the_tape_and_updated_once() -> None:
    """T33: also when the gradient is differentiated, which recomputes the forward pass."""
    x = dl.tensor(drawn((4, 3, 5), 0)[0], requires_grad=True)
    mu, var = dl.zeros(3, dtype=dl.float64), dl.ones(3, dtype=dl.float64)
    y = F.batch_norm(x, mu, var, training=True, momentum=0.25)
    once = mu.numpy().copy(), var.numpy().copy()
    np.testing.assert_allclose(once[0], 0.25 * x.detach().numpy().mean(axis=(0, 2)))
    np.testing.assert_allclose(once[1], 0.75 + 0.25 * x.detach().numpy().var(axis=(0, 2), ddof=1))
    (gx,) = grad((y**3).sum(), x, create_graph=True)
    grad((gx**2).sum(), x)
    np.testing.assert_array_equal((mu.numpy(), var.numpy()), once)
    assert not mu.requires_grad


def test_channels_with_one_number_are_refused_in_training() -> None:
    """T16: the result would be 0 whatever comes in."""
    with pytest.raises(ValueError, match=r"more than one number a channel, x has shape \(1, 3\)"):
        F.batch_norm(dl.ones(1, 3), None, None, training=True)
    with pytest.raises(ValueError, match="instance_norm: needs more than one number a channel"):
        F.instance_norm(dl.ones(2, 3, 1))
    assert F.batch_norm(dl.ones(1, 3), dl.zeros(3), dl.ones(3)).shape == (1, 3)


# ── derivatives of every order ────────────────────────────────────────────────────────────────────

LAYERS: dict[str, Any] = {
    "batch_norm": lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True, eps=0.1),
    "layer_norm": lambda x, w, b: F.layer_norm(x.transpose(1, -1), (2,), w, b, eps=0.1),
    "group_norm": lambda x, w, b: F.group_norm(x, 1, w, b, eps=0.1),
    "instance_norm": lambda x, w, b: F.instance_norm(x, None, None, w, b, eps=0.1),
}


@pytest.mark.parametrize("name", LAYERS)
def test_derivatives_up_to_the_third(name: str, kernels: str) -> None:
    """T14: engines that treat the batch's moments as constants get the second derivative wrong without an error."""
    rng = np.random.default_rng(0)
    x = dl.tensor(rng.normal(size=(2, 2, 3)), requires_grad=True)
    w, b = [dl.tensor(rng.normal(size=2), requires_grad=True) for _ in range(2)]
    layer = LAYERS[name]

    @enable_grad()
    def slope(x: dl.Tensor, w: dl.Tensor, b: dl.Tensor) -> Any:
        return grad((layer(x, w, b) ** 3).sum(), [x, w], create_graph=True)

    assert gradcheck(layer, [x, w, b], **EXACT)
    assert gradgradcheck(layer, [x, w, b], **EXACT)
    if kernels == "auto":
        assert gradgradcheck(slope, [x, w, b], **EXACT)


@pytest.mark.parametrize("fused", [BatchNorm(0.1), LayerNorm(0.1), Standardize(0.1)], ids=lambda op: op.name)
def test_the_fast_body_means_what_the_composite_says(fused: Fused) -> None:
    """Value, first and second gradient of the two bodies of a fused operation."""
    rng = np.random.default_rng(0)
    size = 2 if isinstance(fused, LayerNorm) else 4
    count = 1 if isinstance(fused, Standardize) else 3
    arrays = [rng.normal(size=(3, 4, 2)), rng.normal(size=size), rng.normal(size=size)][:count]
    results = []
    for choice in ("auto", "numpy"):
        xs = [dl.tensor(a, requires_grad=True) for a in arrays]
        with use_kernels(choice):
            y = type(fused)(0.1)(*xs)
        assert (y.creator.name == type(fused).__name__) == (choice == "auto")
        plain = grad((y**3).sum(), xs, retain_graph=True)
        first = grad((y**3).sum(), xs, create_graph=True)
        second = grad(sum([(g**2).sum() for g in first]), xs)
        results.append([t.detach().numpy() for t in (y, *plain, *first, *second)])
    for fast, composite in zip(*results, strict=True):
        np.testing.assert_allclose(fast, composite, rtol=1e-9, atol=1e-9)


def test_weights_that_depend_on_the_input_are_differentiated_once() -> None:
    """A pullback must not walk from one input of the fused operation into another."""
    x = dl.tensor(drawn((4, 3), 0)[0], requires_grad=True)

    def through(x: dl.Tensor) -> Any:
        return F.batch_norm(x, None, None, x.mean(0), x[0] * x[1], training=True, eps=0.1)

    assert gradcheck(through, x, **EXACT)
    assert gradgradcheck(through, x, **EXACT)


def test_only_what_is_wanted_is_differentiated() -> None:
    """T22: a frozen scale gets no gradient, in either order."""
    x, w, b, *_ = [dl.tensor(a) for a in drawn((4, 3), 0)]
    x.requires_grad_()
    y = F.batch_norm(x, None, None, w, b, training=True)
    (gx,) = grad((y**2).sum(), x, create_graph=True)
    grad((gx**2).sum(), x)[0]
    assert w.grad is None
    (gx,) = grad((F.batch_norm(x.detach().requires_grad_(), None, None, w, b, training=True) * x).sum(), x)
    assert gx.shape == x.shape


def test_changed_inputs_are_noticed() -> None:
    """T5: the gradient of a normalised batch needs the batch as it was."""
    x = dl.tensor(drawn((4, 3), 0)[0], requires_grad=True)
    y = F.batch_norm(x, None, None, training=True)
    with dl.no_grad():
        x.add_(1.0)
    with pytest.raises(RuntimeError, match=r"BatchNorm: input 0.*changed in place"):
        y.sum().backward()


def test_float32_stays_float32_also_far_from_zero() -> None:
    """T8, and no cancellation: numbers around 1e4 with a spread of 1."""
    data = np.random.default_rng(0).normal(size=(8, 2, 16)) + 1e4
    x = dl.tensor(data.astype("f4"), requires_grad=True)
    for y in (F.batch_norm(x, None, None, training=True), F.instance_norm(x), F.layer_norm(x, (16,))):
        assert y.dtype == dl.float32
        (gx,) = grad((y**2).sum(), x)
        assert gx.dtype == dl.float32
        assert abs(float(y.detach().numpy().std()) - 1) < 1e-3


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x: F.batch_norm(x, None, None), "outside training it needs running_mean and running_var"),
        (
            lambda x: F.batch_norm(x, None, None, dl.ones(2), training=True),
            r"C=3 .* weight has shape \(2,\)",
        ),
        (lambda x: F.batch_norm(x, dl.ones(4), dl.ones(3)), r"C=3 channels, but running_mean has shape \(4,\)"),
        (lambda x: F.batch_norm(x[0, 0], None, None, training=True), r"x must be \(N, C\) or \(N, C, …\)"),
        (lambda x: F.layer_norm(x, (3,)), r"x of shape \(2, 3, 4\) does not end with normalized_shape=\(3,\)"),
        (lambda x: F.layer_norm(x, (4,), dl.ones(3)), r"must have shape \(4,\), got \(3,\)"),
        (lambda x: F.group_norm(x, 2), "num_groups=2 must divide the C=3 channels"),
        (lambda x: F.instance_norm(x[0]), r"x must be \(N, C, …\) with pixels"),
    ],
)
def test_what_does_not_fit_is_said(call: Any, sentence: str) -> None:
    with pytest.raises((RuntimeError, ValueError), match=sentence):
        call(dl.ones(2, 3, 4))
