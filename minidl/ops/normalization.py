r"""Normalisation: numbers brought to mean 0 and variance 1, then scaled and shifted by what is learned.

    x̂ = (x − μ) / √(σ² + ε),     y = w x̂ + b

The kinds differ in the numbers over which μ and σ² are taken: of one channel in the whole batch (batch), of one example
(layer), of one group of its channels (group), of one channel of it (instance). μ and σ² depend on x, and the gradient
must know: with M numbers,

    x̄ = (g − Σg/M − x̂ Σg x̂/M) / √(σ² + ε),     g = w ȳ

Batch normalisation alone behaves differently once trained: then it uses averages that it kept of μ and σ².

Source: Ioffe and Szegedy, arXiv:1502.03167 (batch); Ba, Kiros and Hinton, arXiv:1607.06450 (layer); Wu and He,
arXiv:1803.08494 (group); Ulyanov et al., arXiv:1607.08022 (instance); Zhang and Sennrich, arXiv:1910.07467 (RMS).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minidl.autograd.function import Needs
from minidl.backend import Array, array_module
from minidl.kernels import kernels_for
from minidl.ops.arithmetic import rsqrt
from minidl.ops.broadcasting import Operand, as_tensor, cast, floating, promoted
from minidl.ops.fused import Fused
from minidl.ops.reduce import mean
from minidl.ops.registry import op
from minidl.ops.shape import reshape

if TYPE_CHECKING:
    from minidl.tensor import Tensor


# ── over the batch ────────────────────────────────────────────────────────────────────────────────


class BatchNorm(Fused):
    """Each channel of a batch (N, C, …) brought to mean 0 and variance 1, times w (C,), plus b (C,)."""

    formula = (
        r"y = \frac{x - \mu_c}{\sqrt{\sigma_c^2 + \varepsilon}}\, w_c + b_c,\quad "
        r"\mu_c = \tfrac1M \textstyle\sum x,\; \sigma_c^2 = \tfrac1M \sum (x - \mu_c)^2"
    )
    adjoint = (
        r"\bar x = \frac{w_c}{\sqrt{\sigma_c^2 + \varepsilon}} "
        r"\left( \bar y - \tfrac{\bar b_c}{M} - \hat x\, \tfrac{\bar w_c}{M} \right),\quad "
        r"\bar w_c = \textstyle\sum \bar y\, \hat x,\; \bar b_c = \sum \bar y"
    )
    __slots__ = ("eps", "moments")

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def composite(self, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        over = (0, *range(2, x.array.ndim))
        along = (-1, *(1,) * (x.array.ndim - 2))
        deviation = x - mean(x, over, keepdim=True)
        var = mean(deviation * deviation, over, keepdim=True)
        return deviation * rsqrt(var + self.eps) * reshape(w, along) + reshape(b, along)

    def forward(self, x: Array, w: Array, b: Array) -> Array:
        y, mu, var, inv_std = kernels_for(x).batch_norm(x, w, b, self.eps)
        self.moments, self.buffers = (mu, var), (mu, inv_std)
        return y

    def fast_backward(self, gy: Array, needs: Needs) -> tuple[Array | None, ...]:
        x, w, _ = self.saved_arrays
        gxs = kernels_for(x).batch_norm_grad(gy, x, w, *self.buffers)
        return tuple([gx if need else None for gx, need in zip(gxs, needs, strict=True)])


def _per_channel(name: str, what: str, value: Operand | None, fill: float, x: Tensor, channels: int) -> Tensor:
    """A parameter of shape (C,), or a constant in its place."""
    if value is None:
        return as_tensor(array_module(x.array).full(channels, fill, x.array.real.dtype))
    v = as_tensor(value)
    if v.array.shape != (channels,):
        raise RuntimeError(f"{name}: x has C={channels} channels, but {what} has shape {v.array.shape}")
    return v


def _keep_moments(running_mean: Tensor | None, running_var: Tensor | None, mu: Array, var: Array, count: int,
                  momentum: float) -> None:  # fmt: skip
    """Move the running averages towards the moments of this batch, in place and off the tape."""
    for running, value in ((running_mean, mu), (running_var, var.real * (count / (count - 1)))):
        if running is not None:
            running.array *= 1 - momentum
            running.array += (momentum * value.real).astype(running.array.dtype, copy=False)
            running._written()


def _batch_norm_example(draw: Any) -> dict[str, Any]:
    return {"input": draw(3, 2, 2, 4), "running_mean": None, "running_var": None, "weight": draw(2), "bias": draw(2),
            "training": True, "eps": 0.01}  # fmt: skip


@op(BatchNorm, example=_batch_norm_example, orders=3)
def batch_norm(input: Operand, running_mean: Tensor | None, running_var: Tensor | None, weight: Operand | None = None,
               bias: Operand | None = None, training: bool = False, momentum: float = 0.1,
               eps: float = 1e-5) -> Tensor:  # fmt: skip
    r"""Normalise each channel, in training over the batch, otherwise by the running averages.

    Arguments:
        input: (N, C) or (N, C, …).
        running_mean, running_var: (C,), updated in place in training: r ← (1 − momentum) r + momentum · value,
            where the variance is the unbiased one, Σ(x − μ)²/(M − 1). May be None in training.
        weight, bias: w and b, (C,); None is 1 and 0.
        training: whether to use (and average) the moments of this batch.
        momentum: how fast the averages follow.
        eps: ε, added to the variance.

    Raises:
        ValueError: in training, only one number a channel: it would always become 0.
        RuntimeError: shapes that do not fit.
    """
    x = floating(input)
    if x.array.ndim < 2:
        raise RuntimeError(f"batch_norm: x must be (N, C) or (N, C, …), got shape {x.array.shape}")
    C = x.array.shape[1]
    w = _per_channel("batch_norm", "weight", weight, 1, x, C)
    b = _per_channel("batch_norm", "bias", bias, 0, x, C)
    for what, running in (("running_mean", running_mean), ("running_var", running_var)):
        if running is not None:
            _per_channel("batch_norm", what, running, 0, x, C)
    x, w, b = promoted(x, w, b)
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError("batch_norm: outside training it needs running_mean and running_var")
        along = (-1, *(1,) * (x.array.ndim - 2))
        mu, var = (cast(running.detach(), x.array.dtype) for running in (running_mean, running_var))
        scale = w * rsqrt(var + eps)
        return x * reshape(scale, along) + reshape(b - mu * scale, along)
    count = x.array.size // max(C, 1)
    if count == 1:
        raise ValueError(f"batch_norm: training needs more than one number a channel, x has shape {x.array.shape}")
    normalise = BatchNorm(eps)
    y: Tensor = normalise(x, w, b)
    if running_mean is not None or running_var is not None:
        fast = getattr(normalise, "moments", None)
        mu_of, var_of = fast if fast is not None else kernels_for(x.array).batch_norm_stats(x.array)
        _keep_moments(running_mean, running_var, mu_of, var_of, count, momentum)
    return y


# ── over one example ──────────────────────────────────────────────────────────────────────────────


class Standardize(Fused):
    """The numbers along the last axis brought to mean 0 and variance 1."""

    formula = r"y = \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}}"
    adjoint = (
        r"\bar x = \frac{1}{\sqrt{\sigma^2 + \varepsilon}} "
        r"\left( \bar y - \tfrac1M \textstyle\sum \bar y - y\, \tfrac1M \sum \bar y\, y \right)"
    )
    __slots__ = ("eps",)

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def composite(self, x: Tensor) -> Tensor:
        deviation = x - mean(x, -1, keepdim=True)
        return deviation * rsqrt(mean(deviation * deviation, -1, keepdim=True) + self.eps)

    def forward(self, x: Array) -> Array:
        y, *moments = kernels_for(x).layer_norm(_rows(x), None, None, self.eps)
        self.buffers = tuple(moments)
        return y.reshape(x.shape)

    def fast_backward(self, gy: Array, needs: Needs) -> tuple[Array | None, ...]:
        (x,) = self.saved_arrays
        gx, _, _ = kernels_for(x).layer_norm_grad(_rows(gy), _rows(x), None, *self.buffers)
        return (gx.reshape(x.shape),)


class LayerNorm(Fused):
    """The numbers along the last axis brought to mean 0 and variance 1, times w, plus b, both (L,)."""

    formula = r"y = \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}}\, w + b"
    adjoint = (
        r"\bar x = \frac{1}{\sqrt{\sigma^2 + \varepsilon}} "
        r"\left( g - \tfrac1L \textstyle\sum g - \hat x\, \tfrac1L \sum g\, \hat x \right),\; g = w \bar y,\quad "
        r"\bar w = \textstyle\sum \bar y\, \hat x,\; \bar b = \sum \bar y"
    )
    __slots__ = ("eps",)

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def composite(self, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        y: Tensor = Standardize(self.eps)(x)
        return y * w + b

    def forward(self, x: Array, w: Array, b: Array) -> Array:
        y, *moments = kernels_for(x).layer_norm(_rows(x), w, b, self.eps)
        self.buffers = tuple(moments)
        return y.reshape(x.shape)

    def fast_backward(self, gy: Array, needs: Needs) -> tuple[Array | None, ...]:
        x, w, _ = self.saved_arrays
        gx, gw, gb = kernels_for(x).layer_norm_grad(_rows(gy), _rows(x), w, *self.buffers)
        return tuple([g if need else None for g, need in zip((gx.reshape(x.shape), gw, gb), needs, strict=True)])


def _rows(x: Array) -> Array:
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


@op(LayerNorm, Standardize, orders=3,
    example=lambda draw: {"input": draw(2, 3, 2, 3), "normalized_shape": (2, 3), "weight": draw(2, 3),
                          "bias": draw(2, 3), "eps": 0.01})  # fmt: skip
def layer_norm(input: Operand, normalized_shape: Sequence[int], weight: Operand | None = None,
               bias: Operand | None = None, eps: float = 1e-5) -> Tensor:  # fmt: skip
    """Normalise each example over its last dimensions.

    Arguments:
        input: (…, *normalized_shape).
        normalized_shape: the sizes of the dimensions to normalise over.
        weight, bias: of shape `normalized_shape`, or None.
        eps: ε, added to the variance.

    Raises:
        RuntimeError: shapes that do not fit.
    """
    x, shape = floating(input), shape_at_end("layer_norm", input, normalized_shape, weight, bias)
    flat = x if len(shape) == 1 else reshape(x, (*x.array.shape[: x.array.ndim - len(shape)], math.prod(shape)))
    parameters = [as_tensor(p) for p in (weight, bias) if p is not None]
    if len(parameters) == 2 and all(p.array.dtype == x.array.dtype for p in parameters):
        y = LayerNorm(eps)(flat, *[p if len(shape) == 1 else reshape(p, (-1,)) for p in parameters])
        return y if y.array.shape == x.array.shape else reshape(y, x.array.shape)
    y = reshape(Standardize(eps)(flat), x.array.shape)
    y = y if weight is None else y * as_tensor(weight)
    return y if bias is None else y + as_tensor(bias)


def shape_at_end(name: str, input: Operand, normalized_shape: Sequence[int], *parameters: Any) -> tuple[int, ...]:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple([int(n) for n in normalized_shape])
    size = as_tensor(input).array.shape
    if not shape or size[len(size) - len(shape) :] != shape or len(shape) > len(size):
        raise RuntimeError(f"{name}: x of shape {size} does not end with normalized_shape={shape}")
    for p in parameters:
        if p is not None and as_tensor(p).array.shape != shape:
            raise RuntimeError(f"{name}: weight and bias must have shape {shape}, got {as_tensor(p).array.shape}")
    return shape


@op(Standardize, orders=3,
    example=lambda draw: {"input": draw(2, 4, 2, 3), "num_groups": 2, "weight": draw(4), "bias": draw(4),
                          "eps": 0.01})  # fmt: skip
def group_norm(input: Operand, num_groups: int, weight: Operand | None = None, bias: Operand | None = None,
               eps: float = 1e-5) -> Tensor:  # fmt: skip
    """Normalise each example over groups of its channels; batches of any size, even one, are alike to it.

    Arguments:
        input: (N, C, …). num_groups: G, which divides C.
        weight, bias: (C,) or None.
        eps: ε, added to the variance.

    Raises:
        RuntimeError: shapes that do not fit.
    """
    x = floating(input)
    if x.array.ndim < 2:
        raise RuntimeError(f"group_norm: x must be (N, C, …), got shape {x.array.shape}")
    N, C, *rest = x.array.shape
    if num_groups < 1 or C % num_groups:
        raise RuntimeError(f"group_norm: num_groups={num_groups} must divide the C={C} channels")
    rows = reshape(x, (N * num_groups, C // num_groups * math.prod(rest)))
    return _scaled("group_norm", reshape(Standardize(eps)(rows), x.array.shape), weight, bias)


def _scaled(name: str, y: Tensor, weight: Operand | None, bias: Operand | None) -> Tensor:
    """w y + b with w and b of shape (C,)."""
    C, along = y.array.shape[1], (-1, *(1,) * (y.array.ndim - 2))
    if weight is not None:
        y = y * reshape(_per_channel(name, "weight", weight, 1, y, C), along)
    return y if bias is None else y + reshape(_per_channel(name, "bias", bias, 0, y, C), along)


@op(Standardize, orders=3,
    example=lambda draw: {"input": draw(2, 2, 2, 3), "weight": draw(2), "bias": draw(2), "eps": 0.01})  # fmt: skip
def instance_norm(input: Operand, running_mean: Tensor | None = None, running_var: Tensor | None = None,
                  weight: Operand | None = None, bias: Operand | None = None, use_input_stats: bool = True,
                  momentum: float = 0.1, eps: float = 1e-5) -> Tensor:  # fmt: skip
    """Normalise every channel of every example by itself.

    Arguments:
        input: (N, C, L) or (N, C, H, W).
        running_mean, running_var: (C,) averages over the examples, updated in place; may be None.
        weight, bias: (C,) or None.
        use_input_stats: False uses the running averages, as `batch_norm` outside training.
        momentum, eps: as in `batch_norm`.

    Raises:
        ValueError: only one number a channel.
    """
    x = floating(input)
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    if x.array.ndim < 3:
        raise RuntimeError(f"instance_norm: x must be (N, C, …) with pixels, got shape {x.array.shape}")
    N, C, *rest = x.array.shape
    count = math.prod(rest)
    if count == 1:
        raise ValueError(f"instance_norm: needs more than one number a channel, x has shape {x.array.shape}")
    if running_mean is not None or running_var is not None:
        rows = x.array.reshape(N, C, count)
        _keep_moments(running_mean, running_var, rows.mean(axis=(0, 2)), rows.var(axis=2).mean(axis=0), count, momentum)
    return _scaled("instance_norm", group_norm(x, C, eps=eps), weight, bias)
