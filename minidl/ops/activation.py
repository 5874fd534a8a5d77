"""The non-linear functions between layers, and softmax."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.function import Function, Needs
from minidl.autograd.variable import Variable
from minidl.backend import Array, array_module
from minidl.kernels import kernels_for
from minidl.ops.broadcasting import Operand, as_tensor, cast, floating
from minidl.ops.choice import where
from minidl.ops.elementwise import exp
from minidl.ops.reduce import axes_of, sum
from minidl.ops.registry import NONZERO, op
from minidl.ops.special import erf

if TYPE_CHECKING:
    from minidl.tensor import Tensor


class ReLU(Function):
    formula = r"y = \max(x, 0)"
    adjoint = r"\bar x = [x > 0]\, \bar y"
    on_arrays = True
    saves_output = True

    def forward(self, x: Array) -> Array:
        return kernels_for(x).relu(x)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (y,) = self.saved_outputs
        return (Gate(y)(gy),)


class Gate(Function):
    """What passes where y is above 0: the gradient of ReLU, linear in its input."""

    formula = r"x = [y > 0]\, g"
    adjoint = r"\bar g = [y > 0]\, \bar x"
    on_arrays = True

    def __init__(self, y: Tensor | Array) -> None:
        self.buffers = (y.array if isinstance(y, Variable) else y,)

    def forward(self, g: Array) -> Array:
        return kernels_for(g).relu_grad(g, self.buffers[0])

    def backward(self, gx: Tensor, needs: Needs) -> Any:
        return (Gate(self.buffers[0])(gx),)


@op(ReLU, Gate, example=lambda draw: {"input": draw(2, 3)}, domain=NONZERO, oracle="richardson")
def relu(input: Operand, inplace: bool = False) -> Tensor:
    r"""$y = \max(x, 0)$; the subgradient at 0 is 0. `inplace` is accepted, here and below, without effect."""
    return ReLU()(as_tensor(input))


@op(formula=r"y = x > 0 \;?\; x : a x", adjoint=r"\bar x = (x > 0 \;?\; 1 : a)\, \bar y",
    example=lambda draw: {"input": draw(2, 3), "negative_slope": 0.1}, domain=NONZERO, oracle="richardson")  # fmt: skip
def leaky_relu(input: Operand, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where it is positive, a·x elsewhere.

    Source: Maas, Hannun and Ng, ICML 2013.
    """
    x = floating(input)
    return where(x > 0, x, x * negative_slope)


class ELU(Function):
    formula = r"y = x > 0 \;?\; x : a (e^{x} - 1)"
    adjoint = r"\bar x = (x > 0 \;?\; 1 : a e^{x})\, \bar y"
    __slots__ = ("a",)
    saves_inputs = (0,)

    def __init__(self, a: float) -> None:
        self.a = float(a)

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        return xp.where(x > 0, x, self.a * xp.expm1(xp.minimum(x, x.dtype.type(0))))

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (x,) = self.saved_inputs
        negative = where(x > 0, 0, x)  # the branch not taken must not overflow
        return (gy * where(x > 0, 1, exp(negative) * self.a),)


@op(ELU, example=lambda draw: {"input": draw(2, 3), "alpha": 0.7}, domain=NONZERO, oracle="richardson")
def elu(input: Operand, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where it is positive, α(eˣ − 1) elsewhere.

    Source: Clevert, Unterthiner and Hochreiter, arXiv:1511.07289.
    """
    return ELU(alpha)(floating(input))


def sigmoid_of(x: Array) -> Array:
    """1 / (1 + e^−x) of an array, without overflow."""
    xp = array_module(x)
    if x.dtype.kind == "c":
        return 1 / (1 + xp.exp(-x))
    if x.dtype == np.float16:
        return sigmoid_of(x.astype(np.float32)).astype(x.dtype)
    one, most = x.dtype.type(1), x.dtype.type(0.99 * math.log(np.finfo(x.dtype).max))
    return one / (one + xp.exp(xp.minimum(-x, most)))  # unlike (tanh(x/2) + 1)/2, exact also where it is tiny


class Sigmoid(Function):
    formula = r"y = \frac{1}{1 + e^{-x}}"
    adjoint = r"\bar x = y (1 - y)\, \bar y"
    on_arrays = True
    saves_output = True

    def forward(self, x: Array) -> Array:
        return sigmoid_of(x)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (y,) = self.saved_outputs
        return (gy * y * (1 - y),)


@op(Sigmoid, example=lambda draw: {"input": draw(2, 3)}, orders=3)
def sigmoid(input: Operand) -> Tensor:
    r"""$y = 1/(1 + e^{-x})$, without overflow at either end."""
    return Sigmoid()(floating(input))


class Tanh(Function):
    formula = r"y = \tanh x"
    adjoint = r"\bar x = (1 - y^2)\, \bar y"
    on_arrays = True
    saves_output = True

    def forward(self, x: Array) -> Array:
        return array_module(x).tanh(x)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (y,) = self.saved_outputs
        return (gy * (1 - y * y),)


@op(Tanh, example=lambda draw: {"input": draw(2, 3)}, orders=3)
def tanh(input: Operand) -> Tensor:
    r"""$y = \tanh x$."""
    return Tanh()(floating(input))


@op(formula=r"y = x\, \Phi(x) = \tfrac{x}{2} \left(1 + \operatorname{erf} \tfrac{x}{\sqrt 2}\right)",
    adjoint=r"\bar x = (\Phi(x) + x\, \varphi(x))\, \bar y",
    example=lambda draw: {"input": draw(2, 3)}, oracle="richardson")  # fmt: skip
def gelu(input: Operand, approximate: str = "none") -> Tensor:
    r"""$y = x\,\Phi(x)$, Φ the normal distribution function.

    Arguments:
        approximate: "none" with the error function, or "tanh" with the approximation of the paper.

    Source: Hendrycks and Gimpel, arXiv:1606.08415.
    """
    x = floating(input)
    if approximate == "tanh":
        inner = (x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)
        return x * 0.5 * (tanh(inner) + 1)
    if approximate != "none":
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return x * 0.5 * (erf(x * math.sqrt(0.5)) + 1)


@op(formula=r"y = x\, \sigma(x)", adjoint=r"\bar x = \sigma(x)\,(1 + x (1 - \sigma(x)))\, \bar y",
    example=lambda draw: {"input": draw(2, 3)})  # fmt: skip
def silu(input: Operand, inplace: bool = False) -> Tensor:
    r"""$y = x\,\sigma(x)$, also called swish.

    Source: Elfwing, Uchibe and Doya, arXiv:1702.03118.
    """
    x = floating(input)
    return x * sigmoid(x)


class Softplus(Function):
    formula = r"y = \tfrac{1}{\beta} \ln(1 + e^{\beta x})"
    adjoint = r"\bar x = \sigma(\beta x)\, \bar y"
    __slots__ = ("beta", "threshold")
    saves_inputs = (0,)

    def __init__(self, beta: float, threshold: float) -> None:
        self.beta, self.threshold = float(beta), float(threshold)

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        z = x * self.beta
        if x.dtype.kind == "c":
            return xp.log(1 + xp.exp(z)) / self.beta
        soft = (xp.maximum(z, 0) + xp.log1p(xp.exp(-xp.abs(z)))) / self.beta
        return xp.where(z > self.threshold, x, soft).astype(x.dtype, copy=False)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (x,) = self.saved_inputs
        z = x * self.beta
        return (where(z.array.real > self.threshold, gy, gy * sigmoid(z)),)


@op(Softplus, example=lambda draw: {"input": draw(2, 3), "beta": 1.5})
def softplus(input: Operand, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    r"""$y = \frac1\beta\ln(1 + e^{\beta x})$, and x itself where βx exceeds the threshold."""
    return Softplus(beta, threshold)(floating(input))


@op(formula=r"y = \ln \sigma(x) = -\ln(1 + e^{-x})", adjoint=r"\bar x = \sigma(-x)\, \bar y",
    example=lambda draw: {"input": draw(2, 3)})  # fmt: skip
def logsigmoid(input: Operand) -> Tensor:
    r"""$y = \ln \sigma(x)$, finite where σ underflows."""
    return -softplus(-floating(input), threshold=math.inf)


class Softmax(Function):
    formula = r"y_k = \frac{e^{x_k}}{\sum_j e^{x_j}}"
    adjoint = r"\bar x_k = y_k \left(\bar y_k - \textstyle\sum_j \bar y_j y_j\right)"
    __slots__ = ("axis",)
    saves_output = True

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        if not x.size:
            return x.copy()
        y = xp.exp(x - x.real.max(axis=self.axis, keepdims=True))
        y /= y.sum(axis=self.axis, keepdims=True)
        return y

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (y,) = self.saved_outputs
        weighted = gy * y
        return (weighted - y * sum(weighted, self.axis, True),)


@op(Softmax, example=lambda draw: {"input": draw(2, 3, 2), "dim": 1}, orders=3)
def softmax(input: Operand, dim: int | None = None, dtype: Any = None) -> Tensor:
    r"""$y_k = e^{x_k} / \sum_j e^{x_j}$ along `dim`: positive numbers that add up to 1.

    It is the normalised exponential, not the soft threshold that document 003 calls it (ERRATA 003-T18, 003-T19).
    """
    x = floating(input) if dtype is None else cast(input, dtype)
    return Softmax(_axis("softmax", x, dim))(x)


class LogSoftmax(Function):
    formula = r"y_k = x_k - \ln \textstyle\sum_j e^{x_j}"
    adjoint = r"\bar x_k = \bar y_k - e^{y_k} \textstyle\sum_j \bar y_j"
    __slots__ = ("axis",)
    saves_output = True

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        if not x.size:
            return x.copy()
        z = x - x.real.max(axis=self.axis, keepdims=True)
        return z - xp.log(xp.exp(z).sum(axis=self.axis, keepdims=True))

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (y,) = self.saved_outputs
        return (gy - exp(y) * sum(gy, self.axis, True),)


@op(LogSoftmax, example=lambda draw: {"input": draw(2, 3, 2), "dim": 1}, orders=3)
def log_softmax(input: Operand, dim: int | None = None, dtype: Any = None) -> Tensor:
    r"""$y_k = x_k - \ln\sum_j e^{x_j}$ along `dim`: the logarithm of softmax, exact where softmax underflows."""
    x = floating(input) if dtype is None else cast(input, dtype)
    return LogSoftmax(_axis("log_softmax", x, dim))(x)


def _axis(name: str, x: Tensor, dim: int | None) -> int:
    if dim is None:
        raise TypeError(f"{name}: say along which dimension, for example dim=-1")
    if x.array.ndim == 0:
        raise IndexError(f"{name}: a 0-d tensor has no dimension to normalise")
    return axes_of(name, x.array.ndim, dim)[0]
