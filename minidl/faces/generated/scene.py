"""One picture: background, body, ears, head, hair, spectacles and what hides them, lit and photographed."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.generated import features, hair, skin
from minidl.faces.generated.head import (
    Build,
    Plane,
    Pose,
    Surface,
    bell,
    meet,
    pose,
    relief,
    smoothstep,
)
from minidl.faces.generated.light import FAR, illuminate, slopes
from minidl.faces.generated.noise import texture
from minidl.faces.generated.paint import Canvas, cloth_colour, ink, lay, skin_colour, stain
from minidl.faces.generated.parameters import BALD, BOB, LONG, RECEDING, Parameters


class Framing(NamedTuple):
    """How a head lies in a picture.

    Attributes:
        unit: pixels a half head.
        x, y: of the point between the eyes when the head looks straight ahead, in pixels from the upper left edge.
        roll: in radians, clockwise.
    """

    unit: float
    x: float
    y: float
    roll: float


def framing(n: Parameters, size: tuple[int, int]) -> Framing:
    """How the head lies in its own portrait of (height, width) pixels."""
    return Framing(unit_of(size) * n["scale"], *centre_of(n, size), math.radians(n["roll"]))


class _Frame:
    """The layers painted so far, and where each pixel lies in half heads from the point between the eyes."""

    canvas: Canvas
    cover: Plane
    right: Plane
    down: Plane
    depth: Plane
    gloss: Plane

    def __init__(self, n: Parameters, size: tuple[int, int], channels: int, lie: Framing) -> None:
        h, w = size
        unit, cx, cy, roll = lie
        self.pixel = 1 / unit
        self.channels = channels
        cols = ((np.arange(w, dtype=np.float32) + 0.5 - cx) / unit)[None, :]
        rows = ((np.arange(h, dtype=np.float32) + 0.5 - cy) / unit)[:, None]
        self.x = (cols * math.cos(roll) + rows * math.sin(roll)).astype(np.float32)
        self.y = (rows * math.cos(roll) - cols * math.sin(roll)).astype(np.float32)
        tone = 0.03 + 0.45 * n["background"] ** 1.5
        flat = 1 + 0.5 * (n["slope_x"] * cols + n["slope_y"] * rows)
        blotches = texture("cloud", cols * 14 + 999 * n["strands"], rows * 14 + 777 * n["collar"])
        hue = n["background_hue"]
        wall = (tone * (0.9 + 0.25 * hue), tone, tone * (1.2 - 0.35 * hue))
        self.canvas = ink(wall, channels) * np.maximum(flat + 0.10 * blotches, 0.15)
        self.canvas = self.canvas.astype(np.float32)
        self.depth = np.full((h, w), FAR, dtype=np.float32)
        self.cover = np.zeros((h, w), np.float32)
        self.right, self.down = np.zeros((h, w), np.float32), np.zeros((h, w), np.float32)
        self.gloss = np.zeros((h, w), np.float32)

    def over(self, alpha: Plane, canvas: Canvas, depth: Plane, gloss: Plane | float, relief: float = 1.0) -> None:
        """Put a layer in front: its colour, depth, slopes (times `relief`) and gloss, where alpha says so."""
        right, down = slopes(depth, self.pixel / relief)
        lay(self.canvas, alpha, canvas)
        self.right += alpha * (right - self.right)
        self.down += alpha * (down - self.down)
        np.copyto(self.depth, depth, where=alpha > 0.5)  # blended depths would draw dark outlines
        self.gloss += alpha * (gloss - self.gloss)
        self.cover += alpha * (1 - self.cover)


def unit_of(size: tuple[int, int]) -> float:
    """Pixels a half head at scale 1: the face fills the picture, whatever its proportions."""
    return 0.46 * min(size[0], size[1] * 112 / 92)


def centre_of(n: Parameters, size: tuple[int, int]) -> tuple[float, float]:
    """The pixel (x, y) of the point between the eyes when the head looks straight ahead."""
    whole = unit_of(size) / 0.46
    return size[1] / 2 + n["shift_x"] * whole, size[0] * 0.47 + n["shift_y"] * whole


def eye_positions(
    p: Parameters, shape: Build, n: Parameters, size: tuple[int, int], lie: Framing | None = None
) -> NDArray[np.float32]:
    """Where the centres of both eyes are seen: (2, 2) float32 pixels (x, y), the picture's left eye first."""
    view = pose(n)
    y = np.full((1, 1), p["eye_y"], dtype=np.float32)
    w2, d2 = shape.skull.at(y)
    z = float((relief(np.full_like(y, p["eye_x"]), y, p, n) + np.sqrt(d2 * (1 - p["eye_x"] ** 2 / w2)))[0, 0])
    unit, cx, cy, roll = framing(n, size) if lie is None else lie
    found = []
    for side in (-1, 1):
        right, down, _ = view.project(side * p["eye_x"], p["eye_y"], z)
        x = right * math.cos(roll) - down * math.sin(roll)
        y_turned = right * math.sin(roll) + down * math.cos(roll)
        found.append((cx + unit * x - 0.5, cy + unit * y_turned - 0.5))
    return np.array(found, dtype=np.float32)


def render(p: Parameters, shape: Build, n: Parameters, size: tuple[int, int], channels: int) -> Array:
    """One picture.

    Arguments:
        p, n: identity and circumstances.
        shape: of the person's skull and hair.
        size: (height, width) in pixels.
        channels: 1 or 3.

    Returns:
        (h, w) uint8 for one channel, (h, w, 3) for three.
    """
    return photograph(figure(p, shape, n, size, channels, framing(n, size))[0], n)


def figure(
    p: Parameters, shape: Build, n: Parameters, size: tuple[int, int], channels: int, lie: Framing
) -> tuple[Canvas, Plane]:
    """A person before a wall, as light, and how much of each pixel is the person.

    Arguments:
        p, n: identity and circumstances.
        shape: of the person's skull and hair.
        size: (height, width) in pixels.
        channels: 1 or 3.
        lie: where the head is, and how large.

    Returns:
        (channels, h, w) float32 linear light, and (h, w) float32 from 0 (wall) to 1.
    """
    frame = _Frame(n, size, channels, lie)
    view = pose(n)
    head = meet(frame.x, frame.y, view, shape.skull, p, n, bare=True)
    shell = meet(frame.x, frame.y, view, shape.hair, p, n, bare=False)
    run = hair.strands(shell, p, n, frame.pixel)
    grown = hair.growth(shell, p, n, run, frame.pixel)
    locks = hair.hair_canvas(p, run, channels)
    style = int(p["style"])

    inner = hair.growth(shell._replace(x=shell.far_x, z=shell.far_z), p, n, run, frame.pixel)
    frame.over(inner, locks * 0.5, shell.depth * 0.2 - 0.7, 0.0)  # the far side, seen past the face
    _body(frame, p, n, view)
    ears = style not in (LONG, BOB)
    if ears:
        _ear(frame, p, view, near=False)
    outline = smoothstep(-0.7 * frame.pixel, 0.7 * frame.pixel, head.inside)
    frame.over(outline, *_face(frame, head, p, n))
    if ears:
        _ear(frame, p, view, near=True)
    thick = 0.02 if style in (BALD, RECEDING) else 0.05
    grown *= smoothstep(-0.30, -0.12, shell.depth - frame.depth)  # never before a nearer face
    # Light goes through the outermost hair: lit like a solid, it would have a dark rim.
    frame.over(
        grown, locks, shell.depth + thick * np.minimum(grown, 1) - thick, np.maximum(0.06 + 0.04 * run, 0), relief=0.55
    )
    if n["glasses"]:
        _glasses(frame, head, p, n, view)
    if n["scarf"]:
        _scarf(frame, n)
    if n["blob"]:
        _blob(frame, n)
    light = illuminate(frame.canvas, frame.right, frame.down, frame.depth, frame.gloss, n, frame.pixel)
    return light, frame.cover


def _face(frame: _Frame, head: Surface, p: Parameters, n: Parameters) -> tuple[Canvas, Plane, Plane]:
    """Colour, depth and gloss of the face."""
    canvas = skin.paint_skin(head, p, n, frame.channels)
    pores = texture("grain", head.x * 110 + 555 * p["texture"], head.y * 110)
    forehead = bell(head.x * 2.2) * bell((head.y + 0.42) * 2.6)
    shiny = 0.35 + 0.6 * forehead + bell(head.x * 9) * bell((head.y - 0.3) * 4)
    gloss = p["oil"] * (0.5 + 0.08 * pores) * shiny
    features.paint_nose(canvas, head, p)
    features.paint_mouth(canvas, head, p, n, frame.pixel, gloss)
    features.paint_eyes(canvas, head, p, n, frame.pixel, gloss)
    features.paint_brows(canvas, head, p, n)
    return canvas, head.depth + (0.0010 + 0.0012 * p["wrinkles"]) * pores, gloss


def _body(frame: _Frame, p: Parameters, n: Parameters, view: Pose) -> None:
    """Neck and shoulders; the clothes are the picture's, not the person's."""
    x = frame.x + 0.12 * view.sin_a
    half = p["neck"] + 0.05 * bell((frame.y - 0.7) * 3) * -1 + 0.25 * smoothstep(1.2, 1.9, frame.y)
    round2 = np.maximum(half * half - x * x, 0)
    alpha = smoothstep(-frame.pixel, frame.pixel, half - np.abs(x)) * smoothstep(0.2, 0.4, frame.y)
    neck = ink(skin_colour(p), frame.channels) * (0.92 + 0 * x)
    frame.over(alpha, neck, 0.9 * np.sqrt(round2) - 0.42, 0.03)
    line = 1.08 + 0.05 * n["collar"] + 0.30 * np.maximum(np.abs(x) - 0.42, 0) ** 1.3
    line = line + (0.1 + 0.5 * n["collar"]) * np.maximum(0.42 - np.abs(x), 0)
    line = line + 12 * np.maximum(np.abs(x) - 1.25, 0) ** 3  # the shoulders end; portraits do not reach so far
    cloth = ink(cloth_colour(n["cloth_tone"], n["cloth_hue"]), frame.channels)
    weave = texture("cloud", x * 55, frame.y * 30)
    seam = bell((np.abs(x) - 1.06 - 0.05 * frame.y) * 12) * smoothstep(1.6, 2.1, frame.y)
    alpha = smoothstep(-frame.pixel, frame.pixel, frame.y - line)
    frame.over(alpha, cloth * (1 + 0.06 * weave - 0.4 * seam), -0.35 - 0.35 * x * x + 0.015 * weave, 0.0)


def _ear(frame: _Frame, p: Parameters, view: Pose, near: bool) -> None:
    """The ear turned to the viewer (near) is in front of the cheek, the other behind it."""
    for side in (-1, 1):
        facing = -side * view.sin_a
        if (facing > 0.12) != near or facing < -0.35:
            continue
        cx, cy, cz = view.project(side * (0.965 * p["head_width"]), 0.12, -0.08)
        broad, tall = p["ear_out"] + 0.45 * p["ear_size"] * max(facing, 0), p["ear_size"]
        u = (frame.x - cx) * (side / broad) - 0.15
        v = (frame.y - cy) * (1 / tall)
        u = u + 0.22 * v
        radius = np.sqrt(u * u * (1 + 0.35 * np.clip(v, -0.5, 1)) + v * v)
        soft = 1.2 * frame.pixel / broad
        alpha = smoothstep(1 + 0.5 * soft, 1 - 0.5 * soft, radius)
        bowl = bell((radius - 0.42) * 4)
        canvas = ink(skin_colour(p), frame.channels) * (1 - 0.45 * bell((radius - 0.35) * 3.2))
        stain(canvas, 0.6 * (1 - bowl), ink((1.0, 0.86, 0.84), frame.channels))
        rim = 0.05 * bell((radius - 0.85) * 4.5) - 0.03 * bowl
        frame.over(alpha, canvas, rim + cz + 0.05 * facing, 0.05)


def _glasses(frame: _Frame, head: Surface, p: Parameters, n: Parameters, view: Pose) -> None:
    """Two rims on a plane before the eyes, a bridge, arms along the temples, glare; or dark lenses."""
    z = p["depth"] + 0.06
    cos_a, cos_b = view.cos_a, view.cos_b
    x = (frame.x - z * view.sin_a) / cos_a
    y = (frame.y + (z * cos_a - x * view.sin_a) * view.sin_b) / cos_b - p["eye_y"] - 0.025
    ax = np.abs(x)
    wide, tall = p["glasses_width"], p["glasses_height"]
    e = p["glasses_round"]
    u, v = np.abs((ax - p["eye_x"] - 0.01) * (1 / wide)), np.abs(y * (1 / tall))
    radius = (u**e + v**e + 1e-6) ** (1 / e)
    thick = 0.009 + 0.014 * p["glasses_dark"] + 0.25 * frame.pixel
    rim = bell((radius - 1) * (0.5 * (wide + tall) / thick))
    bridge = bell((y + 0.045 + 0.25 * (ax * ax)) * (1 / thick)) * smoothstep(p["eye_x"] - wide, 0, ax - 0.03)
    arm_y = head.y - p["eye_y"] + 0.03
    arm = bell(arm_y * (1 / (thick + 0.004))) * smoothstep(
        p["eye_x"] + wide - 0.03, p["eye_x"] + wide + 0.01, np.abs(head.x)
    )
    arm *= (head.z > -0.1) * (head.inside > 0)
    lens = smoothstep(1.0, 0.93, radius)
    channels = frame.channels
    if n["sunglasses"]:
        lay(frame.canvas, 0.93 * lens, ink((0.012, 0.012, 0.014), channels))
    glare = smoothstep(0.35, 0.8, np.sin((x * 0.8 + y) * 9 + 3 * n["strands"] + 40 * n["light_x"]))
    lay(frame.canvas, 0.07 * lens * glare, ink((0.9, 0.9, 0.95), channels))
    shade = bell((radius - 1.12) * (0.5 * (wide + tall) / 0.03))
    stain(frame.canvas, 0.25 * shade * (head.inside > 0), ink((0.6, 0.5, 0.5), channels))
    dark = p["glasses_dark"]
    metal = (0.15 - 0.14 * dark, 0.13 - 0.12 * dark, 0.11 - 0.10 * dark)
    lines = np.minimum(rim + bridge + arm, 1)
    lay(frame.canvas, 0.94 * lines, ink(metal, channels))
    frame.gloss += 0.35 * lines + 0.03 * lens


def _scarf(frame: _Frame, n: Parameters) -> None:
    """Cloth over mouth and chin, in folds."""
    x = frame.x
    folds = np.sin((frame.y + 0.25 * x * x) * 22 * n["cloth_scale"] + 3 * np.sin(3 * x + 6 * n["strands"]))
    weave = texture("grain", x * 60, frame.y * 60)
    edge = n["scarf_top"] - 0.10 * bell(x * 3) + 0.12 * x * x + 0.02 * folds
    alpha = smoothstep(-frame.pixel, frame.pixel, frame.y - edge) * smoothstep(1.02, 0.94, np.abs(x))
    colour = ink(cloth_colour(n["cloth_tone"], 1 - n["cloth_hue"]), frame.channels)
    depth = 1.0 * np.sqrt(np.maximum(1.1 - x * x, 0.01)) - 0.05 + 0.03 * folds
    frame.over(alpha, colour * (1 + 0.12 * weave + 0.10 * folds), depth, 0.0)


def _blob(frame: _Frame, n: Parameters) -> None:
    """Something held before the face."""
    c, s = math.cos(n["blob_tilt"]), math.sin(n["blob_tilt"])
    x, y = frame.x - n["blob_x"], frame.y - n["blob_y"]
    u, v = (x * c + y * s) * (1 / n["blob_size"]), (y * c - x * s) * (0.7 / n["blob_size"])
    radius = (u**4 + v**4) ** 0.25
    alpha = smoothstep(1.02, 0.96, radius)
    colour = ink(cloth_colour(1 - n["cloth_tone"], n["cloth_hue"]), frame.channels)
    depth = 1.15 - 0.12 * np.minimum(radius, 1.5) ** 4
    frame.over(alpha, colour * (1 + 0.12 * texture("cloud", x * 40, y * 40)), depth.astype(np.float32), 0.05)


def photograph(light: Canvas, n: Parameters) -> NDArray[np.uint8]:
    """What a camera makes of the light: automatic exposure, the curve of a print, blur, noise, eight bits.

    Arguments:
        light: (channels, h, w) float32, linear.
        n: circumstances; exposure, darkness, blur and noise.

    Returns:
        (h, w) uint8 for one channel, (h, w, 3) for three.
    """
    channels, h, w = light.shape
    grey = light.mean(0)
    middle = float(grey[h // 6 : -h // 8, w // 6 : -w // 6].mean())
    # Half of what a camera's meter would do: faces stay darker or lighter, but brightness tells nobody apart.
    gain = (0.30 / max(middle, 1e-4)) ** 0.8 * math.exp(n["exposure"])
    light = light * gain
    light = light * (1 + light * 0.12) / (1 + 0.55 * light)  # shoulder: highlights bend instead of clipping
    out = np.sqrt(np.maximum(light, 0)) * (255 * 1.02)
    out *= n["dark"]
    for axis in (1, 2):
        out = _blur(out, n["blur"] * h, axis)
    grain = np.random.default_rng(int(n["grain"])).standard_normal((1, h, w), dtype=np.float32)
    out += n["noise"] * grain
    out = np.clip(out + 0.5, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(out[0] if channels == 1 else out.transpose(1, 2, 0))


def _blur(image: Canvas, sd: float, axis: int) -> Canvas:
    """Five-tap smoothing by a Gaussian of `sd` pixels, edges repeated."""
    if sd < 0.15:
        return image
    taps = np.exp(-0.5 * (np.arange(3) / sd) ** 2)
    taps /= taps[0] + 2 * taps[1:].sum()
    pads = [(0, 0)] * 3
    pads[axis] = (2, 2)
    wide = np.moveaxis(np.pad(image, pads, mode="edge"), axis, 0)
    n = wide.shape[0] - 4
    a, b, c = (float(t) for t in taps)
    smooth = a * wide[2 : n + 2] + b * (wide[1 : n + 1] + wide[3 : n + 3]) + c * (wide[:n] + wide[4:])
    return np.moveaxis(smooth, 0, axis)
