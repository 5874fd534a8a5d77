"""Virtual photographs: generated people in a room, with the place of every face known. For detectors.

The room is drawn first (wall, panels, window, pictures, shelves, lamp); then the people, the farthest first, lit by one
lamp; one camera photographs it all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minidl.faces.errors import BadDataset
from minidl.faces.generated.circumstances import DIFFICULTIES, draw_nuisance
from minidl.faces.generated.head import build
from minidl.faces.generated.noise import texture
from minidl.faces.generated.paint import RGB, Canvas, cloth_colour, ink, lay
from minidl.faces.generated.parameters import draw_identity
from minidl.faces.generated.scene import Framing, eye_positions, figure, photograph

UNITS: Final = (24.0, 62.0)
"""Pixels a half head in a picture of 480 rows: faces from 36 to 95 pixels wide, as `SceneFace.box` counts."""
LIGHT: Final = ("light_x", "light_y", "key", "ambient", "exposure", "dark", "noise", "blur", "grain")
"""Circumstances that all people in a picture share."""
_SMALLEST = 160


class SceneFace(NamedTuple):
    """One face in a scene.

    Attributes:
        person: who it is; the same number and seed give the same person as in `generated_faces`.
        box: (x, y, w, h) in pixels, from the brows to the chin: a square 2.5 times as wide as the eyes of the head,
            seen from the front, are apart.
        eyes: (2, 2) float32 pixels (x, y), the one on the picture's left first.
        yaw, pitch, roll: of the head, in degrees.
        hidden: whether dark glasses, a scarf or something else covers a part of it.
    """

    person: int
    box: tuple[float, float, float, float]
    eyes: NDArray[np.float32]
    yaw: float
    pitch: float
    roll: float
    hidden: bool


@dataclass(frozen=True)
class GeneratedScenes:
    """Virtual photographs.

    Attributes:
        images: (n, h, w) or (n, h, w, 3) uint8.
        faces: of each image, from left to right; may be empty.
    """

    images: NDArray[np.uint8]
    faces: tuple[tuple[SceneFace, ...], ...]


def generated_scenes(
    count: int = 8,
    faces: tuple[int, int] = (0, 4),
    size: tuple[int, int] = (480, 640),
    seed: int = 0,
    difficulty: str = "normal",
    color: bool = False,
    people: int = 40,
) -> GeneratedScenes:
    """Draw rooms with people in them.

    Scene k depends on (seed, k) alone: more scenes leave the earlier ones as they were.

    Arguments:
        count: how many scenes, at least 1.
        faces: the least and the greatest number of people in a scene, from 0 to 6.
        size: (height, width) in pixels, at least 160 each.
        seed: of everything, not negative.
        difficulty: "easy", "normal" or "hard", as in `generated_faces`.
        color: three channels (red, green, blue) instead of one.
        people: how many different people there are.

    Returns:
        The pictures, and where every face is.

    Raises:
        BadDataset: an argument is out of its range.

    >>> scenes = generated_scenes(count=2, faces=(1, 2), size=(160, 200))
    >>> scenes.images.shape, [1 <= len(found) <= 2 for found in scenes.faces]
    ((2, 160, 200), [True, True])
    """
    if count < 1 or people < 1 or seed < 0 or not 0 <= faces[0] <= faces[1] <= 6:
        raise BadDataset(
            f"generated_scenes: count={count} and people={people} must be at least 1, seed={seed} not negative, and "
            f"faces={faces} a least and a greatest number from 0 to 6"
        )
    if min(size) < _SMALLEST:
        raise BadDataset(f"generated_scenes: size={size} is too small: at least {_SMALLEST} pixels each way")
    if difficulty not in DIFFICULTIES:
        raise BadDataset(
            f"generated_scenes: unknown difficulty {difficulty!r}: choose one of {', '.join(DIFFICULTIES)}"
        )
    drawn = [_scene(seed, k, faces, size, difficulty, 3 if color else 1, people) for k in range(count)]
    return GeneratedScenes(np.stack([image for image, _ in drawn]), tuple(found for _, found in drawn))


def _scene(
    seed: int, k: int, faces: tuple[int, int], size: tuple[int, int], difficulty: str, channels: int, people: int
) -> tuple[NDArray[np.uint8], tuple[SceneFace, ...]]:
    h, w = size
    rng = np.random.default_rng([seed, 2, k])
    light = _room(rng, size, channels)
    slots = int(rng.integers(faces[0], faces[1] + 1))
    who = rng.permutation(people)[:slots]
    shared = draw_nuisance(seed, 0, 10_000 + k, draw_identity(seed, 0), difficulty)
    standing = []
    for slot, person in enumerate(who.tolist()):
        p = draw_identity(seed, person)
        n = draw_nuisance(seed, person, 10_000 + k, p, difficulty) | {name: shared[name] for name in LIGHT}
        # Heads and shoulders are wider than heads: let people overlap a little, but no face another.
        widest = min(UNITS[1] * h / 480, w / slots / 2.1, h / 4.2)
        unit = float(rng.uniform(min(UNITS[0] * h / 480, widest), widest)) * n["scale"]
        free = max(0.0, w / slots - 2.0 * unit)
        x = slot * w / slots + unit + free * float(rng.random())
        y = float(rng.uniform(1.35 * unit, max(1.36 * unit, min(0.62 * h, h - 1.5 * unit))))
        standing.append((p, n, Framing(unit, x, y, math.radians(n["roll"])), person))
    found = []
    for p, n, lie, person in sorted(standing, key=lambda one: one[2].unit):
        found.append(_put(light, p, n, lie, person))
    image = photograph(light, shared | {"blur": shared["blur"] * 112 / h})
    return image, tuple(sorted(found, key=lambda face: face.box[0]))


def _put(light: Canvas, p: dict[str, float], n: dict[str, float], lie: Framing, person: int) -> SceneFace:
    """Draw one person over the picture, in place; returns where the face is."""
    channels, h, w = light.shape
    left, right = max(0, int(lie.x - 2.4 * lie.unit)), min(w, int(lie.x + 2.4 * lie.unit))
    top = max(0, int(lie.y - 1.6 * lie.unit))
    shape = build(p)
    within = lie._replace(x=lie.x - left, y=lie.y - top)
    body, cover = figure(p, shape, n, (h - top, right - left), channels, within)
    lay(light[:, top:, left:right], cover, body)
    eyes = eye_positions(p, shape, n, (h, w), lie)
    side = 2 * p["eye_x"] * lie.unit / 0.398
    middle = eyes.mean(0)
    down = np.array([-math.sin(lie.roll), math.cos(lie.roll)]) * 0.108 * side  # the eyes lie at 0.392 of the height
    x, y = middle + down
    box = (float(x - side / 2), float(y - side / 2), float(side), float(side))
    hidden = bool(n["sunglasses"] or n["scarf"] or n["blob"])
    return SceneFace(person, box, eyes, n["yaw"], n["pitch"], n["roll"], hidden)


# ── the room ──────────────────────────────────────────────────────────────────────────────────────


def _room(rng: np.random.Generator, size: tuple[int, int], channels: int) -> Canvas:
    """A wall with what hangs on it and stands before it, as light: (channels, h, w) float32."""
    h, w = size
    rows = np.linspace(0, 1, h, dtype=np.float32)[:, None]
    columns = np.linspace(0, 1, w, dtype=np.float32)[None, :] * np.float32(w / h)
    tone = float(rng.uniform(0.08, 0.35))
    hue = rng.uniform(0.8, 1.2, 3)
    wall: RGB = (tone * hue[0], tone * hue[1], tone * hue[2])
    paper = texture("cloud", columns * 60 + 99 * float(rng.random()), rows * 60)
    shade = 1 + rng.uniform(-0.35, 0.35) * (columns - 0.6) + rng.uniform(-0.35, 0.35) * (rows - 0.5)
    pattern = float(rng.uniform(0, 0.12)) * np.sin(columns * float(rng.uniform(30, 90)))
    canvas = (ink(wall, channels) * np.maximum(shade + 0.05 * paper + pattern, 0.1)).astype(np.float32)
    for _ in range(int(rng.integers(3, 8))):
        thing = (_frame, _shelf, _window, _lamp)[int(rng.choice(4, p=[0.4, 0.3, 0.2, 0.1]))]
        place = float(rng.uniform(0, w / h)), float(rng.uniform(0.05, 0.75))
        thing(canvas, rng, columns - place[0], rows - place[1])
    if rng.random() < 0.5:  # panels below
        edge = float(rng.uniform(0.55, 0.8))
        groove = 1 - 0.35 * (np.abs(np.mod(columns * 6, 1) - 0.5) > 0.47)
        lay(canvas, (rows > edge) * np.ones_like(columns), ink(_some_colour(rng), channels) * groove)
    return canvas


def _some_colour(rng: np.random.Generator) -> RGB:
    return cloth_colour(float(rng.random()), float(rng.random()))


def _inside(x: Canvas, y: Canvas, wide: float, tall: float) -> Canvas:
    return np.asarray(((np.abs(x) < wide) & (np.abs(y) < tall)).astype(np.float32))


def _frame(canvas: Canvas, rng: np.random.Generator, x: Canvas, y: Canvas) -> None:
    """A picture on the wall: blots of paint in a frame."""
    wide, tall = (float(rng.uniform(0.06, 0.16)) for _ in range(2))
    lay(canvas, _inside(x, y, wide + 0.012, tall + 0.012), ink(_some_colour(rng), len(canvas)))
    inside = _inside(x, y, wide, tall)
    first, second = ink(_some_colour(rng), len(canvas)), ink(_some_colour(rng), len(canvas))
    blots = texture("cloud", x * 90 + 50 * float(rng.random()), y * 90) > float(rng.uniform(-0.5, 0.8))
    lay(canvas, inside, np.where(blots, first, second))


def _shelf(canvas: Canvas, rng: np.random.Generator, x: Canvas, y: Canvas) -> None:
    """Books in a row on a board."""
    wide, tall = float(rng.uniform(0.1, 0.3)), float(rng.uniform(0.04, 0.09))
    at = -wide
    while at < wide:
        thick, height = float(rng.uniform(0.010, 0.028)), tall * float(rng.uniform(0.7, 1.0))
        book = _inside(x - at - thick / 2, y + height - tall, thick / 2, height)
        lay(canvas, book, ink(_some_colour(rng), len(canvas)))
        at += thick + 0.002
    lay(canvas, _inside(x, y - tall - 0.008, wide + 0.02, 0.008), ink((0.12, 0.07, 0.04), len(canvas)))


def _window(canvas: Canvas, rng: np.random.Generator, x: Canvas, y: Canvas) -> None:
    """Bright sky behind bars."""
    wide, tall = float(rng.uniform(0.12, 0.22)), float(rng.uniform(0.15, 0.28))
    sky = ink((0.75, 0.85, 1.0), len(canvas)) * (0.9 + 0.3 * (0.5 - y))
    lay(canvas, _inside(x, y, wide + 0.015, tall + 0.015), ink((0.5, 0.49, 0.46), len(canvas)))
    bars = (np.abs(x) < 0.008) | (np.abs(y) < 0.008)
    lay(canvas, _inside(x, y, wide, tall) * ~bars, sky)


def _lamp(canvas: Canvas, rng: np.random.Generator, x: Canvas, y: Canvas) -> None:
    """A round lamp with its glow."""
    radius = float(rng.uniform(0.02, 0.06))
    away = np.hypot(x, y)
    canvas += 0.25 * np.exp(-((away / (4 * radius)) ** 2)) * ink((1.0, 0.9, 0.7), len(canvas))
    lay(canvas, (away < radius).astype(np.float32), ink((1.0, 0.95, 0.85), len(canvas)))
