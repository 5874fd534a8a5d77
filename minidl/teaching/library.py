"""Where the lessons are and which there are: in a wheel, in an editable install and in a checkout."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import minidl
from minidl.teaching import percent
from minidl.teaching.errors import LessonError

NAME = re.compile(r"(L\d\d)_(\w+)")


def folder() -> Path:
    """The folder of the lessons."""
    package = Path(minidl.__file__).resolve().parent
    for place in (package / "lessons", package.parent / "lessons"):
        if (place / "strings.toml").exists():
            return place
    raise LessonError(f"no lessons found beside or inside {package}: the installation is incomplete")


@dataclass(frozen=True)
class Lesson:
    """One lesson: its number ("L16"), its name ("gru") and its file."""

    id: str
    name: str
    path: Path

    @cached_property
    def script(self) -> percent.Script:
        """The cells as they are written."""
        return percent.read(self.path)

    @property
    def title(self) -> dict[str, str]:
        """The title, by language."""
        return self._texts("title")

    @property
    def aim(self) -> dict[str, str]:
        """What the reader will be able to do afterwards, in one sentence, by language."""
        return self._texts("aim")

    @property
    def documents(self) -> dict[str, str]:
        """The documents the lesson belongs to, with their sections: {"004": "§3.3"}."""
        return dict(self.script.header.get("documents", {}))

    @property
    def errata(self) -> list[str]:
        """The rows of the errata that the lesson shows."""
        return list(self.script.header.get("errata", []))

    @property
    def page(self) -> str:
        """The file name of its page."""
        return f"{self.path.stem}.html"

    @property
    def solutions(self) -> Path:
        """The file with its exercises, solutions and wrong answers."""
        return self.path.parent / "solutions" / f"{self.id}.py"

    def _texts(self, key: str) -> dict[str, str]:
        texts = self.script.header.get(key)
        if not isinstance(texts, dict) or set(texts) != set(percent.LANGUAGES):
            raise LessonError(f'{self.path.name}: the header needs {key}.zh = "…" and {key}.en = "…"')
        return texts


def lessons() -> list[Lesson]:
    """All lessons in order."""
    found = []
    for path in sorted(folder().glob("L*.py")):
        match = NAME.fullmatch(path.stem)
        if match:
            found.append(Lesson(match[1], match[2], path))
    return found


def lesson(name: str) -> Lesson:
    """The lesson of that number ("L16", "l16", "16") or name ("gru").

    Raises:
        LessonError: there is none; the message lists those there are.
    """
    wanted = name.strip().lower().removesuffix(".py")
    for found in lessons():
        if wanted in (found.id.lower(), found.id[1:], found.name, found.path.stem.lower()):
            return found
    raise LessonError(f"no lesson {name!r}: there are {', '.join(found.id for found in lessons())}")
