"""Functions that a reader of the documents looks for by PyTorch's name: the same values, gradients and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minidl as dl
import minidl.nn.functional as F
from minidl import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

BOUNDS = np.array([-7.0, -1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0, 3.0, 6.0, 7.0, np.inf, -np.inf])
FACES = np.array([[0, 2, 2], [4, 1, 0]])
SQUARE, VECTOR = np.arange(12.0).reshape(3, 4) - 4, np.array([1.0, -2.0, 3.0])
MASK = np.array([[True, False, True, False]] * 3)
CUBE = np.random.default_rng(0).standard_normal((2, 3, 4))


def gradients_agree(ours: Any, theirs: Any, *arrays: np.ndarray) -> None:
    """Values and gradients of all floating arguments, and shapes and dtypes."""
    xs = [dl.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    ts = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    ys, us = ours(*xs), theirs(*ts)
    ys, us = [list(v) if isinstance(v, tuple | list) else [v] for v in (ys, us)]
    assert len(ys) == len(us)
    for y, u in zip(ys, us):
        assert tuple(y.shape) == tuple(u.shape)
        assert y.dtype.name == str(u.dtype).removeprefix("torch.")
        np.testing.assert_allclose(y.detach().numpy(), u.detach().numpy(), rtol=1e-12)
    if not us[0].requires_grad:
        return
    for g, h in zip(
        dl.autograd.grad(sum((y * y).sum() for y in ys), [x for x in xs if x.requires_grad]),
        torch.autograd.grad(sum((u * u).sum() for u in us), [t for t in ts if t.requires_grad]),
    ):
        np.testing.assert_allclose(g.numpy(), h.numpy(), rtol=1e-12)


T = torch.nn.functional
CASES: dict[str, tuple[Any, Any, tuple[np.ndarray, ...]]] = {
    "hardtanh": (F.hardtanh, T.hardtanh, (BOUNDS[:-2],)),
    "hardtanh of bounds": (lambda x: F.hardtanh(x, -0.2, 3.0), lambda x: T.hardtanh(x, -0.2, 3.0), (BOUNDS[:-2],)),
    "relu6": (F.relu6, T.relu6, (BOUNDS[:-2],)),
    "softshrink": (F.softshrink, T.softshrink, (BOUNDS[:-2],)),
    "softshrink of .2": (lambda x: F.softshrink(x, 0.2), lambda x: T.softshrink(x, 0.2), (BOUNDS[:-2],)),
    "logsigmoid": (F.logsigmoid, T.logsigmoid, (np.array([-1e4, -800, -21, -1, 0, 1, 21, 800, 1e4]),)),
    "relu inplace": (lambda x: F.relu(x * 1, inplace=True), lambda x: T.relu(x * 1, inplace=True), (BOUNDS[:-2],)),
    "embedding": (lambda w: F.embedding(dl.tensor(FACES), w), lambda w: T.embedding(torch.tensor(FACES), w),
                  (CUBE.reshape(6, 4),)),
    "embedding with padding": (lambda w: F.embedding(dl.tensor(FACES), w, -4),
                               lambda w: T.embedding(torch.tensor(FACES), w, -4), (CUBE.reshape(6, 4),)),
    "embedding of one number": (lambda w: F.embedding(dl.tensor(3), w), lambda w: T.embedding(torch.tensor(3), w),
                                (CUBE.reshape(6, 4),)),
    "diagonal": (dl.diagonal, torch.diagonal, (SQUARE,)),
    "diagonal above": (lambda x: x.diagonal(2), lambda x: x.diagonal(2), (SQUARE,)),
    "diagonal below": (lambda x: x.diagonal(-1, 2, 0), lambda x: x.diagonal(-1, 2, 0), (CUBE,)),
    "diagonal outside": (lambda x: x.diagonal(9), lambda x: x.diagonal(9), (SQUARE,)),
    "diag of a vector": (lambda x: x.diag(), lambda x: x.diag(), (VECTOR,)),
    "diag of a vector, above": (lambda x: dl.diag(x, 2), lambda x: torch.diag(x, 2), (VECTOR,)),
    "diag of a vector, below": (lambda x: dl.diag(x, -1), lambda x: torch.diag(x, -1), (VECTOR,)),
    "diag of a matrix": (lambda x: dl.diag(x, 1), lambda x: torch.diag(x, 1), (SQUARE,)),
    "trace": (lambda x: x.trace(), lambda x: x.trace(), (SQUARE,)),
    "meshgrid": (lambda *x: dl.meshgrid(*x, indexing="ij"), lambda *x: torch.meshgrid(*x, indexing="ij"),
                 (VECTOR, SQUARE[0], SQUARE[1])),
    "meshgrid xy": (lambda *x: dl.meshgrid(*x, indexing="xy"), lambda *x: torch.meshgrid(*x, indexing="xy"),
                    (VECTOR, SQUARE[0], SQUARE[1])),
    "masked_select": (lambda x: x.masked_select(dl.tensor(MASK[0])), lambda x: x.masked_select(torch.tensor(MASK[0])),
                      (SQUARE,)),
    "unflatten": (lambda x: x.unflatten(-1, (2, -1)), lambda x: x.unflatten(-1, (2, -1)), (CUBE,)),
    "count_nonzero": (lambda x: x.count_nonzero(), lambda x: x.count_nonzero(), (SQUARE.astype(int),)),
    "count_nonzero along": (lambda x: dl.count_nonzero(x, 1), lambda x: torch.count_nonzero(x, 1),
                            (SQUARE.astype(int),)),
    "unique": (lambda x: x.unique(return_inverse=True, return_counts=True),
               lambda x: x.unique(return_inverse=True, return_counts=True), (FACES,)),
    "bincount": (lambda x: dl.bincount(x, minlength=7), lambda x: torch.bincount(x, minlength=7), (FACES.ravel(),)),
    "LogSigmoid": (nn.LogSigmoid(), torch.nn.LogSigmoid(), (BOUNDS,)),
    "ReLU6": (nn.ReLU6(), torch.nn.ReLU6(), (BOUNDS[:-2],)),
    "Hardtanh": (nn.Hardtanh(-2, 2), torch.nn.Hardtanh(-2, 2), (BOUNDS[:-2],)),
    "Softshrink": (nn.Softshrink(0.3), torch.nn.Softshrink(0.3), (BOUNDS[:-2],)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_as_pytorch(name: str) -> None:
    ours, theirs, arrays = CASES[name]
    if name == "LogSigmoid":  # squares of infinity have no gradient to compare
        np.testing.assert_allclose(ours(dl.tensor(BOUNDS)).numpy(), theirs(torch.tensor(BOUNDS)).numpy(), rtol=1e-12)
        return
    gradients_agree(ours, theirs, *arrays)


@pytest.mark.parametrize(
    ("module", "twin"),
    [(nn.LogSigmoid(), torch.nn.LogSigmoid()), (nn.ReLU6(True), torch.nn.ReLU6(True)),
     (nn.Hardtanh(-2, 2), torch.nn.Hardtanh(-2, 2)), (nn.Softshrink(0.3), torch.nn.Softshrink(0.3))],
)  # fmt: skip
def test_modules_print_as_pytorch(module: nn.Module, twin: Any) -> None:
    assert repr(module).replace(".0", "") == repr(twin).replace(".0", "")


@pytest.mark.parametrize("wrong", [5, -1])
def test_an_embedding_of_a_number_without_a_row_says_which(wrong: int) -> None:
    w = dl.zeros(5, 3)
    with pytest.raises(IndexError, match=rf"no row {wrong}; the weight \(V=5, E=3\) has rows 0 to 4"):
        F.embedding(dl.tensor([0, wrong]), w)
    with pytest.raises(IndexError, match=f"no row {wrong}"):
        nn.Embedding(5, 3)(dl.tensor([[wrong]]))


def test_an_embedding_of_letters_or_fractions_is_refused() -> None:
    """ERRATA 001-C7: an array of letters cannot enter a network."""
    with pytest.raises(TypeError, match="cannot hold"):
        dl.tensor(np.array([["a", "b", "c"]]))
    with pytest.raises(TypeError, match="embedding: the index must be an integer tensor, got float32"):
        F.embedding(dl.tensor([1.0]), dl.zeros(5, 3))
    with pytest.raises(ValueError, match="padding_idx 5 is not among the V=5 rows"):
        F.embedding(dl.tensor([1]), dl.zeros(5, 3), padding_idx=5)
    with pytest.raises(RuntimeError, match=r"\(V, E\)"):
        F.embedding(dl.tensor([1]), dl.zeros(5))


def test_an_embedding_is_the_product_of_one_hot_rows_with_the_table(rng: np.random.Generator) -> None:
    k, w = dl.tensor(FACES), dl.tensor(rng.standard_normal((5, 3)))
    np.testing.assert_allclose(F.embedding(k, w).numpy(), (F.one_hot(k, 5).double() @ w).numpy())


def test_padding_gets_no_gradient_in_the_second_derivative_either() -> None:
    w = dl.tensor(CUBE.reshape(6, 4), requires_grad=True)
    y = F.embedding(dl.tensor(FACES), w, padding_idx=2)
    (first,) = dl.autograd.grad((y * y * y).sum(), w, create_graph=True)
    (second,) = dl.autograd.grad((first * first).sum(), w)
    assert not first[2].detach().numpy().any()
    assert not second[2].numpy().any()
    np.testing.assert_allclose(second[1].numpy(), 36 * w[1].detach().numpy() ** 3)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: dl.diag(dl.zeros(1, 1, 1)), RuntimeError, "vector or a matrix"),
        (lambda: dl.diagonal(dl.zeros(2, 2), 0, 1, -1), RuntimeError, "dim1 and dim2 must differ"),
        (lambda: dl.trace(dl.zeros(2)), RuntimeError, "expected a matrix"),
        (lambda: dl.meshgrid(dl.zeros(2, 2)), RuntimeError, "expected vectors"),
        (lambda: dl.meshgrid(dl.zeros(2), indexing="ji"), RuntimeError, "'ij' or 'xy'"),
        (lambda: dl.masked_select(dl.zeros(2), dl.zeros(2)), TypeError, "must be bool"),
        (lambda: dl.unflatten(dl.zeros(6), 0, (4, -1)), RuntimeError, "6 elements do not fit"),
        (lambda: dl.unflatten(dl.zeros(6), 0, (-1, -1)), RuntimeError, "6 elements do not fit"),
        (lambda: dl.bincount(dl.tensor([-1])), RuntimeError, "integers ≥ 0"),
        (lambda: F.hardtanh(dl.zeros(1), 2, 1), ValueError, "min_val ≤ max_val"),
        (lambda: nn.Hardtanh(1, 1), ValueError, "min_val < max_val"),
        (lambda: F.softshrink(dl.zeros(1), -0.1), ValueError, "must be ≥ 0"),
    ],
)
def test_what_makes_no_sense_is_refused(call: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        call()
