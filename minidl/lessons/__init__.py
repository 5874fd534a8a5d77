"""The lessons, in a checkout: the folder `lessons` beside this package; an installed minidl has it in this place."""

from pathlib import Path

__path__ = [str(Path(__file__).resolve().parents[2] / "lessons")]
