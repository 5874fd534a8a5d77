"""Products of matrices and of whole tensors."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

from minidl.autograd.function import Function, Needs
from minidl.backend import Array, array_module
from minidl.kernels import kernels_for
from minidl.ops.broadcasting import Broadcasting, Operand, SumTo, as_tensor, promoted
from minidl.ops.registry import op
from minidl.ops.shape import Permute, permute, reshape

if TYPE_CHECKING:
    from minidl.tensor import Tensor


def _turned(x: Any) -> Any:
    """The last two dimensions exchanged."""
    n = len(x.shape)
    return Permute((*range(n - 2), n - 1, n - 2))(x)


class MatMul(Broadcasting):
    formula = r"Y = A B"
    adjoint = r"\bar A = \bar Y B^\top,\quad \bar B = A^\top \bar Y"
    on_arrays = True

    def inputs_to_save(self, needs: Needs) -> tuple[int, ...]:
        return (1,) * needs[0] + (0,) * needs[1]

    def forward(self, a: Array, b: Array) -> Array:
        return kernels_for(a).matmul(a, b)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        a, b = self.saved_inputs
        ga = gb = None
        if needs[0]:
            ga = MatMul()(gy, _turned(b))
        if needs[1]:
            ga_rows = self.shapes[0][:-2]
            if len(self.shapes[1]) == 2 and ga_rows and 0 not in a.shape and 0 not in gy.shape:
                # one matrix for the whole batch: one product, not a sum of many
                gb = MatMul()(_turned(a.reshape((-1, a.shape[-1]))), gy.reshape((-1, gy.shape[-1])))
            else:
                gb = MatMul()(_turned(a), gy)
        return ga, gb


@op(MatMul, example=lambda draw: {"input": draw(2, 3, 4), "other": draw(4, 2)})
def matmul(input: Operand, other: Operand) -> Tensor:
    """The matrix product of the last two dimensions; the dimensions before them broadcast.

    Arguments:
        input: (…, n, k) or (k,).
        other: (…, k, m) or (k,). A vector is a row on the left, a column on the right; its dimension vanishes.

    Raises:
        RuntimeError: the inner sizes differ, or a 0-d operand.
    """
    a, b = promoted(input, other)
    if a.array.ndim == 0 or b.array.ndim == 0:
        raise RuntimeError(f"matmul: both operands need a dimension, got shapes {a.array.shape} and {b.array.shape}")
    row, column = a.array.ndim == 1, b.array.ndim == 1
    if row:
        a = reshape(a, (1, -1)) if a.array.size else reshape(a, (1, 0))
    if column:
        b = reshape(b, (b.array.shape[0], 1))
    if a.array.shape[-1] != b.array.shape[-2]:
        raise RuntimeError(
            f"matmul: the inner sizes differ: {as_tensor(input).shape} has {a.array.shape[-1]} columns, "
            f"{as_tensor(other).shape} has {b.array.shape[-2]} rows"
        )
    if a.array.ndim > 2 and b.array.ndim == 2 and a.array.size:  # a batch of rows is one tall matrix
        y = reshape(MatMul()(reshape(a, (-1, a.array.shape[-1])), b), (*a.array.shape[:-1], b.array.shape[-1]))
    else:
        y = MatMul()(a, b)
    if row and column:
        return reshape(y, y.shape[:-2])
    if row:
        return reshape(y, (*y.shape[:-2], y.shape[-1]))
    return reshape(y, y.shape[:-1]) if column else y


def _exactly(name: str, x: Tensor, ndim: int) -> None:
    if x.array.ndim != ndim:
        raise RuntimeError(f"{name}: expected {ndim} dimensions, got shape {x.array.shape}")


@op(MatMul, example=lambda draw: {"input": draw(2, 3), "mat2": draw(3, 4)})
def mm(input: Operand, mat2: Operand) -> Tensor:
    """The product of two matrices, (n, k) and (k, m)."""
    a, b = promoted(input, mat2)
    _exactly("mm", a, 2)
    _exactly("mm", b, 2)
    return matmul(a, b)


@op(MatMul, example=lambda draw: {"input": draw(2, 2, 3), "mat2": draw(2, 3, 4)})
def bmm(input: Operand, mat2: Operand) -> Tensor:
    """The products of two batches of matrices, (b, n, k) and (b, k, m)."""
    a, b = promoted(input, mat2)
    _exactly("bmm", a, 3)
    _exactly("bmm", b, 3)
    return matmul(a, b)


@op(MatMul, example=lambda draw: {"input": draw(4), "tensor": draw(4)})
def dot(input: Operand, tensor: Operand) -> Tensor:
    r"""The inner product of two vectors, $\sum_i a_i b_i$."""
    a, b = promoted(input, tensor)
    _exactly("dot", a, 1)
    _exactly("dot", b, 1)
    return matmul(a, b)


@op(MatMul, example=lambda draw: {"input": draw(3), "vec2": draw(4)})
def outer(input: Operand, vec2: Operand) -> Tensor:
    """The matrix $a_i b_j$ of two vectors."""
    a, b = promoted(input, vec2)
    _exactly("outer", a, 1)
    _exactly("outer", b, 1)
    return reshape(a, (-1, 1)) * b


class Linear(Function):
    """A dense layer: rows (N, in) times a weight (out, in), plus, where there is one, a bias (out,)."""

    formula = r"Y = X W^\top + b"
    adjoint = r"\bar X = \bar Y W,\quad \bar W = \bar Y^\top X,\quad \bar b = \textstyle\sum_n \bar Y_n"
    on_arrays = True

    def inputs_to_save(self, needs: Needs) -> tuple[int, ...]:
        return (1,) * needs[0] + (0,) * needs[1]

    def forward(self, x: Array, w: Array, b: Array | None = None) -> Array:
        y: Array = kernels_for(x).linear(x, w, b)
        return y

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        x, w = self.saved_inputs[:2]
        gx = MatMul()(gy, w) if needs[0] else None
        gw = MatMul()(Permute((1, 0))(gy), x) if needs[1] else None
        gb = SumTo((gy.shape[1],))(gy) if needs[2:] == (True,) else None
        return (gx, gw, gb)[: len(needs)]


@op(Linear, example=lambda draw: {"input": draw(2, 5, 3), "weight": draw(4, 3), "bias": draw(4)})
def linear(input: Operand, weight: Operand, bias: Operand | None = None) -> Tensor:
    r"""A dense layer, $Y = X W^\top + b$.

    Arguments:
        input: (…, in_features).
        weight: (out_features, in_features).
        bias: (out_features,) or None.

    Returns:
        (…, out_features).

    Raises:
        RuntimeError: the sizes do not fit.

    Source: document 002 names this formula without giving it (ERRATA 002-F3).
    """
    given = (input, weight) if bias is None else (input, weight, bias)
    x, w, *b = promoted(*given)
    if w.array.ndim != 2 or x.array.ndim == 0 or x.array.shape[-1] != w.array.shape[1]:
        raise RuntimeError(
            f"linear: x of shape {x.array.shape} has {x.array.shape[-1:]} features, but the weight of shape "
            f"{w.array.shape} (out_features, in_features) expects {w.array.shape[1:]}"
        )
    if b and b[0].array.shape != (w.array.shape[0],):
        raise RuntimeError(f"linear: the bias has shape {b[0].array.shape}, expected ({w.array.shape[0]},)")
    rows = x if x.array.ndim == 2 else reshape(x, (_rows(x.array.shape[:-1]), x.array.shape[-1]))
    y = Linear()(rows, w, *b)
    return y if x.array.ndim == 2 else reshape(y, (*x.array.shape[:-1], w.array.shape[0]))


def _rows(shape: tuple[int, ...]) -> int:
    count = 1
    for n in shape:
        count *= n
    return count


class Einsum(Function):
    """Einstein's sum of products; the gradient of a factor is another one, of the output with the other factors."""

    formula = r"y_{k} = \sum_{\text{other indices}} \prod_f x^{(f)}_{i_f}"
    adjoint = r"\bar x^{(f)}_{i_f} = \sum \bar y_k \prod_{g \ne f} x^{(g)}_{i_g}"
    __slots__ = ("factors", "out", "shapes")

    def __init__(self, factors: list[str], out: str) -> None:
        self.factors, self.out = factors, out

    def inputs_to_save(self, needs: Needs) -> tuple[int, ...]:
        only = needs.index(True) if sum(needs) == 1 else -1
        return tuple([i for i in range(len(needs)) if i != only])

    def forward(self, *xs: Array) -> Array:
        self.shapes = [x.shape for x in xs]
        subscripts = f"{','.join(self.factors)}->{self.out}"
        y = array_module(xs[0]).einsum(subscripts, *xs, optimize=True)
        return y.astype(xs[0].dtype, copy=len(xs) == 1)  # of one operand it may be a view

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        xs = self.saved_inputs
        gradients: list[Any] = []
        for f, letters in enumerate(self.factors):
            if not needs[f]:
                gradients.append(None)
                continue
            others = [g for g in range(len(self.factors)) if g != f]
            known = set(self.out).union(*[self.factors[g] for g in others])
            reached = "".join([c for c in letters if c in known])
            gx = Einsum([self.out, *[self.factors[g] for g in others]], reached)(gy, *[xs[g] for g in others])
            size = [n if c in known else 1 for c, n in zip(letters, self.shapes[f], strict=True)]
            gradients.append(reshape(gx, size).expand(*self.shapes[f]))  # summed-out letters: the same for all
        return tuple(gradients)


@op(Einsum, example=lambda draw: {"equation": "bij,bjk,k->bi", "operands": [draw(2, 3, 4), draw(2, 4, 2), draw(2)]})
def einsum(equation: str, *operands: Any) -> Tensor:
    """Einstein's summation: products over common letters, summed over letters that the output lacks.

    Arguments:
        equation: as in `numpy.einsum`, for example "bij,bjk->bik"; "..." stands for any leading dimensions. Without
            "->" the output has the letters that occur once, in alphabetical order.
        operands: a tensor for each comma-separated part, or one list of them.

    Raises:
        ValueError: the equation does not fit the operands.
    """
    given = operands[0] if len(operands) == 1 and isinstance(operands[0], list | tuple) else operands
    xs = list(promoted(*[as_tensor(x) for x in given]))
    factors, out = _parse(equation, [x.array.ndim for x in xs])
    sizes: dict[str, int] = {}
    for i, (letters, x) in enumerate(zip(factors, xs, strict=True)):
        for letter, size in zip(letters, x.array.shape, strict=True):
            if sizes.setdefault(letter, size) not in (size, 1) and size != 1:
                raise ValueError(f"einsum: letter {letter!r} is {sizes[letter]} and {size} in {equation!r}")
            sizes[letter] = max(sizes[letter], size)
        if len(set(letters)) != len(letters):
            xs[i], factors[i] = _diagonal(x, letters)
    for i, (letters, x) in enumerate(zip(factors, xs, strict=True)):
        xs[i] = x.expand(*[sizes[c] for c in letters]) if x.array.ndim else x
    return Einsum(factors, out)(*xs)


def _parse(equation: str, ndims: list[int]) -> tuple[list[str], str]:
    """The letters of each factor and of the output, with every "..." replaced by letters of its own."""
    left, arrow, out = equation.replace(" ", "").partition("->")
    factors = left.split(",")
    if len(factors) != len(ndims):
        raise ValueError(f"einsum: {equation!r} names {len(factors)} operands, {len(ndims)} were given")
    free = [c for c in string.ascii_letters if c not in equation]
    hidden = max([n - len(f.replace("...", "")) for f, n in zip(factors, ndims, strict=True) if "..." in f], default=0)
    dots = "".join(free[: max(hidden, 0)])
    for i, (f, n) in enumerate(zip(factors, ndims, strict=True)):
        missing = n - len(f.replace("...", ""))
        factors[i] = f.replace("...", dots[len(dots) - missing :] if missing > 0 else "")
        if len(factors[i]) != n or not all(c in string.ascii_letters for c in factors[i]):
            raise ValueError(f"einsum: {f!r} in {equation!r} does not name the {n} dimensions of operand {i}")
    if not arrow:
        once = [c for c in sorted(set("".join(factors)) - set(dots)) if "".join(factors).count(c) == 1]
        return factors, dots + "".join(once)
    out = out.replace("...", dots)
    if len(set(out)) != len(out) or not set(out) <= set("".join(factors)):
        raise ValueError(f"einsum: the output {out!r} of {equation!r} repeats a letter or has one nobody else has")
    return factors, out


def _diagonal(x: Tensor, letters: str) -> tuple[Tensor, str]:
    """A repeated letter means the diagonal: multiply by the identity and sum the copies out."""
    for letter in dict.fromkeys(letters):
        while letters.count(letter) > 1:
            first, second = letters.index(letter), letters.index(letter, letters.index(letter) + 1)
            order = [i for i in range(len(letters)) if i not in (first, second)]
            n = x.array.shape[first]
            eye = as_tensor(array_module(x.array).eye(n, dtype=x.array.dtype))
            x = (permute(x, (*order, first, second)) * eye).sum(-1)
            letters = "".join([letters[i] for i in order]) + letter
    return x, letters
