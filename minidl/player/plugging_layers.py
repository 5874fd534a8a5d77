"""Rules for losses, masks, attention, normalisation and Einstein's sums."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from minidl.player.expression import Expression, call, number, total
from minidl.player.plugging import RULES, Call, Forward, Index, NotWhole, Rule, elementwise

# ── losses ────────────────────────────────────────────────────────────────────────────────────────


def _row_loss(c: Call, n: int) -> Expression:
    K, label = c.array(0).shape[1], c.attrs["labels"][n]
    return call("ln", total([call("exp", c.x(0, (n, k))) for k in range(K)])) - c.x(0, (n, label))


def _cross_entropy(c: Call, i: Index) -> Expression:
    if not c.attrs["mean"]:
        return _row_loss(c, i[0])
    N = c.array(0).shape[0]
    return total([_row_loss(c, n) for n in range(N)]) / N if N > 1 else _row_loss(c, 0)


def _cross_entropy_back(c: Call, k: int, i: Index) -> Expression:
    n, cls = i
    N, K = c.array(0).shape
    p = call("exp", c.x(0, i)) / total([call("exp", c.x(0, (n, j))) for j in range(K)])
    slope = p - (1.0 if c.attrs["labels"][n] == cls else 0.0)
    gy = c.gy(() if c.attrs["mean"] else (n,))
    return slope * gy / N if c.attrs["mean"] and N > 1 else slope * gy


def _dropped(c: Call, i: Index) -> Expression:
    shape = c.array(0).shape
    place = int(np.ravel_multi_index(i, shape)) if shape else 0
    return number(c.attrs["mask"][place])


def _where(c: Call, i: Index) -> Expression:
    return c.x(1, i) if c.x(0, i).value else c.x(2, i)


def _where_share(first: bool) -> Forward:
    return lambda c, i: c.gy(i) * (1.0 if bool(c.x(0, i).value) is first else 0.0)


def _score(c: Call, lead: Index, row: int, column: int) -> Expression | None:
    """One scaled score q·k of attention, None where it is masked out."""
    rules = c.attrs["rules"]
    if rules.get("causal") and column > row:
        return None
    E = c.array(0).shape[-1]
    score = total([c.x(0, (*lead, row, e)) * c.x(1, (*lead, column, e)) for e in range(E)]) * rules["scale"]
    return score if len(c.inputs) < 4 else score + c.x(3, (*lead, row, column))


def _attention(c: Call, i: Index) -> Expression:
    *lead, row, d = i
    rules = c.attrs["rules"]
    if rules.get("allowed") is not None or rules.get("p"):
        raise NotWhole  # with a mask or dropout there is nothing short to say: record it inside
    scores = {j: _score(c, tuple(lead), row, j) for j in range(c.array(1).shape[-2])}
    weights = {j: call("exp", s) for j, s in scores.items() if s is not None}
    return total([w * c.x(2, (*lead, j, d)) for j, w in weights.items()]) / total(weights.values())


# ── normalisation ─────────────────────────────────────────────────────────────────────────────────


class Normalised:
    """The elements that are brought to mean 0 and variance 1 together with element i, and their moments."""

    def __init__(self, c: Call, i: Index) -> None:
        shape = c.array(0).shape
        if c.op == "BatchNorm":
            self.group = [(n, i[1], *rest) for n in range(shape[0]) for rest in np.ndindex(*shape[2:])]
        else:
            self.group = [(*i[:-1], k) for k in range(shape[-1])]
        self.values = {j: c.x(0, j).value for j in self.group}
        self.mean = math.fsum(self.values.values()) / len(self.group)
        self.variance = math.fsum((v - self.mean) ** 2 for v in self.values.values()) / len(self.group)
        self.deviation = call("sqrt", number(self.variance) + c.attrs["eps"])

    def hat(self, j: Index) -> Expression:
        """The element with mean 0 and variance 1."""
        return number((self.values[j] - self.mean) / self.deviation.evaluate())


def _own(c: Call, i: Index) -> Index:
    """Where the factor w and the summand b of an element stand."""
    return (i[1],) if c.op == "BatchNorm" else (i[-1],)


def _normalise(c: Call, i: Index) -> Expression:
    y = (c.x(0, i) - Normalised(c, i).mean) / Normalised(c, i).deviation
    return y if len(c.inputs) == 1 else y * c.x(1, _own(c, i)) + c.x(2, _own(c, i))


def _normalise_back(c: Call, k: int, i: Index) -> Expression:
    if k:  # the factor and the summand receive from every element they touch
        touched = [j for j in np.ndindex(*c.out_shape) if _own(c, j) == i]
        return total([c.gy(j) * Normalised(c, j).hat(j) for j in touched] if k == 1 else [c.gy(j) for j in touched])
    own, M = Normalised(c, i), len(Normalised(c, i).group)

    def g(j: Index) -> Expression:
        return c.gy(j) if len(c.inputs) == 1 else c.gy(j) * c.x(1, _own(c, j))

    mean, product = total([g(j) for j in own.group]) / M, total([g(j) * own.hat(j) for j in own.group]) / M
    return (g(i) - mean - own.hat(i) * product) / own.deviation


# ── Einstein's sums ───────────────────────────────────────────────────────────────────────────────


def _assignments(c: Call, fixed: dict[str, int]) -> Iterator[dict[str, int]]:
    """Every value of the letters that are not fixed."""
    sizes = {letter: n for f, x in zip(c.attrs["factors"], c.inputs) for letter, n in zip(f, _shape(x), strict=True)}
    free = [letter for letter in sizes if letter not in fixed]
    for values in np.ndindex(*[sizes[letter] for letter in free]):
        yield {**fixed, **dict(zip(free, values, strict=True))}


def _shape(x: np.ndarray | None) -> tuple[int, ...]:
    if x is None:
        raise NotWhole
    return x.shape


def _einsum(c: Call, i: Index) -> Expression:
    fixed = dict(zip(c.attrs["out"], i, strict=True))
    return total([_factors(c, at, range(len(c.inputs))) for at in _assignments(c, fixed)])


def _factors(c: Call, at: dict[str, int], which: range | list[int]) -> Expression:
    product: Expression | None = None
    for f in which:
        x = c.x(f, tuple([at[letter] for letter in c.attrs["factors"][f]]))
        product = x if product is None else product * x
    return number(1.0) if product is None else product


def _einsum_back(c: Call, k: int, i: Index) -> Expression:
    letters, others = c.attrs["factors"][k], [f for f in range(len(c.inputs)) if f != k]
    fixed = dict(zip(letters, i, strict=True))
    if any(fixed[letter] != value for letter, value in zip(letters, i, strict=True)):
        return number(0.0)  # beside the diagonal that a letter given twice takes
    terms = []
    for at in _assignments(c, fixed):
        gy = c.gy(tuple([at[letter] for letter in c.attrs["out"]]))
        terms.append(gy * _factors(c, at, others) if others else gy)
    return total(terms)


RULES |= {
    "SoftmaxCrossEntropy": Rule(_cross_entropy, _cross_entropy_back),
    "Dropout": elementwise(lambda c, i: c.x(0, i) * _dropped(c, i), lambda c, i: c.gy(i) * _dropped(c, i)),
    "Where": elementwise(_where, lambda c, i: number(0.0), _where_share(True), _where_share(False)),
    "Attention": Rule(_attention, None),
    **dict.fromkeys(("Standardize", "LayerNorm", "BatchNorm"), Rule(_normalise, _normalise_back)),
    "Einsum": Rule(_einsum, _einsum_back),
}
