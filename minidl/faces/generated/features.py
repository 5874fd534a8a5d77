"""Eyes, brows, nostrils and mouth, as colour on the surface of the head."""

from __future__ import annotations

import numpy as np

from minidl.faces.generated.head import Plane, Surface, bell, smoothstep
from minidl.faces.generated.noise import texture
from minidl.faces.generated.paint import Canvas, hair_colour, ink, iris_colour, lay, mix, skin_colour, stain
from minidl.faces.generated.parameters import Parameters


def _rows(y: Plane, low: float, high: float) -> slice:
    """The picture rows that hold any point of height low to high, so that small things cost little."""
    rows = np.flatnonzero(((y > low) & (y < high)).any(axis=1))
    return slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0)


def paint_eyes(canvas: Canvas, s: Surface, p: Parameters, n: Parameters, pixel: float, shine: Plane) -> None:
    """Both eyes: white, iris, pupil, lids and lashes. The skin's gloss ends at the lids.

    Arguments:
        canvas: reflectance, changed in place.
        s: the surface of the head.
        p, n: identity and circumstances.
        pixel: the size of a pixel in half heads: edges are as soft as that.
        shine: (h, w) gloss, changed in place.
    """
    rows = _rows(s.y, p["eye_y"] - 0.20, p["eye_y"] + 0.20)
    canvas, x, y, channels = canvas[:, rows], s.x[rows], s.y[rows], len(canvas)
    side = np.where(x < 0, np.float32(-1), np.float32(1))
    width = p["eye_width"]
    dx, dy = x * side - p["eye_x"], y - p["eye_y"]
    u = dx * (1 / width)
    v = (dy + p["eye_tilt"] * dx) * (1 / width)
    opening = p["eye_open"] * (1 + 0.55 * n["eyes_wide"] + 0.12 * n["brow_raise"])
    closed = min(1.0, n["eyes_closed"] + 0.25 * max(n["smile"], 0) * 0.6)
    arch = np.maximum(1 - u * u, 0)
    top = -opening * arch * (1.12 - 0.18 * u)
    bottom = 0.62 * opening * arch * (1.0 + 0.2 * u) * (1 - 0.25 * max(n["smile"], 0))
    top = top + closed * (bottom - top)
    soft = 0.7 * pixel / width
    ball = smoothstep(-soft, soft, np.minimum(v - top, bottom - v)) * (arch > 0)

    white = ink(mix((0.70, 0.66, 0.62), skin_colour(p), 0.22), channels)
    lay(canvas, ball, white)
    gaze_x, gaze_y = dx - side * n["gaze_x"], dy - n["gaze_y"] + 0.012
    from_centre = np.hypot(gaze_x, gaze_y)
    edge = 0.5 * pixel
    radius = 0.067
    disc = ball * smoothstep(radius + edge, radius - edge, from_centre)
    spokes = texture("grain", np.arctan2(gaze_y, gaze_x) * 14 + 400 * p["iris_hue"], from_centre * 60)
    iris = ink(iris_colour(p), channels)
    lay(canvas, disc, iris * (1.0 + 0.25 * spokes))
    stain(canvas, disc * bell((from_centre - radius) * (1 / 0.014)), ink((0.35, 0.35, 0.35), channels))
    lay(
        canvas,
        ball * smoothstep(0.028 + edge, 0.028 - edge, from_centre),
        ink((0.004, 0.004, 0.004), channels),
    )
    # The upper lid shades the ball below it: without this, eyes stare.
    stain(canvas, ball * bell((v - top) * (1 / 0.30)), ink((0.35, 0.33, 0.33), channels))

    reach = smoothstep(1.12, 0.98, np.abs(u))
    lash = reach * bell((v - top) * (1 / (0.09 + 0.07 * (1 - p["masculine"]) + 0.03 * u + soft)))
    lay(canvas, 0.88 * lash, ink((0.012, 0.009, 0.008), channels))
    lower = reach * bell((v - bottom) * (1 / (0.07 + soft)))
    stain(canvas, 0.50 * lower, ink((0.40, 0.30, 0.28), channels))
    crease = top - p["lid"] * (0.65 + 0.35 * arch)
    fold = smoothstep(1.25, 0.9, np.abs(u)) * bell((v - crease) * (1 / 0.13))
    stain(canvas, 0.55 * fold, ink((0.50, 0.40, 0.38), channels))
    corner = bell((u + 0.98) * 7) * bell((v - 0.05) * 8)
    stain(canvas, 0.5 * corner, ink((0.75, 0.45, 0.42), channels))

    lit = 0.018 if n["light_x"] > 0 else -0.018
    glint = ball * bell(
        np.hypot(x - side * p["eye_x"] - n["gaze_x"] - lit, gaze_y + 0.024) * (1 / (0.0085 + 0.12 * pixel))
    )
    lay(canvas, glint, ink((2.2, 2.2, 2.2), channels))
    shine[rows] *= 1 - ball


def paint_brows(canvas: Canvas, s: Surface, p: Parameters, n: Parameters) -> None:
    """Both brows, as hair on a curve over each eye; raised, drawn together, slanted by the expression."""
    rows = _rows(s.y, p["eye_y"] - 0.46, p["eye_y"] - 0.05)
    canvas, x, y = canvas[:, rows], s.x[rows], s.y[rows]
    ax = np.abs(x)
    u = (ax - p["eye_x"] - 0.005) * (1 / (1.35 * p["eye_width"] + 0.02))
    lift = p["brow_height"] + 0.09 * n["brow_raise"] - 0.035 * n["brow_frown"]
    slant = p["brow_angle"] + 0.55 * (n["brow_frown"] if n["smile"] > -0.45 else -0.8 * n["brow_frown"])
    bow = p["brow_arch"] + 0.03 * n["brow_raise"]
    curve = p["eye_y"] - lift - 0.105 * slant * u + bow * (u - 0.25) ** 2
    thick = p["brow_thick"] * (1.05 - 0.42 * u) * smoothstep(1.12, 0.5, u)
    hairs = texture("strand", x * 120 + y * 90 + 500 * p["texture"], ax * 160)
    band = bell((y - curve + 0.006 * hairs) / np.maximum(thick, 0.005))
    alpha = p["brow_dark"] * band * smoothstep(-1.14, -0.75, u) * smoothstep(1.15, 0.7, u)
    colour = mix(hair_colour(p), (0.02, 0.014, 0.01), 0.35 * (1 - p["grey"]))
    lay(canvas, np.clip(alpha * (1 + 0.22 * hairs), 0, 1), ink(colour, len(canvas)))


def paint_nose(canvas: Canvas, s: Surface, p: Parameters) -> None:
    """Nostrils, the shade under the tip and the crease round the wings; the rest is light on relief."""
    rows = _rows(s.y, p["nose_y"] - 0.16, p["nose_y"] + 0.16)
    canvas, ax, y = canvas[:, rows], np.abs(s.x[rows]), s.y[rows]
    channels, width = len(canvas), p["nose_width"]
    rise = y - p["nose_y"] - 0.048 + 0.25 * ax
    hole = np.hypot((ax - 0.52 * width) * (1 / (0.38 * width)), rise * (1 / 0.028))
    stain(canvas, 0.80 * smoothstep(1.5, 0.5, hole), ink((0.10, 0.06, 0.05), channels))
    under = bell(ax * (1 / (0.95 * width))) * bell((y - p["nose_y"] - 0.065) * (1 / 0.035))
    stain(canvas, 0.22 * under, ink((0.55, 0.45, 0.42), channels))
    ring = np.hypot((ax - 0.80 * width) * (1 / 0.055), (y - p["nose_y"]) * (1 / 0.065))
    crease = bell((ring - 1.0) * (1 / 0.25)) * smoothstep(0.80 * width, 1.15 * width, ax)
    stain(canvas, 0.45 * crease, ink((0.58, 0.45, 0.42), channels))


def paint_mouth(canvas: Canvas, s: Surface, p: Parameters, n: Parameters, pixel: float, shine: Plane) -> None:
    """Lips, and between open ones teeth, tongue and dark. What is wet is written to `shine`.

    Arguments:
        canvas: reflectance, changed in place.
        s: the surface of the head.
        p, n: identity and circumstances.
        pixel: the size of a pixel in half heads.
        shine: (h, w) gloss, changed in place.
    """
    centre = p["nose_y"] + p["lip_gap"]
    rows = _rows(s.y, centre - 0.24, centre + 0.34)
    canvas, x, y, channels = canvas[:, rows], s.x[rows], s.y[rows], len(canvas)
    smile, gape = n["smile"], n["mouth_open"]
    half = p["mouth_width"] * (1 + 0.24 * smile - 0.16 * gape * (1 - max(smile, 0)))
    t = x * (1 / half)
    arch = np.maximum(1 - t * t, 0)
    line = centre + (p["mouth_curve"] - 0.085 * smile) * (t * t - 0.35) - 0.012 * bell(t * 3) * (1 - gape)
    shut = 0.10 * gape
    upper_in = line - 0.35 * shut * arch
    lower_in = line + 2.0 * shut * arch + 0.025 * max(smile, 0) * min(1.0, 6 * gape) * arch
    thin = 1 - 0.30 * abs(smile) - 0.1 * n["brow_frown"]
    upper_out = upper_in - p["upper_lip"] * thin * arch**0.75 * (1.08 - 0.42 * bell(t * 5.5) + 0.05 * t * t)
    lower_out = lower_in + p["lower_lip"] * thin * arch**0.65
    soft = 0.8 * pixel
    lips = smoothstep(-soft, soft, np.minimum(y - upper_out, lower_out - y)) * (arch > 0)
    skin = skin_colour(p)
    rose = (skin[0] * 0.80, skin[1] * 0.50, skin[2] * 0.52)
    grain = texture("strand", x * 130 + 700 * p["texture"], y * 40)
    lay(canvas, lips * (0.5 + 0.5 * p["lip_red"]), ink(rose, channels) * (1 + 0.07 * grain))
    stain(
        canvas,
        0.28 * lips * smoothstep(0.3 * pixel, -0.3 * pixel, y - line),
        ink((0.5, 0.45, 0.45), channels),
    )
    gap = smoothstep(-soft, soft, np.minimum(y - upper_in, lower_in - y)) * (arch > 0.02)
    gap *= min(1.0, 12 * gape)
    lay(canvas, gap, ink((0.022, 0.008, 0.007), channels))
    tall = 0.05 + 0.018 * max(smile, 0)
    ridges = 1 - 0.25 * smoothstep(0.8, 1.0, np.cos(x * (2 * np.pi / 0.062)))
    teeth = gap * smoothstep(tall + soft, tall - soft, y - upper_in) * smoothstep(0.95, 0.7, np.abs(t))
    lay(canvas, 0.9 * teeth, ink((0.46, 0.43, 0.37), channels) * ridges)
    tongue = smoothstep(-0.05, 0.03, y - 0.5 * (upper_in + lower_in))
    tongue = tongue * gap * bell(t * 1.9) * (1 - teeth)
    lay(canvas, 0.7 * tongue, ink((0.16, 0.045, 0.04), channels))
    seam = bell((y - line) * (1 / (0.011 + 0.45 * pixel))) * smoothstep(1.08, 0.85, np.abs(t)) * (1 - gap)
    stain(canvas, 0.80 * seam, ink((0.20, 0.13, 0.12), channels))
    corners = bell((np.abs(t) - 1.02) * (half / 0.022)) * bell((y - line) * (1 / 0.025))
    stain(canvas, 0.55 * corners, ink((0.40, 0.30, 0.28), channels))
    below = bell((y - lower_out - 0.022) * (1 / 0.022)) * arch
    stain(canvas, 0.30 * below, ink((0.60, 0.50, 0.48), channels))
    wet = bell((y - lower_in - 0.45 * p["lower_lip"]) * (1 / 0.022)) * bell((t - 0.1) * 2.2)
    wet = wet * lips * (1 - gap)
    shine[rows] += 0.05 * wet + 0.10 * teeth
