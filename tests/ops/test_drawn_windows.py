"""T10–T13: convolution and pooling over drawn geometries, where no height equals its width.

The kernels' own tests hold values against loops; here are the gradients of every order and the laws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from cases import trial
from claims_on_derivatives import exact_adjoint, gradient_holds
from drawn import distinct, numbers, seeds
from hypothesis import assume, given
from hypothesis import strategies as st

import minidl as dl
from minidl import ops
from minidl.autograd import grad


@dataclass(frozen=True)
class Windows:
    """One drawn geometry; H ≠ W, KH ≠ KW, and stride, padding and dilation differ between height and width."""

    image: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]


@st.composite
def windows(draw: st.DrawFn, pooling: bool = False) -> Windows:
    def unequal(low: int, high: int) -> tuple[int, int]:
        a = draw(st.integers(low, high))
        return a, draw(st.integers(low, high).filter(lambda b: b != a))

    kernel = unequal(1, 3)
    dilation = unequal(1, 2)
    padding = unequal(0, 1 if pooling else 2)
    if pooling:
        padding = tuple(min(p, (d * (k - 1) + 1) // 2) for p, k, d in zip(padding, kernel, dilation, strict=True))
    case = Windows(unequal(3, 7), kernel, unequal(1, 3), padding, dilation)
    room = [n + 2 * p - d * (k - 1) for n, k, p, d in zip(case.image, kernel, padding, dilation, strict=True)]
    assume(min(room) >= 1)
    return case


@given(case=windows(), groups=st.sampled_from([1, 2]), seed=seeds)
def test_convolutions(case: Windows, groups: int, seed: int) -> None:
    """T12, T13: remainders that no window covers, overlapping windows, dilation, groups."""
    arguments = {"stride": case.stride, "padding": case.padding, "dilation": case.dilation, "groups": groups}
    x = numbers(seed, (2, 2 * groups, *case.image), -1, 1)
    w = numbers(seed + 1, (3 * groups, 2, *case.kernel), -1, 1)
    b = numbers(seed + 2, (3 * groups,), -1, 1)

    def call(*xs: Any) -> Any:
        return ops.conv2d(*xs, **arguments)

    exact_adjoint(trial(call, x, w, b))
    gradient_holds(lambda *xs: call(*xs) ** 2, x, w, b)
    gradient_holds(lambda *xs: _gradient(call, *xs), x, w)


def _gradient(call: Any, *xs: Any) -> Any:
    xs = tuple(x if x.requires_grad else x.detach().requires_grad_() for x in xs)
    y = call(*xs)
    return grad((y * y * y).sum(), xs, create_graph=True)


@given(case=windows(), groups=st.sampled_from([1, 2]), seed=seeds, data=st.data())
def test_transposed_convolution_is_the_transpose(case: Windows, groups: int, seed: int, data: Any) -> None:
    """T13: ⟨conv x, y⟩ = ⟨x, convᵀ y⟩ with the output padding that restores the size."""
    arguments = {"stride": case.stride, "padding": case.padding, "dilation": case.dilation, "groups": groups}
    x = numbers(seed, (2, 2 * groups, *case.image), -1, 1)
    w = numbers(seed + 1, (3 * groups, 2, *case.kernel), -1, 1)
    y = ops.conv2d(dl.tensor(x), dl.tensor(w), **arguments)
    spans = [d * (k - 1) + 1 for d, k in zip(case.dilation, case.kernel, strict=True)]
    missing = [
        (n + 2 * p - span) % s for n, p, span, s in zip(case.image, case.padding, spans, case.stride, strict=True)
    ]
    u = numbers(seed + 2, tuple(y.shape), -1, 1)
    back = ops.conv_transpose2d(dl.tensor(u), dl.tensor(w), output_padding=tuple(missing), **arguments)
    assert back.shape == x.shape
    np.testing.assert_allclose(np.vdot(y.array, u), np.vdot(x, back.array), rtol=1e-11, atol=1e-11)
    b = numbers(seed + 3, (2 * groups,))
    exact_adjoint(trial(lambda *t: ops.conv_transpose2d(*t, output_padding=tuple(missing), **arguments), u, w, b))


@given(case=windows(pooling=True), ceil=st.booleans(), seed=seeds)
def test_max_pooling(case: Windows, ceil: bool, seed: int) -> None:
    """T11, T12: and it is the same function for x and x + c, which zeros as padding would break."""
    arguments = {"stride": case.stride, "padding": case.padding, "dilation": case.dilation, "ceil_mode": ceil}
    x = distinct(seed, (2, 2, *case.image))

    def call(t: Any) -> Any:
        return ops.max_pool2d(t, case.kernel, **arguments)

    y = call(dl.tensor(x)).array
    for c in (-1000.0, 1000.0):
        np.testing.assert_allclose(call(dl.tensor(x + c)).array, y + c, rtol=1e-12)
    gradient_holds(call, x / 4, oracle="richardson")
    gy = numbers(seed, y.shape)
    leaf = dl.tensor(np.zeros_like(x), requires_grad=True)
    call(leaf).backward(gy)
    np.testing.assert_allclose(leaf.grad.array.sum(), gy.sum(), rtol=1e-12)  # T10: ties pass it on once


@given(case=windows(pooling=True), ceil=st.booleans(), count=st.booleans(), seed=seeds,
       divisor=st.sampled_from([None, 5]))  # fmt: skip
def test_average_pooling(case: Windows, ceil: bool, count: bool, seed: int, divisor: int | None) -> None:
    padding = tuple(min(p, k // 2) for p, k in zip(case.padding, case.kernel, strict=True))
    arguments = {"stride": case.stride, "padding": padding, "ceil_mode": ceil, "count_include_pad": count,
                     "divisor_override": divisor}  # fmt: skip
    assume(all(n + 2 * p >= k for n, p, k in zip(case.image, padding, case.kernel, strict=True)))
    x = numbers(seed, (2, 2, *case.image), -1, 1)
    exact_adjoint(trial(lambda t: ops.avg_pool2d(t, case.kernel, **arguments), x))
    gradient_holds(lambda t: ops.avg_pool2d(t * t, case.kernel, **arguments), x)
    if not count and divisor is None:  # a mean of ones is one, also at the border
        np.testing.assert_allclose(ops.avg_pool2d(dl.ones(1, 1, *case.image), case.kernel, **arguments).array, 1,
                                   rtol=1e-6)  # fmt: skip


@given(data=st.data(), seed=seeds)
def test_adaptive_pooling(data: Any, seed: int) -> None:
    image = (data.draw(st.integers(2, 7)), data.draw(st.integers(2, 7)))
    size = tuple(data.draw(st.integers(1, 4)) for _ in range(2))
    x = distinct(seed, (2, 2, *image)) / 8
    exact_adjoint(trial(lambda t: ops.adaptive_avg_pool2d(t, size), x))
    gradient_holds(lambda t: ops.adaptive_max_pool2d(t, size), x, oracle="richardson")
    np.testing.assert_allclose(
        ops.adaptive_avg_pool2d(dl.tensor(x), 1).array[..., 0, 0], x.mean((2, 3)), rtol=1e-12, atol=1e-12
    )


@given(case=windows(), seed=seeds)
def test_windows_laid_out_and_added_back(case: Windows, seed: int) -> None:
    """T13: ⟨unfold x, c⟩ = ⟨x, fold c⟩."""
    arguments = {"stride": case.stride, "padding": case.padding, "dilation": case.dilation}
    x = numbers(seed, (2, 3, *case.image), -1, 1)
    columns = ops.unfold(dl.tensor(x), case.kernel, **arguments)
    c = numbers(seed + 1, tuple(columns.shape), -1, 1)
    image = ops.fold(dl.tensor(c), case.image, case.kernel, **arguments)
    np.testing.assert_allclose(np.vdot(columns.array, c), np.vdot(x, image.array), rtol=1e-11, atol=1e-11)


@given(case=windows(), seed=seeds)
def test_moving_the_image_moves_the_map(case: Windows, seed: int) -> None:
    """A step of one stride in the image is a step of one pixel in the map."""
    x = numbers(seed, (1, 2, *case.image), -1, 1)
    w = numbers(seed + 1, (2, 2, *case.kernel), -1, 1)
    moved = np.pad(x, [(0, 0), (0, 0), (case.stride[0], 0), (case.stride[1], 0)])
    arguments = {"stride": case.stride, "dilation": case.dilation}
    assume(all(n >= d * (k - 1) + 1 for n, d, k in zip(case.image, case.dilation, case.kernel, strict=True)))
    y, z = (ops.conv2d(dl.tensor(t), dl.tensor(w), **arguments).array for t in (x, moved))
    np.testing.assert_allclose(z[..., 1:, 1:], y, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["conv1d", "conv_transpose1d", "max_pool1d", "avg_pool1d"])
def test_signals_are_images_one_row_high(name: str) -> None:
    x = distinct(0, (2, 3, 9)) / 8
    if name.startswith("conv"):
        w = numbers(1, (4, 3, 3) if name == "conv1d" else (3, 4, 3))
        gradient_holds(lambda *t: getattr(ops, name)(*t, stride=2, padding=1), x, w)
        wide = getattr(ops, name[:-2] + "2d")(dl.tensor(x[:, :, None]), dl.tensor(w[:, :, None]), stride=(1, 2),
                                              padding=(0, 1)).array[:, :, 0]  # fmt: skip
        narrow = getattr(ops, name)(dl.tensor(x), dl.tensor(w), stride=2, padding=1).array
    else:
        gradient_holds(lambda t: getattr(ops, name)(t, 3, 2, 1), x, oracle="richardson")
        wide = getattr(ops, name[:-2] + "2d")(dl.tensor(x[:, :, None]), (1, 3), (1, 2), (0, 1)).array[:, :, 0]
        narrow = getattr(ops, name)(dl.tensor(x), 3, 2, 1).array
    np.testing.assert_allclose(narrow, wide, rtol=1e-12)


def test_batch_normalisation_does_not_care_about_scale_and_shift() -> None:
    x = numbers(0, (5, 3, 2, 4), -1, 1)
    a, b = numbers(1, (1, 3, 1, 1)), numbers(2, (1, 3, 1, 1))

    def normalise(t: np.ndarray) -> np.ndarray:
        return ops.batch_norm(dl.tensor(t), None, None, training=True, eps=0.0).array

    np.testing.assert_allclose(normalise(a * x + b), normalise(x), rtol=1e-9, atol=1e-11)


def test_the_second_derivative_knows_that_mean_and_variance_depend_on_x() -> None:
    """T14: with these moments held constant the Hessian of batch normalisation would be 0; it is far from it."""
    x = dl.tensor(numbers(0, (6, 2), -1, 1), requires_grad=True)
    u = dl.tensor(numbers(1, (6, 2), -1, 1))
    (g,) = grad((ops.batch_norm(x, None, None, training=True) * u).sum(), x, create_graph=True)
    (h,) = grad((g * u).sum(), x)
    assert np.abs(h.array).max() > 0.5


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_exponentials_and_a_constant(name: str) -> None:
    x = numbers(0, (3, 4), -1, 1)
    y, z = (getattr(ops, name)(dl.tensor(t), 1).array for t in (x, x + 1000.0))
    np.testing.assert_allclose(z - (1000.0 if name == "logsumexp" else 0), y, rtol=1e-11, atol=1e-11)
