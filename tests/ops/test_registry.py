"""Every operation of the register, against every claim it must meet; and every public operation is in the register."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest
from checks import CHECKS, Case, affine_inputs
from forms import OPERATIONS

from minidl import ops
from minidl.ops.registry import REGISTRY

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


@pytest.mark.parametrize("name", sorted(AFFINE))
def test_affine_operations_are_found_to_be_affine(name: str) -> None:
    assert len(affine_inputs(Case(REGISTRY[name]))) == AFFINE[name]
