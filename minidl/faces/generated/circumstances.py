"""Under which circumstances a picture is taken: pose, light, expression, disguise, wall, noise.

A picture's circumstances depend on (seed, person, picture) alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minidl.faces.generated.parameters import Parameters

EXPRESSIONS = ("neutral", "happy", "surprise", "sad", "angry")
"""What the expression labels 0 to 4 stand for."""


class Circumstances(NamedTuple):
    """How far one difficulty lets the circumstances stray from a passport photograph.

    Attributes:
        yaw, pitch, roll: standard deviations in degrees.
        shift: standard deviation of the position in parts of the image height.
        scale: standard deviation of the size.
        side_light: how far the light may stand to the side, 0 to 1.
        harsh: 0 a soft studio light, 1 a single lamp in a dark room.
        exposure: standard deviation of the logarithm of the brightness.
        expression: strength of the expressions, 0 to 1.
        blink, undress, disguise, hidden: chances of closed eyes, of glasses left off by their wearer,
            of glasses on somebody else or dark ones, and of a scarf or another thing in front.
        backdrop: how much wall and clothes change from picture to picture, 0 to 1.
        noise: standard deviation of the noise in grey levels.
        blur: the largest standard deviation of the blur in parts of the image height.
    """

    yaw: float
    pitch: float
    roll: float
    shift: float
    scale: float
    side_light: float
    harsh: float
    exposure: float
    expression: float
    blink: float
    undress: float
    disguise: float
    hidden: float
    backdrop: float
    noise: float
    blur: float


DIFFICULTIES: dict[str, Circumstances] = {
    "easy": Circumstances(
        yaw=2.2,
        pitch=1.8,
        roll=0.8,
        shift=0.0035,
        scale=0.007,
        side_light=0.2,
        harsh=0.1,
        exposure=0.08,
        expression=0.35,
        blink=0.02,
        undress=0.0,
        disguise=0.0,
        hidden=0.0,
        backdrop=0.15,
        noise=2.0,
        blur=0.004,
    ),
    "normal": Circumstances(
        yaw=4.4,
        pitch=2.2,
        roll=1.2,
        shift=0.005,
        scale=0.012,
        side_light=0.24,
        harsh=0.2,
        exposure=0.08,
        expression=0.85,
        blink=0.06,
        undress=0.15,
        disguise=0.0,
        hidden=0.0,
        backdrop=0.4,
        noise=3.0,
        blur=0.006,
    ),
    "hard": Circumstances(
        yaw=15.0,
        pitch=6.5,
        roll=4.0,
        shift=0.012,
        scale=0.025,
        side_light=0.8,
        harsh=0.8,
        exposure=0.30,
        expression=1.0,
        blink=0.12,
        undress=0.4,
        disguise=0.2,
        hidden=0.28,
        backdrop=0.9,
        noise=7.0,
        blur=0.010,
    ),
}
"""The circumstances of each difficulty, by name."""

# The mean of each expression: smile, mouth open, brows raised, brows drawn together, eyes wide.
_EXPRESSION_MEANS = {
    "neutral": (0.0, 0.0, 0.0, 0.0, 0.0),
    "happy": (0.95, 0.25, 0.1, 0.0, -0.25),
    "surprise": (0.0, 0.75, 1.0, 0.0, 0.6),
    "sad": (-0.7, 0.0, 0.25, 0.6, -0.2),
    "angry": (-0.35, 0.05, -0.7, 1.0, -0.05),
}
_EXPRESSION_ODDS = (0.42, 0.26, 0.12, 0.10, 0.10)


def draw_nuisance(seed: int, person: int, image: int, identity: Parameters, difficulty: str) -> Parameters:
    """The circumstances of one picture: pose, light, expression, glasses, what hides the face, noise.

    Arguments:
        seed: of the whole set.
        person: whose picture.
        image: which picture of the person: 0, 1, 2, …
        identity: of the person; says who wears glasses.
        difficulty: one of `DIFFICULTIES`.

    Returns:
        One number each; angles in degrees, shifts in parts of the height, noise in grey levels.
    """
    c = DIFFICULTIES[difficulty]
    rng = np.random.default_rng([seed, 1, person, image])

    def spread(sd: float, reach: float = 2.2) -> float:
        return sd * float(np.clip(rng.standard_normal(), -reach, reach))

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(rng.random())

    def chance(odds: float) -> bool:
        return bool(rng.random() < odds)

    def wall() -> float:
        return 0.5 + c.backdrop * between(-0.5, 0.5)

    n: Parameters = {
        "yaw": spread(c.yaw, 1.9),
        "pitch": spread(c.pitch, 1.9),
        "roll": spread(c.roll),
        "shift_x": spread(c.shift),
        "shift_y": spread(c.shift),
        "scale": 1 + spread(c.scale),
    }
    side, above, lamp = between(-1, 1), between(-0.9, 0.15), between(0, 1)
    n["light_x"] = c.side_light * side * 1.6
    n["light_y"] = -0.35 + c.side_light * (above + 0.2)
    n["key"] = 0.95 + 0.35 * c.harsh * lamp
    n["ambient"] = 0.36 - 0.29 * c.harsh * lamp
    n["exposure"] = spread(c.exposure)
    n["dark"] = between(0.22, 0.55) if chance(0.3 * max(0.0, c.harsh - 0.5)) else 1.0

    label = int(np.searchsorted(np.cumsum(_EXPRESSION_ODDS), rng.random(), "right"))
    label = min(label, len(EXPRESSIONS) - 1)
    strength = c.expression * between(0.65, 1.05)
    means = _EXPRESSION_MEANS[EXPRESSIONS[label]]
    smile, mouth, raised, frown, wide = (strength * m + spread(0.06 * c.expression) for m in means)
    n["expression"] = label
    n["smile"] = smile
    n["mouth_open"] = max(0.0, mouth) if label else max(0.0, mouth - 0.03)
    n["brow_raise"] = raised
    n["brow_frown"] = max(0.0, frown)
    n["eyes_wide"] = wide
    n["eyes_closed"] = between(0.85, 1.0) if chance(c.blink) else max(0.0, spread(0.12))
    n["gaze_x"] = spread(0.016)
    n["gaze_y"] = spread(0.008)

    habit, disguise = chance(c.undress), chance(c.disguise)
    n["glasses"] = float(disguise or (identity["wears_glasses"] > 0 and not habit))
    n["sunglasses"] = float(disguise and chance(0.5))
    n["scarf"] = float(chance(c.hidden * 0.55))
    n["scarf_top"] = between(0.38, 0.62)
    n["blob"] = float(chance(c.hidden * 0.5))
    n["blob_x"], n["blob_y"] = between(-0.5, 0.5), between(-0.4, 0.8)
    n["blob_size"], n["blob_tilt"] = between(0.25, 0.42), between(-1.2, 1.2)
    n["cloth_tone"], n["cloth_hue"], n["cloth_scale"] = between(0, 1), between(0, 1), between(0.5, 2)
    n["background"], n["background_hue"] = wall(), wall()
    n["slope_x"], n["slope_y"] = spread(0.35 * c.backdrop), spread(0.35 * c.backdrop)
    n["collar"] = between(0.0, 1.0)
    n["strands"] = between(0.0, 1.0)
    n["noise"] = c.noise * between(0.5, 1.2)
    n["blur"] = c.blur * between(0.35, 1.0)
    n["grain"] = float(rng.integers(2**31))
    return n
