r"""Convolution: one small weighted sum, slid over the image.

    y[n,o,i,j] = b[o] + Σ_c Σ_u Σ_v  x[n, c, i·S + u·D − P, j·S + v·D − P] · w[o,c,u,v]

Every output channel o has a filter w[o], a stack of C small K×K pictures. Laid on the image it gives one number, how
much that patch looks like the filter; the next number comes from S pixels further on. Outside the image x is 0, P
pixels of that count. (In mathematics this is *cross-correlation*; a convolution would turn the filter round first.
Filters are learned, so deep learning does without. Document 001 shows the slide but not the sign: ERRATA 001-T10.)

What is its gradient? Multiply the output by any g of its shape and add up:

    Σ g·y  =  Σ  g[n,o,i,j] · x[n,c,h,w] · w[o,c,u,v]      over all places where pixel (h, w) lies under weight (u, v)

The image x, the filters w and the map g enter alike, once each. Summing with one of the three left out gives an array
of its shape, so there are three operations,

    Conv2d            x, w → y     leaves out the map
    Conv2dInputGrad   g, w → x     leaves out the image       (the *transposed convolution*)
    Conv2dWeightGrad  x, g → w     leaves out the filters

and the gradients of each are the other two. That closes the circle: convolution has derivatives of every order, and
they are all convolutions.

Source: LeCun et al., Neural Computation 1(4), 1989; Dumoulin and Visin, arXiv:1603.07285 (sizes, transposition).
Document 002 names the formula without giving it (ERRATA 002-F1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from minidl.autograd.function import Function, Needs
from minidl.backend import Array
from minidl.kernels import Padding, Pair, kernels_for
from minidl.ops.broadcasting import Operand, floating, promoted
from minidl.ops.joining import pad
from minidl.ops.reduce import sum
from minidl.ops.registry import op
from minidl.ops.shape import reshape
from minidl.ops.windows import Size, as_given, as_images, pair

if TYPE_CHECKING:
    from minidl.tensor import Tensor


class Slide(NamedTuple):
    """How windows lie on an image."""

    stride: Pair
    padding: Padding
    dilation: Pair
    groups: int


# ── the three operations ──────────────────────────────────────────────────────────────────────────


class Conv2d(Function):
    """Image (N,C,H,W) and filters (O,C/G,KH,KW), with or without bias (O,), to a map (N,O,OH,OW)."""

    formula = r"y_{noij} = b_o + \sum_{c,u,v} x_{n,c,\,iS+uD-P,\,jS+vD-P}\; w_{ocuv}"
    adjoint = (
        r"\bar x = \operatorname{conv}^\top(\bar y, w),\quad \bar w = x \star \bar y,\quad "
        r"\bar b_o = \textstyle\sum_{n,i,j} \bar y_{noij}"
    )
    __slots__ = ("image", "kernel", "slide")

    def __init__(self, slide: Slide) -> None:
        self.slide = slide

    def inputs_to_save(self, needs: Needs) -> tuple[int, ...]:
        return (1,) * needs[0] + (0,) * needs[1]

    def forward(self, x: Array, w: Array, b: Array | None = None) -> Array:
        self.image, self.kernel = x.shape[2:], w.shape[2:]
        return kernels_for(x).conv2d(x, w, b, *self.slide)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        x, w = self.saved_inputs[:2] or (None, None)  # nothing is saved when only the bias is wanted
        gx = Conv2dInputGrad(self.slide, self.image)(gy, w) if needs[0] else None
        gw = Conv2dWeightGrad(self.slide, self.kernel)(x, gy) if needs[1] else None
        gb = sum(gy, (0, 2, 3)) if needs[2:] == (True,) else None
        return (gx, gw, gb)[: len(needs)]


class Conv2dInputGrad(Function):
    """Map (N,O,OH,OW) and filters (O,C/G,KH,KW) to an image (N,C,H,W): every number paints its filter, they add up."""

    formula = r"x_{nchw} = \sum_{o} \sum_{\,iS+uD-P = h,\; jS+vD-P = w} g_{noij}\; w_{ocuv}"
    adjoint = r"\bar g = \operatorname{conv}(\bar x, w),\quad \bar w = \bar x \star g"
    __slots__ = ("image", "kernel", "slide")

    def __init__(self, slide: Slide, image: Pair) -> None:
        self.slide, self.image = slide, image

    def inputs_to_save(self, needs: Needs) -> tuple[int, ...]:
        return (1,) * needs[0] + (0,) * needs[1]

    def forward(self, g: Array, w: Array) -> Array:
        self.kernel = w.shape[2:]
        return kernels_for(g).conv2d_input_grad(g, w, self.image, *self.slide)

    def backward(self, gx: Tensor, needs: Needs) -> Any:
        g, w = self.saved_inputs
        gg = Conv2d(self.slide)(gx, w) if needs[0] else None
        gw = Conv2dWeightGrad(self.slide, self.kernel)(gx, g) if needs[1] else None
        return gg, gw


class Conv2dWeightGrad(Function):
    """Image (N,C,H,W) and map (N,O,OH,OW) to filters (O,C/G,KH,KW): what each weight saw, weighted by the map."""

    formula = r"w_{ocuv} = \sum_{n,i,j} x_{n,c,\,iS+uD-P,\,jS+vD-P}\; g_{noij}"
    adjoint = r"\bar x = \operatorname{conv}^\top(g, \bar w),\quad \bar g = \operatorname{conv}(x, \bar w)"
    __slots__ = ("image", "kernel", "slide")

    def __init__(self, slide: Slide, kernel: Pair) -> None:
        self.slide, self.kernel = slide, kernel

    def inputs_to_save(self, needs: Needs) -> tuple[int, ...]:
        return (1,) * needs[0] + (0,) * needs[1]

    def forward(self, x: Array, g: Array) -> Array:
        self.image = x.shape[2:]
        return kernels_for(x).conv2d_weight_grad(x, g, self.kernel, *self.slide)

    def backward(self, gw: Tensor, needs: Needs) -> Any:
        x, g = self.saved_inputs
        gx = Conv2dInputGrad(self.slide, self.image)(g, gw) if needs[0] else None
        gg = Conv2d(self.slide)(x, gw) if needs[1] else None
        return gx, gg


# ── what a person calls ───────────────────────────────────────────────────────────────────────────


@op(Conv2d, Conv2dInputGrad, Conv2dWeightGrad,
    example=lambda draw: {"input": draw(2, 4, 5, 6), "weight": draw(4, 2, 2, 3), "bias": draw(4), "stride": (2, 1),
                          "padding": (0, 2), "dilation": (1, 2), "groups": 2})  # fmt: skip
def conv2d(input: Operand, weight: Operand, bias: Operand | None = None, stride: Size = 1, padding: Size | str = 0,
           dilation: Size = 1, groups: int = 1) -> Tensor:  # fmt: skip
    r"""Slide filters over images: the formula at the head of this file. It is a cross-correlation, nothing is flipped.

    Arguments:
        input: (N, C, H, W), or (C, H, W) without a batch.
        weight: the filters, (O, C/groups, KH, KW).
        bias: (O,) or None.
        stride: S, pixels from one window to the next; one number or (height, width), as all sizes.
        padding: P, rows and columns of zeros on every side; "valid" for none, "same" for as many as keep the size.
        dilation: D, pixels from one weight of the window to the next.
        groups: G; output channels see only the input channels of their own group.

    Returns:
        (N, O, OH, OW) with $OH = \lfloor (H + 2P - D(KH - 1) - 1) / S \rfloor + 1$, and OW alike.

    Raises:
        RuntimeError: channels, bias or number of dimensions do not fit.
        ValueError: a size that is not allowed, or a window larger than the padded image.

    >>> import minidl as dl
    >>> x = dl.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]])
    >>> conv2d(x, dl.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    tensor([[[[37., 47.],
              [67., 77.]]]])
    """
    return _convolved("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@op(Conv2d, Conv2dInputGrad, Conv2dWeightGrad,
    example=lambda draw: {"input": draw(2, 3, 7), "weight": draw(4, 3, 2), "bias": draw(4), "stride": 2, "padding": 1,
                          "dilation": 3})  # fmt: skip
def conv1d(input: Operand, weight: Operand, bias: Operand | None = None, stride: Size = 1, padding: Size | str = 0,
           dilation: Size = 1, groups: int = 1) -> Tensor:  # fmt: skip
    """Slide filters along signals: `conv2d` on images one row high.

    Arguments:
        input: (N, C, L) or (C, L). weight: (O, C/groups, K). The rest as in `conv2d`.

    Returns:
        (N, O, OL).
    """
    return _convolved("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def _convolved(name: str, dims: int, input: Operand, weight: Operand, bias: Operand | None, stride: Size,
               padding: Size | str, dilation: Size, groups: int) -> Tensor:  # fmt: skip
    given, operands, slide = laid_out(name, dims, input, weight, bias, stride, padding, dilation, groups)
    return as_given(Conv2d(slide)(*operands), given, dims)


def laid_out(name: str, dims: int, input: Operand, weight: Operand, bias: Operand | None, stride: Size,
             padding: Size | str, dilation: Size, groups: int) -> tuple[Tensor, list[Tensor], Slide]:  # fmt: skip
    """The input as given; images, filters and bias that fit together; and how the windows lie."""
    given, w, *b = _operands(name, dims, input, weight, bias)
    x, w = as_images(name, given, dims), _as_filters(w)
    C = x.array.shape[1]
    O, expected, KH, KW = w.array.shape
    kernel = f"K={KH}×{KW}" if dims == 2 else f"K={KW}"
    if groups < 1 or C % groups or O % groups:
        raise RuntimeError(f"{name}: groups={groups} must divide the C={C} input and the O={O} output channels")
    if expected * groups != C:
        split = f" for each of {groups} groups, {expected * groups} in all" if groups > 1 else ""
        raise RuntimeError(
            f"{name}: x has C={C} channels, but the weight ({kernel}, C={expected}) expects {expected}{split}"
        )
    _fits(name, b, O)
    steps, dilations = pair(name, "stride", stride, dims), pair(name, "dilation", dilation, dims)
    borders = _borders(name, dims, padding, (KH, KW), steps, dilations)
    return given, [x, w, *b], Slide(steps, borders, dilations, groups)


@op(Conv2dInputGrad, Conv2d, Conv2dWeightGrad,
    example=lambda draw: {"input": draw(2, 4, 3, 2), "weight": draw(4, 2, 2, 3), "bias": draw(4), "stride": (2, 3),
                          "padding": (0, 1), "output_padding": (1, 0), "groups": 2, "dilation": (2, 1)})  # fmt: skip
def conv_transpose2d(input: Operand, weight: Operand, bias: Operand | None = None, stride: Size = 1, padding: Size = 0,
                     output_padding: Size = 0, groups: int = 1, dilation: Size = 1) -> Tensor:  # fmt: skip
    r"""Paint a filter for every number of the input, S pixels apart: the transpose of the linear map `conv2d`.

    Not its inverse: `conv_transpose2d(conv2d(x, w), w)` has the shape of x but not its values.

    Arguments:
        input: (N, C, H, W) or (C, H, W).
        weight: (C, O/groups, KH, KW): the filters of the convolution that it transposes.
        bias: (O,) or None.
        stride, padding, dilation: those of that convolution.
        output_padding: rows and columns added at the bottom and the right; several sizes convolve to the same one,
            this says which is meant. It must be smaller than the stride or the dilation.

    Returns:
        (N, O, OH, OW) with $OH = (H - 1) S - 2P + D (KH - 1) + \text{output\_padding} + 1$, and OW alike.

    Raises:
        RuntimeError: channels, bias or sizes do not fit.
    """
    return _transposed("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@op(Conv2dInputGrad, Conv2d, Conv2dWeightGrad,
    example=lambda draw: {"input": draw(2, 3, 4), "weight": draw(3, 2, 3), "bias": draw(2), "stride": 2, "padding": 1,
                          "output_padding": 1})  # fmt: skip
def conv_transpose1d(input: Operand, weight: Operand, bias: Operand | None = None, stride: Size = 1, padding: Size = 0,
                     output_padding: Size = 0, groups: int = 1, dilation: Size = 1) -> Tensor:  # fmt: skip
    """The transpose of `conv1d`: input (N, C, L), weight (C, O/groups, K), the rest as in `conv_transpose2d`."""
    return _transposed("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def _transposed(name: str, dims: int, input: Operand, weight: Operand, bias: Operand | None, stride: Size,
                padding: Size, output_padding: Size, groups: int, dilation: Size) -> Tensor:  # fmt: skip
    given, w, *b = _operands(name, dims, input, weight, bias)
    x, w = as_images(name, given, dims), _as_filters(w)
    C, *rows = x.array.shape[1:]
    expected, per_group, *K = w.array.shape
    if groups < 1 or expected != C or C % groups:
        raise RuntimeError(
            f"{name}: x has C={C} channels, but the weight of shape {tuple(w.array.shape)} "
            f"(C, O/groups, KH, KW) expects {expected}, divisible by groups={groups}"
        )
    _fits(name, b, per_group * groups)
    S, D = pair(name, "stride", stride, dims), pair(name, "dilation", dilation, dims)
    P, extra = pair(name, "padding", padding, dims), pair(name, "output_padding", output_padding, dims)
    if any(e < 0 or e >= max(s, d) for e, s, d in zip(extra, S, D, strict=True)):
        raise RuntimeError(f"{name}: output_padding={output_padding} must be smaller than the stride or the dilation")
    size = [(rows[i] - 1) * S[i] - 2 * P[i] + D[i] * (K[i] - 1) + extra[i] + 1 for i in (0, 1)]
    if min(size) < 1:
        raise RuntimeError(f"{name}: an input of {rows[0]}×{rows[1]} gives an output of {size[0]}×{size[1]} pixels")
    late = [e // s for e, s in zip(extra, S, strict=True)]
    if any(late):  # so much is added that the convolution has more windows there: they paint nothing
        x = pad(x, (0, late[1], 0, late[0]))
    slide = Slide(S, (P[0], P[0], P[1], P[1]), D, groups)
    y = Conv2dInputGrad(slide, (size[0], size[1]))(x, w)
    if b:
        y = y + reshape(b[0], (-1, 1, 1))
    return as_given(y, given, dims)


def _operands(name: str, dims: int, input: Operand, weight: Operand, bias: Operand | None) -> tuple[Tensor, ...]:
    """Input, weight and, if there is one, bias, in one floating dtype."""
    given = (input, weight) if bias is None else (input, weight, bias)
    operands = promoted(*[floating(x) for x in given])
    if operands[1].array.ndim != dims + 2:
        expected = "(O, C/groups, KH, KW)" if dims == 2 else "(O, C/groups, K)"
        raise RuntimeError(f"{name}: the weight must be {expected}, got shape {operands[1].array.shape}")
    return operands


def _as_filters(w: Tensor) -> Tensor:
    """Filters of a signal are one row high."""
    return w if w.array.ndim == 4 else reshape(w, (*w.array.shape[:2], 1, w.array.shape[2]))


def _fits(name: str, bias: list[Tensor], channels: int) -> None:
    if bias and bias[0].array.shape != (channels,):
        raise RuntimeError(f"{name}: the bias has shape {bias[0].array.shape}, but there are O={channels} channels")


def _borders(name: str, dims: int, padding: Size | str, kernel: Pair, stride: Pair, dilation: Pair) -> Padding:
    """The rows and columns added at the (top, bottom, left, right)."""
    if not isinstance(padding, str):
        P = pair(name, "padding", padding, dims)
        return P[0], P[0], P[1], P[1]
    if padding == "valid":
        return 0, 0, 0, 0
    if padding != "same":
        raise ValueError(f"{name}: padding must be a size, 'same' or 'valid', got {padding!r}")
    if stride != (1, 1):
        raise ValueError(f"{name}: padding='same' keeps the size only with stride 1, got {stride[0]}×{stride[1]}")
    rows, columns = (D * (K - 1) for D, K in zip(dilation, kernel, strict=True))
    return rows // 2, rows - rows // 2, columns // 2, columns - columns // 2
