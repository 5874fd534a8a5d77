"""The skin of a face: mottling, blush, freckles, moles, wrinkles and beard, as colour on the head."""

from __future__ import annotations

import numpy as np

from minidl.faces.generated.head import Plane, Surface, bell, smoothstep
from minidl.faces.generated.noise import texture
from minidl.faces.generated.paint import Canvas, hair_colour, ink, lay, skin_colour, stain
from minidl.faces.generated.parameters import Parameters


def paint_skin(s: Surface, p: Parameters, n: Parameters, channels: int) -> Canvas:
    """The reflectance of the bare face, before eyes, brows and lips.

    Arguments:
        s: the surface of the head.
        p, n: identity and circumstances.
        channels: 1 or 3.

    Returns:
        (channels, h, w) float32.
    """
    ax, y = np.abs(s.x), s.y
    base = ink(skin_colour(p), channels)
    offset = 1000 * p["texture"]
    patches = texture("cloud", s.x * 42 + offset, y * 42 + 1.7 * offset)
    canvas = base * (1 + p["mottle"] * patches)
    ruddy = bell((ax - 0.42) * 4.2) * bell((y - 0.34) * 4.5) + bell(s.x * 8) * bell((y - p["nose_y"]) * 7)
    stain(canvas, ruddy * (0.15 + 0.45 * p["blush"]), ink((0.97, 0.76, 0.74), channels))
    socket = bell((ax - p["eye_x"] + 0.02) * 5.5) * bell((y - p["eye_y"] - 0.02) * 7)
    stain(canvas, socket * (0.45 + 0.3 * p["age"]), ink((0.80, 0.70, 0.70), channels))
    if p["freckles"] > 0:
        dots = texture("grain", s.x * 130 + offset, y * 130 - offset)
        where = bell(ax * 1.9) * bell((y - 0.25) * 3)
        stain(canvas, where * p["freckles"] * smoothstep(0.9, 1.5, dots), ink((0.72, 0.58, 0.5), channels))
    _moles(canvas, s, p, channels)
    _wrinkles(canvas, ax, y, p, n, channels)
    if p["beard"] > 0 or p["moustache"] > 0 or p["masculine"] > 0.6:
        _beard(canvas, s, ax, p, n, channels)
    return canvas


def _moles(canvas: Canvas, s: Surface, p: Parameters, channels: int) -> None:
    """Nought to two dark spots; the digits of two parameters say where, so that they are the person's own."""
    dark = ink((0.42, 0.33, 0.30), channels)
    for k in range(int(2.4 * p["moles"] ** 4)):
        x, y = (
            ((p["texture"] * 7.31 + k * 0.377) % 1 - 0.5) * 0.95,
            (p["moles"] * 9.17 + k * 0.619) % 1 * 0.85 - 0.1,
        )
        size = 0.013 + 0.012 * ((p["texture"] * 31.7 + k * 0.23) % 1)
        stain(canvas, smoothstep(1.5, 0.6, np.hypot(s.x - x, s.y - y) * (1 / size)), dark)


def _wrinkles(canvas: Canvas, ax: Plane, y: Plane, p: Parameters, n: Parameters, channels: int) -> None:
    """Lines of the forehead, folds from nose to mouth, crow's feet, bags, the frown between the brows."""
    depth = p["wrinkles"]
    nose_y, mouth_y = p["nose_y"], p["nose_y"] + p["lip_gap"]
    smile = n["smile"]
    slope = 0.55 + 0.25 * smile
    lines = bell((ax - p["nose_width"] - 0.05 - (y - nose_y) * slope) * (1 / 0.022))
    lines *= smoothstep(nose_y - 0.10, nose_y + 0.02, y) * (1 - smoothstep(mouth_y - 0.08, mouth_y + 0.06, y))
    lines *= 0.16 + 0.45 * depth + 0.35 * max(smile, 0)
    forehead = depth * 0.55 + 0.4 * max(n["brow_raise"], 0)
    if forehead > 0.08:
        waves = np.sin(y * 62 + 3 * bell(ax * 3) + 6 * p["texture"])
        lines += forehead * smoothstep(0.72, 1.0, waves) * bell((y + 0.42) * 7) * bell(ax * 2.2)
    below = y - p["eye_y"] - 0.105 - 0.15 * (ax - p["eye_x"]) ** 2
    lines += (0.10 + 0.40 * depth) * bell(below * (1 / 0.016)) * bell((ax - p["eye_x"]) * 8)
    feet = depth * 0.5 + 0.25 * max(smile, 0)
    if feet > 0.1:
        out = ax - p["eye_x"] - p["eye_width"] - 0.045
        rays = smoothstep(0.5, 1, np.cos((y - p["eye_y"]) * 95 / (1 + 6 * np.maximum(out, 0))))
        lines += feet * rays * bell(out * 22) * bell((y - p["eye_y"]) * 12)
    if n["brow_frown"] > 0.05:
        furrow = bell((ax - 0.055) * (1 / 0.015)) * bell((y - p["eye_y"] + 0.17) * 11)
        lines += 0.7 * n["brow_frown"] * furrow
    stain(canvas, np.minimum(lines, 1), ink((0.55, 0.43, 0.40), channels))


def _beard(canvas: Canvas, s: Surface, ax: Plane, p: Parameters, n: Parameters, channels: int) -> None:
    """Stubble, beard and moustache: hair on the jaw and over the lip, between bare cheeks."""
    mouth_y = p["nose_y"] + p["lip_gap"]
    drop = 0.14 * n["mouth_open"]
    y = s.y
    edge = mouth_y - 0.12 + 0.5 * np.maximum(0.42 - ax, 0) - 0.55 * np.maximum(ax - 0.46, 0)
    jaw = smoothstep(-0.05, 0.07, y - edge)
    across, below = ax * (1 / (0.9 * p["mouth_width"])), y - mouth_y - 0.5 * drop
    lips = np.hypot(across, below * (1 / (0.085 + 0.5 * drop)))
    jaw *= smoothstep(0.9, 1.5, lips)
    lip_y = p["nose_y"] + 0.58 * p["lip_gap"] - 0.03 * n["mouth_open"]
    over = bell((y - lip_y - 0.30 * ax * ax) * (1 / 0.045)) * smoothstep(
        1.25 * p["mouth_width"], 0.8 * p["mouth_width"], ax
    )
    over *= 1 - 0.5 * bell(ax * (1 / 0.02))
    hairs = texture("grain", s.x * 120 + 300 * p["texture"], y * 80)
    fine = np.clip(1 + 0.16 * hairs, 0, 1.5)
    stubble = 0.30 * max(0.0, p["masculine"] - 0.6) / 0.4 * (1 - p["grey"])
    cover = np.maximum(jaw * max(p["beard"] ** 0.5, stubble), over * max(p["moustache"], 0.6 * stubble))
    lay(canvas, np.clip(0.93 * cover * fine, 0, 1), ink(hair_colour(p), channels) * (1 + 0.25 * hairs))
