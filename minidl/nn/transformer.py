"""The encoder of a transformer: attention between positions and a small network at each, with shortcuts around both."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from minidl.backend import Device, Generator
from minidl.nn import functional as F
from minidl.nn.attention import MultiheadAttention
from minidl.nn.container import ModuleList
from minidl.nn.dropout import Dropout
from minidl.nn.linear import Linear
from minidl.nn.module import Module
from minidl.nn.normalization import LayerNorm
from minidl.tensor import Tensor

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}


class TransformerEncoderLayer(Module):
    """Self-attention, then two dense layers at every position, each added to what came in and normalised.

        x = norm1(x + attention(x)),              x = norm2(x + dense(x))                norm_first=False
        x = x + attention(norm1(x)),              x = x + dense(norm2(x))                norm_first=True

    Arguments:
        d_model: E. nhead: the number of heads, which divides E.
        dim_feedforward: the width between the two dense layers.
        dropout: the probability of striking a number out: in the weights of the attention and behind every layer.
        activation: between the dense layers, "relu", "gelu" or a function of a tensor.
        layer_norm_eps: ε of both normalisations.
        batch_first: tokens come as (N, T, E) instead of (T, N, E).
        norm_first: normalise what goes into a layer instead of the sum; deep stacks then train without a warm-up.
        bias: False leaves out every bias.
        generator: what the first weights are drawn from, and afterwards the masks of dropout.

    Source: Vaswani et al., arXiv:1706.03762; Xiong et al., arXiv:2002.04745, for norm_first. Names are PyTorch's.
    """

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = "relu", layer_norm_eps: float = 1e-5, batch_first: bool = False,
        norm_first: bool = False, bias: bool = True, device: Device | str | None = None, dtype: Any = None, *,
        generator: Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if isinstance(activation, str) and activation not in _ACTIVATIONS:
            raise ValueError(
                f"TransformerEncoderLayer: activation must be 'relu', 'gelu' or a function, got {activation!r}"
            )
        like: dict[str, Any] = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, generator=generator, **like
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, generator=generator, **like)
        self.dropout = Dropout(dropout, generator=generator)
        self.linear2 = Linear(dim_feedforward, d_model, bias, generator=generator, **like)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **like)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **like)
        self.dropout1 = Dropout(dropout, generator=generator)
        self.dropout2 = Dropout(dropout, generator=generator)
        self.activation = _ACTIVATIONS[activation] if isinstance(activation, str) else activation

    def forward(
        self, src: Tensor, src_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:  # fmt: skip
        """Pass tokens through.

        Arguments:
            src: (T, N, E), or (N, T, E) with batch_first, or (T, E).
            src_mask: (T, T) or (N·h, T, T), as `attn_mask` of `MultiheadAttention`.
            src_key_padding_mask: (N, T), as its `key_padding_mask`.
            is_causal: every token sees itself and those before it only.

        Returns:
            The shape of src.
        """
        masks = (src_mask, src_key_padding_mask, is_causal)
        if self.norm_first:
            x = src + self._attention(self.norm1(src), *masks)
            return x + self._dense(self.norm2(x))
        x = self.norm1(src + self._attention(src, *masks))
        return self.norm2(x + self._dense(x))

    def _attention(self, x: Tensor, mask: Tensor | None, padding: Tensor | None, is_causal: bool) -> Tensor:
        y, _ = self.self_attn(x, x, x, padding, need_weights=False, attn_mask=mask, is_causal=is_causal)
        return self.dropout1(y)

    def _dense(self, x: Tensor) -> Tensor:
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))


class TransformerEncoder(Module):
    """Several encoder layers, one after the other.

    Arguments:
        encoder_layer: a layer, of which each place gets a copy. All copies start with the same weights, as in PyTorch,
            and share the layer's generator.
        num_layers: how many.
        norm: a normalisation of the result, or None; a stack with norm_first wants one.

    Weights: layers.0…, layers.1…, and norm….
    """

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        shared = [getattr(module, "generator", None) for module in encoder_layer.modules()]
        # copies that each continued a stream of their own would all strike out the same numbers
        keep = {id(stream): stream for stream in shared if stream is not None}
        self.layers = ModuleList([copy.deepcopy(encoder_layer, dict(keep)) for _ in range(num_layers)])
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self, src: Tensor, mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:  # fmt: skip
        """Pass tokens through every layer; arguments as in `TransformerEncoderLayer`."""
        x = src
        for layer in self.layers:
            x = layer(x, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=is_causal)
        return x if self.norm is None else self.norm(x)
