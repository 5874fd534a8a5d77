"""Convolution: by hand, against PyTorch, and as the three operations that are each other's gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
import minidl.nn.functional as F
from minidl.autograd import enable_grad, grad, gradgradcheck
from minidl.autograd.recorder import record
from minidl.kernels import use_kernels
from minidl.ops.convolution import Conv2d, Conv2dInputGrad, Conv2dWeightGrad, Slide

X = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]
W = [[1.0, 2.0], [3.0, 4.0]]


def test_by_hand_it_is_a_cross_correlation() -> None:
    """ERRATA 001-T10 and lesson 6: nothing is flipped; a true convolution would give [[23, 33], [53, 63]]."""
    x = dl.tensor([[X]], requires_grad=True)
    w = dl.tensor([[W]], requires_grad=True)
    y = F.conv2d(x, w)
    np.testing.assert_array_equal(y.detach().numpy()[0, 0], [[37, 47], [67, 77]])
    np.testing.assert_array_equal(F.conv2d(x, dl.flip(w, (2, 3))).detach().numpy()[0, 0], [[23, 33], [53, 63]])
    y.backward(dl.tensor([[W]]))
    assert x.grad is not None
    assert w.grad is not None
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], [[1, 4, 4], [6, 20, 16], [9, 24, 16]])
    np.testing.assert_array_equal(w.grad.numpy()[0, 0], [[37, 47], [67, 77]])


def test_a_feature_map_by_hand() -> None:
    """ERRATA 002-F1: ⌊(H + 2p − d(k − 1) − 1)/s⌋ + 1 windows, bias added once to each."""
    y = F.conv2d(dl.ones(1, 1, 7, 9), dl.ones(2, 1, 3, 2), dl.tensor([10.0, 20.0]), (2, 3), (1, 0), (2, 1))
    assert y.shape == (1, 2, (7 + 2 - 2 * 2 - 1) // 2 + 1, (9 - 1 - 1) // 3 + 1)
    assert y[0, 0, 1, 0].item() == 16.0
    assert y[0, 1, 1, 0].item() == 26.0


@st.composite
def convolutions(draw: Any, transposed: bool = False) -> dict[str, Any]:
    """Sizes in which height and width, kernel, stride and padding all differ (T12), and windows do not cover (T13)."""
    G = draw(st.sampled_from([1, 1, 2, 3]))
    C, O = G * draw(st.integers(1, 2)), G * draw(st.integers(1, 2))
    K, S, D = [(draw(st.integers(1, 3)), draw(st.integers(1, 3))) for _ in range(3)]
    P = (draw(st.integers(0, 2)), draw(st.integers(0, 2)))
    span = [D[i] * (K[i] - 1) + 1 for i in (0, 1)]
    low = [1, 1] if transposed else [max(1, span[i] - 2 * P[i]) for i in (0, 1)]
    H, W = [draw(st.integers(n, n + 5)) for n in low]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from(["float64", "float32"]))
    x = rng.normal(size=(draw(st.integers(1, 2)), C, H, W)).astype(dtype)
    w = rng.normal(size=(C, O // G, *K) if transposed else (O, C // G, *K)).astype(dtype)
    b = rng.normal(size=O).astype(dtype)
    return {"x": x, "w": w, "b": b, "stride": S, "padding": P, "dilation": D, "groups": G}


@given(case=convolutions())
def test_the_three_operations_are_one_trilinear_form(case: dict[str, Any]) -> None:
    """T12, T13: ⟨g, conv(x, w)⟩ = ⟨x, input_grad(g, w)⟩ = ⟨w, weight_grad(x, g)⟩ for every stride and border."""
    x, w = dl.tensor(case["x"].astype("f8")), dl.tensor(case["w"].astype("f8"))
    (top, left), S, D = case["padding"], case["stride"], case["dilation"]
    slide = Slide(S, (top, top, left, left), D, case["groups"])
    y = Conv2d(slide)(x, w)
    g = dl.tensor(np.random.default_rng(0).normal(size=y.shape))
    sums = [
        (g * y).sum().item(),
        (x * Conv2dInputGrad(slide, x.shape[2:])(g, w)).sum().item(),
        (w * Conv2dWeightGrad(slide, w.shape[2:])(x, g)).sum().item(),
    ]
    np.testing.assert_allclose(sums, sums[0], rtol=1e-10, atol=1e-10)


@pytest.mark.oracle
@given(case=convolutions())
def test_conv2d_as_in_pytorch(case: dict[str, Any]) -> None:
    from against_torch import same, torch

    x, w, b = case.pop("x"), case.pop("w"), case.pop("b")
    theirs = torch.nn.functional.conv2d
    tolerance = 1e-4 if x.dtype == np.float32 else None
    same(lambda x, w, b: F.conv2d(x, w, b, **case), lambda x, w, b: theirs(x, w, b, **case), x, w, b,
         tolerance=tolerance)  # fmt: skip
    same(lambda x, w: F.conv2d(x, w, **case), lambda x, w: theirs(x, w, **case), x[0], w, tolerance=tolerance)


@pytest.mark.oracle
@given(case=convolutions())
def test_conv1d_as_in_pytorch(case: dict[str, Any]) -> None:
    from against_torch import same, torch

    x, w, b = case["x"][:, :, 0], case["w"][:, :, 0], case["b"]
    kw = {name: case[name][1] for name in ("stride", "padding", "dilation")} | {"groups": case["groups"]}
    theirs = torch.nn.functional.conv1d
    same(lambda x, w, b: F.conv1d(x, w, b, **kw), lambda x, w, b: theirs(x, w, b, **kw), x, w, b, tolerance=1e-4)
    same(lambda x, w: F.conv1d(x, w, **kw), lambda x, w: theirs(x, w, **kw), x[0], w, tolerance=1e-4)


@pytest.mark.oracle
@given(case=convolutions(transposed=True), data=st.data())
def test_transposed_convolution_as_in_pytorch(case: dict[str, Any], data: st.DataObject) -> None:
    from against_torch import same, torch

    x, w, b = case.pop("x"), case.pop("w"), case.pop("b")
    S, D, P, K = case["stride"], case["dilation"], case["padding"], w.shape[2:]
    extra = tuple([data.draw(st.integers(0, max(S[i], D[i]) - 1)) for i in (0, 1)])
    size = [(x.shape[2 + i] - 1) * S[i] - 2 * P[i] + D[i] * (K[i] - 1) + extra[i] + 1 for i in (0, 1)]
    if min(size) < 1:
        return
    case["output_padding"] = extra
    theirs = torch.nn.functional.conv_transpose2d
    same(lambda x, w, b: F.conv_transpose2d(x, w, b, **case), lambda x, w, b: theirs(x, w, b, **case), x, w, b,
         tolerance=1e-4)  # fmt: skip
    line = {k: v if k == "groups" else v[1] for k, v in case.items()}
    theirs_1d = torch.nn.functional.conv_transpose1d
    same(lambda x, w: F.conv_transpose1d(x, w, None, **line), lambda x, w: theirs_1d(x, w, None, **line),
         x[:, :, 0], w[:, :, 0], tolerance=1e-4)  # fmt: skip


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (4, 2), (3, 5)])
def test_padding_by_name_as_in_pytorch(padding: str, kernel: tuple[int, int]) -> None:
    from against_torch import same, torch

    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 3, 9, 11)), rng.normal(size=(4, 3, *kernel))
    theirs = torch.nn.functional.conv2d
    same(lambda x, w: F.conv2d(x, w, padding=padding, dilation=(1, 2)),
         lambda x, w: theirs(x, w, padding=padding, dilation=(1, 2)), x, w)  # fmt: skip


@pytest.mark.oracle
@given(case=convolutions())
def test_unfold_and_fold_as_in_pytorch(case: dict[str, Any]) -> None:
    from against_torch import same, torch

    x, K = case["x"], case["w"].shape[2:]
    kw = {name: case[name] for name in ("stride", "padding", "dilation")}
    same(lambda x: F.unfold(x, K, **kw), lambda x: torch.nn.functional.unfold(x, K, **kw), x)
    columns = F.unfold(dl.tensor(x), K, **kw).numpy()
    size = x.shape[2:]
    same(lambda c: F.fold(c, size, K, **kw), lambda c: torch.nn.functional.fold(c, size, K, **kw), columns)
    same(lambda c: F.fold(c, size, K, **kw), lambda c: torch.nn.functional.fold(c, size, K, **kw), columns[0])


@given(case=convolutions())
def test_a_convolution_is_a_product_with_the_columns(case: dict[str, Any]) -> None:
    """Unfolding turns conv2d into matmul; unfold and fold are adjoint: ⟨unfold(x), c⟩ = ⟨x, fold(c)⟩ (T13)."""
    if case["groups"] != 1:
        return
    x, w = dl.tensor(case["x"].astype("f8")), dl.tensor(case["w"].astype("f8"))
    kw = {name: case[name] for name in ("stride", "padding", "dilation")}
    columns = F.unfold(x, w.shape[2:], **kw)
    y = F.conv2d(x, w, **kw)
    product = dl.matmul(w.reshape(w.shape[0], -1), columns).reshape(y.shape)
    np.testing.assert_allclose(product.numpy(), y.numpy(), rtol=1e-9, atol=1e-9)
    c = dl.tensor(np.random.default_rng(0).normal(size=columns.shape))
    left, right = (columns * c).sum().item(), (x * F.fold(c, x.shape[2:], w.shape[2:], **kw)).sum().item()
    assert left == pytest.approx(right, rel=1e-9, abs=1e-9)


def test_the_gradients_close_the_circle() -> None:
    """Differentiating three times runs only the three operations, and sums."""
    x = dl.randn(1, 2, 4, 5, dtype=dl.float64, requires_grad=True)
    w = dl.randn(3, 2, 2, 3, dtype=dl.float64, requires_grad=True)
    with record() as heard:
        (gx,) = grad((F.conv2d(x, w) ** 2).sum(), x, create_graph=True)
        (gw,) = grad((gx**2).sum(), w, create_graph=True)
        grad((gw**2).sum(), x)
    assert {name for name in heard.operations if "onv" in name} == {"Conv2d", "Conv2dInputGrad", "Conv2dWeightGrad"}

    @enable_grad()
    def slope(x: dl.Tensor, w: dl.Tensor) -> Any:
        return grad((F.conv2d(x, w) ** 3).sum(), [x, w], create_graph=True)

    assert gradgradcheck(slope, [x, w], method="complex", atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("wanted", ["x", "w", "b"])
def test_only_the_gradient_that_is_wanted_is_computed(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """T22: the gradient of a photograph is not computed."""
    arrays = {"x": np.ones((1, 2, 4, 5), "f4"), "w": np.ones((3, 2, 2, 3), "f4"), "b": np.ones(3, "f4")}
    x, w, b = [dl.tensor(a, requires_grad=name == wanted) for name, a in arrays.items()]
    loss = F.conv2d(x, w, b).sum()
    ran = []
    for rule in (Conv2dInputGrad, Conv2dWeightGrad):

        def spy(self: Any, *arrays: Any, rule: Any = rule, forward: Any = rule.forward) -> Any:
            ran.append(rule.__name__)
            return forward(self, *arrays)

        monkeypatch.setattr(rule, "forward", spy)
    loss.backward()
    assert ran == {"x": ["Conv2dInputGrad"], "w": ["Conv2dWeightGrad"], "b": []}[wanted]
    assert [t.grad is not None for t in (x, w, b)] == [name == wanted for name in "xwb"]


def test_every_room_computes_the_same(kernels: str) -> None:
    """`use_kernels`: the loops, NumPy and the compiled kernels agree, with their gradients."""
    rng = np.random.default_rng(0)
    x = dl.tensor(rng.normal(size=(2, 4, 5, 6)), requires_grad=True)
    w = dl.tensor(rng.normal(size=(6, 2, 3, 2)), requires_grad=True)
    F.conv2d(x, w, None, (2, 1), (1, 0), (1, 2), 2).sum().backward()
    here = [x.grad, w.grad]
    x.grad = w.grad = None
    with use_kernels("auto"):
        F.conv2d(x, w, None, (2, 1), (1, 0), (1, 2), 2).sum().backward()
    for a, b in zip(here, (x.grad, w.grad), strict=True):
        assert a is not None
        assert b is not None
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-10)


def test_float32_stays_float32() -> None:
    """T8."""
    x = dl.randn(2, 3, 5, 6, requires_grad=True)
    w, b = dl.randn(4, 3, 3, 2, requires_grad=True), dl.zeros(4, requires_grad=True)
    y = F.conv2d(x, w, b, padding="same")
    y.sum().backward()
    assert all(t is not None and t.dtype == dl.float32 for t in (y, x.grad, w.grad, b.grad))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: F.conv2d(dl.ones(1, 3, 5, 5), dl.ones(2, 1, 3, 3)),
         r"conv2d: x has C=3 channels, but the weight \(K=3×3, C=1\) expects 1"),
        (lambda: F.conv1d(dl.ones(1, 3, 5), dl.ones(2, 1, 3)),
         r"conv1d: x has C=3 channels, but the weight \(K=3, C=1\) expects 1"),
        (lambda: F.conv2d(dl.ones(1, 4, 5, 5), dl.ones(2, 1, 3, 3), groups=2), "for each of 2 groups, 2 in all"),
        (lambda: F.conv2d(dl.ones(1, 3, 5, 5), dl.ones(2, 3, 3, 3), dl.ones(3)), r"bias has shape \(3,\), but .* O=2"),
        (lambda: F.conv2d(dl.ones(1, 3, 5, 5), dl.ones(3, 3, 3)), r"weight must be \(O, C/groups, KH, KW\)"),
        (lambda: F.conv2d(dl.ones(3, 5), dl.ones(2, 3, 3, 3)), r"x must be \(N, C, H, W\) or \(C, H, W\)"),
        (lambda: F.conv2d(dl.ones(1, 3, 2, 5), dl.ones(2, 3, 3, 3)), "spans 3×3 pixels, more than the padded"),
        (lambda: F.conv2d(dl.ones(1, 3, 5, 5), dl.ones(2, 3, 3, 3), stride=0), "stride must be ≥ 1"),
        (lambda: F.conv2d(dl.ones(1, 3, 5, 5), dl.ones(2, 3, 3, 3), stride=2, padding="same"), "only with stride 1"),
        (lambda: F.conv2d(dl.ones(1, 3, 5, 5), dl.ones(2, 3, 3, 3), padding="full"), "'same' or 'valid', got 'full'"),
        (lambda: F.conv2d(dl.ones(1, 3, 5, 5), dl.ones(2, 3, 3, 3), stride=(1, 2, 3)), r"\(height, width\), got"),
        (lambda: F.conv2d(dl.ones(1, 3, 5, 5), dl.ones(2, 3, 3, 3), groups=2), "must divide the C=3"),
        (lambda: F.conv_transpose2d(dl.ones(1, 3, 5, 5), dl.ones(2, 3, 3, 3)), "x has C=3 channels, .* expects 2"),
        (lambda: F.conv_transpose2d(dl.ones(1, 2, 5, 5), dl.ones(2, 3, 3, 3), output_padding=1), "smaller than the"),
        (lambda: F.conv_transpose2d(dl.ones(1, 2, 1, 1), dl.ones(2, 3, 1, 1), padding=1), "output of -1×-1"),
        (lambda: F.fold(dl.ones(1, 7, 4), (3, 3), 2), r"KH·KW = 2·2"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_in_the_letters_of_the_formula(call: Any, sentence: str) -> None:
    with pytest.raises((RuntimeError, ValueError), match=sentence):
        call()


def test_an_empty_batch_passes() -> None:
    x, w = dl.ones(0, 3, 5, 6, requires_grad=True), dl.ones(2, 3, 3, 3, requires_grad=True)
    y = F.conv2d(x, w)
    assert y.shape == (0, 2, 3, 4)
    y.sum().backward()
    assert w.grad is not None
    assert not w.grad.numpy().any()
