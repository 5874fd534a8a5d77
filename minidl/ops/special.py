r"""The error function.

$\operatorname{erf}(x) = \frac{2}{\sqrt\pi} \int_0^x e^{-t^2} dt$ has no closed form and NumPy has none; three rational
approximations, each for a stretch of |x|, reach full double precision.

Source of the method and the coefficients: W. J. Cody, Mathematics of Computation 23(107):631–637, 1969.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.function import Function, Needs
from minidl.backend import Array, array_module
from minidl.ops.broadcasting import Operand, floating
from minidl.ops.elementwise import exp
from minidl.ops.registry import op

if TYPE_CHECKING:
    from minidl.tensor import Tensor

SMALL = (  # |x| ≤ 0.46875: erf(x) = x P(x²) / Q(x²)
    (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
MIDDLE = (  # 0.46875 < |x| ≤ 4: erfc(x) = e^(−x²) P(x) / Q(x)
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1, 2.98635138197400131e2,
     8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
     3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
)  # fmt: skip
LARGE = (  # |x| > 4: erfc(x) = e^(−x²) / x · (1/√π − P(1/x²) / Q(1/x²) / x²)
    (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
     1.60837851487422766e-2, 6.58749161529837803e-4),
    (1.0, 2.56852019228982242, 1.87295284992346725, 5.27905102951428412e-1, 6.05183413124413191e-2,
     2.33520497626869185e-3),
)  # fmt: skip


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], t: Array, xp: Any) -> Array:
    numerator, denominator = coefficients
    return xp.polyval(xp.asarray(numerator), t) / xp.polyval(xp.asarray(denominator), t)


def erf_of(x: Array) -> Array:
    """The error function of an array, to double precision."""
    xp = array_module(x)
    wide = x.astype(np.float64)
    size = xp.abs(wide)
    near = wide * _ratio(SMALL, xp.minimum(size, 0.46875) ** 2, xp)
    middle = xp.clip(size, 0.46875, 4.0)
    decay = xp.exp(-(middle**2)) * _ratio(MIDDLE, middle, xp)
    far = xp.clip(size, 4.0, 30.0)
    tail = xp.exp(-(far**2)) / far * (1 / math.sqrt(math.pi) - _ratio(LARGE, far**-2, xp) * far**-2)
    y = xp.where(size <= 0.46875, near, xp.sign(wide) * (1 - xp.where(size <= 4.0, decay, tail)))
    return xp.where(xp.isnan(wide), wide, y).astype(x.dtype)


class Erf(Function):
    formula = r"y = \tfrac{2}{\sqrt\pi} \int_0^x e^{-t^2} dt"
    adjoint = r"\bar x = \tfrac{2}{\sqrt\pi} e^{-x^2}\, \bar y"
    saves_inputs = (0,)

    def forward(self, x: Array) -> Array:
        return erf_of(x)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (x,) = self.saved_inputs
        return (gy * exp(-x * x) * (2 / math.sqrt(math.pi)),)


@op(Erf, example=lambda draw: {"input": draw(2, 3)}, oracle="richardson")
def erf(input: Operand) -> Tensor:
    r"""$y = \frac{2}{\sqrt\pi}\int_0^x e^{-t^2}dt$, the error function."""
    return Erf()(floating(input))
