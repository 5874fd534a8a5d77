"""Multi-head attention: several attentions side by side, each on its own projection of the tokens."""

from __future__ import annotations

import math
from typing import Any

from minidl import ops
from minidl.autograd.modes import no_grad
from minidl.backend import Device, Generator
from minidl.creation import empty
from minidl.nn import functional as F
from minidl.nn import init
from minidl.nn.linear import Linear
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter
from minidl.tensor import Tensor


class MultiheadAttention(Module):
    r"""Several heads, $\mathrm{head}_i = \mathrm{attention}(Q W_i^Q, K W_i^K, V W_i^V)$, joined and mixed by $W^O$.

    Given the same tokens as query, key and value it is self-attention, otherwise cross-attention.

    Arguments:
        embed_dim: E. num_heads: h, which divides E; every head has E/h features.
        dropout: the probability of striking out a weight, in training.
        bias: whether the projections have biases.
        kdim, vdim: the features of key and value, E by default.
        batch_first: tokens come as (N, T, E) instead of (T, N, E).
        generator: what the first weights are drawn from, and afterwards the masks of dropout.

    Weights: in_proj_weight (3E, E), those of queries, keys and values above each other, in_proj_bias (3E,),
    out_proj.weight (E, E), out_proj.bias (E,); with other kdim or vdim q_proj_weight (E, E), k_proj_weight (E, kdim)
    and v_proj_weight (E, vdim) instead of the first. Names and layouts are PyTorch's; its `add_bias_kv` and
    `add_zero_attn` are not here.

    Source: Vaswani et al., arXiv:1706.03762, section 3.2.2.
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, *, kdim: int | None = None,
        vdim: int | None = None, batch_first: bool = False, device: Device | str | None = None, dtype: Any = None,
        generator: Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if embed_dim < 1 or num_heads < 1 or embed_dim % num_heads:
            raise ValueError(f"MultiheadAttention: num_heads={num_heads} must divide embed_dim={embed_dim}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"MultiheadAttention: dropout is a probability, between 0 and 1, got {dropout}")
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self.dropout, self.batch_first, self.generator = dropout, batch_first, generator
        like: dict[str, Any] = {"dtype": dtype, "device": device or "cpu"}
        alike = self.kdim == self.vdim == embed_dim
        sizes = {"q": embed_dim, "k": self.kdim, "v": self.vdim}
        for name, size in sizes.items():
            weight = None if alike else Parameter(empty(embed_dim, size, **like))
            self.register_parameter(f"{name}_proj_weight", weight)
        joined = Parameter(empty(3 * embed_dim, embed_dim, **like)) if alike else None
        self.register_parameter("in_proj_weight", joined)
        self.register_parameter("in_proj_bias", Parameter(empty(3 * embed_dim, **like)) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias, device, dtype, generator=generator)
        self.reset_parameters(generator)

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw the projections of queries, keys and values anew, and set every bias to 0."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight, generator=generator)
        with no_grad():
            for bias in (self.in_proj_bias, self.out_proj.bias):
                if bias is not None:
                    bias.zero_()

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
        need_weights: bool = True, attn_mask: Tensor | None = None, average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """Attend.

        Arguments:
            query: (T, N, E), or (N, T, E) with batch_first, or (T, E) without a batch. key, value: likewise, with S
                positions of kdim and vdim features.
            key_padding_mask: (N, S) or (S,); bool, True for keys that do *not* count, or added to their scores.
            need_weights: also return the weights; they are T × S numbers a head, which are never held otherwise.
            attn_mask: (T, S) or (N·h, T, S); bool, True where a query may *not* look, or added to the scores.
            average_attn_weights: return the mean of the weights over the heads.
            is_causal: query i sees keys 0 … i only, with or without an attn_mask.

        Returns:
            The tokens (T, N, E), laid out as the query, and the weights (N, T, S), (N, h, T, S) if not averaged, after
            dropout; None if not needed. A query that may look nowhere gets weights 0 and the bias of out_proj (PyTorch
            gives it nan where weights are needed).

        Raises:
            RuntimeError: sizes or dtypes that do not fit.
        """
        batched = self._checked(query, key, value)
        alike = query is key is value
        if not batched:
            query, key, value = query.unsqueeze(0), key.unsqueeze(0), value.unsqueeze(0)
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            query, key, value = [x.transpose(0, 1) for x in (query, key, value)]
        q, k, v = [self._heads(x) for x in self._projected(query, key, value, alike)]
        mask = self._mask(key_padding_mask, attn_mask, (q.shape[0], self.num_heads, q.shape[2], k.shape[2]))
        p = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            weights = F.dropout(F.attention_weights(q, k, mask, is_causal), p, generator=self.generator)
            y = weights @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, mask, p, is_causal, generator=self.generator)
        N, _, T, _ = y.shape
        y = self.out_proj(y.transpose(1, 2).reshape(N, T, self.embed_dim))
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if not batched:
            return y[0], None if weights is None else weights[0]
        return y if self.batch_first else y.transpose(0, 1), weights

    def _checked(self, query: Tensor, key: Tensor, value: Tensor) -> bool:
        """Whether there is a batch, after a look at the shapes."""
        tokens = "(N, T, E)" if self.batch_first else "(T, N, E)"
        batch = 0 if self.batch_first else 1
        for name, x, size in (("query", query, self.embed_dim), ("key", key, self.kdim), ("value", value, self.vdim)):
            if x.ndim not in (2, 3) or x.ndim != query.ndim or x.shape[-1] != size:
                raise RuntimeError(
                    f"MultiheadAttention: expected {name} as {tokens} or (T, E) with E={size}, like the query; "
                    f"got shape {tuple(x.shape)}"
                )
            if x.ndim == 3 and x.shape[batch] != query.shape[batch]:
                raise RuntimeError(
                    f"MultiheadAttention: the query has N={query.shape[batch]} examples, but the {name} "
                    f"{x.shape[batch]}; tokens are {tokens}"
                )
        return query.ndim == 3

    def _projected(self, query: Tensor, key: Tensor, value: Tensor, alike: bool) -> tuple[Tensor, ...]:
        """Queries, keys and values; one product where all three come from the same tokens."""
        biases = (None, None, None) if self.in_proj_bias is None else ops.chunk(self.in_proj_bias, 3)
        if self.in_proj_weight is None:
            weights = [w for w in (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight) if w is not None]
        elif alike:
            return ops.chunk(F.linear(query, self.in_proj_weight, self.in_proj_bias), 3, -1)
        else:
            weights = list(ops.chunk(self.in_proj_weight, 3))  # type: ignore[arg-type]  # parts of it, not parameters
        return tuple([F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)])

    def _heads(self, x: Tensor) -> Tensor:
        """(N, T, E) as (N, h, T, E/h)."""
        return x.reshape(x.shape[0], x.shape[1], self.num_heads, self.head_dim).transpose(1, 2)

    def _mask(self, padding: Tensor | None, mask: Tensor | None, shape: tuple[int, ...]) -> Tensor | None:
        """Both masks as one in the sense of `scaled_dot_product_attention`, where True means that a query may look."""
        N, h, T, S = shape
        if padding is not None:
            if tuple(padding.shape) != (N, S):
                raise RuntimeError(
                    f"MultiheadAttention: key_padding_mask must have shape ({N}, {S}), got {tuple(padding.shape)}"
                )
            padding = padding.reshape(N, 1, 1, S)
        if mask is not None:
            if tuple(mask.shape) == (N * h, T, S) and mask.ndim == 3:
                mask = mask.reshape(N, h, T, S)
            elif tuple(mask.shape) != (T, S):
                raise RuntimeError(
                    f"MultiheadAttention: attn_mask must have shape ({T}, {S}) or ({N * h}, {T}, {S}), "
                    f"got {tuple(mask.shape)}"
                )
        given = [m for m in (padding, mask) if m is not None]
        for m in given:
            if m.dtype.kind not in "bf":
                raise RuntimeError(f"MultiheadAttention: masks are bool or floating, got {m.dtype.name}")
        if not given:
            return None
        if all(m.dtype.kind == "b" for m in given):
            return ~given[0] if len(given) == 1 else ~(given[0] | given[1])
        added = [ops.where(m, -math.inf, 0.0) if m.dtype.kind == "b" else m for m in given]
        return added[0] if len(added) == 1 else added[0] + added[1]

    def extra_repr(self) -> str:
        return (
            f"embed_dim={self.embed_dim}, num_heads={self.num_heads}, dropout={self.dropout}, "
            f"batch_first={self.batch_first}"
        )
