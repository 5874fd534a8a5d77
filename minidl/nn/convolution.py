"""Convolution layers and their transposes."""

from __future__ import annotations

from typing import Any, ClassVar

from minidl.backend import Device, Generator
from minidl.creation import empty
from minidl.nn import functional as F
from minidl.nn import init
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter
from minidl.nn.sizes import Size, as_tuple
from minidl.tensor import Tensor

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Convolution(Module):
    """What the convolutions and their transposes have in common: the sizes, the weights, and how they are printed."""

    dims: ClassVar[int]
    transposed: ClassVar[bool] = False

    weight: Parameter
    bias: Parameter | None
    output_padding: tuple[int, ...]
    padding: tuple[int, ...] | str

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size, padding: Size | str,
        output_padding: Size, dilation: Size, groups: int, bias: bool, padding_mode: str,
        device: Device | str | None, dtype: Any, generator: Generator | None,
    ) -> None:  # fmt: skip
        super().__init__()
        name = type(self).__name__
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(f"{name}: groups={groups} must divide C={in_channels} input and O={out_channels} output")
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"{name}: padding_mode must be one of {', '.join(PADDING_MODES)}, got {padding_mode!r}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = as_tuple(name, "kernel_size", kernel_size, self.dims)
        self.stride = as_tuple(name, "stride", stride, self.dims)
        self.dilation = as_tuple(name, "dilation", dilation, self.dims)
        self.output_padding = as_tuple(name, "output_padding", output_padding, self.dims)
        self.padding_mode = padding_mode
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"{name}: padding must be a size, 'same' or 'valid', got {padding!r}")
            if padding == "same" and set(self.stride) != {1}:
                raise ValueError(f"{name}: padding='same' keeps the size only with stride 1, got {self.stride}")
            self.padding = padding
        else:
            self.padding = as_tuple(name, "padding", padding, self.dims)
        outer, inner = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        device = device or "cpu"
        shape = (outer, inner // groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, dtype=dtype, device=device))
        self.register_parameter("bias", Parameter(empty(out_channels, dtype=dtype, device=device)) if bias else None)
        self.reset_parameters(generator)

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw the weights anew."""
        init.default_(self.weight, self.bias, generator)

    def _padded(self, input: Tensor) -> tuple[Tensor, Any]:
        """The input with its border where the convolution itself cannot make it, and the padding that is left to do."""
        if self.padding_mode == "zeros":
            return input, self.padding
        widths: list[int] = []
        for i in reversed(range(self.dims)):  # F.pad takes the last dimension first
            if isinstance(self.padding, str):
                total = self.dilation[i] * (self.kernel_size[i] - 1) if self.padding == "same" else 0
                widths += [total // 2, total - total // 2]
            else:
                widths += [self.padding[i]] * 2
        return F.pad(input, widths, mode=self.padding_mode), 0

    def extra_repr(self) -> str:
        facts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        if isinstance(self.padding, str) or any(self.padding):
            facts.append(f"padding={self.padding}")
        if set(self.dilation) != {1}:
            facts.append(f"dilation={self.dilation}")
        if any(self.output_padding):
            facts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            facts.append(f"groups={self.groups}")
        if self.bias is None:
            facts.append("bias=False")
        if self.padding_mode != "zeros":
            facts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(facts)


class Conv1d(_Convolution):
    """Filters slid along signals.

    Arguments:
        in_channels: C. out_channels: O. kernel_size: K.
        stride, padding, dilation, groups: as in `conv1d`; padding may be "same" or "valid".
        padding_mode: what stands beyond the border: "zeros", "reflect", "replicate" or "circular".
        generator: what the first weights are drawn from.

    Weights: weight (O, C/groups, K), bias (O,), drawn from ±1/√(C/groups·K).
    """

    dims = 1

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Size | str = 0,
        dilation: Size = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros",
        device: Device | str | None = None, dtype: Any = None, *, generator: Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, 0, dilation, groups, bias,
                         padding_mode, device, dtype, generator)  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        x, padding = self._padded(input)
        return F.conv1d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv2d(_Convolution):
    """Filters slid over images.

    Arguments:
        in_channels: C. out_channels: O. kernel_size: K, or (KH, KW).
        stride, padding, dilation, groups: as in `conv2d`; padding may be "same" or "valid".
        padding_mode: what stands beyond the border: "zeros", "reflect", "replicate" or "circular".
        generator: what the first weights are drawn from.

    Weights: weight (O, C/groups, KH, KW), bias (O,), drawn from ±1/√(C/groups·KH·KW).
    """

    dims = 2

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Size | str = 0,
        dilation: Size = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros",
        device: Device | str | None = None, dtype: Any = None, *, generator: Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, 0, dilation, groups, bias,
                         padding_mode, device, dtype, generator)  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        x, padding = self._padded(input)
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class _ConvTranspose(_Convolution):
    """What the transposed convolutions have in common: the choice among the sizes that convolve to the same one."""

    transposed = True

    padding: tuple[int, ...]

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Size = 0,
        output_padding: Size = 0, groups: int = 1, bias: bool = True, dilation: Size = 1, padding_mode: str = "zeros",
        device: Device | str | None = None, dtype: Any = None, *, generator: Generator | None = None,
    ) -> None:  # fmt: skip
        if padding_mode != "zeros":
            raise ValueError(f"{type(self).__name__}: padding_mode must be 'zeros', got {padding_mode!r}")
        if isinstance(padding, str):
            raise TypeError(f"{type(self).__name__}: padding must be a size, got {padding!r}")
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, output_padding, dilation, groups,
                         bias, padding_mode, device, dtype, generator)  # fmt: skip

    def _output_padding(self, input: Tensor, output_size: Size | None) -> tuple[int, ...]:
        """The rows and columns to add so that the output has the size that was asked for."""
        if output_size is None:
            return self.output_padding
        wanted = as_tuple(type(self).__name__, "output_size", output_size, self.dims)
        smallest = [
            (n - 1) * S - 2 * P + D * (K - 1) + 1
            for n, S, P, D, K in zip(
                input.shape[-self.dims :], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        ]
        for size, least, S in zip(wanted, smallest, self.stride, strict=True):
            if not least <= size < least + S:
                raise ValueError(
                    f"{type(self).__name__}: output_size {wanted} is not possible for an input of shape "
                    f"{tuple(input.shape)}; it can be {tuple(smallest)} and up to {self.stride} minus 1 more"
                )
        return tuple([size - least for size, least in zip(wanted, smallest, strict=True)])


class ConvTranspose1d(_ConvTranspose):
    """The transpose of `Conv1d`: a filter painted for every number of the input, S apart.

    Arguments:
        in_channels: C. out_channels: O. kernel_size: K.
        stride, padding, dilation, groups: those of the convolution that it transposes.
        output_padding: how much longer the output is than the shortest possible.
        generator: what the first weights are drawn from.

    Weights: weight (C, O/groups, K), bias (O,), drawn from ±1/√(O/groups·K).
    """

    dims = 1

    def forward(self, input: Tensor, output_size: Size | None = None) -> Tensor:
        more = self._output_padding(input, output_size)
        return F.conv_transpose1d(
            input, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation
        )  # fmt: skip


class ConvTranspose2d(_ConvTranspose):
    """The transpose of `Conv2d`: a filter painted for every number of the input, S pixels apart.

    Arguments:
        in_channels: C. out_channels: O. kernel_size: K, or (KH, KW).
        stride, padding, dilation, groups: those of the convolution that it transposes.
        output_padding: how many rows and columns more the output has than the smallest possible.
        generator: what the first weights are drawn from.

    Weights: weight (C, O/groups, KH, KW), bias (O,), drawn from ±1/√(O/groups·KH·KW).
    """

    dims = 2

    def forward(self, input: Tensor, output_size: Size | None = None) -> Tensor:
        more = self._output_padding(input, output_size)
        return F.conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation
        )  # fmt: skip
