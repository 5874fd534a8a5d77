"""Which pixels the answer hangs on, by one walk back through the network: gradients and class activation."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

import numpy as np

from minidl import nn
from minidl.autograd import enable_grad, grad
from minidl.backend import Array
from minidl.faces.errors import FaceError
from minidl.faces.explain.explanation import Map
from minidl.nn import evaluating
from minidl.tensor import Tensor

Network = Callable[[Tensor], Tensor]
"""From (1, 1, H, W) to logits (1, K)."""


def _answer(network: nn.Module, x: Tensor, target: int) -> Tensor:
    logits = network(x)
    if logits.ndim != 2 or logits.shape[0] != 1 or not 0 <= target < logits.shape[1]:
        raise FaceError(
            f"there is no answer {target} among logits of shape {tuple(logits.shape)}: give one face, a target from 0"
        )
    return logits[0, target]


def gradient_map(network: nn.Module, x: Array, target: int) -> Map:
    """How strongly the logit answers to a change of each pixel, whatever its direction.

        map = |∂y_target / ∂x|

    Arguments:
        network: from (1, 1, H, W) to logits (1, K).
        x: (1, 1, H, W) float32, the face as the network takes it.
        target: k of the logit.

    Returns:
        (H, W) float32, not negative.

    Raises:
        FaceError: there is no such logit.

    Source: Simonyan, Vedaldi & Zisserman, "Deep inside convolutional networks", 2013.
    """
    return np.abs(_gradient(network, x, target))


def gradient_times_input(network: nn.Module, x: Array, target: int) -> Map:
    """What each pixel contributes to the logit, to first order.

        map = x ⊙ ∂y_target / ∂x

    For a linear network the map adds up to the logit, less the bias.

    Arguments, Returns, Raises:
        As `gradient_map`; the map has both signs.

    Source: Shrikumar, Greenside & Kundaje, "Learning important features through propagating activation differences",
    2017, section 2.
    """
    return np.asarray(_gradient(network, x, target) * np.asarray(x, np.float32)[0, 0], np.float32)


def _gradient(network: nn.Module, x: Array, target: int) -> Map:
    with evaluating(network), enable_grad():
        pixels = Tensor(np.asarray(x, np.float32)).to(device_of(network)).requires_grad_()
        (found,) = grad(_answer(network, pixels, target), pixels)
    return np.asarray(found.detach().cpu().numpy()[0, 0], np.float32)


GRAD_CAM_NEEDS: Final = (
    "grad-cam needs a map of features, which this network has none of: use occlusion or gradient instead"
)


def grad_cam(network: nn.Module, x: Array, target: int, layer: nn.Module | None = None) -> Map:
    """Where the features stand that speak for the answer.

        w_c = mean over i, j of ∂y_target / ∂A_c[i, j];    map = max(0, Σ_c w_c A_c)

    Arguments:
        network: from (1, 1, H, W) to logits (1, K).
        x: (1, 1, H, W) float32, the face as the network takes it.
        target: k of the logit.
        layer: the module whose output is A, (1, C, h, w); by default the last one that puts out such a map, with more
            than one place in it, on which the answer depends.

    Returns:
        (h, w) float32, not negative, of the size of A.

    Raises:
        FaceError: there is no such logit, or no map.

    Source: Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via gradient-based localization",
    ICCV 2017, equations 1 and 2.
    """
    maps: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
            maps.append(output)

    with ExitStack() as stack:
        stack.enter_context(evaluating(network))
        stack.enter_context(enable_grad())
        for module in network.modules() if layer is None else [layer]:
            if module is not network or layer is not None:
                stack.enter_context(module.register_forward_hook(keep))
        # The pixels require a gradient so that every map depends on something that does, frozen weights or not.
        pixels = Tensor(np.asarray(x, np.float32)).to(device_of(network)).requires_grad_()
        y = _answer(network, pixels, target)
        for features in reversed(maps):
            (gradient,) = grad(y, features, retain_graph=True, allow_unused=True)
            if gradient is not None:
                break
        else:
            raise FaceError(GRAD_CAM_NEEDS)
    a, g = (t.detach().cpu().numpy()[0] for t in (features, gradient))
    return np.asarray(np.maximum(np.tensordot(g.mean((1, 2)), a, 1), 0), np.float32)


def device_of(network: nn.Module) -> Any:
    """Where the parameters of a network are; the CPU for one without."""
    return next((p.device for p in network.parameters()), "cpu")
