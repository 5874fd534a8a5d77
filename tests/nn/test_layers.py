"""Layers by themselves: dtypes kept, randomness where one says, running statistics, sentences for wrong arguments."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl import nn

DTYPES = [dl.float16, dl.float32, dl.float64]


def _everything() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(4), nn.LeakyReLU(0.1),
        nn.Dropout2d(0.2), nn.ConvTranspose2d(4, 4, 2, 2), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True),
        nn.GELU(), nn.MaxPool2d(2), nn.SiLU(), nn.AvgPool2d(2, ceil_mode=True), nn.ELU(), nn.AdaptiveAvgPool2d((2, 3)),
        nn.Flatten(), nn.Linear(24, 6), nn.LayerNorm(6), nn.Softplus(), nn.Dropout(0.3), nn.RMSNorm(6), nn.Tanh(),
        nn.Unflatten(1, (2, 3)), nn.Conv1d(2, 4, 2), nn.BatchNorm1d(4), nn.ReLU(), nn.ConvTranspose1d(4, 2, 2),
        nn.MaxPool1d(2), nn.AvgPool1d(1), nn.AdaptiveAvgPool1d(2), nn.Sigmoid(), nn.Flatten(), nn.LogSoftmax(1),
    )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_training_step_keeps_its_dtype_everywhere(dtype: Any) -> None:
    """T8: no float64 in any value, gradient or statistic of a float32 network, and no float32 in a float16 one."""
    model = _everything().to(dtype)
    x = dl.randn(4, 2, 6, 6, dtype=dtype).requires_grad_()
    made: list[Any] = []
    for module in model:
        module.register_forward_hook(lambda m, args, y: made.append((type(m).__name__, y.dtype)))
        module.register_full_backward_hook(lambda m, gx, gy: made.append((type(m).__name__, gx[0].dtype)))
    loss = nn.NLLLoss()(model(x), dl.tensor([0, 1, 2, 3]))
    loss.backward()
    assert loss.dtype == dtype
    assert [entry for entry in made if entry[1] != dtype] == []
    assert len(made) == 2 * len(model)
    assert {p.grad.dtype for p in model.parameters()} | {x.grad.dtype} == {dtype}
    assert {b.dtype for b in model.buffers()} == {np.dtype(dtype), np.dtype(dl.int64)}
    assert nn.utils.clip_grad_norm_(model.parameters(), 1e-3).item() > 0
    assert {p.grad.dtype for p in model.parameters()} == {dtype}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_layers_can_be_made_in_a_dtype(dtype: Any) -> None:
    made = [
        nn.Linear(2, 3, dtype=dtype), nn.Conv1d(2, 3, 1, dtype=dtype), nn.Conv2d(2, 3, 1, dtype=dtype),
        nn.ConvTranspose1d(2, 3, 1, dtype=dtype), nn.ConvTranspose2d(2, 3, 1, dtype=dtype),
        nn.BatchNorm1d(2, dtype=dtype), nn.BatchNorm2d(2, dtype=dtype), nn.InstanceNorm2d(2, affine=True, dtype=dtype),
        nn.LayerNorm(2, dtype=dtype), nn.GroupNorm(1, 2, dtype=dtype), nn.RMSNorm(2, dtype=dtype),
        nn.Embedding(2, 3, dtype=dtype),
    ]  # fmt: skip
    for layer in made:
        assert {p.dtype for p in layer.parameters()} == {dtype}, layer


# ── dropout ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [nn.Dropout, nn.Dropout2d])
def test_dropout_keeps_the_expectation_and_is_nothing_in_evaluation(kind: Any) -> None:
    """T38: the mask of the forward pass is the mask of the gradient."""
    layer = kind(0.25, generator=dl.Generator(4))
    x = dl.ones(200, 100, 2, 2, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    values = np.unique(y.detach())
    np.testing.assert_allclose(values, [0, 1 / 0.75], rtol=1e-6)
    np.testing.assert_array_equal(x.grad, y.detach())
    assert abs(float((y.array == 0).mean()) - 0.25) < 0.02
    whole_channels = bool(((y.array == 0).all((2, 3)) == (y.array == 0).any((2, 3))).all())
    assert whole_channels == (kind is nn.Dropout2d)
    assert layer.eval()(x).equal(x)


@pytest.mark.parametrize("kind", [nn.Dropout, nn.Dropout2d])
def test_dropout_draws_from_its_own_generator(kind: Any) -> None:
    """T38: a network with its own generator is not disturbed by another one, and repeats itself."""
    x = dl.ones(10, 5, 1, 1)
    alone = [kind(0.5, generator=dl.Generator(2))(x) for _ in range(2)]
    layer = kind(0.5, generator=dl.Generator(2))
    nn.Dropout(0.5)(x)
    assert alone[0].equal(alone[1])
    assert alone[0].equal(layer(x))
    assert not layer(x).equal(alone[0]), "the next mask is another one"
    with pytest.raises(ValueError, match=r"Dropout: p is a probability, between 0 and 1, got 1\.5"):
        nn.Dropout(1.5)


# ── running statistics ────────────────────────────────────────────────────────────────────────────


def test_batch_norm_normalises_in_training_and_remembers_for_evaluation() -> None:
    layer = nn.BatchNorm1d(2, momentum=None)
    batches = [dl.tensor([[1.0, 10.0], [3.0, 30.0]]), dl.tensor([[5.0, 50.0], [9.0, 70.0]])]
    y = layer(batches[0])
    np.testing.assert_allclose(y.detach().numpy().mean(0), 0, atol=1e-6)
    layer(batches[1])
    assert layer.num_batches_tracked.item() == 2
    np.testing.assert_allclose(layer.running_mean, [(2 + 7) / 2, (20 + 60) / 2], rtol=1e-6)
    np.testing.assert_allclose(layer.running_var, [(2 + 8) / 2, (200 + 200) / 2], rtol=1e-6)
    layer.eval()
    kept = layer.running_mean.tolist()
    z = layer(dl.tensor([[4.5, 40.0]]))
    np.testing.assert_allclose(z.detach(), [[0, 0]], atol=1e-5)
    assert layer.running_mean.tolist() == kept
    layer.reset_parameters()
    assert (layer.running_mean.tolist(), layer.running_var.tolist()) == ([0, 0], [1, 1])
    assert layer.num_batches_tracked.item() == 0


def test_frozen_statistics_stay_while_the_weights_train() -> None:
    layer = nn.BatchNorm2d(3).eval()
    before = layer.running_var.tolist()
    layer(dl.randn(2, 3, 4, 5)).sum().backward()
    assert layer.running_var.tolist() == before
    assert layer.bias.grad is not None


def test_running_statistics_are_not_on_the_tape() -> None:
    """T19: a layer that kept its batch's graph would grow for ever."""
    layer = nn.BatchNorm1d(2)
    for _ in range(3):
        layer(dl.randn(4, 2, requires_grad=True))
    assert layer.running_mean.is_leaf
    assert not layer.running_mean.requires_grad


# ── resets and pretrained tables ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "layer", [nn.Linear(2, 3), nn.Conv2d(2, 3, 2), nn.Embedding(3, 2, 1), nn.LayerNorm(3), nn.GroupNorm(1, 3)], ids=repr
)
def test_reset_parameters_starts_again(layer: Any) -> None:
    with dl.no_grad():
        for p in layer.parameters():
            p.fill_(7)
    layer.reset_parameters()
    assert all((p.array != 7).all() for p in layer.parameters())


def test_an_embedding_from_a_table() -> None:
    table = dl.tensor([[1.0, 2.0], [3.0, 4.0]])
    layer = nn.Embedding.from_pretrained(table)
    assert not layer.weight.requires_grad
    assert layer(dl.tensor([[1], [0]])).tolist() == [[[3, 4]], [[1, 2]]]
    assert nn.Embedding.from_pretrained(table, freeze=False, padding_idx=1).weight.requires_grad
    with pytest.raises(ValueError, match=r"expected a table \(V, E\), got shape \(2,\)"):
        nn.Embedding.from_pretrained(dl.ones(2))


# ── sentences ─────────────────────────────────────────────────────────────────────────────────────

WRONG: list[tuple[Any, type[Exception], str]] = [
    (lambda: nn.Conv2d(3, 4, (1, 2, 3)), ValueError, r"Conv2d: kernel_size takes one number or 2, got \(1, 2, 3\)"),
    (lambda: nn.Conv2d(3, 4, 1, groups=2), ValueError, "groups=2 must divide C=3 input and O=4 output"),
    (lambda: nn.Conv2d(3, 4, 1, padding_mode="mirror"), ValueError, "padding_mode must be one of zeros, reflect"),
    (lambda: nn.Conv2d(3, 4, 1, padding="full"), ValueError, "padding must be a size, 'same' or 'valid', got 'full'"),
    (lambda: nn.Conv2d(3, 4, 3, 2, "same"), ValueError, r"keeps the size only with stride 1, got \(2, 2\)"),
    (lambda: nn.ConvTranspose2d(3, 4, 3, padding="same"), TypeError, "padding must be a size, got 'same'"),
    (lambda: nn.ConvTranspose1d(3, 4, 3, padding_mode="reflect"), ValueError, "padding_mode must be 'zeros'"),
    (lambda: nn.Conv2d(1, 4, 3)(dl.ones(1, 3, 8, 8)), RuntimeError, r"x has C=3 channels, but the weight"),
    (lambda: nn.Linear(2, 3)(dl.ones(1, 4)), RuntimeError, "linear: x of shape"),
    (lambda: nn.BatchNorm2d(3)(dl.ones(2, 3)), ValueError, r"BatchNorm2d: expected \(N, C, H, W\), got shape \(2, 3\)"),
    (lambda: nn.BatchNorm1d(3)(dl.ones(2, 4)), ValueError, "x has C=4 channels, the layer has 3"),
    (lambda: nn.InstanceNorm2d(3, affine=True)(dl.ones(2, 4, 5, 5)), ValueError, "has not C=3"),
    (lambda: nn.GroupNorm(2, 3), ValueError, "2 groups do not divide 3 channels"),
    (lambda: nn.Embedding(3, 2, 3), ValueError, "padding_idx 3 is not among the 3 rows"),
    (lambda: nn.Embedding(3, 2)(dl.tensor([0, 3])), IndexError, r"no row 3; the weight \(V=3, E=2\) has rows 0 to 2"),
    (lambda: nn.Embedding(3, 2)(dl.tensor([0, -1])), IndexError, "no row -1; "),
    (lambda: nn.Embedding(3, 2)(dl.tensor([0.5])), TypeError, "integer tensor, got float32"),
    (lambda: nn.Unflatten(3, (1, 2))(dl.ones(2, 2)), IndexError, "dim 3 is out of range"),
    (lambda: nn.MSELoss(reduction="avg"), ValueError, "reduction must be one of mean, sum, none, got 'avg'"),
    (lambda: nn.Softmax()(dl.ones(2)), TypeError, "say along which dimension"),
]


@pytest.mark.parametrize(("call", "error", "sentence"), WRONG, ids=[w[2][:40] for w in WRONG])
def test_wrong_arguments_are_sentences(call: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        call()


def test_inputs_stay_as_they_were() -> None:
    """T5: `inplace` is accepted, and no layer writes into its input."""
    x = dl.randn(2, 3)
    kept = x.array.copy()
    for layer in (
        nn.ReLU(inplace=True),
        nn.SiLU(True),
        nn.ELU(1.0, True),
        nn.LeakyReLU(0.1, True),
        nn.Dropout(0.5, True),
    ):
        layer(x)
        assert np.array_equal(x, kept), layer
        assert "inplace=True" in repr(layer)


def test_importing_nn_loads_no_heavy_library() -> None:
    program = "import sys, minidl.nn; print([m for m in ('numba', 'cupy', 'cv2', 'torch', 'rich') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_a_small_network_learns_exclusive_or() -> None:
    """All of it together: layers, a loss, gradients and a step by hand."""
    model = nn.Sequential(
        nn.Linear(2, 8, generator=dl.Generator(0)), nn.Tanh(), nn.Linear(8, 1, generator=dl.Generator(1))
    )
    x = dl.tensor(list(itertools.product([0.0, 1.0], repeat=2)))
    t = dl.tensor([[0.0], [1.0], [1.0], [0.0]])
    measure = nn.BCEWithLogitsLoss()
    for _ in range(400):
        model.zero_grad()
        measure(model(x), t).backward()
        with dl.no_grad():
            for p in model.parameters():
                p.sub_(p.grad * 1.0)
    assert measure(model(x), t).item() < 0.05
    assert ((model(x) > 0).array == (t.array > 0.5)).all()
