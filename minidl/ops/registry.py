"""The register of every public operation: its formula, an example of its arguments, and what can be checked of it.

One test walks it (`tests/ops/test_registry.py`); a public operation that is not here fails the build. The player and
the lessons read formulas from here too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

from minidl.autograd.function import Function
from minidl.backend import Array
from minidl.ops.precision import guarded

Draw: TypeAlias = Callable[..., Array]
"""`draw(*shape)`: a float64 array of values from the operation's domain."""

Oracle: TypeAlias = Literal["complex", "richardson"]
Call = TypeVar("Call", bound=Callable[..., Any])


@dataclass(frozen=True)
class Domain:
    """Where the real inputs of an operation may lie, away from poles, kinks and ties.

    Values are drawn uniformly from [low, high]; with `gap`, never closer than that to zero, and with `distinct`,
    never closer than that to each other.
    """

    low: float = -2.0
    high: float = 2.0
    gap: float = 0.0
    distinct: float = 0.0

    def sampler(self, rng: np.random.Generator) -> Draw:
        """A function that draws arrays from the domain."""

        def draw(*shape: int) -> Array:
            if self.distinct:
                size = int(np.prod(shape, dtype=np.int64))
                ranks = rng.permutation(size) + rng.uniform(-0.25, 0.25, size)
                spread = max(self.high - self.low, self.distinct * size)
                return (self.low + spread * (ranks + 0.5) / max(size, 1)).reshape(shape)
            x = rng.uniform(self.low, self.high, shape)
            return np.asarray(x + np.sign(x) * self.gap) if self.gap else np.asarray(x)

        return draw


REAL = Domain()
POSITIVE = Domain(0.5, 2.0)
NONZERO = Domain(gap=0.3)
UNIT = Domain(0.1, 0.9)
DISTINCT = Domain(distinct=0.2)


@dataclass(frozen=True)
class Operation:
    """One row of the register.

    Fields:
        name, call: the public function.
        functions: the `Function` classes it is made of; empty for a composite of other operations.
        formula, adjoint: LaTeX.
        example: given `draw`, keyword arguments for `call`; its float arrays, also those in lists, are differentiated.
        domain: where `draw` draws from.
        oracle: "complex" for analytic operations, "richardson" where a complex step makes no sense.
        orders: up to which derivative the gradient is checked; 0 for operations without one.
    """

    name: str
    call: Callable[..., Any]
    functions: tuple[type[Function], ...]
    formula: str
    adjoint: str
    example: Callable[[Draw], dict[str, Any]]
    domain: Domain
    oracle: Oracle
    orders: int


REGISTRY: dict[str, Operation] = {}


def op(
    *functions: type[Function],
    example: Callable[[Draw], dict[str, Any]],
    domain: Domain = REAL,
    oracle: Oracle = "complex",
    orders: int = 2,
    formula: str = "",
    adjoint: str = "",
    name: str = "",
) -> Callable[[Call], Call]:
    """Enter a public function into the register.

    Arguments:
        functions: the `Function` classes it uses; the first gives formula and adjoint unless they are given here.
        example, domain, oracle, orders, formula, adjoint: as in `Operation`.
        name: under which name, by default the function's own.
    """

    def enter(call: Call) -> Call:
        key = name or call.__name__
        if key in REGISTRY:
            raise ValueError(f"op: {key!r} is registered already")
        public = guarded(key, call)
        REGISTRY[key] = Operation(
            key,
            public,
            functions,
            formula or (functions[0].formula if functions else ""),
            adjoint or (functions[0].adjoint if functions else ""),
            example,
            domain,
            oracle,
            orders,
        )
        return public

    return enter
