"""Textures that repeat: the grain of skin, strands of hair, weave of cloth."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from minidl.faces.generated.head import Plane

_SIDE = 256
_OFFSET = 65536.0


@functools.cache
def _texture(kind: str) -> NDArray[np.float32]:
    """A periodic 256 × 256 texture of mean 0 and standard deviation 1, flattened.

    Filtered white noise: `grain` is smooth over 2 cells, `cloud` over 8 with finer octaves,
    `strand` over 1 across and 24 along.
    """
    seed, widths = {
        "grain": (1, [(2.0, 2.0, 1.0)]),
        "cloud": (2, [(11.0, 11.0, 1.0), (5.0, 5.0, 0.5), (2.2, 2.2, 0.25)]),
        "strand": (3, [(1.0, 26.0, 1.0), (3.0, 30.0, 0.5)]),
    }[kind]
    rng = np.random.default_rng(seed)
    frequency = np.fft.fftfreq(_SIDE) * 2 * np.pi
    total = np.zeros((_SIDE, _SIDE))
    for across, along, weight in widths:
        response = np.exp(-0.5 * ((frequency[None, :] * across) ** 2 + (frequency[:, None] * along) ** 2))
        layer = np.fft.ifft2(np.fft.fft2(rng.standard_normal((_SIDE, _SIDE))) * response).real
        total += weight * (layer - layer.mean()) / layer.std()
    return np.asarray((total / total.std()).astype(np.float32).ravel())


def texture(kind: str, u: Plane, v: Plane) -> Plane:
    """The texture at u (across) and v (along), in cells, repeating every 256.

    Arguments:
        kind: grain, cloud or strand.
        u, v: float32 arrays that broadcast together.

    Returns:
        float32, mean 0 and standard deviation 1 over the whole texture.
    """
    # the offset keeps the truncation a floor: no coordinate lies below it
    column = (u + _OFFSET).astype(np.int32) & (_SIDE - 1)
    row = (v + _OFFSET).astype(np.int32) & (_SIDE - 1)
    return np.asarray(_texture(kind)[(row << 8) | column])
