"""Hair on the head: where it grows, how its strands run, and what it looks like."""

from __future__ import annotations

import math

import numpy as np

from minidl.faces.generated.head import Plane, Surface, bell, smoothstep
from minidl.faces.generated.noise import texture
from minidl.faces.generated.paint import Canvas, hair_colour, ink
from minidl.faces.generated.parameters import BALD, BOB, FULL, LONG, RECEDING, Parameters


def strands(s: Surface, p: Parameters, n: Parameters, pixel: float) -> Plane:
    """How light each strand is, mean 0: strands fan out from the parting, and each picture combs anew.

    Arguments:
        s: the surface of the hair.
        p, n: identity and circumstances.
        pixel: the size of a pixel in half heads; strands are never finer.

    Returns:
        (h, w) float32.
    """
    part = p["hair_part"]
    combed = 40 * n["strands"]
    dx, dy = s.x - part, s.y + p["crown"] + 0.55
    around = np.arctan2(dx, dy)
    radius = np.sqrt(dx * dx + dy * dy)
    wave = 0.05 * p["curl"] * np.sin(radius * (9 + 6 * p["texture"]) + 4 * s.x)
    run = texture(
        "strand",
        (around + wave) * min(210.0, 1.7 / pixel) + combed + 900 * p["texture"],
        radius * 70 + combed,
    )
    curl = max(0.0, p["curl"] - 0.45) / 0.55
    if curl > 0.05:
        knots = texture("cloud", s.x * 120 + combed + 77 * p["curl"], s.y * 120 + 33 * part)
        run = run * (1 - 0.75 * curl) + knots * curl
    return run


def growth(s: Surface, p: Parameters, n: Parameters, run: Plane, pixel: float) -> Plane:
    """How much hair covers each pixel, 0 to 1: above the hairline and behind the temples.

    Arguments:
        s: the surface of the hair.
        p, n: identity and circumstances.
        run: of `strands`; frays the edges.
        pixel: the size of a pixel in half heads.

    Returns:
        (h, w) float32.
    """
    style = int(p["style"])
    ax = np.abs(s.x)
    line = p["hairline"] + p["peak"] * bell(s.x * 6) - p["temples"] * bell((ax - 0.38) * 6)
    line = line + 0.55 * smoothstep(0.42, 0.80, ax) * ax
    if style in (FULL, BOB, LONG) and p["fringe"] > 0:
        sweep = np.clip(0.75 + 1.2 * math.copysign(1.0, p["hair_part"]) * s.x * (1 - p["fringe"]), 0, 1.2)
        line = line + (0.05 + 0.30 * p["fringe"]) * sweep * smoothstep(0.75, 0.5, ax)
    elif style not in (BALD, RECEDING):
        line = line + math.copysign(0.10, p["hair_part"]) * s.x
        line = line + 0.03 * np.sin(s.x * 9 + 20 * p["texture"])
    if style in (BALD, RECEDING):
        line = line - (0.75 if style == BALD else 0.10 + 0.16 * bell((ax - 0.40) * 4))
    wide = p["head_width"] + p["hair_side"] * (0.4 if style in (BALD, RECEDING) else 1.0)
    side = 0.08 + 0.12 * p["hair_length"] + p["depth"] * math.sqrt(1 - (p["head_width"] / wide) ** 2)
    if style in (LONG, BOB):
        behind = side + 0.14 * np.sin(s.y * 2.2 + 0.5) * p["curl"] - 0.10 * smoothstep(-0.5, 0.1, s.y)
    else:
        behind = side - (side + 0.32) * smoothstep(-0.10, 0.10 + 0.15 * p["hair_length"], s.y)
        if style == BALD:
            behind = behind - 1.4 * smoothstep(-0.10, -0.35, s.y)
    cover = np.maximum(line - s.y, behind - s.z) + 0.020 * run
    fray = 0.06 + pixel if style in (BALD, RECEDING) else 0.040 + pixel
    if style in (LONG, BOB):  # hair falls beside the chin, not under it
        cover = cover - smoothstep(0.30, 0.50, s.y) * smoothstep(0.62, 0.50, ax)
    outline = smoothstep(-0.012 - pixel, 0.020 + pixel, s.inside + 0.008 * run * (1 + p["curl"]))
    grown = smoothstep(-fray, fray, cover) * outline
    return grown * (0.9 if style in (BALD, RECEDING) else 1.0)


def hair_canvas(p: Parameters, run: Plane, channels: int) -> Canvas:
    """The reflectance of hair, (channels, h, w): darker and lighter strands of one colour."""
    return ink(hair_colour(p), channels) * np.clip(1 + 0.24 * run, 0.6, 1.5)
