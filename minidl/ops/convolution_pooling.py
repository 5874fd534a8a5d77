r"""Convolution, ReLU and max pooling as one operation.

Pooling throws three of four numbers away, and ReLU cuts many of the rest, yet run one after the other the three write
the whole map to memory, twice, and read it back. Here it never leaves the cache: what remains is the pooled map and a
byte a window that says who won. On the way back only the winners have a gradient.

`python -m benchmarks face-cnn` measures a network of three of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minidl.autograd.function import Needs
from minidl.backend import Array
from minidl.kernels import Pair, kernels_for
from minidl.ops.activation import relu
from minidl.ops.broadcasting import Operand
from minidl.ops.convolution import Conv2d, Slide, laid_out
from minidl.ops.fused import Fused
from minidl.ops.pooling import max_pool2d
from minidl.ops.registry import DISTINCT, op
from minidl.ops.windows import Size, as_given, pair

if TYPE_CHECKING:
    from minidl.tensor import Tensor


class Conv2dReluMaxPool2d(Fused):
    """Images (N,C,H,W) and filters (O,C/G,KH,KW), with or without bias (O,), to pooled maps (N,O,PH,PW)."""

    formula = r"y = \max_{(u,v) \in \text{window}} \max(0, \operatorname{conv}(x, w) + b)_{\,iS+u,\,jS+v}"
    adjoint = (
        r"\bar z_{\text{winner}} = [y > 0]\, \bar y,\quad \bar x = \operatorname{conv}^\top(\bar z, w),\quad "
        r"\bar w = x \star \bar z,\quad \bar b = \textstyle\sum \bar z"
    )
    __slots__ = ("pool", "slide")

    def __init__(self, slide: Slide, pool: tuple[Pair, Pair]) -> None:
        self.slide, self.pool = slide, pool

    def composite(self, x: Tensor, w: Tensor, *b: Tensor) -> Tensor:
        return max_pool2d(relu(Conv2d(self.slide)(x, w, *b)), *self.pool)

    def forward(self, x: Array, w: Array, b: Array | None = None) -> Array:
        y, winners = kernels_for(x).conv2d_relu_max_pool2d(x, w, b, *self.slide, *self.pool)
        self.buffers = (winners,)
        return y

    def fast_backward(self, gy: Array, needs: Needs) -> tuple[Array | None, ...]:
        x, w = self.saved_arrays[:2]
        wanted = (*needs, False)[:3]
        gradients = kernels_for(x).conv2d_relu_max_pool2d_grad(
            gy, self.buffers[0], x, w, *self.slide, *self.pool, wanted
        )
        return gradients[: len(needs)]


@op(Conv2dReluMaxPool2d,
    example=lambda draw: {"input": draw(2, 4, 7, 8), "weight": draw(2, 2, 2, 3), "bias": draw(2), "stride": (1, 2),
                          "padding": (1, 0), "groups": 2, "kernel_size": (3, 2), "pool_stride": (2, 1)},
    domain=DISTINCT, oracle="richardson")  # fmt: skip
def conv2d_relu_max_pool2d(input: Operand, weight: Operand, bias: Operand | None = None, stride: Size = 1,
                           padding: Size | str = 0, dilation: Size = 1, groups: int = 1, kernel_size: Size = 2,
                           pool_stride: Size | None = None) -> Tensor:  # fmt: skip
    """`max_pool2d(relu(conv2d(…)))` in one pass; `nn.Sequential` uses it by itself. PyTorch has no such function.

    Arguments:
        input, weight, bias, stride, padding, dilation, groups: as in `conv2d`.
        kernel_size, pool_stride: the window of the pooling and its step, by default the window's size; without
            padding, and only whole windows count.

    Returns:
        (N, O, PH, PW).

    Raises:
        RuntimeError, ValueError: as `conv2d`, or the pooling window is larger than the map.
    """
    name = "conv2d_relu_max_pool2d"
    given, operands, slide = laid_out(name, 2, input, weight, bias, stride, padding, dilation, groups)
    window = pair(name, "kernel_size", kernel_size)
    steps = window if pool_stride is None else pair(name, "pool_stride", pool_stride)
    return as_given(Conv2dReluMaxPool2d(slide, (window, steps))(*operands), given, 2)
