"""Recurrent layers and packed sequences: against PyTorch, against themselves, and what they refuse."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
from minidl import nn
from minidl.backend import Generator
from minidl.nn.utils import clip_grad_norm_
from minidl.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
    unpad_sequence,
)
from minidl.tensor import Tensor

KINDS = ("RNN", "LSTM", "GRU")
D, H = 3, 4


def flat(result: Any) -> list[Any]:
    """Every tensor of a nested result."""
    if isinstance(result, tuple | list):
        return [x for part in result if part is not None for x in flat(part)]
    return [result]


# ── against PyTorch ───────────────────────────────────────────────────────────────────────────────


def compare(ours: Any, theirs: Any, run: Any, arrays: list[np.ndarray], tolerance: float = 1e-9) -> None:
    """The same weights, then `run(layer, library, *arrays)` in both: values, and gradients of arrays and weights."""
    import torch

    ours.load_state_dict(theirs.state_dict())
    assert repr(ours) == repr(theirs)
    xs = [Tensor(a.copy(), requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    ys, us = flat(run(ours, nn, *xs)), flat(run(theirs, torch.nn, *ts))
    assert len(ys) == len(us)
    rng = np.random.default_rng(5)
    total, their_total = dl.tensor(0.0, dtype=dl.float64), torch.zeros((), dtype=torch.float64)
    for y, u in zip(ys, us, strict=True):
        assert tuple(y.shape) == tuple(u.shape)
        np.testing.assert_allclose(y.detach(), u.detach(), rtol=tolerance, atol=1e-11)
        if u.requires_grad:
            g = rng.standard_normal(tuple(u.shape))
            total, their_total = total + (y * Tensor(g)).sum(), their_total + (u * torch.tensor(g)).sum()
    total.backward()
    their_total.backward()
    for x, t in zip(xs, ts, strict=True):
        np.testing.assert_allclose(x.grad, t.grad, rtol=tolerance, atol=1e-11)
    for (key, p), (their_key, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert key == their_key
        np.testing.assert_allclose(p.grad, q.grad, rtol=tolerance, atol=1e-10, err_msg=key)


@st.composite
def configurations(draw: Any) -> dict[str, Any]:
    """A kind of layer, its arguments, and the sizes of a batch."""
    kind = draw(st.sampled_from(KINDS))
    arguments = {
        "num_layers": draw(st.integers(1, 3)), "bias": draw(st.booleans()), "batch_first": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
    }  # fmt: skip
    if kind == "RNN":
        arguments["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    T, N = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    lengths = draw(st.lists(st.integers(1, T), min_size=N, max_size=N))
    return {
        "kind": kind, "arguments": arguments, "T": T, "N": N,
        "sizes": (draw(st.integers(1, 4)), draw(st.integers(1, 5))),
        "form": draw(st.sampled_from(["batch", "sorted", "unsorted", "unbatched"])), "lengths": lengths,
        "states": draw(st.booleans()), "seed": draw(st.integers(0, 2**31)),
    }  # fmt: skip


@pytest.mark.oracle
@given(configurations())
def test_values_and_gradients_are_torchs(c: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(c["seed"])
    rng = np.random.default_rng(c["seed"])
    ours, theirs = (getattr(library, c["kind"])(*c["sizes"], **c["arguments"]).double() for library in (nn, torch.nn))
    T, N, form, batch_first = c["T"], c["N"], c["form"], c["arguments"]["batch_first"]
    features, size = c["sizes"]
    stacked = c["arguments"]["num_layers"] * (1 + c["arguments"]["bidirectional"])
    if form == "unbatched":
        arrays, state = [rng.standard_normal((T, features))], (stacked, size)
    else:
        arrays, state = [rng.standard_normal((N, T, features) if batch_first else (T, N, features))], (stacked, N, size)
    if c["states"]:
        arrays += [rng.standard_normal(state) for _ in range(2 if c["kind"] == "LSTM" else 1)]
    lengths = sorted(c["lengths"], reverse=True) if form == "sorted" else c["lengths"]

    def run(layer: Any, library: Any, x: Any, *states: Any) -> Any:
        first = None if not states else states[0] if len(states) == 1 else states
        if form in ("batch", "unbatched"):
            return layer(x, first)
        pack = library.utils.rnn
        packed = pack.pack_padded_sequence(x, lengths, batch_first, enforce_sorted=form == "sorted")
        y, last = layer(packed, first)
        return y, last, pack.pad_packed_sequence(y, batch_first, padding_value=0.5, total_length=T + 1)

    compare(ours, theirs, run, arrays)


CELLS = [("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu", "bias": False}), ("LSTMCell", {}), ("GRUCell", {}),
         ("LSTMCell", {"bias": False}), ("GRUCell", {"bias": False})]  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize(("kind", "arguments"), CELLS, ids=[f"{k} {a}" for k, a in CELLS])
@pytest.mark.parametrize("batch", [(5,), ()], ids=["batch", "single"])
@pytest.mark.parametrize("states", [True, False])
def test_cells_are_torchs(
    kind: str, arguments: dict[str, Any], batch: tuple[int, ...], states: bool, rng: np.random.Generator
) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = (getattr(library, kind)(D, H, **arguments).double() for library in (nn, torch.nn))
    arrays = [rng.standard_normal((*batch, D))]
    arrays += [rng.standard_normal((*batch, H)) for _ in range(states * (2 if kind == "LSTMCell" else 1))]

    def run(cell: Any, library: Any, x: Any, *state: Any) -> Any:
        return cell(x, None if not state else state[0] if len(state) == 1 else state)

    compare(ours, theirs, run, arrays)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", [*KINDS, *[f"{kind}Cell" for kind in KINDS]])
@pytest.mark.parametrize("bias", [True, False])
def test_weights_travel_both_ways(kind: str, bias: bool) -> None:
    """The same keys in the same order, the same shapes: each side takes the other's state, strictly."""
    torch = pytest.importorskip("torch")
    arguments: dict[str, Any] = {"bias": bias}
    if not kind.endswith("Cell"):
        arguments |= {"num_layers": 2, "bidirectional": True}
    ours, theirs = getattr(nn, kind)(D, H, **arguments), getattr(torch.nn, kind)(D, H, **arguments)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict({key: torch.from_numpy(x.numpy().copy()) for key, x in ours.state_dict().items()})
    for key, value in theirs.state_dict().items():
        assert np.array_equal(value, ours.state_dict()[key])
    other = getattr(torch.nn, kind)(D, H, **arguments).state_dict()
    assert ours.load_state_dict({key: np.asarray(x) for key, x in other.items()}) == ([], [])


@pytest.mark.oracle
def test_packing_is_torchs(rng: np.random.Generator) -> None:
    """Every field and every value, sorted or not, and equal lengths keep the order of the batch."""
    torch = pytest.importorskip("torch")
    lengths = [2, 4, 1, 4, 2]
    for batch_first in (False, True):
        array = rng.standard_normal((5, 6, 2, 3) if batch_first else (6, 5, 2, 3))
        for order, enforce in ((lengths, False), (sorted(lengths, reverse=True), True)):
            ours = pack_padded_sequence(Tensor(array), order, batch_first, enforce)
            theirs = torch.nn.utils.rnn.pack_padded_sequence(torch.tensor(array), order, batch_first, enforce)
            np.testing.assert_array_equal(ours.data, theirs.data)
            np.testing.assert_array_equal(ours.batch_sizes, theirs.batch_sizes)
            for a, b in (
                (ours.sorted_indices, theirs.sorted_indices),
                (ours.unsorted_indices, theirs.unsorted_indices),
            ):
                assert (a is None) == (b is None)
                if a is not None:
                    np.testing.assert_array_equal(a, b)
            padded, n = pad_packed_sequence(ours, batch_first, -1.5, total_length=5)
            u, m = torch.nn.utils.rnn.pad_packed_sequence(theirs, batch_first, -1.5, total_length=5)
            np.testing.assert_array_equal(padded, u)
            np.testing.assert_array_equal(n, m)
            assert n.dtype == np.int64
    parts = [rng.standard_normal((n, 2)) for n in lengths]
    for side in ("right", "left"):
        ours = pad_sequence([Tensor(p) for p in parts], True, 0.5, side)
        theirs = torch.nn.utils.rnn.pad_sequence([torch.tensor(p) for p in parts], True, 0.5, side)
        np.testing.assert_array_equal(ours, theirs)
    packed = pack_sequence([Tensor(p) for p in parts], enforce_sorted=False)
    expected = torch.nn.utils.rnn.pack_sequence([torch.tensor(p) for p in parts], enforce_sorted=False)
    np.testing.assert_array_equal(packed.data, expected.data)


# ── against themselves ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_packed_equals_a_loop_over_sequences(
    kind: str, bidirectional: bool, kernels: str, rng: np.random.Generator
) -> None:
    layer = getattr(nn, kind)(D, H, num_layers=2, bidirectional=bidirectional).double()
    parts = [Tensor(rng.standard_normal((n, D))) for n in (2, 4, 1, 3)]
    y, last = layer(pack_sequence(parts, enforce_sorted=False))
    padded, lengths = pad_packed_sequence(y)
    assert lengths.tolist() == [2, 4, 1, 3]
    for i, (part, row) in enumerate(zip(parts, unpad_sequence(padded, lengths), strict=True)):
        alone, last_alone = layer(part)
        np.testing.assert_allclose(row.detach(), alone.detach(), rtol=1e-12, atol=1e-14)
        for a, b in zip(flat(last), flat(last_alone), strict=True):
            np.testing.assert_allclose(a[:, i].detach(), b.detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_the_second_direction_is_a_run_on_the_reversed_sequence(kind: str, rng: np.random.Generator) -> None:
    both, back = getattr(nn, kind)(D, H, bidirectional=True).double(), getattr(nn, kind)(D, H).double()
    back.load_state_dict(
        {k.removesuffix("_reverse"): v for k, v in both.state_dict().items() if k.endswith("_reverse")}
    )
    x = rng.standard_normal((5, 2, D))
    y, last = both(Tensor(x))
    reversed_y, reversed_last = back(Tensor(x[::-1].copy()))
    np.testing.assert_allclose(y[:, :, H:].detach(), reversed_y.detach().numpy()[::-1], rtol=1e-12)
    for a, b in zip(flat(last), flat(reversed_last), strict=True):
        np.testing.assert_allclose(a[1].detach(), b[0].detach(), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_remembered_between_calls(kind: str, rng: np.random.Generator) -> None:
    """T24: an evaluation in between changes neither the next training step nor what is alive."""
    layer = getattr(nn, kind)(D, H, num_layers=2)
    x = Tensor(rng.standard_normal((4, 2, D)).astype("f4"))
    state = {k: v for k, v in vars(layer).items() if not k.startswith("_")}
    before = layer(x)
    layer.eval()(Tensor(rng.standard_normal((9, 1, D)).astype("f4")))
    layer.train()
    for a, b in zip(flat(before), flat(layer(x)), strict=True):
        np.testing.assert_array_equal(a.detach(), b.detach())
    assert {k: v for k, v in vars(layer).items() if not k.startswith("_")} == state
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(copied(x)[0].detach(), before[0].detach())


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_in_two_halves_with_the_state_handed_on(kind: str, rng: np.random.Generator) -> None:
    layer = getattr(nn, kind)(D, H, num_layers=2).double()
    x = Tensor(rng.standard_normal((6, 2, D)))
    y, last = layer(x)
    first, state = layer(x[:2])
    second, end = layer(x[2:], state)
    np.testing.assert_allclose(y.detach(), dl.cat([first, second]).detach(), rtol=1e-12)
    for a, b in zip(flat(last), flat(end), strict=True):
        np.testing.assert_allclose(a.detach(), b.detach(), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_no_sequences_has_gradients_of_zero(kind: str, kernels: str) -> None:
    layer = getattr(nn, kind)(D, H, bidirectional=True)
    y, last = layer(dl.zeros(5, 0, D))
    assert y.shape == (5, 0, 2 * H)
    assert flat(last)[0].shape == (2, 0, H)
    y.sum().backward()
    assert all(not p.grad.numpy().any() for p in layer.parameters())


def test_dropout_acts_between_layers_in_training_only(rng: np.random.Generator) -> None:
    x = Tensor(rng.standard_normal((4, 2, D)).astype("f4"))
    layer = nn.GRU(D, H, num_layers=2, dropout=0.5, generator=Generator(3))
    plain = nn.GRU(D, H, num_layers=2)
    plain.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(layer.eval()(x)[0].detach(), plain(x)[0].detach())
    y, last = layer.train()(x)
    np.testing.assert_array_equal(last[0].detach(), plain(x)[1][0].detach())  # nothing before the first layer
    assert np.abs((y - plain(x)[0]).detach().numpy()).max() > 1e-3
    assert (y.detach().numpy() != 0).all()  # and nothing behind the last
    layer.dropout = 1.0
    silent, _ = layer(x)
    zero = plain(x)[0] * 0
    upper = nn.GRU(H, H)
    upper.load_state_dict({k.replace("_l1", "_l0"): v for k, v in plain.state_dict().items() if k.endswith("_l1")})
    np.testing.assert_allclose(silent.detach(), upper(zero)[0].detach(), rtol=1e-6)


@pytest.mark.parametrize(("reset", "z_keeps"), [("before", "old"), ("before", "new"), ("after", "new")])
def test_the_other_forms_of_the_gru(reset: str, z_keeps: str, rng: np.random.Generator) -> None:
    """ERRATA 004-F3, F4: a layer and its cell mean the same form."""
    layer, cell = (cls(D, H, reset=reset, z_keeps=z_keeps).double() for cls in (nn.GRU, nn.GRUCell))
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x = Tensor(rng.standard_normal((3, 2, D)))
    y, _ = layer(x)
    h = None
    for t in range(3):
        h = cell(x[t], h)
        np.testing.assert_allclose(y[t].detach(), h.detach(), rtol=1e-12)
    plain = nn.GRU(D, H).double()
    plain.load_state_dict(layer.state_dict())
    assert np.abs((plain(x)[0] - y).detach().numpy()).max() > 1e-3
    assert f"{reset=}" in repr(layer) or reset == "after"
    assert f"{z_keeps=}" in repr(cell) or z_keeps == "old"


def test_first_weights_are_drawn_from_the_generator() -> None:
    """Uniform on ±1/√H, biases too, and the same seed gives the same layer."""
    one, two = (nn.LSTM(20, 25, 2, generator=Generator(4)) for _ in range(2))
    for (_, a), (_, b) in zip(one.named_parameters(), two.named_parameters(), strict=True):
        assert np.array_equal(a.array, b.array)
        assert 0.15 < np.abs(a.array).max() <= 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_learns_which_sign_came_first(kind: str) -> None:
    """The state carries one number over 12 steps of silence."""
    rng = np.random.default_rng(0)
    layer, head = getattr(nn, kind)(1, 8, generator=Generator(1)), nn.Linear(8, 1, generator=Generator(2))
    parameters = [*layer.parameters(), *head.parameters()]
    optimizer = dl.optim.Adam(parameters, lr=0.02)
    x = np.zeros((12, 64, 1), "f4")
    x[0, :, 0] = rng.choice([-1.0, 1.0], 64)
    for _ in range(150):
        optimizer.zero_grad()
        y, _ = layer(Tensor(x))
        loss = nn.functional.mse_loss(head(y[-1]), Tensor(x[0]))
        loss.backward()
        clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    assert loss.item() < 0.05


# ── packing ───────────────────────────────────────────────────────────────────────────────────────


def test_packing_lays_the_steps_one_after_another() -> None:
    """The picture in the docstring: abc, de, f."""
    batch = dl.tensor([[1, 2, 3], [4, 5, 0], [6, 0, 0]])
    packed = pack_padded_sequence(batch, [3, 2, 1], batch_first=True)
    assert packed.data.tolist() == [1, 4, 6, 2, 5, 3]
    assert packed.batch_sizes.tolist() == [3, 2, 1]
    assert packed.sorted_indices is None
    padded, lengths = pad_packed_sequence(packed, batch_first=True)
    assert padded.tolist() == batch.tolist()
    assert padded.dtype == batch.dtype
    assert lengths.tolist() == [3, 2, 1]
    assert packed.to(dl.float32).data.dtype == np.float32


def test_packing_and_padding_are_inverse_with_their_gradients(rng: np.random.Generator) -> None:
    parts = [Tensor(rng.standard_normal((n, 2)), requires_grad=True) for n in (1, 3, 2)]
    padded, lengths = pad_packed_sequence(pack_sequence(parts, enforce_sorted=False), padding_value=7.0)
    assert (padded[1:, 0].detach().numpy() == 7).all()
    for part, back in zip(parts, unpad_sequence(padded, lengths), strict=True):
        np.testing.assert_array_equal(part.detach(), back.detach())
    weights = rng.standard_normal(padded.shape)
    (padded * Tensor(weights)).sum().backward()
    for i, part in enumerate(parts):
        np.testing.assert_array_equal(part.grad, weights[: part.shape[0], i])


# ── what is refused ───────────────────────────────────────────────────────────────────────────────


def refused(expected: type[Exception], sentence: str, call: Any) -> None:
    with pytest.raises(expected, match=sentence):
        call()


def test_wrong_inputs_are_explained() -> None:
    lstm, x = nn.LSTM(D, H, 2, bidirectional=True), dl.zeros(5, 2, D)
    refused(RuntimeError, r"LSTM: x must be \(T, N, D\) or \(T, D\) with D=3, got shape \(5, 2, 4\)",
            lambda: lstm(dl.zeros(5, 2, 4)))  # fmt: skip
    refused(RuntimeError, r"GRU: x must be \(N, T, D\) or \(T, D\) with D=3, got shape \(3,\)",
            lambda: nn.GRU(D, H, batch_first=True)(dl.zeros(3)))  # fmt: skip
    refused(RuntimeError, r"T must be at least 1", lambda: lstm(dl.zeros(0, 2, D)))
    refused(TypeError, r"LSTM: the first state must be a pair \(h, c\), got Tensor", lambda: lstm(x, dl.zeros(4, 2, H)))
    refused(TypeError, r"GRU: the first state must be a tensor h, got tuple", lambda: nn.GRU(D, H)(x, (x, x)))
    refused(RuntimeError, r"LSTM: c0 must be \(layers·directions, N, H\) = \(4, 2, 4\), got shape \(1, 2, 4\)",
            lambda: lstm(x, (dl.zeros(4, 2, H), dl.zeros(1, 2, H))))  # fmt: skip
    refused(RuntimeError, r"RNN: h0 must be \(layers·directions, H\) = \(1, 4\), got shape \(1, 5, 4\)",
            lambda: nn.RNN(D, H)(dl.zeros(5, D), dl.zeros(1, 5, H)))  # fmt: skip
    refused(RuntimeError, r"RNN: packed x must be \(ΣT, D\) with D=3, got shape \(4, 2\)",
            lambda: nn.RNN(D, H)(PackedSequence(dl.zeros(4, 2), dl.tensor([2, 2]))))  # fmt: skip


def test_wrong_cells_and_arguments_are_explained() -> None:
    refused(RuntimeError, r"RNNCell: x must be .* got shape \(4, 2, 3\); a cell takes one step, for a sequence use RNN",
            lambda: nn.RNNCell(D, H)(dl.zeros(4, 2, D)))  # fmt: skip
    refused(RuntimeError, r"LSTMCell: c must be \(N, H\) = \(2, 4\), got shape \(2, 5\)",
            lambda: nn.LSTMCell(D, H)(dl.zeros(2, D), (dl.zeros(2, H), dl.zeros(2, 5))))  # fmt: skip
    refused(ValueError, r"GRU: reset must be 'after' or 'before'", lambda: nn.GRU(D, H, reset="no"))
    refused(ValueError, r"GRUCell: z_keeps must be 'old' or 'new'", lambda: nn.GRUCell(D, H, z_keeps="no"))
    refused(ValueError, r"RNN: nonlinearity must be 'tanh' or 'relu'", lambda: nn.RNN(D, H, nonlinearity="no"))
    refused(ValueError, r"LSTM: expected at least one layer, got num_layers=0", lambda: nn.LSTM(D, H, 0))
    refused(ValueError, r"LSTM: dropout is a probability, between 0 and 1, got 2", lambda: nn.LSTM(D, H, 2, dropout=2))
    refused(ValueError, r"LSTM: sizes must be positive, got D=0", lambda: nn.LSTM(0, H))
    with pytest.warns(UserWarning, match=r"GRU: dropout=0.5 acts between layers, but there is only one"):
        nn.GRU(D, H, dropout=0.5)


def test_wrong_packing_is_explained() -> None:
    x = dl.zeros(4, 3, 2)
    refused(
        RuntimeError,
        r"the lengths \[1, 2, 3\] are not sorted, the longest first",
        lambda: pack_padded_sequence(x, [1, 2, 3]),
    )
    refused(
        RuntimeError,
        r"lengths must be 3 integers, .* got int64 of shape \(2,\)",
        lambda: pack_padded_sequence(x, [2, 1]),
    )
    refused(RuntimeError, r"lengths must lie between 1 and T=4, got 1 to 5", lambda: pack_padded_sequence(x, [5, 2, 1]))
    refused(RuntimeError, r"lengths must lie between 1 and T=4, got 0 to 3", lambda: pack_padded_sequence(x, [3, 2, 0]))
    refused(ValueError, r"total_length=3, but the longest sequence has 4 steps",
            lambda: pad_packed_sequence(pack_padded_sequence(x, [4, 2, 1]), total_length=3))  # fmt: skip
    refused(RuntimeError, r"sequence 1 of shape \(2, 3\) differs from sequence 0 of shape \(2, 2\)",
            lambda: pad_sequence([dl.zeros(2, 2), dl.zeros(2, 3)]))  # fmt: skip
    refused(ValueError, r"padding_side must be 'left' or 'right'", lambda: pad_sequence([x], padding_side="top"))
    refused(ValueError, r"expected at least one sequence", lambda: pad_sequence([]))
