"""Colours, and laying one over another."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from minidl.backend import Array
from minidl.faces.generated.head import Plane
from minidl.faces.generated.parameters import Parameters

RGB: TypeAlias = tuple[float, float, float]
"""Linear light, 0 to 1."""
Canvas: TypeAlias = Array
"""(C, h, w) float32 reflectance in linear light, C = 1 (luminance) or 3 (red, green, blue)."""

_LUMINANCE = (0.2126, 0.7152, 0.0722)
_HAIR: tuple[RGB, ...] = (
    (0.012, 0.010, 0.009),
    (0.030, 0.018, 0.012),
    (0.075, 0.040, 0.022),
    (0.150, 0.062, 0.030),
    (0.270, 0.150, 0.060),
    (0.480, 0.340, 0.170),
)
_IRIS: tuple[RGB, ...] = (
    (0.030, 0.015, 0.008),
    (0.070, 0.035, 0.014),
    (0.085, 0.085, 0.035),
    (0.10, 0.16, 0.24),
)
_CLOTH: tuple[RGB, ...] = (
    (0.10, 0.16, 0.35),
    (0.40, 0.10, 0.09),
    (0.14, 0.26, 0.16),
    (0.35, 0.33, 0.30),
    (0.4, 0.3, 0.1),
)


def ink(colour: RGB, channels: int) -> Canvas:
    """The colour as (C, 1, 1): itself, or its luminance."""
    values = colour if channels == 3 else (sum(c * k for c, k in zip(colour, _LUMINANCE, strict=True)),)
    return np.array(values, dtype=np.float32)[:, None, None]


def mix(a: RGB, b: RGB, t: float) -> RGB:
    """From a to b, t from 0 to 1, in equal ratios as eyes judge them."""
    red, green, blue = (x ** (1 - t) * y**t for x, y in zip(a, b, strict=True))
    return red, green, blue


def _along(stops: tuple[RGB, ...], t: float) -> RGB:
    place = min(max(t, 0.0), 0.9999) * (len(stops) - 1)
    return mix(stops[int(place)], stops[int(place) + 1], place - int(place))


def skin_colour(p: Parameters) -> RGB:
    """From fair to deep brown."""
    fair, deep = (0.66, 0.43, 0.335), (0.15, 0.082, 0.052)
    return mix(fair, deep, p["tone"] ** 1.2)


def hair_colour(p: Parameters) -> RGB:
    """Black to blond, darker on darker skin, greying with age."""
    place = p["hair_colour"] * (1.0 if p["tone"] < 0.45 else 0.35)
    return mix(_along(_HAIR, place), (0.42, 0.41, 0.40), 0.85 * p["grey"])


def iris_colour(p: Parameters) -> RGB:
    """Brown, hazel, green to blue; brown on darker skin."""
    return _along(_IRIS, p["iris"] * (1.0 if p["tone"] < 0.4 else 0.35))


def cloth_colour(tone: float, hue: float) -> RGB:
    """Any of five hues from nearly black to nearly white."""
    base = _along(_CLOTH, hue)
    if tone < 0.5:
        return mix(base, (0.02, 0.02, 0.022), 1 - 2 * tone)
    return mix(base, (0.7, 0.69, 0.66), 2 * tone - 1)


def lay(canvas: Canvas, alpha: Plane, colour: Canvas) -> None:
    """Cover the canvas by a colour, in place: alpha 0 leaves it, 1 hides it."""
    canvas += alpha * (colour - canvas)


def stain(canvas: Canvas, alpha: Plane, colour: Canvas) -> None:
    """Multiply the canvas by a colour where alpha is 1, in place: shadows, freckles, stubble."""
    canvas *= 1 + alpha * (colour - 1)
