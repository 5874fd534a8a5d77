"""How `assets/minidl-math.woff2` is made: the part of STIX Two Math that formulas need, under a name of its own.

    python -m minidl.player.font STIXTwoMath-Regular.ttf minidl-math.woff2

It needs fonttools and brotli, and is run when a formula wants a sign that the font lacks (a test says so). The licence,
SIL OFL 1.1, asks that a changed font does not carry the reserved name, and that its text goes with it (OFL.txt).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

NAME = "MiniDL Math"
RANGES = (
    (0x20, 0x7E), (0xA0, 0xA0), (0xAC, 0xAC), (0xAF, 0xAF), (0xB1, 0xB1), (0xB5, 0xB5), (0xB7, 0xB7), (0xD7, 0xD7),
    (0xF7, 0xF7), (0x131, 0x131), (0x237, 0x237), (0x2C6, 0x2C7), (0x2DC, 0x2DC), (0x300, 0x304), (0x306, 0x308),
    (0x30C, 0x30C), (0x332, 0x332), (0x391, 0x3C9), (0x3D1, 0x3D1), (0x3D5, 0x3D5), (0x3F1, 0x3F1), (0x3F5, 0x3F5),
    (0x2013, 0x2014), (0x2016, 0x2019), (0x2026, 0x2026), (0x2032, 0x2033), (0x203E, 0x203E), (0x2061, 0x2063),
    (0x20D7, 0x20D7), (0x2102, 0x2102), (0x210D, 0x210E), (0x2110, 0x2115), (0x211B, 0x211D), (0x2124, 0x2124),
    (0x2131, 0x2131), (0x2190, 0x2195), (0x21A6, 0x21A6), (0x21D0, 0x21D4), (0x2200, 0x220F), (0x2210, 0x2220),
    (0x2223, 0x222B), (0x2234, 0x2234), (0x223C, 0x223C), (0x2243, 0x2248), (0x2254, 0x2254), (0x2260, 0x226B),
    (0x2282, 0x2287), (0x2295, 0x2299), (0x22A4, 0x22A5), (0x22C5, 0x22C6), (0x22EE, 0x22F1), (0x2308, 0x230B),
    (0x23B4, 0x23B5), (0x23DC, 0x23DF), (0x27E8, 0x27E9), (0x27F5, 0x27F9), (0x2605, 0x2605), (0x2A7D, 0x2A7E),
    (0x1D400, 0x1D49B), (0x1D49C, 0x1D4B5), (0x1D538, 0x1D56B), (0x1D6A4, 0x1D6A5), (0x1D6A8, 0x1D755),
    (0x1D7CE, 0x1D7D7),
)  # fmt: skip
"""The signs that are kept: Latin and Greek, upright, italic, bold, script and hollow, and those of calculus."""

FEATURES = ["ssty", "dtls", "flac", "mark", "mkmk", "kern", "ccmp"]
"""What the layout of formulas uses: signs for indices, accents, flat accents."""


def signs() -> Iterator[int]:
    """The code points that are kept."""
    for first, last in RANGES:
        yield from range(first, last + 1)


def make(source: str, target: str) -> None:
    """Write the part of a font that formulas need, with the table of its mathematical measures."""
    from fontTools import subset, ttLib

    font = ttLib.TTFont(source)
    options = subset.Options()
    options.layout_features, options.name_IDs = FEATURES, [0, 1, 2, 3, 4, 5, 6, 13, 14]
    options.notdef_outline, options.glyph_names, options.hinting = True, False, False
    cut = subset.Subsetter(options)
    cut.populate(unicodes=list(signs()))
    cut.subset(font)
    names = {1: NAME, 3: f"{NAME} 1.0", 4: NAME, 6: f"{NAME.replace(' ', '')}-Regular", 16: NAME}
    for record in font["name"].names:
        record.string = names.get(record.nameID, record.string)
    font.flavor = "woff2"
    font.save(target)


if __name__ == "__main__":
    make(*sys.argv[1:3])
