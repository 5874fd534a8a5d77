"""Faces as they might also have been photographed: moved, turned, bent, lit otherwise, noisy, partly hidden.

Every draw is keyed by (seed, epoch, index of the image): what happens to an image does not depend on the
order or on the others in its batch, so that a run can be resumed or shared between processes bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.errors import BadImage

Faces = NDArray[np.float32]

GRID: Final = (6, 5)
"""Control points of the elastic bending, down and across."""
CYLINDER: Final = (1.0, 0.85)
"""Half height and half width of the cylinders that a nod and a turn go about; 1 is half the image."""

# Where the uniform numbers of an image go; the order is part of what a seed means.
# fmt: off
_UNIFORM: Final = (
    "shift_y", "shift_x", "scale", "aspect", "rotation", "flip", "turn", "nod", "gamma", "light_y",
    "light_x", "noisy", "noise", "dim", "darkness", "erased", "erased_h", "erased_w", "erased_y",
    "erased_x", "ink", "block", "part", "extent", "place",
)
# fmt: on
_BENDS: Final = 2 * GRID[0] * GRID[1]


def keys(seed: int, epoch: int, indices: Array) -> NDArray[np.uint64]:
    """The key of every image of a batch, for `Augmentation`.

    Arguments:
        seed: of the run, 0 or more.
        epoch: or step: one image with two epochs is augmented in two ways.
        indices: (n,) where the images stand in the data set.

    Returns:
        (n, 3) uint64.

    >>> keys(7, 2, np.array([5, 0])).tolist()
    [[7, 2, 5], [7, 2, 0]]
    """
    indices = np.asarray(indices)
    made = np.empty((len(indices), 3), np.uint64)
    made[:, 0], made[:, 1], made[:, 2] = seed, epoch, indices
    return made


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a face, each within a stated range. The defaults are for clean photographs.

    Attributes:
        shift: up to this fraction of the height and of the width.
        scale, aspect: larger or smaller, longer or wider, by up to exp(this).
        rotation: up to so many degrees in the image plane.
        flip: how often mirrored, 0 to 1.
        elastic: standard deviation of the bending at 6 × 5 points, as a fraction of half the image.
        turn, nod: up to so many degrees about an upright and a level cylinder.
        gamma: the grey levels to the power of exp(up to ± this).
        light: times 1 + up to ± this at the border, linearly across and down.
        noisy, noise: how often, and the largest standard deviation (grey levels from 0 to 1) of the noise.
        dim, darkness: how often made dark, and the (least, most) factor; some noise of the sensor comes with it.
        erased, erased_size: how often a rectangle is covered, and the (least, most) of its sides as fractions.
        black: how often what covers is black; otherwise it has a grey level of its own.
        block: how often a large part is covered: below (40-60 %), left or right (40-60 %), above (30-50 %),
            or a band across (15-27 %).
    """

    shift: float = 0.08
    scale: float = 0.12
    aspect: float = 0.06
    rotation: float = 10.0
    flip: float = 0.5
    elastic: float = 0.06
    turn: float = 0.0
    nod: float = 0.0
    gamma: float = 0.5
    light: float = 0.4
    noisy: float = 0.5
    noise: float = 0.15
    dim: float = 0.0
    darkness: tuple[float, float] = (0.12, 0.5)
    erased: float = 0.15
    erased_size: tuple[float, float] = (0.1, 0.5)
    black: float = 0.6
    block: float = 0.0

    def __call__(self, images: Array, keys: Array) -> Faces:
        """Augmented copies of the images.

        Arguments:
            images: (n, h, w) floating, grey levels in 0..1.
            keys: (n, 3) integers, one row (seed, epoch, index) an image; see `keys`.

        Returns:
            (n, h, w) float32 in 0..1.

        Raises:
            BadImage: shapes or dtypes do not fit.
        """
        images, keys = np.asarray(images), np.asarray(keys)
        if images.ndim != 3 or images.dtype.kind != "f":
            raise BadImage(
                f"augmentation takes floating images (n, h, w) in 0..1, but got {images.dtype} of shape {images.shape}"
            )
        if keys.shape != (len(images), 3) or keys.dtype.kind not in "iu":
            raise BadImage(
                f"{len(images)} images need integer keys of shape ({len(images)}, 3), "
                f"but got {keys.dtype} of shape {keys.shape}"
            )
        if not len(images):
            return np.zeros(images.shape, np.float32)
        drawn = _Draws(keys)
        faces = self._moved(images.astype(np.float32, copy=False), drawn)
        self._light(faces, drawn)
        self._add_noise(faces, drawn)
        np.clip(faces, 0, 1, out=faces)
        for face, at in zip(faces, drawn.each(), strict=True):
            self._cover(face, at)
        return faces

    def _moved(self, images: Faces, drawn: _Draws) -> Faces:
        """The images seen through one map: flip, shift, turn, size, bend, then the cylinders."""
        _, h, w = images.shape
        ys, xs = np.linspace(-1, 1, h, dtype=np.float32)[:, None], np.linspace(-1, 1, w, dtype=np.float32)
        angle = math.radians(self.rotation) * drawn.signed("rotation")
        size, longer = np.exp(self.scale * drawn.signed("scale")), np.exp(self.aspect * drawn.signed("aspect"))
        mirror = np.where(drawn.uniform("flip") < self.flip, np.float32(-1), np.float32(1))
        cos, sin = np.cos(angle) * size, np.sin(angle) * size
        # A rotation keeps pixels, not halves: half the height has more pixels than half the width.
        ratio = np.float32(max(h - 1, 1) / max(w - 1, 1))
        y = cos * longer * ys + sin / ratio * longer * xs + 2 * self.shift * drawn.signed("shift_y")
        x = (cos / longer * xs - sin * ratio / longer * ys) * mirror + 2 * self.shift * drawn.signed("shift_x")
        if self.elastic:
            down, across = _bicubic(h, GRID[0]), _bicubic(w, GRID[1])
            bend = np.float32(self.elastic) * (down @ drawn.bends.reshape(-1, 2, *GRID) @ across.T)
            y, x = y + bend[:, 0], x + bend[:, 1]
        if self.nod:
            y = _about_cylinder(y, math.radians(self.nod) * drawn.signed("nod"), CYLINDER[0])
        if self.turn:
            x = _about_cylinder(x, math.radians(self.turn) * drawn.signed("turn"), CYLINDER[1])
        return _sampled(images, (y + 1) * np.float32((h - 1) / 2), (x + 1) * np.float32((w - 1) / 2))

    def _light(self, faces: Faces, drawn: _Draws) -> None:
        _, h, w = faces.shape
        if self.gamma:
            power = np.exp(self.gamma * drawn.signed("gamma"))
            np.log(np.maximum(faces, np.float32(1e-6)), out=faces)  # exp(γ log x) is far quicker than x ** γ
            faces *= power
            np.exp(faces, out=faces)
        if self.light:
            ys, xs = np.linspace(-1, 1, h, dtype=np.float32)[:, None], np.linspace(-1, 1, w, dtype=np.float32)
            slope = np.float32(self.light)
            faces *= 1 + slope * drawn.signed("light_y") * ys + slope * drawn.signed("light_x") * xs
        if self.dim:
            least, most = self.darkness
            factor = least + (most - least) * drawn.uniform("darkness")
            faces *= np.where(drawn.uniform("dim") < self.dim, factor, np.float32(1))

    def _add_noise(self, faces: Faces, drawn: _Draws) -> None:
        spread = np.where(drawn.uniform("noisy") < self.noisy, self.noise * drawn.uniform("noise"), 0)
        spread = np.hypot(spread, np.where(drawn.uniform("dim") < self.dim, SENSOR_NOISE, 0))
        for face, amount, seed in zip(faces, spread.ravel().tolist(), drawn.keys, strict=True):
            if amount:
                face += np.float32(amount) * _generator(seed, 1).standard_normal(face.shape, np.float32)

    def _cover(self, face: Faces, at: dict[str, float]) -> None:
        h, w = face.shape
        ink = 0.0 if at["ink"] < self.black else (at["ink"] - self.black) / (1 - self.black)
        if at["erased"] < self.erased:
            least, most = self.erased_size
            tall = max(1, round(h * (least + (most - least) * at["erased_h"])))
            wide = max(1, round(w * (least + (most - least) * at["erased_w"])))
            top, left = int(at["erased_y"] * (h - tall + 1)), int(at["erased_x"] * (w - wide + 1))
            face[top : top + tall, left : left + wide] = ink
        if at["block"] < self.block:
            part, extent = int(4 * at["part"]), at["extent"]
            if part == 0:
                face[h - round(h * (0.4 + 0.2 * extent)) :] = ink
            elif part == 1:
                wide = round(w * (0.4 + 0.2 * extent))
                face[:, slice(wide) if at["place"] < 0.5 else slice(w - wide, w)] = ink
            elif part == 2:
                face[: round(h * (0.3 + 0.2 * extent))] = ink
            else:
                tall = max(1, round(h * (0.15 + 0.12 * extent)))
                top = int(at["place"] * (h - tall + 1))
                face[top : top + tall] = ink


SENSOR_NOISE: Final = 0.012
"""Standard deviation of the noise that a dark image shows, of grey levels from 0 to 1."""

CLEAN: Final = Augmentation()
"""For clean photographs, several of each person."""
TURNS: Final = Augmentation(turn=15.0, nod=8.0)
"""For one photograph of each person: other poses are made up."""
DAMAGE: Final = Augmentation(erased=0.3, block=0.35, dim=0.2, noise=0.18)
"""For faces that will be dark, noisy or half hidden."""


class _Draws:
    """All numbers drawn for a batch, from one stream an image; how many are drawn never depends on settings."""

    def __init__(self, keys: Array) -> None:
        self.keys: list[list[int]] = keys.tolist()
        numbers = np.empty((len(keys), len(_UNIFORM)), np.float32)
        self.bends = np.empty((len(keys), _BENDS), np.float32)
        for k, key in enumerate(self.keys):
            stream = _generator(key, 0)
            stream.random(out=numbers[k], dtype=np.float32)
            stream.standard_normal(out=self.bends[k], dtype=np.float32)
        self._numbers = numbers

    def uniform(self, name: str) -> Faces:
        """(n, 1, 1) in [0, 1)."""
        return self._numbers[:, _UNIFORM.index(name), None, None]

    def signed(self, name: str) -> Faces:
        """(n, 1, 1) in [-1, 1)."""
        return 2 * self.uniform(name) - 1

    def each(self) -> list[dict[str, float]]:
        """The uniform numbers of each image, by name."""
        return [dict(zip(_UNIFORM, row, strict=True)) for row in self._numbers.tolist()]


def _generator(key: list[int], stream: int) -> np.random.Generator:
    """The random numbers of one image: Philox, whose counter holds epoch and index, so no two streams meet."""
    seed, epoch, index = key
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, stream, epoch, index]))


@lru_cache(maxsize=16)
def _bicubic(size: int, points: int) -> Faces:
    """(size, points): a smooth curve through control points at both ends and evenly between (Catmull-Rom)."""
    at = np.linspace(0, points - 1, size)
    first = np.minimum(np.floor(at).astype(int), points - 2)
    t = (at - first)[:, None]
    weights = 0.5 * np.hstack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3])
    matrix = np.zeros((size, points))
    for k in range(4):
        np.add.at(matrix, (np.arange(size), np.clip(first + k - 1, 0, points - 1)), weights[:, k])
    made = matrix.astype(np.float32)
    made.flags.writeable = False  # the cache hands the same array to everybody
    return made


def _about_cylinder(x: Faces, angle: Faces, radius: float) -> Faces:
    """Where a point seen at x was before the cylinder was turned by `angle` (radians).

    x = r sin θ  →  r sin(θ + angle),  what lies beside the cylinder moves along with its edge
    """
    on = np.clip(x / np.float32(radius), -1, 1)
    quarter = np.float32(np.pi / 2)
    turned = np.sin(np.clip(np.arcsin(on) + angle.astype(np.float32), -quarter, quarter))
    return np.asarray(x + np.float32(radius) * (turned - on), np.float32)


def _sampled(images: Faces, y: Faces, x: Faces) -> Faces:
    """Grey levels at fractional rows and columns, by straight lines between pixels; outside, the border's."""
    n, h, w = images.shape
    np.clip(y, 0, h - 1, out=y)
    np.clip(x, 0, w - 1, out=x)
    # The last pixel is reached with weight 1 from the one before it, so that no index leaves the image.
    top, left = np.minimum(y.astype(np.int32), max(h - 2, 0)), np.minimum(x.astype(np.int32), max(w - 2, 0))
    y -= top
    x -= left
    flat = np.ascontiguousarray(images).ravel()
    at = top * w
    at += left
    at += (np.arange(n, dtype=np.int32) * (h * w))[:, None, None]
    right, below = min(1, w - 1), w * min(1, h - 1)

    def row(index: NDArray[np.int32]) -> Faces:
        here = flat.take(index)
        there = flat.take(index + right)
        there -= here
        there *= x
        there += here
        return np.asarray(there, np.float32)

    upper, lower = row(at), row(at + below)
    lower -= upper
    lower *= y
    lower += upper
    return lower
