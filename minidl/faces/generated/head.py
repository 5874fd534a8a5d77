"""The shape of a head in three dimensions, and where a ray from each pixel meets it.

A head is a stack of ellipses, one at each height y, of half width w(y) and half depth d(y), with a
relief r(x, y) (nose, sockets, lips …) added to the depth. Axes: x to the right of the picture, y down,
z towards the viewer.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.generated.parameters import BALD, BOB, LONG, RECEDING, Parameters

Plane: TypeAlias = Array
"""One float32 number at every pixel: (h, w)."""

_TOP, _BOTTOM, _STEPS = -1.8, 3.0, 4096
_WIDEST = -0.04


class Profile(NamedTuple):
    """Squared half width and half depth of the ellipse at every height of a table."""

    width2: NDArray[np.float32]
    depth2: NDArray[np.float32]

    def at(self, y: Plane) -> tuple[Plane, Plane]:
        """w² and d² at the heights y."""
        rows = ((y - _TOP) * ((_STEPS - 1) / (_BOTTOM - _TOP))).astype(np.int32)
        np.clip(rows, 0, _STEPS - 1, out=rows)
        return self.width2[rows], self.depth2[rows]


class Build(NamedTuple):
    """The two stacks of ellipses of a person, made once for all pictures."""

    skull: Profile
    hair: Profile


class Pose(NamedTuple):
    """Sines and cosines of yaw (a) and pitch (b)."""

    sin_a: float
    cos_a: float
    sin_b: float
    cos_b: float

    def project(self, x: float, y: float, z: float) -> tuple[float, float, float]:
        """Where a point of the head lies before the camera: turn by yaw, then nod by pitch."""
        depth = -x * self.sin_a + z * self.cos_a
        right = x * self.cos_a + z * self.sin_a
        return right, y * self.cos_b - depth * self.sin_b, y * self.sin_b + depth * self.cos_b


class Surface(NamedTuple):
    """What each pixel sees of a surface.

    Attributes:
        x, y, z: the point in the frame of the head.
        depth: its distance towards the camera.
        inside: positive where the ray meets the surface; in half heads, zero on the outline.
        far_x, far_z: where the ray leaves the ellipses again, in the frame of the head.
    """

    x: Plane
    y: Plane
    z: Plane
    depth: Plane
    inside: Plane
    far_x: Plane
    far_z: Plane


def smoothstep(low: float, high: float, x: Plane) -> Plane:
    """0 below `low`, 1 above `high`, 3t² − 2t³ between."""
    t = np.asarray((x - low) * (1 / (high - low)))
    np.maximum(t, 0, out=t)
    np.minimum(t, 1, out=t)  # twice as fast as np.clip on arrays as small as these
    return np.asarray(t * t * (3 - 2 * t))


def bell(t: Plane) -> Plane:
    """exp(−t²)."""
    return np.asarray(np.exp(-t * t))


def pose(nuisance: Parameters) -> Pose:
    """The pose of a picture."""
    a, b = math.radians(nuisance["yaw"]), math.radians(nuisance["pitch"])
    return Pose(math.sin(a), math.cos(a), math.sin(b), math.cos(b))


def _stack(width: NDArray[np.float64], depth: NDArray[np.float64]) -> Profile:
    squares = [np.maximum(v, 0.002).astype(np.float32) ** 2 for v in (width, depth)]
    return Profile(squares[0], squares[1])


def _heights() -> NDArray[np.float64]:
    return np.linspace(_TOP, _BOTTOM, _STEPS)


def head_profile(p: Parameters) -> Profile:
    """The skull: a superellipse above its widest height, below it a taper that ends at the chin."""
    y = _heights()
    up = np.clip((_WIDEST - y) / (p["crown"] + _WIDEST), 0, 1)
    down = np.clip((y - _WIDEST) / (p["chin"] - _WIDEST), 0, 1)
    taper = np.clip((down - 0.08) / 0.72, 0, 1)
    taper = taper * taper * (3 - 2 * taper)
    above = (1 - up**2.4) ** 0.5
    below = (1 + (p["jaw"] - 1) * taper) * (1 - down ** p["jaw_square"]) ** 0.5
    width = p["head_width"] * np.where(y < _WIDEST, above, below)
    front = np.where(y < _WIDEST, (1 - up**2.8) ** 0.5, (1 - 0.10 * taper) * (1 - down**9) ** 0.5)
    return _stack(width, p["depth"] * front)


def hair_profile(p: Parameters) -> Profile:
    """The outside of the hair: the skull grown by the volume of the hair, and as long as the hair is."""
    y = _heights()
    style = int(p["style"])
    thin = style in (BALD, RECEDING)
    top, side = p["hair_top"] * (0.25 if thin else 1.0), p["hair_side"] * (0.4 if thin else 1.0)
    up = np.clip((_WIDEST - y) / (p["crown"] + top + _WIDEST), 0, 1)
    if style == LONG:
        end, close = 1.55 + 0.5 * p["hair_length"], 8.0
    elif style == BOB:
        end, close = 0.62 + 0.35 * p["hair_length"], 6.0
    else:
        end, close = 0.72, 3.0
    down = np.clip((y - _WIDEST) / (end - _WIDEST), 0, 1)
    swell = 0.05 * p["curl"] * np.sin(np.pi * down) if style in (LONG, BOB) else -0.06 * down
    above = (1 - up ** (2.3 + 0.5 * p["hair_part"] ** 2)) ** 0.5
    if style == LONG:  # falls behind the shoulders: otherwise the lower corners would tell who it is
        t = np.clip((y - 0.30) / 0.60, 0, 1)
        swell = swell - 0.20 * t * t * (3 - 2 * t)
    below = (1 + swell) * (1 - down**close) ** 0.5
    shape = np.where(y < _WIDEST, above, below)
    return _stack((p["head_width"] + side) * shape, (p["depth"] + 0.5 * side + 0.02) * shape)


def build(p: Parameters) -> Build:
    """The shape of a person's skull and hair."""
    return Build(head_profile(p), hair_profile(p))


def relief(ax: Plane, y: Plane, p: Parameters, n: Parameters) -> Plane:
    """How far the face stands out of its ellipses, for |x| and y in half heads."""
    nose_y, mouth_y = p["nose_y"], p["nose_y"] + p["lip_gap"]
    smile, mouth = n["smile"], n["mouth_open"]
    along = np.clip((y + 0.16) * (1 / (nose_y + 0.16)), 0, 1)
    ridge = p["nose_bridge"] * smoothstep(-0.28, 0.08, y) + (p["nose_tip"] - p["nose_bridge"]) * along**1.7
    ridge += p["nose_hook"] * bell((along - 0.55) * 5)
    ridge = ridge * (1 - smoothstep(nose_y - 0.05, nose_y + 0.13, y + 0.35 * ax))
    r = ridge * bell(ax / (p["bridge_width"] + (0.6 * p["nose_width"] - p["bridge_width"] * 0.2) * along**2))
    wing_x = p["nose_width"] * (0.86 + 0.12 * smile)
    r += 0.055 * bell((ax - wing_x) * (1 / 0.062)) * bell((y - nose_y + 0.01) * (1 / 0.075))
    eye_x, eye_y = p["eye_x"], p["eye_y"]
    r -= p["eye_socket"] * bell((ax - eye_x + 0.05) * (1 / 0.19)) * bell((y - eye_y + 0.03) * (1 / 0.12))
    r += 0.05 * bell((ax - eye_x) * (1 / 0.115)) * bell((y - eye_y) * (1 / 0.075))
    brow_y = eye_y - p["brow_height"] - 0.04 * n["brow_raise"]
    r += (p["brow_ridge"] + 0.012) * bell((ax - 0.24) * (1 / 0.24)) * bell((y - brow_y) * (1 / 0.09))
    cheek_y = 0.30 - 0.05 * max(smile, 0)
    cheek = p["cheekbone"] + 0.05 * max(smile, 0)
    r += cheek * bell((ax - 0.44) * (1 / 0.16)) * bell((y - cheek_y) * (1 / 0.16))
    r += p["cheek_fill"] * bell((ax - 0.42) * (1 / 0.18)) * bell((y - 0.60) * (1 / 0.20))
    fold_x = p["nose_width"] + 0.05 + (y - nose_y) * (0.55 + 0.25 * smile)
    crack = 0.010 + 0.022 * p["wrinkles"] + 0.035 * max(smile, 0)
    fold = crack * smoothstep(nose_y - 0.08, nose_y + 0.05, y)
    r -= fold * (1 - smoothstep(mouth_y - 0.06, mouth_y + 0.08, y)) * bell((ax - fold_x) * (1 / 0.030))
    muzzle = bell(ax * (1 / 0.26)) * bell((y - mouth_y) * (1 / 0.17))
    r += (0.065 - 0.02 * mouth) * muzzle
    upper = y - (mouth_y - 0.5 * p["upper_lip"] - 0.03 * mouth)
    lower = y - (mouth_y + 0.55 * p["lower_lip"] + 0.16 * mouth)
    span = bell(ax * (1 / p["mouth_width"]))
    r += span * (0.7 * p["upper_lip"]) * bell(upper * (1 / 0.042))
    r += span * (0.75 * p["lower_lip"]) * bell(lower * (1 / 0.05))
    r -= 0.012 * bell(ax * (1 / 0.035)) * bell((y - 0.5 * (nose_y + mouth_y) - 0.02) * (1 / 0.06))
    drop = 0.14 * mouth
    crease = mouth_y + 1.9 * p["lower_lip"] + 0.02 + drop
    r -= 0.035 * bell(ax * (1 / 0.20)) * bell((y - crease) * (1 / 0.05))
    chin = p["chin_size"] + 0.02
    r += chin * bell(ax * (1 / 0.19)) * bell((y - p["chin"] + 0.14 - drop) * (1 / 0.11))
    if p["cleft"] > 0.75:
        r -= 0.025 * bell(ax * (1 / 0.03)) * bell((y - p["chin"] + 0.12 - drop) * (1 / 0.07))
    return np.asarray(r)


def _jaw(y: Plane, p: Parameters, n: Parameters) -> Plane:
    """Heights with the jaw closed: an open mouth carries the chin down."""
    drop = 0.14 * n["mouth_open"]
    if drop < 1e-3:
        return y
    return np.asarray(y - drop * smoothstep(p["nose_y"] + 0.5 * p["lip_gap"], p["chin"] + drop, y))


def meet(
    right: Plane, down: Plane, view: Pose, profile: Profile, p: Parameters, n: Parameters, *, bare: bool
) -> Surface:
    """Where parallel rays meet a stack of ellipses, by fixed-point iteration over the relief and the pitch.

    At a fixed height and relief the ray and the ellipse (x/w)² + ((z−r)/d)² = 1, turned by the yaw,
    meet at the larger root of a quadratic; the point found gives the next height and relief.

    Arguments:
        right, down: (h, w) float32, the position of each pixel in half heads from the point between the eyes.
        view: the pose.
        profile: of the head or of the hair.
        p, n: identity and circumstances.
        bare: whether the face's relief counts (it does not for the hair).

    Returns:
        The surface seen.
    """
    s, c, tan_b = view.sin_a, view.cos_a, view.sin_b / view.cos_b
    level = down * (1 / view.cos_b)
    y = level + 0.6 * tan_b
    r = np.zeros_like(right)
    if bare:
        coarse = relief(_GRID_X, _GRID_Y, p, n).ravel()

    def solve(y: Plane, r: Plane) -> tuple[Plane, Plane, Plane]:
        w2, d2 = profile.at(_jaw(y, p, n) if bare else y)
        across2 = w2 * (c * c) + d2 * (s * s)
        off = right - r * s
        root = np.sqrt(np.maximum(across2 - off * off, 0) * (w2 * d2)) / across2
        middle = off * (d2 - w2) * (s * c) / across2 + r * c
        return (
            middle + root,
            middle - root,
            np.asarray(np.sqrt(across2) - np.abs(off) - np.float32(0.15) * (w2 < 1e-3)),
        )

    turned = abs(tan_b) > 0.005 or abs(s) > 0.01
    for step in range((5 if bare else 3) if turned else 1):
        near, _, _ = solve(y, r)
        y = level + near * tan_b if step == 0 else 0.35 * y + 0.65 * (level + near * tan_b)
        if bare:
            found = _look_up(coarse, np.abs(right * c - near * s), y)
            r = found if step == 0 else 0.4 * r + 0.6 * found
    if bare:  # the table steers the ray there; only the formula is smooth enough to be lit
        r = relief(np.abs(right * c - near * s), y, p, n)
    near, far, inside = solve(y, r)
    x, z = right * c - near * s, right * s + near * c
    depth = near * (1 / view.cos_b) + down * tan_b
    return Surface(x, y, z, depth, inside, right * c - far * s, right * s + far * c)


_GRID_X = np.linspace(0, 1, 64, dtype=np.float32)[None, :]
_GRID_Y = np.linspace(-1.2, 1.4, 104, dtype=np.float32)[:, None]


def _look_up(coarse: NDArray[np.float32], ax: Plane, y: Plane) -> Plane:
    """The relief at the nearest point of the table."""
    cell = np.clip((y + 1.2) * (103 / 2.6) + 0.5, 0, 103).astype(np.int32)
    cell *= 64
    cell += np.minimum(ax * 63 + 0.5, 63).astype(np.int32)
    return coarse[cell]
