"""Faults in losses, in losses on embeddings, in normalisation, in fused windows and in matrices taken apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from planting import SECOND, Patch, around, fault, first_order_only, instead, line, rule

from minidl import ops
from minidl.kernels import cpu
from minidl.kernels.geometry import DEAD
from minidl.ops import decomposition, margin_loss, metric_loss, mining, normalization
from minidl.ops.binary_loss import LogisticLoss
from minidl.ops.norms import LogSumExp

# ── classifiers ───────────────────────────────────────────────────────────────────────────────────


@instead("cross entropy: smoothed in the value only", "cross_entropy, smooth labels and weights")
def _(label_smoothing: float, **given: Any) -> Any:
    sharp = ops.cross_entropy(**given)
    return sharp + (ops.cross_entropy(label_smoothing=label_smoothing, **given) - sharp).detach()


@instead("cross entropy: smoothing spread over the wrong classes only", "cross_entropy, smooth labels and weights",
         only="defined")  # fmt: skip
def _(label_smoothing: float, **given: Any) -> Any:
    return ops.cross_entropy(label_smoothing=label_smoothing * 3 / 2, **given)


@instead("cross entropy: weights learn from the sum, not from the mean", "cross_entropy, weights")
def _(input: Any, target: Any, weight: Any) -> Any:
    total = ops.cross_entropy(input, target, weight, reduction="sum")
    return total / weight[ops.as_tensor(target)].sum().detach()


@instead("cross entropy: weighted sum divided by the number of rows", "cross_entropy, weights", only="defined")
def _(input: Any, target: Any, weight: Any) -> Any:
    return ops.cross_entropy(input, target, weight, reduction="sum") / 3


@instead("cross entropy: probabilities are constants", "cross_entropy, probabilities for labels")
def _(target: Any, **given: Any) -> Any:
    return ops.cross_entropy(target=target.detach(), **given)


@instead("cross entropy: ignored labels count as the first class", "cross_entropy", only="declared_constant")
def _(input: Any, target: Any) -> Any:
    return ops.cross_entropy(input, np.maximum(ops.as_tensor(target).array, 0))


@rule("logsumexp: e^x in place of e^(x − y)", "logsumexp", LogSumExp)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (self.spread(gy) * ops.exp(self.saved_inputs[0]),)


@rule("logsumexp: y a constant, first derivative right", "logsumexp", LogSumExp, only=SECOND)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (self.spread(gy) * ops.exp(self.saved_inputs[0] - self.spread(self.saved_outputs[0].detach())),)


line("logistic loss: σ of the score in both terms", "binary_cross_entropy_with_logits, no class counts more",
     LogisticLoss.fast_backward, "t * sigmoid_of(-x)", "t * sigmoid_of(x)")  # fmt: skip
line("logistic loss: targets get no gradient", "binary_cross_entropy_with_logits, no class counts more",
     LogisticLoss.fast_backward, "-x * gy if", "-0 * gy if")  # fmt: skip


@instead("kl_div: divergence the other way round", "kl_div", only="defined")
def _(input: Any, target: Any) -> Any:
    return ops.mean(ops.exp(input) * (input - ops.log(target)))


@instead("huber: not joined at δ", "huber_loss", only="defined")
def _(input: Any, target: Any, delta: float) -> Any:
    d = ops.abs(input - target)
    return ops.mean(ops.where(d <= delta, d * d * 0.5, d * delta))


# ── embeddings ────────────────────────────────────────────────────────────────────────────────────


@instead("normalize: the length a constant on the way back", "normalize")
def _(input: Any, dim: int) -> Any:
    return input / ops.norm(input, 2, dim, True).detach()


@instead("cosine: only one of the two is normalised on the way back", "cosine_similarity")
def _(x1: Any, x2: Any) -> Any:
    return ops.sum(ops.normalize(x1) * (x2 / ops.norm(x2, 2, 1, True).detach()), 1)


@instead("triplet: the anchor learns nothing", "triplet_margin_loss")
def _(anchor: Any, **given: Any) -> Any:
    return ops.triplet_margin_loss(anchor.detach(), **given)


@instead("triplet: margin of the wrong sign", "triplet_margin_loss", only="defined")
def _(margin: float, **given: Any) -> Any:
    return ops.triplet_margin_loss(margin=-margin, **given)


@instead("triplet: the farther of two negatives", "triplet_margin_loss, squared and swapped", only="defined")
def _(anchor: Any, positive: Any, negative: Any, margin: float, squared: bool, swap: bool) -> Any:
    def d(a: Any, b: Any) -> Any:
        return ops.sum((a - b) * (a - b), -1)

    far = ops.maximum(d(anchor, negative), d(positive, negative))
    return ops.mean(ops.clamp(d(anchor, positive) - far + margin, min=0.0))


line("triplet: the nearest positive mined", "batch_triplet_loss", mining.mine_triplets,
     "positive[a], d[a], -np.inf).argmax", "positive[a], d[a], np.inf).argmin", only="defined")  # fmt: skip
line("triplet: an anchor is its own positive", "batch_triplet_loss, all", mining.mine_triplets,
     "alike & ~xp.eye(N, dtype=bool)", "alike", only="defined")  # fmt: skip
line("contrastive: margin's distance not squared", "contrastive_loss", metric_loss.contrastive_loss,
     "short * short", "short", only="defined")  # fmt: skip


@instead("contrastive: 0 and 1 exchanged", "contrastive_loss", only="defined")
def _(target: Any, **given: Any) -> Any:
    return ops.contrastive_loss(target=1 - target, **given)


@instead("centre loss: centres stand still", "center_loss")
def _(centers: Any, **given: Any) -> Any:
    return ops.center_loss(centers=centers.detach(), **given)


line("cosine embedding: margin added", "cosine_embedding_loss", metric_loss.cosine_embedding_loss,
     "cosine - margin", "cosine + margin", only="defined")  # fmt: skip
line("arcface: the sine a constant", "arcface_logits", margin_loss.arcface_logits,
     "of_class, 2, -1)", "of_class, 2, -1).detach()")  # fmt: skip
line("arcface: a jump at the turning point", "arcface_logits, beyond the turning point", margin_loss.arcface_logits,
     "(1 - math.cos(margin))", "1", only="defined")  # fmt: skip
line("arcface: rises again beyond the turning point", "arcface_logits, beyond the turning point",
     margin_loss.arcface_logits, "turned = where(beyond", "where(beyond", only="defined")  # fmt: skip
line("arcface: the margin on every class", "arcface_logits", margin_loss.arcface_logits,
     "where(right, unsqueeze(turned, -1), cosines)", "where(right | True, unsqueeze(turned, -1), cosines)",
     only="defined")  # fmt: skip


@instead("cosface: the margin added", "cosface_logits", only="defined")
def _(**given: Any) -> Any:
    return ops.cosface_logits(margin=-0.35, **given)


# ── normalisation ─────────────────────────────────────────────────────────────────────────────────


@fault("layer norm: deviation constant in the composite, first derivative right", "layer_norm", only=SECOND)
def _(patch: Patch) -> None:
    def composite(self: Any, x: Any) -> Any:
        d = x - ops.mean(x, -1, keepdim=True)
        return d * first_order_only(ops.rsqrt(ops.mean(d * d, -1, keepdim=True) + self.eps))

    patch.setattr(normalization.Standardize, "composite", composite)


@fault("group norm: the mean a constant in the composite", "group_norm")
def _(patch: Patch) -> None:
    def composite(self: Any, x: Any) -> Any:
        d = x - ops.mean(x, -1, keepdim=True).detach()
        return d * ops.rsqrt(ops.mean(d * d, -1, keepdim=True) + self.eps)

    patch.setattr(normalization.Standardize, "composite", composite)


@instead("layer norm: moments of the whole batch", "layer_norm", only="one_by_one")
def _(input: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float) -> Any:
    return ops.layer_norm(input, input.array.shape, eps=eps) * weight + bias


@instead("layer norm: variance over M − 1", "layer_norm", only="defined")
def _(input: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float) -> Any:
    d = input - ops.mean(input, (-1, -2), True)
    return d * ops.rsqrt(ops.sum(d * d, (-1, -2), True) / 5 + eps) * weight + bias


@instead("rms norm: the root a constant on the way back", "rms_norm")
def _(input: Any, normalized_shape: Any, weight: Any, eps: float) -> Any:
    return input * ops.rsqrt(ops.mean(input * input, (-1, -2), True) + eps).detach() * weight


@instead("rms norm: ε outside the root", "rms_norm", only="defined")
def _(input: Any, normalized_shape: Any, weight: Any, eps: float) -> Any:
    return input / (ops.sqrt(ops.mean(input * input, (-1, -2), True)) + eps) * weight


@instead("batch norm: kept deviations taken for variances", "batch_norm, evaluation", only="defined")
def _(running_var: Any, **given: Any) -> Any:
    return ops.batch_norm(running_var=running_var * running_var, **given)


# ── convolution, ReLU and pooling in one ──────────────────────────────────────────────────────────

FUSED, MANY_DEAD = "conv2d_relu_max_pool2d", "conv2d_relu_max_pool2d, many dead"


@around("conv, relu, pool: dead units pass the gradient", MANY_DEAD, cpu.conv2d_relu_max_pool2d_grad)
def _(real: Any, argmax: Any, **given: Any) -> Any:
    return real(argmax=np.where(argmax == DEAD, 0, argmax).astype(np.uint8), **given)


@around("conv, relu, pool: the gradient to the loser", FUSED, cpu.conv2d_relu_max_pool2d_grad)
def _(real: Any, argmax: Any, **given: Any) -> Any:
    return real(argmax=np.where(argmax == DEAD, argmax, (argmax + 1) % 6).astype(np.uint8), **given)


@instead("conv, relu, pool: the filters turned, a true convolution", FUSED, only="defined")
def _(weight: Any, **given: Any) -> Any:
    return ops.conv2d_relu_max_pool2d(weight=ops.flip(weight, (2, 3)), **given)


# ── matrices taken apart ──────────────────────────────────────────────────────────────────────────

line("eigh: F of the wrong sign", "eigh", decomposition.Eigh.backward,
     "_diagonal(gvalues) + _inverse_gaps", "_diagonal(gvalues) - _inverse_gaps")  # fmt: skip
line("eigh: values learn, vectors do not", "eigh", decomposition.Eigh.backward,
     "_inverse_gaps(values) * turn", "_inverse_gaps(values) * turn * 0")  # fmt: skip
line("svd: directions that U leaves out forgotten", "svd", decomposition.SVD.backward,
     "if rows > columns:", "if False:")  # fmt: skip
line("svd: directions that V leaves out forgotten", "svd, more columns than rows", decomposition.SVD.backward,
     "if columns > rows:", "if False:")  # fmt: skip
line("svd: 1/(s_j − s_i) in place of 1/(s_j² − s_i²)", "svd", decomposition.SVD.backward,
     "_inverse_gaps(s * s)", "_inverse_gaps(s)")  # fmt: skip


@fault("eigh: vectors turned the other way", "eigh", only="defined")
def _(patch: Patch) -> None:
    real = decomposition.signs
    patch.setattr(decomposition, "signs", lambda vectors: -real(vectors))
