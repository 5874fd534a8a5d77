"""Under `autocast`: which operations compute in few digits, and which must not.

Sums of products (matrix products, convolutions, attention, recurrence) are what tensor cores are fast at, and they add
up in float32 whatever their operands are: they take their inputs in the lower precision. Powers, logarithms, long sums,
normalization and losses would overflow float16, which ends at 65,504, or lose what matters: they take theirs in
float32. Every other operation computes in what it is given, promoted as always.

bfloat16 has the range of float32, and no tensor has it: there the operations in `LOWER` take the factors of their
products in it, on the way back too, and all tensors are float32.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from minidl.autograd.modes import tape
from minidl.autograd.variable import Variable
from minidl.backend import bfloat16, device_of
from minidl.kernels.precision import bfloat16_factors

Call = TypeVar("Call", bound=Callable[..., Any])

LOWER = frozenset({
    "bmm", "conv1d", "conv2d", "conv2d_relu_max_pool2d", "conv_transpose1d", "conv_transpose2d", "einsum", "gru",
    "gru_cell", "linear", "lstm", "lstm_cell", "matmul", "mm", "rnn", "rnn_cell", "scaled_dot_product_attention",
})  # fmt: skip
"""Operations whose float32 inputs are taken in the lower precision."""

FULL = frozenset({
    "arcface_logits", "arcface_loss", "attention_weights", "batch_norm", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "cosface_logits", "cosface_loss", "cosine_embedding_loss", "cosine_logits",
    "cosine_similarity", "cross_entropy", "cumsum", "exp", "expm1", "group_norm", "huber_loss", "instance_norm",
    "kl_div", "l1_loss", "layer_norm", "log", "log1p", "log_softmax", "logsumexp", "mse_loss", "nll_loss", "norm",
    "normalize", "pow", "prod", "rms_norm", "smooth_l1_loss", "softmax", "softplus", "sum", "triplet_margin_loss",
})  # fmt: skip
"""Operations whose inputs of lower precision are taken in float32."""


def guarded(name: str, call: Call) -> Call:
    """The public operation as it behaves under `autocast`; the function itself where that changes nothing."""
    if name not in LOWER and name not in FULL:
        return call
    lower = name in LOWER

    @functools.wraps(call)
    def precise(*arguments: Any, **options: Any) -> Any:
        if tape.autocast is None:
            return call(*arguments, **options)
        device, dtype = tape.autocast
        before, tape.autocast = tape.autocast, None  # the operation is one, whatever it is made of
        try:
            if dtype is bfloat16:
                return _in_bfloat16(call, arguments, options) if lower else call(*arguments, **options)
            given, wanted = (np.dtype(np.float32), dtype) if lower else (dtype, np.dtype(np.float32))
            return call(
                *[_taken(x, device, given, wanted) for x in arguments],
                **{key: _taken(x, device, given, wanted) for key, x in options.items()},
            )
        finally:
            tape.autocast = before

    return cast(Call, precise)


def _taken(x: Any, device: str, given: Any, wanted: Any) -> Any:
    """The argument, in the wanted dtype if it is a tensor on the device in the given one."""
    if isinstance(x, Variable):
        meant = x.array.dtype == given and device_of(x.array).type == device
        return cast(Any, x).to(dtype=wanted) if meant else x
    if type(x) in (tuple, list):
        return type(x)([_taken(item, device, given, wanted) for item in x])
    return x


def _in_bfloat16(call: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """What the operation gives with factors in bfloat16; what it wrote on the tape will go back in the same way."""
    known = {x.creator for x in _tensors([*arguments, *options.values()])}
    with bfloat16_factors():
        result = call(*arguments, **options)
    new = [y.creator for y in _tensors(result) if y.creator not in known]
    while new:
        node = new.pop()
        if node is not None and node not in known:
            known.add(node)
            node.in_bfloat16 = True
            new += [edge[0] for edge in node.edges or () if type(edge) is tuple]
    return result


def _tensors(x: Any) -> list[Any]:
    """The tensors among arguments or results."""
    if isinstance(x, Variable):
        return [x]
    return [tensor for item in x for tensor in _tensors(item)] if isinstance(x, tuple | list) else []
