"""Trace: what a recording found, as versioned JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from minidl.io.atomic import write_atomically
from minidl.player.schema import FORMAT, VERSION, validate

Event: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Trace:
    """The events of a recording, with the formulas and the code they refer to.

    Fields:
        limit: arrays of up to so many elements are whole.
        events: in order; `schema.EVENTS` says which fields each kind has.
        formulas: by id, {"forward": LaTeX, "adjoint": LaTeX}.
        sources: by number, {"file": name, "stretches": [{"first": line, "lines": [...]}]}.
    """

    limit: int
    events: list[Event] = field(default_factory=list)
    formulas: dict[str, dict[str, str]] = field(default_factory=dict)
    sources: list[dict[str, Any]] = field(default_factory=list)

    @property
    def nodes(self) -> list[Event]:
        """The values: leaves and results, in the order they appeared; node k has id k."""
        return [event for event in self.events if event["kind"] == "node"]

    def to_json(self) -> dict[str, Any]:
        """The trace as a dictionary of plain JSON values."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "limit": self.limit,
            "events": self.events,
            "formulas": self.formulas,
            "sources": self.sources,
        }

    @classmethod
    def from_json(cls, data: Any) -> Trace:
        """The trace that `to_json` wrote.

        Raises:
            ValueError: the data is no trace of a version that this reader knows; one sentence says where and why.
        """
        validate(data)
        return cls(data["limit"], data["events"], data["formulas"], data["sources"])

    def save(self, path: str | Path) -> None:
        """Write the trace as a JSON file, whole or not at all."""
        text = json.dumps(self.to_json(), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        write_atomically(path, text.encode())

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Read a trace that `save` wrote.

        Raises:
            ValueError: the file is no JSON, or no trace.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"trace: {Path(path).name} is not JSON: {error}") from None
        except RecursionError:
            raise ValueError(f"trace: {Path(path).name} nests deeper than any trace") from None
        return cls.from_json(data)
