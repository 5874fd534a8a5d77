"""Light on a depth map: lamp, sky, cast shadows, hollows, gloss."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from minidl.faces.generated.head import Plane
from minidl.faces.generated.parameters import Parameters

FAR = -3.0
"""The depth of the wall behind everything."""
_REACHES = (0.045, 0.10, 0.17, 0.26, 0.38)
_THICK = 0.9  # a wall far behind gets no shadow from the few steps that are taken


def slopes(depth: Plane, pixel: float) -> tuple[Plane, Plane]:
    """Central differences of the depth: its rise per half head to the right and downwards."""
    right, down = np.empty_like(depth), np.empty_like(depth)
    right[:, 1:-1] = depth[:, 2:] - depth[:, :-2]
    right[:, 0], right[:, -1] = right[:, 1], right[:, -2]
    down[1:-1] = depth[2:] - depth[:-2]
    down[0], down[-1] = down[1], down[-2]
    scale = 0.5 / pixel
    right *= scale
    down *= scale
    return right, down


def lamp(n: Parameters) -> tuple[float, float, float]:
    """The unit vector towards the lamp: right, down, towards the viewer."""
    x, y, z = n["light_x"], n["light_y"], 0.85
    length = math.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length


def shadows(depth: Plane, towards: tuple[float, float, float], pixel: float) -> Plane:
    """How much of the lamp reaches each pixel: a few steps along the ray to it, each against the depth map.

    Arguments:
        depth: (h, w) towards the viewer, in half heads.
        towards: unit vector to the lamp.
        pixel: the size of a pixel in half heads.

    Returns:
        (h, w), 1 in full light, 0 in full shade; softer the farther the thing that stands in the way.
    """
    h, w = depth.shape
    x, y, z = towards
    pad = int(_REACHES[-1] * max(abs(x), abs(y)) / pixel) + 2
    wide = np.pad(depth, pad, mode="edge")
    blocked = np.zeros_like(depth)
    for reach in _REACHES:
        i, j = pad + round(reach * y / pixel), pad + round(reach * x / pixel)
        above = wide[i : i + h, j : j + w] - depth
        above -= reach * z
        above *= above < _THICK
        above *= 1 / (0.05 + 0.45 * reach)
        np.maximum(blocked, above, out=blocked)
    return np.asarray(1 - np.minimum(blocked, 1))


def hollows(depth: Plane, pixel: float) -> Plane:
    """How open each pixel lies, 1 on hills to less in hollows: depth against its mean over a square."""
    h, w = depth.shape
    k = max(1, round(0.10 / pixel))
    wide = np.pad(depth, k + 1, mode="edge")
    total = wide.cumsum(0, dtype=np.float64)
    total = total[2 * k + 1 :] - total[: -2 * k - 1]
    total = total.cumsum(1)
    total = total[:, 2 * k + 1 :] - total[:, : -2 * k - 1]
    mean = (total[:h, :w] * (1 / (2 * k + 1) ** 2)).astype(np.float32)
    return np.asarray(1 - np.clip((mean - depth) * 2.2, 0, 0.4) * (depth > FAR + 0.5))


def illuminate(
    canvas: NDArray[np.float32],
    right: Plane,
    down: Plane,
    depth: Plane,
    gloss: Plane,
    n: Parameters,
    pixel: float,
) -> NDArray[np.float32]:
    """The light that each pixel sends to the camera.

    Arguments:
        canvas: (C, h, w) reflectance.
        right, down: slopes of the surface.
        depth: (h, w).
        gloss: (h, w) strength of the mirror-like part.
        n: circumstances; direction and strength of the lamp, ambient light.
        pixel: the size of a pixel in half heads.

    Returns:
        (C, h, w) float32, linear.

    Formula: with reflectance ρ, gloss g, openness o, shadow s and N_up the upward part of the normal,
        ρ · (ambient · o · (1 + ½ N_up) + key · s · max(0, (N·L + a)/(1 + a))) + 0.8 key · g · s · (N·H)²⁴.
    """
    x, y, z = lamp(n)
    shadow = shadows(depth, (x, y, z), pixel)
    norm = 1 / np.sqrt(1 + right * right + down * down)
    facing = (z - x * right - y * down) * norm
    wrap = 0.18
    diffuse = np.maximum((facing + wrap) * (1 / (1 + wrap)), 0)
    diffuse *= shadow
    diffuse *= n["key"]
    sky = (1 + 0.5 * down * norm) * hollows(depth, pixel)
    sky *= n["ambient"]
    half = math.sqrt(2 + 2 * z)
    mirror = np.maximum(((1 + z) - x * right - y * down) * norm * (1 / half), 0)
    mirror = mirror**2
    mirror = mirror * mirror * mirror
    mirror = mirror * mirror
    mirror = mirror * mirror
    mirror *= gloss
    mirror *= shadow
    return np.asarray(canvas * (diffuse + sky) + mirror * (0.8 * n["key"]))
