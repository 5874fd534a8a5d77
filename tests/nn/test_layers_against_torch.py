"""Every layer against PyTorch: the same weights, the same value, the same gradients, the same names in the state."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minidl import nn
from minidl.tensor import Tensor

# PyTorch warns about its own speed with even windows
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel")]
torch = pytest.importorskip("torch")

Case = tuple[str, Callable[[Any], Any], tuple[int, ...]]

# name, how to make the layer from either library's `nn`, and the shape of an input; H ≠ W and K ≠ S ≠ P on purpose
LAYERS: list[Case] = [
    ("Identity", lambda nn: nn.Identity(), (2, 3)),
    ("Linear", lambda nn: nn.Linear(5, 3), (4, 5)),
    ("Linear, no bias", lambda nn: nn.Linear(5, 3, bias=False), (4, 5)),
    ("Linear, 3-d", lambda nn: nn.Linear(5, 3), (2, 4, 5)),
    ("Linear, 1-d", lambda nn: nn.Linear(5, 3), (5,)),
    ("Flatten", lambda nn: nn.Flatten(), (2, 3, 4)),
    ("Flatten some", lambda nn: nn.Flatten(0, 1), (2, 3, 4)),
    ("Unflatten", lambda nn: nn.Unflatten(1, (2, 3)), (4, 6)),
    ("Unflatten, inferred, from the end", lambda nn: nn.Unflatten(-2, (2, -1)), (4, 6, 5)),
    ("Conv1d", lambda nn: nn.Conv1d(3, 4, 3), (2, 3, 9)),
    ("Conv1d, all arguments", lambda nn: nn.Conv1d(4, 6, 3, 2, 1, 2, 2, False), (2, 4, 11)),
    ("Conv1d same", lambda nn: nn.Conv1d(3, 4, 4, padding="same"), (2, 3, 9)),
    ("Conv1d reflect", lambda nn: nn.Conv1d(3, 4, 3, padding=2, padding_mode="reflect"), (2, 3, 9)),
    ("Conv2d", lambda nn: nn.Conv2d(3, 4, (3, 2)), (2, 3, 7, 6)),
    ("Conv2d, no batch", lambda nn: nn.Conv2d(3, 4, (3, 2)), (3, 7, 6)),
    ("Conv2d, all arguments", lambda nn: nn.Conv2d(4, 6, (3, 2), (2, 3), (1, 2), (2, 1), 2), (2, 4, 9, 8)),
    ("Conv2d same", lambda nn: nn.Conv2d(2, 3, (4, 3), padding="same", dilation=(1, 2)), (2, 2, 7, 9)),
    ("Conv2d valid", lambda nn: nn.Conv2d(2, 3, 3, padding="valid"), (2, 2, 7, 5)),
    *[
        (
            f"Conv2d {mode}, {padding}",
            lambda nn, mode=mode, padding=padding: nn.Conv2d(2, 3, (3, 2), padding=padding, padding_mode=mode),
            (2, 2, 6, 5),
        )
        for mode in ("reflect", "replicate", "circular")
        for padding in ((1, 2), "same", "valid")
    ],
    ("ConvTranspose1d", lambda nn: nn.ConvTranspose1d(3, 4, 3, 2, 1, 1), (2, 3, 5)),
    ("ConvTranspose2d", lambda nn: nn.ConvTranspose2d(3, 4, (3, 2)), (2, 3, 5, 4)),
    (
        "ConvTranspose2d, all arguments",
        lambda nn: nn.ConvTranspose2d(4, 6, (3, 2), (3, 2), (1, 0), (2, 1), 2, False, (1, 2)),
        (2, 4, 5, 4),
    ),
    ("MaxPool1d", lambda nn: nn.MaxPool1d(3, 2, 1), (2, 3, 9)),
    ("MaxPool2d", lambda nn: nn.MaxPool2d(2), (2, 3, 6, 5)),
    ("MaxPool2d, all arguments", lambda nn: nn.MaxPool2d((3, 2), (2, 1), (1, 0), (1, 2), ceil_mode=True), (2, 3, 8, 7)),
    ("AvgPool1d", lambda nn: nn.AvgPool1d(3, 2, 1, True, False), (2, 3, 9)),
    ("AvgPool2d", lambda nn: nn.AvgPool2d((3, 2), (2, 1), (1, 0)), (2, 3, 8, 7)),
    ("AvgPool2d, all arguments", lambda nn: nn.AvgPool2d(3, 2, 1, True, False, 5), (2, 3, 8, 7)),
    ("AdaptiveAvgPool1d", lambda nn: nn.AdaptiveAvgPool1d(3), (2, 3, 8)),
    ("AdaptiveAvgPool2d", lambda nn: nn.AdaptiveAvgPool2d((3, 2)), (2, 3, 7, 5)),
    ("AdaptiveAvgPool2d, None", lambda nn: nn.AdaptiveAvgPool2d((None, 2)), (2, 3, 7, 5)),
    ("AdaptiveAvgPool2d, 1", lambda nn: nn.AdaptiveAvgPool2d(1), (2, 3, 7, 5)),
    ("BatchNorm1d, (N, C)", lambda nn: nn.BatchNorm1d(3), (6, 3)),
    ("BatchNorm1d, (N, C, L)", lambda nn: nn.BatchNorm1d(3, 1e-3, 0.3), (4, 3, 5)),
    ("BatchNorm2d", lambda nn: nn.BatchNorm2d(3), (4, 3, 5, 2)),
    ("BatchNorm2d, plain average", lambda nn: nn.BatchNorm2d(3, momentum=None), (4, 3, 5, 2)),
    ("BatchNorm2d, no affine", lambda nn: nn.BatchNorm2d(3, affine=False), (4, 3, 5, 2)),
    ("BatchNorm2d, no statistics", lambda nn: nn.BatchNorm2d(3, track_running_stats=False), (4, 3, 5, 2)),
    ("LayerNorm", lambda nn: nn.LayerNorm(5), (2, 4, 5)),
    ("LayerNorm, two dimensions", lambda nn: nn.LayerNorm((4, 5), 1e-3), (2, 4, 5)),
    ("LayerNorm, no affine", lambda nn: nn.LayerNorm(5, elementwise_affine=False), (2, 5)),
    ("LayerNorm, no bias", lambda nn: nn.LayerNorm(5, bias=False), (2, 5)),
    ("GroupNorm", lambda nn: nn.GroupNorm(2, 6), (3, 6, 4, 5)),
    ("GroupNorm, no affine", lambda nn: nn.GroupNorm(3, 6, affine=False), (3, 6, 4)),
    ("InstanceNorm2d", lambda nn: nn.InstanceNorm2d(3), (2, 3, 4, 5)),
    ("InstanceNorm2d, no batch", lambda nn: nn.InstanceNorm2d(3), (3, 4, 5)),
    ("InstanceNorm2d, all", lambda nn: nn.InstanceNorm2d(3, 1e-3, 0.2, True, True), (2, 3, 4, 5)),
    ("RMSNorm", lambda nn: nn.RMSNorm(5), (2, 4, 5)),
    ("RMSNorm, eps", lambda nn: nn.RMSNorm((4, 5), 1e-3, False), (2, 4, 5)),
    ("Upsample", lambda nn: nn.Upsample(scale_factor=2), (2, 3, 4, 5)),
    ("Upsample, factors", lambda nn: nn.Upsample(scale_factor=(1.7, 2.5)), (2, 3, 4, 5)),
    ("Upsample, size", lambda nn: nn.Upsample((7, 11)), (2, 3, 4, 5)),
    ("Upsample, smaller", lambda nn: nn.Upsample(3), (2, 3, 7)),
    ("Dropout 0", lambda nn: nn.Dropout(0.0), (2, 3)),
    ("ReLU", lambda nn: nn.ReLU(inplace=False), (2, 3)),
    ("LeakyReLU", lambda nn: nn.LeakyReLU(0.2), (2, 3)),
    ("ELU", lambda nn: nn.ELU(0.7), (2, 3)),
    ("GELU", lambda nn: nn.GELU(), (2, 3)),
    ("GELU tanh", lambda nn: nn.GELU("tanh"), (2, 3)),
    ("SiLU", lambda nn: nn.SiLU(), (2, 3)),
    ("Sigmoid", lambda nn: nn.Sigmoid(), (2, 3)),
    ("Tanh", lambda nn: nn.Tanh(), (2, 3)),
    ("Softplus", lambda nn: nn.Softplus(2.0, 1.0), (2, 3)),
    ("Softmax", lambda nn: nn.Softmax(1), (2, 3, 4)),
    ("LogSoftmax", lambda nn: nn.LogSoftmax(dim=-1), (2, 3, 4)),
    (
        "Sequential",
        lambda nn: nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3)),
        (3, 1, 6, 5),
    ),
]


def _arrays(state: Any) -> dict[str, Any]:
    return {key: np.asarray(value.detach()) for key, value in state.items()}


def _disturb(layer: Any, rng: np.random.Generator) -> None:
    """Weights away from 1 and 0, so that a forgotten one shows."""
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(torch.tensor(0.3 * rng.standard_normal(p.shape)))


@pytest.mark.parametrize(("name", "make", "shape"), LAYERS, ids=[case[0] for case in LAYERS])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_values_gradients_and_statistics_are_torchs(
    name: str, make: Any, shape: tuple[int, ...], training: bool, rng: np.random.Generator
) -> None:
    theirs, ours = make(torch.nn).double(), make(nn).double()
    _disturb(theirs, rng)
    ours.load_state_dict(theirs.state_dict())
    theirs.train(training)
    ours.train(training)
    for _ in range(2):  # running statistics move on
        array = rng.standard_normal(shape)
        x, t = Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
        y, expected = ours(x), theirs(t)
        np.testing.assert_allclose(y.detach(), expected.detach(), rtol=1e-10, atol=1e-12)
        gy = rng.standard_normal(tuple(expected.shape))
        y.backward(Tensor(gy))
        expected.backward(torch.tensor(gy))
        np.testing.assert_allclose(x.grad, t.grad, rtol=1e-8, atol=1e-11)
    for (key, p), (their_key, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert key == their_key
        np.testing.assert_allclose(p.grad, q.grad, rtol=1e-8, atol=1e-11, err_msg=key)
    for key, value in _arrays(theirs.state_dict()).items():
        np.testing.assert_allclose(ours.state_dict()[key], value, rtol=1e-12, atol=1e-14, err_msg=key)


@pytest.mark.parametrize(("name", "make", "shape"), LAYERS, ids=[case[0] for case in LAYERS])
def test_weights_travel_both_ways(name: str, make: Any, shape: tuple[int, ...]) -> None:
    """The same keys in the same order, the same shapes and dtypes: each side takes the other's state, strictly."""
    theirs, ours = make(torch.nn), make(nn)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        held = ours.state_dict()[key]
        assert (tuple(held.shape), held.dtype.name) == (tuple(value.shape), str(value.dtype).removeprefix("torch."))
    theirs.load_state_dict({key: torch.from_numpy(x.numpy().copy()) for key, x in ours.state_dict().items()})
    for key, value in theirs.state_dict().items():
        assert np.array_equal(value, ours.state_dict()[key])
    assert ours.load_state_dict(_arrays(make(torch.nn).state_dict())) == ([], [])


@pytest.mark.parametrize(("name", "make", "shape"), LAYERS, ids=[case[0] for case in LAYERS])
def test_it_prints_as_in_torch(name: str, make: Any, shape: tuple[int, ...]) -> None:
    # only the newest PyTorch says whether a normalisation has a bias
    ours, theirs = (re.sub(r"(Norm.*), bias=(True|False)", r"\1", repr(make(library))) for library in (nn, torch.nn))
    assert ours == theirs


@pytest.mark.parametrize("padding_idx", [None, 2, -1])
def test_embedding(padding_idx: int | None, rng: np.random.Generator) -> None:
    """Repeated rows add up (T29), and the padding row gets nothing."""
    theirs = torch.nn.Embedding(5, 3, padding_idx).double()
    ours = nn.Embedding(5, 3, padding_idx).double()
    if ours.padding_idx is not None:
        assert not ours.weight.array[ours.padding_idx].any()
    ours.load_state_dict(theirs.state_dict())
    index = np.array([[0, 2, 2], [4, 2, 1]])
    y, expected = ours(Tensor(index)), theirs(torch.tensor(index))
    gy = rng.standard_normal(y.shape)
    y.backward(Tensor(gy))
    expected.backward(torch.tensor(gy))
    np.testing.assert_array_equal(y.detach(), expected.detach())
    np.testing.assert_allclose(ours.weight.grad, theirs.weight.grad, rtol=1e-12)
    assert repr(ours) == repr(theirs)


def test_max_pool_can_say_where_the_largest_was(rng: np.random.Generator) -> None:
    array = rng.standard_normal((2, 3, 6, 7))
    y, indices = nn.MaxPool2d(2, 3, return_indices=True)(Tensor(array))
    expected, where = torch.nn.MaxPool2d(2, 3, return_indices=True)(torch.tensor(array))
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(indices, where)


@pytest.mark.parametrize("size", [(13, 8), (14, 9)])
def test_transposed_convolution_makes_the_size_that_is_asked_for(
    size: tuple[int, int], rng: np.random.Generator
) -> None:
    theirs, ours = torch.nn.ConvTranspose2d(2, 3, 3, 3, 1).double(), nn.ConvTranspose2d(2, 3, 3, 3, 1).double()
    ours.load_state_dict(theirs.state_dict())
    array = rng.standard_normal((1, 2, 5, 3))
    y = ours(Tensor(array), output_size=size)
    assert y.shape[-2:] == size
    np.testing.assert_allclose(y.detach(), theirs(torch.tensor(array), output_size=size).detach(), rtol=1e-10)
    with pytest.raises(ValueError, match=r"output_size \(16, 9\) is not possible.*\(13, 7\)"):
        ours(Tensor(array), output_size=(16, 9))


def test_cosine_similarity(rng: np.random.Generator) -> None:
    """A vector of zeros has similarity 0 to all others (T28)."""
    one, other = rng.standard_normal((3, 4, 5)), rng.standard_normal((3, 4, 5))
    one[0, :, 0] = 0
    x, t = Tensor(one, requires_grad=True), torch.tensor(one, requires_grad=True)
    y = nn.CosineSimilarity()(x, Tensor(other))
    expected = torch.nn.CosineSimilarity()(t, torch.tensor(other))
    np.testing.assert_allclose(y.detach(), expected.detach(), rtol=1e-12, atol=1e-15)
    y.sum().backward()
    expected.sum().backward()
    assert np.isfinite(x.grad).all()
    np.testing.assert_allclose(x.grad[1:], t.grad[1:], rtol=1e-10, atol=1e-14)


WEIGHT = np.array([0.2, 1.5, 0.7, 1.1])
LOSSES: list[tuple[str, Callable[[Any, Any], Any], str]] = [
    ("CrossEntropyLoss", lambda nn, t: nn.CrossEntropyLoss(), "classes"),
    ("CrossEntropyLoss, all", lambda nn, t: nn.CrossEntropyLoss(t(WEIGHT), ignore_index=1, reduction="sum",
                                                               label_smoothing=0.1), "classes"),
    ("CrossEntropyLoss, probabilities", lambda nn, t: nn.CrossEntropyLoss(reduction="none"), "distribution"),
    ("NLLLoss", lambda nn, t: nn.NLLLoss(t(WEIGHT), ignore_index=2), "log-probabilities"),
    ("BCELoss", lambda nn, t: nn.BCELoss(t(WEIGHT)), "probabilities"),
    ("BCEWithLogitsLoss", lambda nn, t: nn.BCEWithLogitsLoss(t(WEIGHT), pos_weight=t(WEIGHT + 1)), "targets"),
    ("MSELoss", lambda nn, t: nn.MSELoss(), "targets"),
    ("L1Loss", lambda nn, t: nn.L1Loss(reduction="sum"), "targets"),
    ("SmoothL1Loss", lambda nn, t: nn.SmoothL1Loss(beta=0.4), "targets"),
    ("HuberLoss", lambda nn, t: nn.HuberLoss(delta=0.4), "targets"),
    ("HuberLoss, positional", lambda nn, t: nn.HuberLoss("none", 0.4), "targets"),
    ("KLDivLoss", lambda nn, t: nn.KLDivLoss(reduction="batchmean"), "distribution"),
    ("KLDivLoss, logarithms", lambda nn, t: nn.KLDivLoss(reduction="sum", log_target=True), "targets"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "make", "kind"), LOSSES, ids=[case[0] for case in LOSSES])
def test_losses(name: str, make: Any, kind: str, rng: np.random.Generator) -> None:
    array = rng.standard_normal((5, 4))
    target: Any = rng.random((5, 4))
    if kind in ("classes", "log-probabilities"):
        target = np.array([0, 3, 1, 2, 3])
    if kind == "distribution":
        target /= target.sum(1, keepdims=True)
    if kind == "log-probabilities":
        array -= np.log(np.exp(array).sum(1, keepdims=True))
    if kind == "probabilities":
        array = 1 / (1 + np.exp(-array))
    ours, theirs = make(nn, Tensor), make(torch.nn, torch.tensor)
    x, t = Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    y, expected = ours(x, Tensor(target)), theirs(t, torch.tensor(target))
    np.testing.assert_allclose(y.detach(), expected.detach(), rtol=1e-10, atol=1e-12)
    y.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(x.grad, t.grad, rtol=1e-8, atol=1e-12)
    assert list(ours.state_dict()) == list(theirs.state_dict())
