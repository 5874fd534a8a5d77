"""How large the caches of this processor are: what shall be found again soon is cut to fit into them.

Sizes are read where Linux lists them. Elsewhere, and where a virtual machine hides them, the usual ones are taken.
"""

from __future__ import annotations

from pathlib import Path

_LISTED = Path("/sys/devices/system/cpu/cpu0/cache")
_USUAL = {1: 32 << 10, 2: 1 << 20}
_LEAST, _MOST = {1: 16 << 10, 2: 256 << 10}, {1: 128 << 10, 2: 4 << 20}
_UNITS = {"K": 1 << 10, "M": 1 << 20}


def bytes_of(level: int, listed: Path = _LISTED) -> int:
    """The data cache of a level (1 or 2) that one core has to itself, in bytes.

    Figures beyond what such caches have are not believed, but cut to the nearest that is.
    """
    for cache in sorted(listed.glob("index*")):
        try:
            kind, there, size = ((cache / name).read_text().strip() for name in ("type", "level", "size"))
            if kind in ("Data", "Unified") and int(there) == level:
                found = int(size.rstrip("KM")) * _UNITS.get(size[-1:], 1)
                return min(max(found, _LEAST[level]), _MOST[level])
        except (OSError, ValueError):
            continue
    return _USUAL[level]


SECOND_LEVEL = bytes_of(2)
