"""Normalisation layers: mean 0 and variance 1 over the batch, the features, a group or an image; then an affine map."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minidl.autograd.modes import no_grad
from minidl.backend import Device
from minidl.creation import ones, tensor, zeros
from minidl.nn import functional as F
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter
from minidl.tensor import Tensor


class _WithStatistics(Module):
    """Channels with an affine map and, where asked for, running statistics."""

    ndims: ClassVar[tuple[int, ...]]
    layout: ClassVar[str]

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self, num_features: int, eps: float, momentum: float | None, affine: bool, track_running_stats: bool,
        device: Device | str | None, dtype: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        like: dict[str, Any] = {"dtype": dtype, "device": device or "cpu"}
        self.register_parameter("weight", Parameter(ones(num_features, **like)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(num_features, **like)) if affine else None)
        self.register_buffer("running_mean", zeros(num_features, **like) if track_running_stats else None)
        self.register_buffer("running_var", ones(num_features, **like) if track_running_stats else None)
        count = tensor(0, dtype=np.int64, device=device or "cpu") if track_running_stats else None
        self.register_buffer("num_batches_tracked", count)

    def reset_running_stats(self) -> None:
        """Forget the running statistics."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Start again: statistics forgotten, affine map the identity."""
        self.reset_running_stats()
        with no_grad():
            if self.weight is not None and self.bias is not None:
                self.weight.fill_(1)
                self.bias.zero_()

    def _check(self, input: Tensor) -> None:
        if input.ndim not in self.ndims:
            raise ValueError(f"{type(self).__name__}: expected {self.layout}, got shape {tuple(input.shape)}")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_WithStatistics):
    """What the batch normalisations have in common."""

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, device: Device | str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        if input.shape[1] != self.num_features:
            raise ValueError(
                f"{type(self).__name__}: x has C={input.shape[1]} channels, the layer has {self.num_features}"
            )
        learns = self.training and self.track_running_stats
        share = 0.0 if self.momentum is None else self.momentum
        if learns and self.num_batches_tracked is not None:
            self.num_batches_tracked.array[...] += 1  # no operation: a recorder need not hear of it
            self.num_batches_tracked._written()
            if self.momentum is None:  # the plain average of all batches so far
                share = 1.0 / float(self.num_batches_tracked.item())
        measured = self.training or self.running_mean is None
        kept = (self.running_mean, self.running_var) if learns or not measured else (None, None)
        return F.batch_norm(input, *kept, self.weight, self.bias, measured, share, self.eps)


class BatchNorm1d(_BatchNorm):
    r"""Every channel with mean 0 and variance 1 over the batch, $y = w \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + b$.

    Arguments:
        num_features: C.
        eps: ε.
        momentum: the share of the new batch in the running statistics; None averages all batches alike.
        affine: whether w and b are learned.
        track_running_stats: whether evaluation uses running statistics instead of the batch's own.

    Input: (N, C) or (N, C, L). The running variance is the unbiased one, as in PyTorch.

    Source: Ioffe and Szegedy, arXiv:1502.03167.
    """

    ndims = (2, 3)
    layout = "(N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """As `BatchNorm1d`, for images (N, C, H, W): mean and variance over the batch and the pixels."""

    ndims = (4,)
    layout = "(N, C, H, W)"


class _InstanceNorm(_WithStatistics):
    """What the instance normalisations have in common."""

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False, device: Device | str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        if input.shape[-len(self.ndims) - 1] != self.num_features and self.affine:
            raise ValueError(f"{type(self).__name__}: x of shape {tuple(input.shape)} has not C={self.num_features}")
        x = input if input.ndim == max(self.ndims) else input.unsqueeze(0)
        measured = self.training or not self.track_running_stats
        y = F.instance_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, measured, self.momentum or 0.0, self.eps
        )
        return y if input.ndim == max(self.ndims) else y.squeeze(0)


class InstanceNorm2d(_InstanceNorm):
    """Every channel of every image with mean 0 and variance 1 over its pixels; arguments as in `BatchNorm1d`.

    Input: (N, C, H, W) or (C, H, W). Without `affine` and `track_running_stats` unless asked for.

    Source: Ulyanov, Vedaldi and Lempitsky, arXiv:1607.08022.
    """

    ndims = (3, 4)
    layout = "(N, C, H, W) or (C, H, W)"


class _OverFeatures(Module):
    """Normalisation over the last dimensions of each example."""

    weight: Parameter | None
    bias: Parameter | None

    def __init__(self, normalized_shape: int | tuple[int, ...] | list[int], affine: bool, bias: bool,
                 device: Device | str | None, dtype: Any) -> None:  # fmt: skip
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        like: dict[str, Any] = {"dtype": dtype, "device": device or "cpu"}
        self.normalized_shape, self.elementwise_affine = shape, affine
        self.register_parameter("weight", Parameter(ones(shape, **like)) if affine else None)
        if bias:
            self.register_parameter("bias", Parameter(zeros(shape, **like)))

    def reset_parameters(self) -> None:
        """Make the affine map the identity."""
        with no_grad():
            for name, parameter in self.named_parameters():
                parameter.fill_(1 if name == "weight" else 0)


class LayerNorm(_OverFeatures):
    """Mean 0 and variance 1 over the last dimensions of each example, then an affine map, element by element.

    Arguments:
        normalized_shape: the sizes of those dimensions; one number for the last alone.
        eps: ε, added to the variance.
        elementwise_affine: whether weight and bias are learned.
        bias: False leaves the bias out.

    Source: Ba, Kiros and Hinton, arXiv:1607.06450.
    """

    def __init__(
        self, normalized_shape: int | tuple[int, ...] | list[int], eps: float = 1e-5, elementwise_affine: bool = True,
        bias: bool = True, device: Device | str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(normalized_shape, elementwise_affine, elementwise_affine and bias, device, dtype)
        self.eps = eps
        if not (elementwise_affine and bias):
            self.register_parameter("bias", None)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class RMSNorm(_OverFeatures):
    """Root mean square 1 over the last dimensions of each example, then a weight for every element.

    Arguments:
        normalized_shape: the sizes of those dimensions; one number for the last alone.
        eps: ε, added to the mean square; by default the smallest step of the dtype at 1.
        elementwise_affine: whether the weight is learned.

    Source: Zhang and Sennrich, arXiv:1910.07467.
    """

    def __init__(
        self, normalized_shape: int | tuple[int, ...] | list[int], eps: float | None = None,
        elementwise_affine: bool = True, device: Device | str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(normalized_shape, elementwise_affine, False, device, dtype)
        self.eps = eps

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Mean 0 and variance 1 over groups of channels of each example, then an affine map a channel.

    Arguments:
        num_groups: G, must divide C.
        num_channels: C.
        eps: ε, added to the variance.
        affine: whether weight and bias are learned.

    Source: Wu and He, arXiv:1803.08494.
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True,
        device: Device | str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"GroupNorm: {num_groups} groups do not divide {num_channels} channels")
        like: dict[str, Any] = {"dtype": dtype, "device": device or "cpu"}
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self.register_parameter("weight", Parameter(ones(num_channels, **like)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(num_channels, **like)) if affine else None)

    def reset_parameters(self) -> None:
        """Make the affine map the identity."""
        with no_grad():
            for name, parameter in self.named_parameters():
                parameter.fill_(1 if name == "weight" else 0)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"
