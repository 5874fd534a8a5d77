"""Recurrent operations: the formulas by hand, every form against every claim, sequences against single steps."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cases import nodes_of
from checks import CHECKS

import minidl as dl
from minidl import ops
from minidl.autograd import grad, gradcheck, gradgradcheck
from minidl.kernels import use_kernels
from minidl.ops.registry import REGISTRY
from minidl.tensor import Tensor

GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def drawn(name: str, draw: Any, T: int = 3, N: int = 4, D: int = 2, H: int = 5, **others: Any) -> dict[str, Any]:
    """Arguments for an operation, all sizes different."""
    rows = GATES[name.removesuffix("_cell")] * H
    states = {"h0": draw(N, H), **({"c0": draw(N, H)} if name.startswith("lstm") else {})}
    weights = {"w_ih": draw(rows, D), "w_hh": draw(rows, H), "b_ih": draw(rows), "b_hh": draw(rows)}
    return {"input": draw(T, N, D), **states, **weights, **others}


def tensors(arguments: dict[str, Any]) -> dict[str, Any]:
    """Float arrays as tensors that want a gradient."""
    return {
        k: Tensor(v.copy(), requires_grad=True) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v
        for k, v in arguments.items()
    }


RAGGED = np.array([2, 1, 3, 2])
FORMS: list[tuple[str, dict[str, Any]]] = [
    ("rnn", {}),
    ("rnn", {"reverse": True}),
    ("rnn", {"reverse": True, "lengths": RAGGED}),
    ("rnn", {"T": 1, "N": 1}),
    ("lstm", {}),
    ("lstm", {"reverse": True}),
    ("lstm", {"reverse": True, "lengths": RAGGED}),
    ("lstm", {"T": 1, "N": 1, "D": 3, "H": 2}),
    ("lstm", {"T": 4, "lengths": np.array([3, 2, 2, 1])}),
    ("gru", {}),
    ("gru", {"reverse": True, "lengths": RAGGED}),
    ("gru", {"reset": "before"}),
    ("gru", {"reset": "before", "lengths": RAGGED}),
    ("gru", {"reset": "before", "reverse": True, "lengths": RAGGED, "z_keeps": "new"}),
    ("gru", {"T": 1, "N": 1, "H": 1}),
]


@pytest.mark.parametrize(("name", "form"), FORMS, ids=[f"{name} {form}" for name, form in FORMS])
@pytest.mark.parametrize("check", [c for c in CHECKS if c not in ("described", "third_derivative")])
def test_every_form_meets_every_claim_of_the_register(name: str, form: dict[str, Any], check: str) -> None:
    operation = replace(REGISTRY[name], example=lambda draw: drawn(name, draw, **form))
    CHECKS[check].holds(operation)


@pytest.mark.parametrize("lengths", [None, [3, 1, 2]])
@pytest.mark.parametrize("room", ["auto", "numpy"])
def test_relu_has_the_gradient_of_its_composite(lengths: Any, room: str, rng: np.random.Generator) -> None:
    """max(·, 0) is not analytic, so differences are taken; no sum lies near 0."""
    arguments = tensors(drawn("rnn", lambda *s: rng.uniform(0.2, 1.0, s) * rng.choice([-1.0, 1.0], s), N=3, H=2))
    with use_kernels(room):
        xs = list(arguments.values())
        for check in (gradcheck, gradgradcheck):
            assert check(lambda *xs: ops.rnn(*xs, nonlinearity="relu", lengths=lengths), xs, method="richardson")


@pytest.mark.parametrize(("name", "form"), FORMS, ids=[f"{name} {form}" for name, form in FORMS])
def test_first_and_second_derivative_of_fused_and_composite_agree(
    name: str, form: dict[str, Any], rng: np.random.Generator
) -> None:
    """Two independent bodies: gates and gradients by hand in one, the formulas in plain operations in the other."""
    arguments = drawn(name, lambda *s: rng.uniform(-1, 1, s), **form)
    results = []
    for room in ("auto", "numpy"):
        with use_kernels(room):
            given = tensors(arguments)
            xs = [x for x in given.values() if isinstance(x, Tensor)]
            ys = getattr(ops, name)(**given)
            us = [Tensor(np.random.default_rng(i).standard_normal(y.shape)) for i, y in enumerate(ys)]
            first = grad(ys, xs, us, create_graph=True)
            plain = grad(getattr(ops, name)(**given), xs, us)
            vs = [Tensor(np.random.default_rng(9).standard_normal(g.shape)) for g in first]
            second = grad(first, xs, vs)
            results.append([a.detach().numpy() for a in (*ys, *first, *plain, *second)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


# ── numbers by hand ───────────────────────────────────────────────────────────────────────────────


def test_the_hidden_states_of_document_001() -> None:
    """ERRATA 001-F6: two units, x = (1, 0.5, −1)."""
    x = dl.tensor([1.0, 0.5, -1.0]).reshape(3, 1, 1)
    y, h = ops.rnn(x, None, dl.tensor([[1.0], [-1.0]]), dl.tensor([[0.5, -0.3], [0.2, 0.4]]))
    expected = [[0.7616, -0.7616], [0.8038, -0.5732], [-0.4021, 0.7313]]
    np.testing.assert_allclose(y.numpy()[:, 0], expected, atol=6e-5)
    np.testing.assert_array_equal(h.numpy(), y.numpy()[-1])


def test_one_unit_of_an_lstm() -> None:
    """Lesson 15: sums 0.7, 1.05, −0.25, 0.6 and a memory of 0.8."""
    zero, sums = dl.zeros(4, 1), dl.tensor([0.7, 1.05, -0.25, 0.6])
    i, f, g, o = *logistic(0.7, 1.05), np.tanh(-0.25), *logistic(0.6)
    np.testing.assert_allclose([i, f, o, g], [0.6682, 0.7408, 0.6457, -0.2449], atol=6e-5)
    y, h, c = ops.lstm(dl.zeros(1, 1, 1), None, dl.tensor([[0.8]]), zero, zero, sums)
    np.testing.assert_allclose([c.item(), h.item(), y.item()], [0.4290, 0.2611, 0.2611], atol=6e-5)


def logistic(*xs: float) -> list[float]:
    """σ by its definition."""
    return [1 / (1 + np.exp(-x)) for x in xs]


# Lesson 16, on [h, x]: h = (0.5, −1), x = 1
W_Z = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
W_R = np.array([[-1.0, 0.5, 0.2], [0.3, -0.8, 0.1]])
W_H = np.array([[0.7, -0.2, 0.5], [-0.3, 0.9, 0.4]])
H_0 = np.array([[0.5, -1.0]])


def document_004(reset: str, z_keeps: str = "new", fused: bool = True) -> np.ndarray:
    """h_t of the unit of lesson 16."""
    w = np.concatenate([W_R, W_Z, W_H])
    arguments = (Tensor(H_0), Tensor(w[:, 2:]), Tensor(w[:, :2]))
    if fused:
        return ops.gru(Tensor(np.ones((1, 1, 1))), *arguments, reset=reset, z_keeps=z_keeps)[1].numpy()[0]
    return ops.gru_cell(Tensor(np.ones((1, 1))), *arguments, reset=reset, z_keeps=z_keeps).numpy()[0]


@pytest.mark.parametrize("fused", [True, False])
def test_the_unit_of_document_004_with_both_resets(fused: bool) -> None:
    """ERRATA 004-F1 to F4: z weighs the candidate, the reset scales the old state only."""
    np.testing.assert_allclose(document_004("before", fused=fused), [0.5748, -0.5998], atol=6e-5)
    np.testing.assert_allclose(document_004("after", fused=fused), [0.5459, -0.6328], atol=6e-5)


def test_the_candidate_as_document_004_prints_it_is_another_one() -> None:
    """ERRATA 004-F3: its gate scales the input too, so a closed gate forgets x."""
    hx = ops.cat([Tensor(H_0[0]), Tensor(np.ones(1))])
    z, u = ops.sigmoid(Tensor(W_Z) @ hx), ops.sigmoid(Tensor(W_R) @ hx)
    np.testing.assert_allclose(z, [0.5374, 0.5744], atol=6e-5)
    np.testing.assert_allclose(u, [0.3100, 0.7408], atol=6e-5)
    printed = ops.tanh(Tensor(W_H) @ hx * u)
    np.testing.assert_allclose(printed, [0.3145, -0.4474], atol=6e-5)
    h = ((1 - z) * Tensor(H_0[0]) + z * printed).numpy()
    np.testing.assert_allclose(h, [0.4003, -0.6826], atol=6e-5)
    for reset in ("before", "after"):
        assert np.abs(h - document_004(reset)).min() > 0.04


def test_the_two_meanings_of_z_differ_by_a_sign_of_its_weights(rng: np.random.Generator) -> None:
    """ERRATA 004-F4: σ(−a) = 1 − σ(a), so z and 1 − z exchange their roles."""
    arguments = drawn("gru", lambda *s: rng.standard_normal(s))
    turned = dict(arguments)
    for key in ("w_ih", "w_hh", "b_ih", "b_hh"):
        turned[key] = arguments[key].copy()
        turned[key][5:10] *= -1
    for reset in ("after", "before"):
        old, new = ops.gru(**turned, reset=reset), ops.gru(**arguments, reset=reset, z_keeps="new")
        np.testing.assert_allclose(old[0], new[0], rtol=1e-12)
        assert np.abs(old[0].numpy() - ops.gru(**arguments, reset=reset)[0].numpy()).max() > 0.1


# ── what kind of thing it is ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", GATES)
def test_a_sequence_is_one_operation_and_its_composite_many(name: str, rng: np.random.Generator) -> None:
    arguments = tensors(drawn(name, lambda *s: rng.standard_normal(s), T=5))
    assert [node.name for node in nodes_of([getattr(ops, name)(**arguments)[0]])] == [name.upper()]
    with use_kernels("numpy"):
        assert len(nodes_of([getattr(ops, name)(**arguments)[0]])) > 5 * GATES[name]


def test_an_lstm_contains_no_convolution(rng: np.random.Generator) -> None:
    """ERRATA 000-T11: the document calls it a fusion of CNN and RNN."""
    arguments = tensors(drawn("lstm", lambda *s: rng.standard_normal(s)))
    arguments["input"] = arguments["input"][0]
    names = {node.name for node in nodes_of([ops.lstm_cell(**arguments)[0]])}
    assert {"Sigmoid", "Tanh", "Linear", "Mul", "Add"} <= names
    assert not any("conv" in name.lower() for name in names)


@pytest.mark.parametrize("name", GATES)
def test_a_sequence_is_the_cell_step_by_step(name: str, kernels: str, rng: np.random.Generator) -> None:
    arguments = drawn(name, lambda *s: rng.standard_normal(s))
    y, *last = getattr(ops, name)(**arguments)
    weights = {k: v for k, v in arguments.items() if k[1] == "_"}
    state = {k: v for k, v in arguments.items() if k in ("h0", "c0")}
    for t, x in enumerate(arguments["input"]):
        new = getattr(ops, f"{name}_cell")(x, **state, **weights)
        new = new if isinstance(new, tuple) else (new,)
        state = dict(zip(state, new, strict=True))
        np.testing.assert_allclose(y[t], new[0], rtol=1e-12, atol=1e-14)
    for a, b in zip(last, new, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", GATES)
def test_ragged_rows_are_sequences_of_their_own(
    name: str, reverse: bool, kernels: str, rng: np.random.Generator
) -> None:
    """Every row equals a run on its own steps alone; nan behind its end reaches neither value nor gradient."""
    lengths = [2, 5, 1, 4]
    arguments = drawn(name, lambda *s: rng.standard_normal(s), T=6)
    states = ("h0", "c0") if name == "lstm" else ("h0",)
    for row, length in enumerate(lengths):
        arguments["input"][length:, row] = np.nan
    given = tensors(arguments)
    y, *last = getattr(ops, name)(**given, lengths=lengths, reverse=reverse)
    u = rng.standard_normal(y.shape)
    (y * Tensor(u)).sum().backward()
    total = np.zeros_like(arguments["w_hh"])
    for row, length in enumerate(lengths):
        alone = tensors({k: v[row : row + 1] if k in states else v for k, v in arguments.items() if k != "input"})
        x = arguments["input"][:length, row : row + 1]
        x = Tensor(x[::-1].copy() if reverse else x.copy(), requires_grad=True)
        y_alone, *last_alone = getattr(ops, name)(x, **alone)
        turned = ops.flip(y_alone, 0) if reverse else y_alone
        np.testing.assert_allclose(y[:length, row], turned[:, 0], rtol=1e-12, atol=1e-14)
        assert not y[length:, row].detach().numpy().any()
        for a, b in zip(last, last_alone, strict=True):
            np.testing.assert_allclose(a[row], b[0], rtol=1e-12, atol=1e-14)
        (turned[:, 0] * Tensor(u[:length, row])).sum().backward()
        gx = x.grad.numpy()[::-1] if reverse else x.grad.numpy()
        np.testing.assert_allclose(given["input"].grad.numpy()[:length, row], gx[:, 0], rtol=1e-10, atol=1e-13)
        assert not given["input"].grad.numpy()[length:, row].any()
        total += alone["w_hh"].grad.numpy()
    np.testing.assert_allclose(given["w_hh"].grad, total, rtol=1e-10, atol=1e-13)


def test_an_output_that_nobody_uses_costs_nothing_and_breaks_nothing(rng: np.random.Generator) -> None:
    """T17: of y, h and c any one may be used alone, the others gone."""
    for used in range(3):
        given = tensors(drawn("lstm", lambda *s: rng.standard_normal(s)))
        kept = ops.lstm(**given)[used]
        gc.collect()
        kept.sum().backward()
        assert all(np.abs(x.grad.numpy()).sum() > 0 for x in given.values())


@pytest.mark.parametrize("name", GATES)
def test_float32_and_float16_stay(name: str, rng: np.random.Generator) -> None:
    for dtype in ("f4", "f2"):
        given = tensors({k: v.astype(dtype) for k, v in drawn(name, lambda *s: rng.standard_normal(s)).items()})
        ys = getattr(ops, name)(**given, lengths=[3, 1, 2, 3])
        assert {y.dtype for y in ys} == {np.dtype(dtype)}
        ys[0].sum().backward()
        assert {x.grad.dtype for x in given.values()} == {np.dtype(dtype)}


def test_saturated_gates_stay_finite() -> None:
    """Sums of ±10⁴ in float32: gates are 0 and 1, no overflow, no nan."""
    for sign in (1.0, -1.0):
        for name, gates in GATES.items():
            given = {"input": dl.ones(2, 1, 1), "w_ih": dl.full((gates, 1), sign * 1e4), "w_hh": dl.ones(gates, 1)}
            states = {"h0": None, "c0": None} if name == "lstm" else {"h0": None}
            given = {k: v.requires_grad_() for k, v in given.items()}
            y = getattr(ops, name)(**given, **states)[0]
            y.sum().backward()
            assert np.isfinite(y.detach().numpy()).all()
            assert all(np.isfinite(x.grad.numpy()).all() for x in given.values())


# ── what it refuses ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"input": np.zeros((0, 4, 2))}, r"has no step: T must be at least 1"),
        ({"input": np.zeros((4, 2))}, r"x must be \(T, N, D\), got shape \(4, 2\)"),
        (
            {"input": np.zeros((3, 4, 3))},
            r"x has D=3 features and the state H=5, so w_ih must be \(4H, D\) = \(20, 3\)",
        ),
        ({"w_hh": np.zeros((15, 5))}, r"w_hh must be \(4H, H\), got shape \(15, 5\)"),
        ({"h0": np.zeros((3, 5))}, r"h0 must be \(N, H\) = \(4, 5\), got shape \(3, 5\)"),
        ({"c0": np.zeros((4, 1))}, r"c0 must be \(N, H\) = \(4, 5\), got shape \(4, 1\)"),
        ({"b_hh": np.zeros(5)}, r"b_hh must be \(4H,\) = \(20,\), got shape \(5,\)"),
        (
            {"lengths": [1, 2]},
            r"lengths must be 4 integers, one for each of the N=4 sequences, got int64 of shape \(2,\)",
        ),
        ({"lengths": [1, 2, 3, 0]}, r"lengths must lie between 1 and T=3, got 0 to 3"),
        ({"lengths": [1, 2, 4, 1]}, r"lengths must lie between 1 and T=3, got 1 to 4"),
        ({"lengths": [1.0, 2.0, 3.0, 1.0]}, r"got float64 of shape \(4,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RuntimeError, match="lstm: .*" + sentence):
        ops.lstm(**{**drawn("lstm", lambda *s: np.zeros(s)), **change})


def test_unknown_forms_are_named() -> None:
    with pytest.raises(ValueError, match=r"rnn: nonlinearity must be 'tanh' or 'relu', got 'sigmoid'"):
        ops.rnn(**drawn("rnn", lambda *s: np.zeros(s)), nonlinearity="sigmoid")
    with pytest.raises(ValueError, match=r"gru: reset must be 'after' or 'before', got 'never'"):
        ops.gru(**drawn("gru", lambda *s: np.zeros(s)), reset="never")
    with pytest.raises(ValueError, match=r"gru: z_keeps must be 'old' or 'new', got 'z'"):
        ops.gru(**drawn("gru", lambda *s: np.zeros(s)), z_keeps="z")


def test_lengths_changed_afterwards_change_nothing(rng: np.random.Generator) -> None:
    """T5: what the gradient needs of them is kept."""
    lengths = np.array([3, 1, 2, 2])
    given = tensors(drawn("gru", lambda *s: rng.standard_normal(s)))
    y, _ = ops.gru(**given, lengths=lengths)
    expected = grad(y.sum(), [given["w_hh"]], retain_graph=True)[0].numpy()
    lengths[:] = 1
    np.testing.assert_array_equal(grad(y.sum(), [given["w_hh"]])[0], expected)
