"""The player in a terminal: the same trace, one line of command at a time; works in a pipe, without colours there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import IO, Any

import numpy as np

from minidl.player.expression import show
from minidl.player.letters import in_letters
from minidl.player.page import LANGUAGES, strings
from minidl.player.snapshot import Snapshot, array_of
from minidl.player.steps import Plugged, Step, level_name, levels_of, steps_of
from minidl.player.tidy import tidied
from minidl.player.trace import Trace
from minidl.player.view import LEAVES, symbol

SHOWN = 8
"""Rows and columns of an array that the terminal shows."""


def play(trace: Trace, lang: str = "zh", commands: Iterable[str] | None = None, stdin: IO[str] | None = None,
         stdout: IO[str] | None = None) -> None:  # fmt: skip
    """Step through a trace in the terminal.

    Arguments:
        trace: what was recorded.
        lang: "zh" or "en".
        commands: lines to obey instead of what is typed; the player ends after the last.
        stdin, stdout: where commands come from and text goes to; by default the terminal.

    Commands: n or an empty line, next; p, previous; g 12 or 12, go to step 12; b, to the backward pass; u and d, larger
    and smaller strides; s 0,1, look at element [0,1]; l, the other language; ?, help; q, quit.

    Raises:
        ValueError: an unknown language.
        ModuleNotFoundError: rich is not installed (`pip install minidl[lessons]`).
    """
    if lang not in LANGUAGES:
        raise ValueError(f"play: lang must be 'zh' or 'en', got {lang!r}")
    try:
        from rich.console import Console
    except ModuleNotFoundError as error:
        message = "the terminal player needs rich: pip install 'minidl[lessons]'"
        raise ModuleNotFoundError(message, name=error.name) from None
    console = Console(file=stdout or sys.stdout, highlight=False, soft_wrap=False)
    player = TerminalPlayer(trace, lang, console)
    player.show()
    if commands is not None:
        for line in commands:
            if not player.obey(line):
                return
        return
    source = stdin or sys.stdin
    while True:
        if source.isatty():
            console.print("› ", end="")
        line = source.readline()
        if not line or not player.obey(line):
            return


class TerminalPlayer:
    """Where a reader stands in a trace, and how a step is printed there."""

    def __init__(self, trace: Trace, lang: str, console: Any) -> None:
        self.trace, self.lang, self.console = tidied(trace), lang, console
        self.steps, self.nodes = steps_of(self.trace), self.trace.nodes
        self.levels = levels_of(self.steps)
        self.at, self.level, self.place = 0, 0, 0

    def say(self, key: str, **values: object) -> str:
        """One of the player's own texts."""
        text = strings()[self.lang][key]
        for name, value in values.items():
            text = text.replace("{" + name + "}", str(value))
        return text

    def obey(self, line: str) -> bool:
        """Do what a line says and show where that leads; False where it says quit."""
        command, _, rest = line.strip().partition(" ")
        if command in ("q", "quit", "exit"):
            return False
        acts: dict[str, Callable[[], None]] = {
            "n": lambda: self.move(1),
            "": lambda: self.move(1),
            "p": lambda: self.move(-1),
            "b": self.to_backward,
            "l": self.other_language,
            "u": lambda: self.stride(1),
            "d": lambda: self.stride(-1),
        }
        if command in acts:
            acts[command]()
        elif command.isdigit():
            self.go_to(int(command))
        elif command == "g" and rest.strip().lstrip("-").isdigit():
            self.go_to(int(rest))
        elif command == "s" and self.choose(rest):
            pass
        else:
            self.console.print(self.say("terminal_help"), markup=False)
            return True
        self.show()
        return True

    # ── moving ────────────────────────────────────────────────────────────────────────────────

    def go_to(self, step: int) -> None:
        """Stand at a step, the nearest there is."""
        self.at = max(0, min(step, len(self.steps) - 1))
        self.place = 0

    def move(self, direction: int) -> None:
        """To the last step of the next group of the stride, or of the one before."""
        level = self.levels[self.level]
        group = [step.groups[level] for step in self.steps]
        at = self.at
        if direction > 0:
            at = min(at + 1, len(group) - 1)
            while at + 1 < len(group) and group[at + 1] == group[at]:
                at += 1
        else:
            while at > 0 and group[at] == group[self.at]:
                at -= 1
        self.go_to(at)

    def to_backward(self) -> None:
        """To the next backward step, or the first one."""
        backward = [k for k, step in enumerate(self.steps) if step.kind == "backward"]
        if backward:
            self.go_to(next((k for k in backward if k > self.at), backward[0]))

    def other_language(self) -> None:
        """Speak the other language."""
        self.lang = LANGUAGES[1 - LANGUAGES.index(self.lang)]

    def stride(self, change: int) -> None:
        """Play more, or less, at a time."""
        self.level = max(0, min(self.level + change, len(self.levels) - 1))
        self.console.print(
            f"{self.say('level')}: {self.say('level_' + level_name(self.steps, self.levels[self.level]))}", markup=False
        )

    def choose(self, text: str) -> bool:
        """Look at the element of a given index; False where there is none."""
        step = self.steps[self.at]
        if not step.outputs:
            return False
        shape = tuple(self.nodes[step.outputs[0]]["value"]["shape"])
        try:
            self.place = int(np.ravel_multi_index([int(i) for i in text.replace(",", " ").split()], shape))
        except ValueError:
            return False
        return True

    # ── showing ───────────────────────────────────────────────────────────────────────────────

    def name(self, node: int) -> str:
        """What a value is called."""
        found = self.nodes[node]
        array = array_of(found["value"])
        if found["name"]:
            return str(found["name"])
        single = found["op"] == "Constant" and array is not None and array.size == 1
        return show(float(array.reshape(-1)[0])) if single and array is not None else f"v{node}"

    def print(self, text: str, style: str = "") -> None:
        """One line of text, in a style where there are colours."""
        wrap = not self.console.is_terminal  # in a pipe a line is a line
        self.console.print(text, style=style or None, markup=False, highlight=False, soft_wrap=wrap)

    def show(self) -> None:
        """Print the step."""
        step = self.steps[self.at]
        head = f"[{self.at}/{len(self.steps) - 1}] {self.say(step.kind)}"
        where = " › ".join(step.scope)
        styles = {"forward": "bold blue", "backward": "bold dark_orange3", "update": "bold green"}
        self.print(f"── {head}{'  ' + where if where else ''} ", styles.get(step.kind, "bold"))
        event = self.trace.events[step.event] if step.event >= 0 else None
        if event is not None and event["source"]:
            source = event["source"]
            file = self.trace.sources[source["file"]]["file"]
            self.print(f"  {file}:{source['line']}  {source['code'].strip()}", "dim")
        getattr(self, f"_{step.kind}")(step, event)

    def _start(self, step: Step, event: Any) -> None:
        self.print(f"  {self.say('start_text')}")
        given = [node for node in self.nodes if node["op"] in LEAVES and (node["op"] != "Constant" or node["name"])]
        self._values([(self.name(node["id"]), node["value"], "") for node in given])

    def _forward(self, step: Step, event: Any) -> None:
        first = step.outputs[0]
        inputs = ", ".join(self.name(k) for k in step.inputs)
        self.print(f"  {symbol(event)}: {inputs} → {', '.join(self.name(k) for k in step.outputs)}")
        self._formula(event["formula"], "forward")
        self._plugged(self.name(first), self.nodes[first], step.plugged)
        given = [(self.name(k), self.nodes[k]["value"], "") for k in step.inputs]
        made = [(f"→ {self.name(k)}", self.nodes[k]["value"], "bold") for k in step.outputs]
        self._values([*given, *made])

    def _backward(self, step: Step, event: Any) -> None:
        self._formula(self.nodes[event["node"]]["formula"], "adjoint")
        for k, gy in zip(step.outputs, event["upstream"], strict=True):
            self._value(f"∂{self.name(k)} {self.say('upstream')}", gy)
        for part, formulas in zip(event["contributions"], step.sent, strict=True):
            if part is None:
                continue
            self._plugged(f"∂{self.name(part['to'])}", self.nodes[part["to"]], formulas or ())
            sent = f"→ ∂{self.name(part['to'])} {self.say('contribution')}"
            self._values([(sent, part["value"], ""), (f"＋= {self.say('accumulated')}", part["accumulated"], "bold")])

    def _update(self, step: Step, event: Any) -> None:
        options = ", ".join(f"{k}={v}" for k, v in event["options"].items() if v not in (None, False, 0))
        self.print(f"  {event['rule']}({options}): {self.name(event['node'])}")
        self._formula(event["formula"], "forward")
        for place, lines in step.lines:
            if place == self.place:
                for line in lines:
                    self.print(
                        f"  {in_letters(line.letter)} = {line.expression.text()} = {show(line.recorded)}", "cyan"
                    )
        before, gradient = (self.say("before"), event["before"], ""), (self.say("gradient"), event["gradient"], "")
        self._values([before, gradient, (f"→ {self.say('after')}", event["after"], "bold")])

    def _draw(self, step: Step, event: Any) -> None:
        self._value(event["purpose"], event["value"])

    def _check(self, step: Step, event: Any) -> None:
        for row in event["inputs"]:
            verdict = self.say("check_passed" if row["passed"] else "check_failed")
            mark = "✓" if row["passed"] else "✗"
            error = show(float(row["error"]), 2)
            self.print(f"  {mark} ∂/∂{row['name']}: {verdict} ({error})", "green" if row["passed"] else "bold red")

    def _note(self, step: Step, event: Any) -> None:
        mark = "" if event["passed"] is None else ("✓ " if event["passed"] else "✗ ")
        self.print(f"  {mark}{event['key']}  {event['text'][self.lang]}")

    def _formula(self, formula: str | None, side: str) -> None:
        latex = self.trace.formulas[formula][side] if formula else ""
        if latex:
            self.print(f"  {self.say('formula')}: {in_letters(latex)}", "dim")

    def _plugged(self, name: str, node: dict[str, Any], plugged: Sequence[Plugged]) -> None:
        found = next((p for p in plugged if p.place == self.place), plugged[0] if plugged else None)
        if found is None:
            return
        shape = node["value"]["shape"]
        index = f"[{','.join(str(i) for i in np.unravel_index(found.place, shape))}]" if shape else ""
        computed = "" if found.expression.kind == "number" else f"{found.expression.text()} = "
        self.print(f"  {name}{index} = {computed}{show(found.recorded)}", "cyan")

    def _values(self, entries: Sequence[tuple[str, Snapshot, str]]) -> None:
        """Values with their names: beside each other and coloured on a terminal, one below the other in a pipe."""
        if not self.console.is_terminal:
            for name, taken, style in entries:
                self._value(name, taken, style)
            return
        from rich.columns import Columns
        from rich.padding import Padding

        self.console.print(Padding(Columns([self._block(*entry) for entry in entries], padding=(0, 3)), (0, 2)))

    def _block(self, name: str, taken: Snapshot, style: str) -> Any:
        """A value as a block of coloured text; the sign stands there too, so nothing is said by colour alone."""
        from rich.text import Text

        array = array_of(taken)
        block = Text(f"{name}\n", style=style or "bold cyan")
        if array is None:
            return block.append(f"{self.say('large')} {'×'.join(map(str, taken['shape']))}", style="dim")
        planes = array.reshape(-1, *array.shape[-2:]) if array.ndim > 1 else array.reshape(1, 1, -1)
        for plane in planes[:2]:
            for row in plane[:SHOWN]:
                for v in row[:SHOWN]:
                    tone = "blue" if v > 0 else ("dark_orange3" if v < 0 else "default")
                    block.append(f"{show(float(np.real(v))):>8} ", style=tone)
                block.append("…\n" if len(row) > SHOWN else "\n")
            block.append("      …\n" if len(plane) > SHOWN else "")
        return block.append(f"  … ({len(planes)})" if len(planes) > 2 else "")

    def _value(self, name: str, taken: Snapshot, style: str = "") -> None:
        array = array_of(taken)
        if array is None:
            stats = taken["stats"]
            facts = ", ".join(f"{self.say(key)} {show(float(stats[key]))}" for key in ("min", "max", "mean", "std"))
            self.print(f"  {name}  {tuple(taken['shape'])}  {facts}", style)
            return
        if array.size == 1:
            self.print(f"  {name} = {show(float(np.real(array.reshape(-1)[0])))}", style)
            return
        self.print(f"  {name}  {'×'.join(map(str, array.shape))}", style)
        planes = array.reshape(-1, *array.shape[-2:]) if array.ndim > 1 else array.reshape(1, 1, -1)
        for plane in planes[:2]:
            for row in plane[:SHOWN]:
                cells = "  ".join(f"{show(float(np.real(v))):>8}" for v in row[:SHOWN])
                self.print(f"      {cells}{'  …' if len(row) > SHOWN else ''}")
            if len(plane) > SHOWN:
                self.print("      …")
        if len(planes) > 2:
            self.print(f"      … ({len(planes)})")
