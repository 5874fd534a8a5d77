"""The hand-sized numbers of the errata and of the lessons, one row each, computed in every room of kernels.

Errors on the pages would be named in the row; none was found here. Numbers whose inputs are not written are
illustrations and are not computed:

- L04 (−.9, 4.5, 1.9): the 3 × 2 matrix and the bias are not given; L05 takes the result as its input.
- L12, the sums of a mask on 4 numbers: neither mask nor numbers are given.
- L14, ‖g‖ at 1, 10, 20, 30 steps: the network is not given. The two powers beside them are computed.
- L15: the weights of the LSTM are not given, but the printed gates leave one choice of sums with two digits, (.7, 1.05,
  −.25, .6), and the printed memory one of the memory before, .8; with these every number of the row is computed.
- L18: the 8 points are not given.
- L20: the 12 scores are not given.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from printed import Row, rounds_to

import minidl as dl
import minidl.nn.functional as F
from minidl import nn, ops
from minidl.nn import init
from minidl.optim.lr_scheduler import inverse_sqrt_decay
from minidl.tensor import Tensor


def x(*values: Any, grad: bool = False) -> Tensor:
    """A float64 tensor: one number, a vector, or rows."""
    data = values[0] if len(values) == 1 and not isinstance(values[0], list) else list(values)
    return dl.tensor(data, dtype=dl.float64, requires_grad=grad)


def gradients(f: Any, *inputs: Tensor) -> list[Tensor]:
    """The gradients of the number f(inputs)."""
    leaves = [v.clone().detach().requires_grad_() for v in inputs]
    f(*leaves).backward()
    return [leaf.grad for leaf in leaves]


def image(*rows: list[float]) -> Tensor:
    """One picture with one channel, (1, 1, H, W)."""
    return x(*rows)[None, None]


# ── what several rows share ───────────────────────────────────────────────────────────────────────

PICTURE, KERNEL = image([1, 2, 3], [4, 5, 6], [7, 8, 9]), image([1, 2], [3, 4])
QUARTERS = image([1, 3, 2, 4], [5, 6, 1, 0], [7, 2, 9, 8], [1, 0, 3, 4])
QK, V = x([1, 0], [0, 1], [1, 1]), x([1, 2], [3, 4], [5, 6])

# 004-F3 and L16: the weights act on [h, x]
W_Z, W_R, W_H = (
    x([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]),
    x([-1, 0.5, 0.2], [0.3, -0.8, 0.1]),
    x([0.7, -0.2, 0.5], [-0.3, 0.9, 0.4]),
)
H0, X1 = x(0.5, -1), x([1.0])[0]


def gate(w: Tensor) -> Tensor:
    """σ(W [h, x])."""
    return ops.sigmoid(w @ ops.cat([H0, X1]))


def candidates() -> list[Tensor]:
    """h̃ as document 004 prints it, with the reset before the product, and with the reset after it."""
    r = gate(W_R)
    printed = ops.tanh(W_H @ ops.cat([H0, X1]) * r)
    before = ops.tanh(W_H @ ops.cat([r * H0, X1]))
    after = ops.tanh(W_H[:, 2:] @ X1 + r * (W_H[:, :2] @ H0))
    return [printed, before, after]


def mixed(candidate: Tensor) -> Tensor:
    """(1 − z) h + z h̃."""
    z = gate(W_Z)
    return (1 - z) * H0 + z * candidate


def gru(reset: str) -> Tensor:
    """h_t by the layer of the engine, whose rows are r, z, n and whose weights of h and x are apart."""
    cell = nn.GRUCell(1, 2, bias=False, dtype=dl.float64, reset=reset, z_keeps="new")
    w = ops.cat([W_R, W_Z, W_H])
    cell.load_state_dict({"weight_ih": w[:, 2:], "weight_hh": w[:, :2]})
    return cell(X1[None], H0[None])


def states() -> Tensor:
    """The hidden states of 001-F6."""
    inputs = x([1.0], [0.5], [-1.0])[:, None]
    return ops.rnn(inputs, None, x([1.0], [-1.0]), x([0.5, -0.3], [0.2, 0.4]))[0]


SUMS = (0.7, 1.05, -0.25, 0.6)
"""What the gates i, f, g, o of L15 are applied to."""


def lstm() -> list[Tensor]:
    """c and h of L15, whose memory before was .8."""
    nothing = dl.zeros(4, 1, dtype=dl.float64)
    _, h, c = ops.lstm(x([0.0])[None], None, x([0.8]), nothing, nothing, x(*SUMS))
    return [c, h]


def steps(momentum: float, fresh: float) -> list[Tensor]:
    """v after 1, 2 and 3 gradients of 1, read off what the optimizer moved."""
    w = dl.zeros(1, dtype=dl.float64, requires_grad=True)
    optimizer = dl.optim.SGD([w], lr=fresh, momentum=momentum)
    moved = []
    for _ in range(3):
        before = w.detach().clone()
        w.grad = dl.ones_like(w)
        optimizer.step()
        moved.append(before - w.detach())
    return moved


def adam_step(*gradient: float) -> Tensor:
    """What the first step of Adam does to zeros."""
    w = dl.zeros(len(gradient), dtype=dl.float64, requires_grad=True)
    w.grad = x(*gradient)
    dl.optim.Adam([w], lr=0.001).step()
    return w.detach()


def through(factor: float, count: int) -> list[Tensor]:
    """The gradient that comes back through `count` multiplications."""

    def chain(v: Tensor) -> Tensor:
        for _ in range(count):
            v = v * factor
        return v

    return gradients(chain, x(1.0))


def triplet(margin: float) -> list[Tensor]:
    """Both squared distances and the loss, of FaceNet's a = (1, 0), p = (.8, .6), n = (0, 1)."""
    a, p, n = x(1, 0), x(0.8, 0.6), x(0, 1)
    near, far = ops.square(a - p).sum(), ops.square(a - n).sum()
    return [near, far, F.triplet_margin_loss(a, p, n, margin, squared=True)]


def line(w: Tensor, v: Tensor, b: Tensor) -> Tensor:
    """(wx + b − 1)²."""
    return ops.square(w * v + b - 1)


ERRATA = [
    Row("001-T10", "cross-correlation", "37 47  67 77", lambda: F.conv2d(PICTURE, KERNEL)),
    Row("001-T10", "true convolution", "23 33  53 63", lambda: F.conv2d(PICTURE, KERNEL.flip(2, 3))),
    Row("001-F1", "categorical, class 0 of (.7, .2, .1)", ".356675",
        lambda: F.cross_entropy(x([0.7, 0.2, 0.1]).log(), dl.tensor([0]))),
    Row("001-F1", "the binary formula on the one-hot vector, mean", ".228393",
        lambda: F.binary_cross_entropy(x(0.7, 0.2, 0.1), x(1, 0, 0))),
    Row("001-F1", "the binary formula on the one-hot vector, sum", ".685179",
        lambda: F.binary_cross_entropy(x(0.7, 0.2, 0.1), x(1, 0, 0), reduction="sum")),
    Row("001-F1a", "log-sum-exp of (1000, 1001)", "1001.313262", lambda: ops.logsumexp(x(1000, 1001), 0)),
    Row("001-F2", "mean squared error", ".5", lambda: F.mse_loss(x(0.5, 0.5, 1), x(1, 0, 2))),
    Row("001-F2", "its gradient, ×3", "-1 1 -2",
        lambda: [3 * g for g in gradients(lambda y: F.mse_loss(y, x(1, 0, 2)), x(0.5, 0.5, 1))]),
    Row("001-F4a", "average of three gradients of 1", ".1 .19 .271", lambda: steps(0.9, 1 - 0.9)),
    Row("001-F4a", "heavy ball of three gradients of 1", "1 1.9 2.71", lambda: steps(0.9, 1.0)),
    Row("001-F5", "the global decay, ε = .01 at 100", ".7071", lambda: inverse_sqrt_decay(100, 0.01)),
    Row("001-F5", "the global decay, ε = 1e-8 at 10⁴", ".99995", lambda: inverse_sqrt_decay(10_000, 1e-8)),
    Row("001-F6", "hidden states", ".7616 -.7616  .8038 -.5732  -.4021 .7313", states),
    Row("001-F8", "softmax(2, 1, 0)", ".665241 .244728 .090031", lambda: F.softmax(x(2, 1, 0), dim=-1)),
    Row("001-C2a", "He's standard deviation for 3 × 3 × 3 inputs", ".272",
        lambda: init.calculate_gain("relu") / init.calculate_fan_in_and_fan_out(dl.empty(32, 3, 3, 3))[0] ** 0.5),
    Row("002-F1", "⌊(H + 2p − d(k − 1) − 1)/s⌋ + 1, H = 11, p = 1, d = 2, k = 3, s = 2", "5 5",
        lambda: F.conv2d(dl.zeros(1, 1, 11, 11), dl.zeros(1, 1, 3, 3), None, 2, 1, 2).shape[2:]),
    Row("003-T6", ".9⁵⁰ as a gradient", ".0052", lambda: through(0.9, 50)),
    Row("003-T6", "1.1⁵⁰ as a gradient", "117.4", lambda: through(1.1, 50)),
    Row("003-T11", "max pooling", "6 4  7 9", lambda: F.max_pool2d(QUARTERS, 2)),
    Row("003-T11", "mean pooling", "3.75 1.75  2.5 6", lambda: F.avg_pool2d(QUARTERS, 2)),
    Row("003-T20", "weights of the first token", ".4011 .1978 .4011", lambda: F.attention_weights(QK, QK)[0]),
    Row("003-T20", "what the first token gets", "3.0 4.0", lambda: F.scaled_dot_product_attention(QK, QK, V)[0]),
    Row("003-T22", "position 1 in four numbers", ".8415 .5403 .0100 1.0000",
        lambda: ops.position_encoding(x(1.0), 4)),
    Row("003-C5a", "softmax over an axis of size 1", "1 1 1 1", lambda: F.softmax(x([3], [-1], [0], [9]), dim=-1)),
    Row("004-F1", "update gate", ".5374 .5744", lambda: gate(W_Z)),
    Row("004-F2", "reset gate", ".3100 .7408", lambda: gate(W_R)),
    Row("004-F3", "candidate, article", ".3145 -.4474", lambda: candidates()[0]),
    Row("004-F3", "candidate, reset before", ".6391 -.3033", lambda: candidates()[1]),
    Row("004-F3", "candidate, reset after", ".5853 -.3608", lambda: candidates()[2]),
    Row("004-F4", "h_t, article", ".4003 -.6826", lambda: mixed(candidates()[0])),
    Row("004-F4", "h_t, reset before", ".5748 -.5998", lambda: gru("before")),
    Row("004-F4", "h_t, reset after", ".5459 -.6328", lambda: gru("after")),
]  # fmt: skip

LESSONS = [
    Row("L01", "y = wx + b and (y − 1)² at x = 3, w = −2, b = 1", "-5 36",
        lambda: [x(-2.0) * 3 + 1, line(x(-2.0), x(3.0), x(1.0))]),
    Row("L01", "dL/dw by a central difference", "-36.000",
        lambda: (line(x(-2 + 1e-4), x(3.0), x(1.0)) - line(x(-2 - 1e-4), x(3.0), x(1.0))) / 2e-4),
    Row("L02", "dL/dw, dL/dx, dL/db", "-36 24 -12", lambda: gradients(line, x(-2.0), x(3.0), x(1.0))),
    Row("L02", "x² + x at 3: both ways add up", "7", lambda: gradients(lambda v: v * v + v, x(3.0))),
    Row("L03", "softmax(2, 1, 0)", ".6652 .2447 .0900", lambda: F.softmax(x(2, 1, 0), dim=-1)),
    Row("L03", "cross-entropy of class 0", ".4076", lambda: F.cross_entropy(x([2, 1, 0]), dl.tensor([0]))),
    Row("L03", "its gradient", "-.3348 .2447 .0900",
        lambda: gradients(lambda o: F.cross_entropy(o, dl.tensor([0])), x([2, 1, 0]))),
    Row("L03", "BCE of the logit .8 and 1", ".3711", lambda: F.binary_cross_entropy_with_logits(x(0.8), x(1.0))),
    Row("L03", "MSE", ".5", lambda: F.mse_loss(x(0.5, 0.5, 1), x(1, 0, 2))),
    Row("L05", "ReLU", "0 4.5 1.9", lambda: F.relu(x(-0.9, 4.5, 1.9))),
    Row("L06", "gradient of the picture for Ȳ = (1, 2; 3, 4)", "1 4 4  6 20 16  9 24 16",
        lambda: gradients(lambda p: (F.conv2d(p, KERNEL) * KERNEL).sum(), PICTURE)),
    Row("L06", "the same as a full correlation with the flipped kernel", "1 4 4  6 20 16  9 24 16",
        lambda: F.conv2d(F.pad(KERNEL, (1, 1, 1, 1)), KERNEL.flip(2, 3))),
    Row("L07", "max and mean of the quarters", "6 4 7 9  3.75 1.75 2.5 6",
        lambda: [F.max_pool2d(QUARTERS, 2), F.avg_pool2d(QUARTERS, 2)]),
    Row("L07", "where max pooling sends the gradient", "0 0 0 1  0 1 0 0  1 0 1 0  0 0 0 0",
        lambda: gradients(lambda p: F.max_pool2d(p, 2).sum(), QUARTERS)),
    Row("L09", "average and heavy ball of three gradients of 1", ".1 .19 .271  1 1.9 2.71",
        lambda: [steps(0.9, 1 - 0.9), steps(0.9, 1.0)]),
    Row("L10", "first step of Adam for the gradients .1 and −10", "-.001 .001", lambda: adam_step(0.1, -10)),
    Row("L10", "the article's rate at 100, ε = .01", ".7071", lambda: inverse_sqrt_decay(100, 0.01)),
    Row("L13", "hidden states", ".7616 -.7616  .8038 -.5732  -.4021 .7313", states),
    Row("L14", ".9⁵⁰ and 1.1⁵⁰", ".0052 ~117", lambda: [through(0.9, 50), through(1.1, 50)]),
    Row("L15", "i, f, o, g", ".6682 .7408 .6457 -.2449",
        lambda: [ops.sigmoid(x(*SUMS)[[0, 1, 3]]), ops.tanh(x(*SUMS)[2])]),
    Row("L15", "c and h", ".4290 .2611", lstm),
    Row("L16", "z and r", ".5374 .5744  .3100 .7408", lambda: [gate(W_Z), gate(W_R)]),
    Row("L16", "h_t: before, after, article", ".5748 -.5998  .5459 -.6328  .4003 -.6826",
        lambda: [gru("before"), gru("after"), mixed(candidates()[0])]),
    Row("L17", "weights and output of the first token", ".4011 .1978 .4011  3 4",
        lambda: [F.attention_weights(QK, QK)[0], ops.round(F.scaled_dot_product_attention(QK, QK, V)[0] * 1e9) / 1e9]),
    Row("L17", "PE(1)", ".8415 .5403 .0100 1.0000", lambda: ops.position_encoding(x(1.0), 4)),
    Row("L19", "squared distances, loss at α = .2", ".4 2.0  0", lambda: triplet(0.2)),
    Row("L19", "squared distances, loss at α = 2", ".4 2.0  .4", lambda: triplet(2)),
]  # fmt: skip


@pytest.mark.parametrize("row", ERRATA, ids=str)
def test_errata(row: Row, kernels: str) -> None:
    rounds_to(row)


@pytest.mark.parametrize("row", LESSONS, ids=str)
def test_lesson(row: Row, kernels: str) -> None:
    rounds_to(row)


@pytest.mark.parametrize("wrong", [".36", ".357 0", ".3567", ".35666", "3567e-4", "-.356675"])
def test_a_wrong_number_is_found(wrong: str) -> None:
    """The table can fail: in the last digit, in the sign, in how many there are."""
    right = wrong in (".36", ".3567", "3567e-4")
    row = Row("001-F1", "categorical", wrong, lambda: -np.log(0.7))
    if right:
        rounds_to(row)
    else:
        with pytest.raises(AssertionError, match="001-F1"):
            rounds_to(row)


# ── claims beside the numbers ─────────────────────────────────────────────────────────────────────


def test_F1a_the_naive_formula_overflows() -> None:
    with np.errstate(over="ignore"):
        assert ops.log(ops.exp(x(1000, 1001)).sum()).item() == np.inf
        assert ops.log(ops.exp(dl.tensor([1000.0, 1001.0])).sum()).item() == np.inf


def test_F5_the_tiny_epsilon_changes_nothing_in_ten_thousand_steps() -> None:
    assert min(inverse_sqrt_decay(t, 1e-8) for t in range(10_001)) >= 0.99995


def test_C2_the_kernel_shape_of_keras_is_refused() -> None:
    """ERRATA 001-C2: ours is (Cout, Cin, kh, kw)."""
    layer = nn.Conv2d(3, 32, 3)
    assert tuple(layer.weight.shape) == (32, 3, 3, 3)
    with pytest.raises(RuntimeError, match="shape of weight"):
        layer.load_state_dict({"weight": dl.zeros(3, 3, 3, 32), "bias": dl.zeros(32)})


def test_T16_pooling_learns_nothing() -> None:
    """ERRATA 001-T16 and 001-C3."""
    assert list(nn.MaxPool2d(2).parameters()) == []


def test_L05_two_linear_layers_are_one(rng: np.random.Generator) -> None:
    first, second, v = (Tensor(rng.standard_normal(s)) for s in ((3, 2), (2, 3), (2,)))
    np.testing.assert_allclose((second @ (first @ v)).numpy(), ((second @ first) @ v).numpy(), rtol=1e-12)


def test_L17_the_spread_of_a_product_of_d_numbers_is_the_root_of_d(generator: dl.Generator) -> None:
    """Printed are 2.0 for d = 4 and 7.9 for d = 64; the second is one draw, and √64 = 8. Scaled, both are 1.0."""
    for d, printed in ((4, 2.0), (64, 7.9)):
        q, k = (dl.randn(40_000, d, generator=generator) for _ in range(2))
        spread = (q * k).sum(1).std().item()
        assert abs(spread - d**0.5) < 0.02 * d**0.5
        assert abs(spread - printed) < 0.03 * printed
        assert round(spread / d**0.5, 1) == 1.0


def test_L17_attention_without_positions_does_not_know_the_order() -> None:
    order = dl.tensor([2, 0, 1])
    y = F.scaled_dot_product_attention(QK, QK, V)
    permuted = F.scaled_dot_product_attention(QK[order], QK[order], V[order])
    np.testing.assert_allclose(permuted.numpy(), y[order].numpy(), rtol=1e-12)
