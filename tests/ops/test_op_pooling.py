"""Pooling: by hand, against PyTorch, ties and borders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
import minidl.nn.functional as F
from minidl.kernels import use_kernels

X = [[1.0, 3.0, 2.0, 4.0], [6.0, 5.0, 1.0, 3.0], [7.0, 0.0, 9.0, 8.0], [1.0, 2.0, 4.0, 3.0]]


def test_by_hand() -> None:
    """Lesson 7 and ERRATA 002-F2: the largest and the mean of four quarters; the gradient finds its way back."""
    x = dl.tensor([[X]], requires_grad=True)
    largest, means = F.max_pool2d(x, 2), F.avg_pool2d(x, 2)
    np.testing.assert_array_equal(largest.detach().numpy()[0, 0], [[6, 4], [7, 9]])
    np.testing.assert_array_equal(means.detach().numpy()[0, 0], [[3.75, 2.5], [2.5, 6.0]])
    largest.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], [[0, 0, 0, 1], [1, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]])
    x.grad = None
    means.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], np.full((4, 4), 0.25))


@st.composite
def pools(draw: Any, dilated: bool = True) -> dict[str, Any]:
    """Height and width, kernel, stride, padding and dilation all drawn by themselves (T12)."""
    K = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    D = (draw(st.integers(1, 2)), draw(st.integers(1, 2))) if dilated else (1, 1)
    P = tuple([draw(st.integers(0, k // 2)) for k in K])
    span = [D[i] * (K[i] - 1) + 1 for i in (0, 1)]
    H, W = [draw(st.integers(max(1, span[i] - 2 * P[i]), span[i] + 6)) for i in (0, 1)]
    S = draw(st.one_of(st.none(), st.tuples(st.integers(1, 3), st.integers(1, 3))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.normal(size=(2, 3, H, W)).astype(draw(st.sampled_from(["float64", "float32"])))
    case = {"x": x, "kernel_size": K, "stride": S, "padding": P, "ceil_mode": draw(st.booleans())}
    return case | ({"dilation": D} if dilated else {})


def of_a_line(case: dict[str, Any]) -> dict[str, Any]:
    """The arguments along the width alone."""
    return {k: v[1] if isinstance(v, tuple) else v for k, v in case.items()}


@pytest.mark.oracle
@given(case=pools())
def test_max_pool_as_in_pytorch(case: dict[str, Any]) -> None:
    from against_torch import same, torch

    x = case.pop("x")
    theirs, theirs_1d = torch.nn.functional.max_pool2d, torch.nn.functional.max_pool1d
    same(lambda x: F.max_pool2d(x, **case, return_indices=True),
         lambda x: theirs(x, **case, return_indices=True), x)  # fmt: skip
    same(lambda x: F.max_pool2d(x, **case), lambda x: theirs(x, **case), x[0])
    line = of_a_line(case)
    same(lambda x: F.max_pool1d(x, **line, return_indices=True),
         lambda x: theirs_1d(x, **line, return_indices=True), x[:, :, 0])  # fmt: skip


@pytest.mark.oracle
@given(case=pools(dilated=False), pad=st.booleans(), divisor=st.sampled_from([None, 3]))
def test_avg_pool_as_in_pytorch(case: dict[str, Any], pad: bool, divisor: int | None) -> None:
    from against_torch import same, torch

    x = case.pop("x")
    kw = case | {"count_include_pad": pad}
    theirs, theirs_1d = torch.nn.functional.avg_pool2d, torch.nn.functional.avg_pool1d
    same(lambda x: F.avg_pool2d(x, **kw, divisor_override=divisor),
         lambda x: theirs(x, **kw, divisor_override=divisor), x)  # fmt: skip
    same(lambda x: F.avg_pool2d(x, **kw), lambda x: theirs(x, **kw), x[0])
    line = of_a_line(kw)
    same(lambda x: F.avg_pool1d(x, **line), lambda x: theirs_1d(x, **line), x[:, :, 0])


SIZES = st.one_of(st.none(), st.integers(1, 5))


@pytest.mark.oracle
@given(data=st.data(), size=st.one_of(st.integers(1, 5), st.tuples(SIZES, SIZES)))
def test_adaptive_pools_as_in_pytorch(data: st.DataObject, size: Any) -> None:
    from against_torch import same, torch

    H, W = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 7))
    x = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=(2, 3, H, W))
    f = torch.nn.functional
    same(lambda x: F.adaptive_avg_pool2d(x, size), lambda x: f.adaptive_avg_pool2d(x, size), x)
    same(lambda x: F.adaptive_max_pool2d(x, size, True), lambda x: f.adaptive_max_pool2d(x, size, True), x)
    same(lambda x: F.adaptive_avg_pool2d(x, size), lambda x: f.adaptive_avg_pool2d(x, size), x[0])
    length = data.draw(st.integers(1, 5))
    same(lambda x: F.adaptive_avg_pool1d(x, length), lambda x: f.adaptive_avg_pool1d(x, length), x[:, :, 0])
    same(lambda x: F.adaptive_max_pool1d(x, length, True), lambda x: f.adaptive_max_pool1d(x, length, True), x[:, 0])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_of_equal_numbers_the_first_takes_the_gradient(dtype: str) -> None:
    """T10: the whole gradient goes to one pixel, and none is lost."""
    x = dl.zeros(1, 1, 4, 6, dtype=np.dtype(dtype), requires_grad=True)
    F.max_pool2d(x, (2, 3)).sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], [[1, 0, 0, 1, 0, 0], [0] * 6, [1, 0, 0, 1, 0, 0], [0] * 6])


@given(case=pools(), shift=st.sampled_from([-100.0, 100.0]))
def test_padding_never_wins(case: dict[str, Any], shift: float) -> None:
    """T11: pool(x + c) = pool(x) + c, also where all numbers are negative."""
    x = dl.tensor(np.round(case.pop("x") * 4).astype("f8"))
    np.testing.assert_array_equal(F.max_pool2d(x + shift, **case).numpy(), F.max_pool2d(x, **case).numpy() + shift)


@given(case=pools(dilated=False))
def test_the_partners_are_adjoint(case: dict[str, Any]) -> None:
    """T13: ⟨pool(x), g⟩ = ⟨x, what the gradient makes of g⟩ for the linear maps behind both pools."""
    data = case.pop("x").astype("f8")
    for pool in (F.max_pool2d, F.avg_pool2d):
        x = dl.tensor(data, requires_grad=True)
        y = pool(x, **case)
        g = dl.tensor(np.random.default_rng(0).normal(size=y.shape))
        (gx,) = dl.autograd.grad(y, x, g)
        assert (y * g).sum().item() == pytest.approx((x * gx).sum().item(), rel=1e-9, abs=1e-9)


def test_a_nan_is_the_largest() -> None:
    x = dl.tensor([[[[1.0, float("nan"), 0.0, 2.0]]]])
    np.testing.assert_array_equal(F.max_pool2d(x, (1, 2)).numpy(), [[[[np.nan, 2.0]]]])


def test_every_room_computes_the_same(kernels: str) -> None:
    x = dl.tensor(np.random.default_rng(0).normal(size=(2, 3, 5, 7)), requires_grad=True)

    def gradients() -> list[Any]:
        found = []
        for y in (F.max_pool2d(x, (3, 2), (2, 1), (1, 0), (1, 2), True), F.avg_pool2d(x, (3, 2), (2, 1), (1, 0), True)):
            found += [y.detach().numpy(), *[g.numpy() for g in dl.autograd.grad((y**2).sum(), x)]]
        return found

    here = gradients()
    with use_kernels("auto"):
        for a, b in zip(here, gradients(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: F.max_pool2d(dl.ones(1, 1, 4, 4), 2, padding=2),
            "between 0 and half the window, 1",
        ),
        (lambda: F.max_pool2d(dl.ones(1, 1, 2, 4), 3), "a window of 3 does not fit into 2 pixels"),
        (lambda: F.max_pool2d(dl.ones(4, 4), 2), r"x must be \(N, C, H, W\) or \(C, H, W\), got shape \(4, 4\)"),
        (lambda: F.max_pool2d(dl.ones(1, 1, 4, 4), 2, stride=0), "must be at least 1"),
        (lambda: F.avg_pool2d(dl.ones(1, 1, 4, 4), 2, divisor_override=0), "must not be 0"),
        (lambda: F.avg_pool1d(dl.ones(1, 1, 4), (2, 2)), r"must be a whole number or \(length,\)"),
        (lambda: F.adaptive_avg_pool2d(dl.ones(1, 1, 4, 4), (1, 2, 3)), "must give 2 sizes"),
    ],
)
def test_what_does_not_fit_is_refused(call: Any, sentence: str) -> None:
    with pytest.raises((RuntimeError, ValueError), match=sentence):
        call()
