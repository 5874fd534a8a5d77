"""How the images of a convolution are shared out; it depends on the problem only, never on the number of threads."""

from __future__ import annotations

WORK = 1 << 23
"""Multiply-adds in one chunk: about 0.1 ms, against 10 µs to hand it out."""
SMALL_BATCH = 8
"""Below this many images an image is shared out too."""
PARTS = 4


def shares(images: int, pieces: int, work: int) -> tuple[int, int]:
    """(parts an image of so many pieces is cut into, parts a chunk has), for so many multiply-adds an image."""
    parts = min(PARTS, pieces) if images < SMALL_BATCH else 1
    return parts, max(1, WORK * parts // max(1, work))
