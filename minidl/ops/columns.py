"""The windows of an image as the columns of a matrix: what turns a convolution into one product of matrices.

`unfold` copies every window, `fold` adds every column back to where its window lay; each is the adjoint of the other.
Chellapilla, Puri and Simard (2006) made convolutions fast this way, and most libraries call it im2col and col2im.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minidl.autograd.function import Function, Needs
from minidl.backend import Array
from minidl.kernels import Pair, kernels_for
from minidl.ops.broadcasting import Operand, floating
from minidl.ops.convolution import Slide
from minidl.ops.registry import op
from minidl.ops.shape import reshape
from minidl.ops.windows import Size, as_images, pair

if TYPE_CHECKING:
    from minidl.tensor import Tensor


class Unfold(Function):
    """Every window of the image as a column: a convolution is then one product of matrices."""

    formula = r"y_{n,\,(c,u,v),\,(i,j)} = x_{n,c,\,iS+uD-P,\,jS+vD-P}"
    adjoint = r"\bar x = \operatorname{fold}(\bar y)"
    __slots__ = ("image", "kernel", "slide")

    def __init__(self, kernel: Pair, slide: Slide) -> None:
        self.kernel, self.slide = kernel, slide

    def forward(self, x: Array) -> Array:
        self.image = x.shape[2:]
        return kernels_for(x).im2col(x, self.kernel, *self.slide[:3])

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (Fold(self.image, self.kernel, self.slide)(gy),)


class Fold(Function):
    """Every column back to where its window lay; where windows overlap, they add up."""

    formula = r"y_{nchw} = \sum_{\,iS+uD-P = h,\; jS+vD-P = w} x_{n,\,(c,u,v),\,(i,j)}"
    adjoint = r"\bar x = \operatorname{unfold}(\bar y)"
    __slots__ = ("image", "kernel", "slide")

    def __init__(self, image: Pair, kernel: Pair, slide: Slide) -> None:
        self.image, self.kernel, self.slide = image, kernel, slide

    def forward(self, x: Array) -> Array:
        return kernels_for(x).col2im(x, self.image, self.kernel, *self.slide[:3])

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (Unfold(self.kernel, self.slide)(gy),)


def _slide(name: str, dilation: Size, padding: Size, stride: Size) -> Slide:
    S, D, P = pair(name, "stride", stride), pair(name, "dilation", dilation), pair(name, "padding", padding)
    return Slide(S, (P[0], P[0], P[1], P[1]), D, 1)


@op(Unfold, Fold, example=lambda draw: {"input": draw(2, 3, 4, 5), "kernel_size": (2, 3), "padding": (1, 0),
                                        "stride": (2, 1), "dilation": (2, 1)})  # fmt: skip
def unfold(input: Operand, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> Tensor:
    """The windows of images as columns ("im2col"); `fold` is its adjoint.

    Arguments:
        input: (N, C, H, W) or (C, H, W). kernel_size, dilation, padding, stride: as in `conv2d`.

    Returns:
        (N, C·KH·KW, number of windows).
    """
    x = floating(input)
    y = Unfold(pair("unfold", "kernel_size", kernel_size), _slide("unfold", dilation, padding, stride))(
        as_images("unfold", x, 2)
    )
    return y if x.array.ndim == 4 else reshape(y, y.array.shape[1:])


@op(Fold, Unfold, example=lambda draw: {"input": draw(2, 12, 4), "output_size": (4, 3), "kernel_size": (3, 2),
                                        "padding": (1, 0), "stride": (2, 1)})  # fmt: skip
def fold(
    input: Operand, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
) -> Tensor:
    """Columns added up to images ("col2im"), the adjoint of `unfold`.

    Arguments:
        input: (N, C·KH·KW, number of windows), or without N.
        output_size: (H, W) of the images. kernel_size, dilation, padding, stride: as in `unfold`.

    Returns:
        (N, C, H, W).
    """
    x = floating(input)
    K = pair("fold", "kernel_size", kernel_size)
    if x.array.ndim not in (2, 3) or x.array.shape[-2] % (K[0] * K[1]):
        raise RuntimeError(
            f"fold: columns of shape {x.array.shape} are not (N, C·KH·KW, windows) with KH·KW = {K[0]}·{K[1]}"
        )
    columns = x if x.array.ndim == 3 else reshape(x, (1, *x.array.shape))
    y = Fold(pair("fold", "output_size", output_size), K, _slide("fold", dilation, padding, stride))(columns)
    return y if x.array.ndim == 3 else reshape(y, y.array.shape[1:])
