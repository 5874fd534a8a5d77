"""Every operation of the register, against every claim it must meet; and every public operation is in the register."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import numpy as np
import pytest
from cases import Case, nodes_of
from checks import CHECKS
from claims_on_derivatives import affine_inputs
from claims_on_meaning import ONE_BY_ONE
from definitions import DEFINITIONS
from forms import OPERATIONS

from minidl import ops
from minidl.autograd import Function, backward, grad
from minidl.ops.registry import REGISTRY
from minidl.tensor import Tensor

for module in pkgutil.iter_modules(ops.__path__):
    importlib.import_module(f"minidl.ops.{module.name}")

WITHOUT_GRADIENT = {
    "as_tensor": "wraps, computes nothing",
    "allclose": "bool", "bitwise_and": "bool or integer", "bitwise_not": "bool or integer",
    "bitwise_or": "bool or integer", "bitwise_xor": "bool or integer", "eq": "bool", "equal": "bool", "ge": "bool",
    "gt": "bool", "isclose": "bool", "isfinite": "bool", "isinf": "bool", "isnan": "bool", "le": "bool",
    "logical_and": "bool", "logical_not": "bool", "logical_or": "bool", "lt": "bool", "ne": "bool", "all": "bool",
    "bincount": "integers", "count_nonzero": "integers", "unique": "values, without a gradient in PyTorch as well",
    "any": "bool", "argmax": "indices", "argmin": "indices", "argsort": "indices", "nonzero": "indices",
    "one_hot": "integers",
    "mine_triplets": "indices",
    "expand": "another name for broadcast_to",
}  # fmt: skip
"""Public functions that are not in the register, and why not."""

AFFINE = {
    "add": 2, "sub": 2, "mul": 2, "neg": 1, "sum": 1, "mean": 1, "cumsum": 1, "reshape": 1, "permute": 1, "cat": 2,
    "flip": 1, "narrow": 1, "pad": 1, "tril": 1, "triu": 1, "getitem": 1, "gather": 1, "index_select": 1, "linear": 3,
    "scatter_add": 2, "matmul": 2, "einsum": 3, "broadcast_to": 1, "sum_to": 1, "where": 2, "clone": 1,
}  # fmt: skip
"""In how many inputs an operation must be found affine: `exact_adjoint` says nothing where none is found."""


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@pytest.mark.parametrize("check", CHECKS)
def test_operation(name: str, check: str) -> None:
    operation, claim = OPERATIONS[name], CHECKS[check]
    if operation.orders >= claim.orders:
        claim.holds(operation)
    else:
        assert operation.orders in (0, 1, 2), f"{name}: orders must be 0 to 3"


def test_every_public_operation_is_registered() -> None:
    """T23: a public function that is not in the register would ship unchecked."""
    public = {name for name, value in vars(ops).items() if inspect.isfunction(value) and not name.startswith("_")}
    missing = public - REGISTRY.keys() - WITHOUT_GRADIENT.keys()
    assert not missing, f"neither in the register nor on the list of functions without a gradient: {sorted(missing)}"
    stale = (WITHOUT_GRADIENT.keys() & REGISTRY.keys()) | (WITHOUT_GRADIENT.keys() - public)
    assert not stale, f"on the list of functions without a gradient, wrongly: {sorted(stale)}"


THREE_TIMES = {
    "attention_weights", "batch_norm", "cross_entropy", "group_norm", "instance_norm", "layer_norm", "log_softmax",
    "logsumexp", "normalize", "position_encoding", "rms_norm", "scaled_dot_product_attention", "sigmoid", "softmax",
    "tanh",
}  # fmt: skip
"""Operations whose third derivative is checked, among them every normalisation, softmax and attention."""


def test_every_operation_can_be_differentiated_twice_and_some_three_times() -> None:
    assert {name: o.orders for name, o in REGISTRY.items() if o.orders not in (2, 3)} == {}
    assert {name for name, o in REGISTRY.items() if o.orders == 3} == THREE_TIMES


@pytest.mark.parametrize("name", ["argmax", "argmin", "argsort", "isnan", "nonzero", "unique", "any", "count_nonzero"])
def test_what_has_no_gradient_says_so(name: str) -> None:
    """A result that cannot be differentiated is not on the tape, and asking for its gradient raises."""
    y = getattr(ops, name)(Tensor(np.array([[1.0, -2.0], [0.5, 4.0]]), requires_grad=True))
    y = y[0] if isinstance(y, tuple) else y
    assert not y.requires_grad
    with pytest.raises((RuntimeError, TypeError), match="grad"):
        backward([y], [Tensor(np.ones(y.array.shape))])


UNMET = {
    "Cast": "the example keeps float64; gradients of other dtypes in test_promotion",
    "Question": "bool, and so never on a tape",
    "ToDevice": "the example stays on its device",
}
"""Classes of operations that no example puts on the tape, and why not."""


def test_every_class_of_operation_is_met_on_some_tape() -> None:
    """T23: a rule that no example reaches, in the gradient or in its gradient, would be checked by nothing."""
    met: set[type] = set()
    for operation in OPERATIONS.values():
        case = Case(operation)
        xs = case.leaves()
        ys = [y for y in case(*xs) if y.requires_grad]
        us = [Tensor(u, requires_grad=True) for u in case.cotangents(ys)]
        gs = [g for g in grad(ys, xs, us, create_graph=True, allow_unused=True) if g is not None and g.requires_grad]
        met |= {type(node) for node in nodes_of(ys) + nodes_of(gs)}
    unmet = {c.__name__ for c in classes_of(Function) if c.__module__.startswith("minidl.ops") and c not in met}
    assert unmet == UNMET.keys()


def classes_of(parent: type) -> Iterator[type]:
    """Every class below this one that has none below itself."""
    for c in parent.__subclasses__():
        yield from classes_of(c)
        if not c.__subclasses__():
            yield c


MEANT = ("attention", "convolution_pooling", "decomposition", "distance_loss", "embedding", "loss", "margin_loss",
         "metric_loss", "binary_loss", "normalization", "position", "recurrent", "scaling")  # fmt: skip
"""Modules whose operations must all have a definition in NumPy; the values of others are held against PyTorch."""


def test_every_formula_of_several_lines_has_a_definition_without_the_engine() -> None:
    names = {name for name, o in REGISTRY.items() if o.call.__module__.removeprefix("minidl.ops.") in MEANT}
    assert names - DEFINITIONS.keys() == set()
    assert DEFINITIONS.keys() | ONE_BY_ONE.keys() <= REGISTRY.keys(), "a definition of nothing"


@pytest.mark.parametrize("name", sorted(AFFINE))
def test_affine_operations_are_found_to_be_affine(name: str) -> None:
    assert len(affine_inputs(Case(REGISTRY[name]))) == AFFINE[name]
