"""Where a transformer looked: attention of all layers, rolled out to the patches of the image."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np

from minidl import nn
from minidl.autograd import no_grad
from minidl.backend import Array
from minidl.faces.errors import FaceError
from minidl.faces.explain.explanation import Map
from minidl.faces.explain.gradients import device_of
from minidl.nn import evaluating
from minidl.tensor import Tensor


def attention_weights(network: nn.Module, x: Array) -> tuple[list[Array], tuple[int, int] | None]:
    """The attention of every layer, and how the tokens lie in the image.

    Arguments:
        network: with `nn.MultiheadAttention` in it.
        x: (1, 1, H, W) float32, the face as the network takes it.

    Returns:
        A list of (heads, T, T) float32, rows of sum 1, in the order in which the layers ran; and the (rows, columns) of
        the last map (1, C, rows, columns) before the first layer, None if there was none.
    """
    weights: list[Array] = []
    grids: list[tuple[int, int]] = []

    def ask(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**kwargs, "need_weights": True, "average_attn_weights": False}

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        weights.append(output[1].detach().cpu().numpy()[0])

    def lie(_: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and not weights:
            grids.append((int(output.shape[2]), int(output.shape[3])))

    with ExitStack() as stack:
        stack.enter_context(evaluating(network))
        stack.enter_context(no_grad())
        for module in network.modules():
            if isinstance(module, nn.MultiheadAttention):
                stack.enter_context(module.register_forward_pre_hook(ask, with_kwargs=True))
                stack.enter_context(module.register_forward_hook(keep))
            elif module is not network:
                stack.enter_context(module.register_forward_hook(lie))
        network(Tensor(np.asarray(x, np.float32)).to(device_of(network)))
    return weights, grids[-1] if grids else None


def roll_out(weights: list[Array]) -> Array:
    """How much of each input token is in each output token, if attention were all that moves information.

        R = Â_L … Â_2 Â_1,    Â_l = ½ (mean over heads of A_l) + ½ I

    where I stands for the residual connections.

    Arguments:
        weights: of each layer, the first first: (heads, T, T), rows of sum 1.

    Returns:
        (T, T) float64, rows of sum 1.

    Source: Abnar & Zuidema, "Quantifying attention flow in transformers", ACL 2020, section 3.

    >>> roll_out([np.array([[[0.0, 1.0], [0.0, 1.0]]])]).tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """
    total = np.eye(weights[0].shape[-1])
    for layer in weights:
        total = (0.5 * layer.mean(0, dtype=np.float64) + 0.5 * np.eye(len(total))) @ total
    return total


def rollout_map(network: nn.Module, x: Array) -> Map:
    """How much of each patch reaches what the network decides by: the gathering token, or the mean of all tokens.

    Attention says where a network looked, not what spoke for the answer: the map is the same for every target.

    Arguments:
        network: a transformer on patches; a first token beyond the patches is taken for the one that gathers.
        x: (1, 1, H, W) float32, the face as the network takes it.

    Returns:
        (rows, columns) of the patches, float32, sum 1 (with a gathering token, less its own share).

    Raises:
        FaceError: the network has no attention, or its tokens are no patches of an image.
    """
    weights, grid = attention_weights(network, x)
    if not weights:
        raise FaceError("a roll-out needs attention, which this model has none of: use occlusion or gradient instead")
    rolled = roll_out(weights)
    patches = grid[0] * grid[1] if grid else 0
    if not grid or len(rolled) not in (patches, patches + 1):
        raise FaceError(
            f"a roll-out needs tokens that are patches of the image, but there are {len(rolled)} tokens for "
            f"{patches} patches: use occlusion or gradient instead"
        )
    shares = rolled.mean(0) if len(rolled) == patches else rolled[0, 1:]
    return np.asarray(shares.reshape(grid), np.float32)
