"""`trace`: what the engine does inside a block, to be played step by step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from minidl import player
from minidl.teaching import symbols
from minidl.teaching.percent import LANGUAGES
from minidl.teaching.stage import current
from minidl.teaching.strings import both, label


@dataclass
class Traced:
    """A recording: empty inside the block, complete after it.

    Fields:
        name: a symbol in LaTeX for what was computed.
        tape: the player's tape: `.tape.scope("t=1")` groups steps, `.tape.name("y", value)` names a value.
        trace: the player's trace, once the block is over.
    """

    name: str
    tape: player.Tape
    trace: player.Trace = field(default_factory=lambda: player.Trace(0))

    def text(self, language: str) -> str:
        """How much was recorded."""
        return f"{symbols.plain(self.name)}: {label('trace', language, **self._counts())}".removeprefix(": ")

    def html(self) -> str:
        """How much was recorded; the page puts the player below."""
        return f'<p class="recorded">{symbols.html(self.name)} {both("trace", **self._counts())}</p>'

    def framed(self) -> str:
        """The player in a frame of its own, for a notebook."""
        title = {language: symbols.plain(self.name) for language in LANGUAGES}
        body = '<div class="player" data-trace="0"></div>'
        inside = symbols.escape(player.page_html(title=title, body=body, traces=[self.trace]))
        return f'{self.html()}<iframe srcdoc="{inside}" style="width:100%;height:46rem;border:0"></iframe>'

    def _counts(self) -> dict[str, int]:
        kinds = [event["kind"] for event in self.trace.events]
        return {"nodes": kinds.count("node"), "gradients": kinds.count("grad")}


@contextmanager
def trace(name: str = "L", limit: int = 4096, inside: bool = False) -> Iterator[Traced]:
    """Record what runs inside the block and give it to the player.

    Arguments:
        name: a symbol in LaTeX for what is computed.
        limit: arrays of up to so many numbers are kept whole.
        inside: show fused operations (cross-entropy, a recurrent layer) as the plain ones they are made of.

    Returns:
        The recording; after the block `graph` can draw it.
    """
    with player.record(limit, inside) as tape:
        recorded = Traced(name, tape)
        yield recorded
    recorded.trace = tape.trace()
    current().add(recorded)
