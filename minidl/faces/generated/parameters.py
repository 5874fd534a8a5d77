"""Who is drawn: every number that a person's face is made of.

Who somebody is depends on (seed, person) alone, so asking for more people never changes the earlier ones.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

Parameters: TypeAlias = dict[str, float]
"""Named numbers; lengths are in half heads (eyes to chin is about 1), angles in degrees."""

# Uniform ranges. Lengths in half heads, in the frame whose origin lies between the eyes.
IDENTITY_RANGES: dict[str, tuple[float, float]] = {
    "masculine": (0.0, 1.0),
    "age": (0.0, 1.0),
    "head_width": (0.64, 0.77),
    "crown": (0.92, 1.04),
    "chin": (1.00, 1.17),
    "jaw": (0.72, 0.92),
    "jaw_square": (2.8, 5.5),
    "depth": (0.76, 0.86),
    "cheekbone": (0.0, 0.055),
    "cheek_fill": (-0.06, 0.05),
    "chin_size": (0.0, 0.07),
    "cleft": (0.0, 1.0),
    "brow_ridge": (0.0, 0.05),
    "eye_x": (0.275, 0.345),
    "eye_y": (-0.03, 0.05),
    "eye_width": (0.128, 0.172),
    "eye_open": (0.30, 0.50),
    "eye_tilt": (-0.16, 0.22),
    "eye_socket": (0.03, 0.10),
    "lid": (0.10, 0.42),
    "iris": (0.0, 1.0),
    "iris_hue": (0.0, 1.0),
    "brow_height": (0.155, 0.245),
    "brow_thick": (0.016, 0.048),
    "brow_angle": (-0.28, 0.14),
    "brow_arch": (0.0, 0.09),
    "brow_dark": (0.45, 0.95),
    "nose_y": (0.41, 0.54),
    "nose_width": (0.105, 0.185),
    "nose_tip": (0.12, 0.22),
    "nose_bridge": (0.03, 0.10),
    "nose_hook": (-0.03, 0.04),
    "bridge_width": (0.075, 0.125),
    "lip_gap": (0.17, 0.25),
    "mouth_width": (0.21, 0.31),
    "upper_lip": (0.028, 0.075),
    "lower_lip": (0.040, 0.095),
    "lip_red": (0.3, 0.95),
    "mouth_curve": (-0.055, 0.010),
    "ear_size": (0.15, 0.23),
    "ear_out": (0.05, 0.13),
    "tone": (0.0, 1.0),
    "blush": (0.0, 1.0),
    "freckles": (0.0, 1.0),
    "mottle": (0.02, 0.09),
    "moles": (0.0, 1.0),
    "oil": (0.04, 0.20),
    "neck": (0.42, 0.54),
    "hair_style": (0.0, 1.0),
    "hair_colour": (0.0, 1.0),
    "hair_top": (0.05, 0.24),
    "hair_side": (0.03, 0.12),
    "hairline": (-0.68, -0.42),
    "hair_part": (-0.45, 0.45),
    "hair_length": (0.0, 1.0),
    "temples": (0.0, 0.08),
    "peak": (-0.02, 0.035),
    "fringe": (-0.8, 0.8),
    "curl": (0.0, 1.0),
    "beard": (0.0, 1.0),
    "moustache": (0.0, 1.0),
    "glasses_habit": (0.0, 1.0),
    "glasses_round": (2.2, 7.0),
    "glasses_width": (0.21, 0.27),
    "glasses_height": (0.13, 0.21),
    "glasses_dark": (0.0, 1.0),
    "texture": (0.0, 1.0),
}

HAIR_STYLES = ("bald", "receding", "crop", "parted", "full", "bob", "long")
"""The styles of hair, in the order of the number in `identity["style"]`."""
BALD, RECEDING, CROP, PARTED, FULL, BOB, LONG = range(len(HAIR_STYLES))
_STYLE_ODDS = {  # men, women
    BALD: (0.07, 0.0),
    RECEDING: (0.15, 0.0),
    CROP: (0.26, 0.06),
    PARTED: (0.28, 0.10),
    FULL: (0.18, 0.14),
    BOB: (0.03, 0.34),
    LONG: (0.03, 0.36),
}


def draw_identity(seed: int, person: int) -> Parameters:
    """Who the person is: the parameters of head, features, skin and hair.

    Arguments:
        seed: of the whole set of people.
        person: 0, 1, 2, …

    Returns:
        One number for each of `IDENTITY_RANGES`, and `style`, `grey`, `wrinkles` and `wears_glasses`.
    """
    rng = np.random.default_rng([seed, 0, person])
    draws = rng.random(len(IDENTITY_RANGES)).tolist()
    ranges = zip(IDENTITY_RANGES.items(), draws, strict=True)
    p = {name: low + (high - low) * u for (name, (low, high)), u in ranges}
    man = p["masculine"] > 0.45
    lean = 2 * p["masculine"] - 1
    p["jaw"] += 0.03 * lean
    p["jaw_square"] += 0.7 * lean
    p["brow_ridge"] += 0.012 * lean
    p["brow_thick"] += 0.005 * lean
    p["upper_lip"] -= 0.006 * lean
    p["lower_lip"] -= 0.006 * lean
    odds = np.cumsum([pair[0 if man else 1] for pair in _STYLE_ODDS.values()])
    p["style"] = float(np.searchsorted(odds, p["hair_style"] * odds[-1], "right"))
    p["grey"] = max(0.0, (p["age"] - 0.65) / 0.35) * p["hair_colour"]
    p["wrinkles"] = max(0.0, p["age"] - 0.3) / 0.7
    p["beard"] = max(0.0, p["beard"] - 0.62) / 0.38 if man else 0.0
    p["moustache"] = max(p["beard"] > 0, p["moustache"] > 0.85) * (0.5 + 0.5 * p["moustache"]) if man else 0.0
    p["freckles"] = max(0.0, p["freckles"] - 0.7) / 0.3 * (1 - p["tone"])
    p["wears_glasses"] = float(p["glasses_habit"] > 0.7)
    return p
