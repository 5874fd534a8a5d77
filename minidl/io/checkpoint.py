"""Checkpoints: everything a run needs to go on as if it had never stopped, in one file.

    from minidl.backend import default_generator
    from minidl.io import checkpoint

    run = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "loader": loader,
           "generator": default_generator}
    checkpoint.save("run.safetensors", **run, extra={"best": 0.97})
    extra = checkpoint.load("run.safetensors", **run)

The file is a safetensors file. Tensors of the model are called `model.<name>`; the rest of the state is JSON in the
metadata, with its arrays filed under `optimizer.…`, `extra.…` and so on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any, Protocol

from minidl.backend import Array, Generator
from minidl.io.errors import BadFile, Mismatch
from minidl.io.tensors import read, save_safetensors
from minidl.io.tree import put_together, take_apart

VERSION = 1
KEY = "minidl.checkpoint"


class Stateful(Protocol):
    """A module, an optimizer, a schedule, a loader: anything whose state can be taken and given back."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state_dict: Any, /) -> Any: ...


def save(
    path: str | os.PathLike[str],
    *,
    model: Stateful | None = None,
    optimizer: Stateful | None = None,
    scheduler: Stateful | None = None,
    generator: Generator | None = None,
    loader: Stateful | None = None,
    extra: Any = None,
) -> None:
    """Write the state of a run to one file, atomically: a crash at any moment leaves the old file whole.

    Arguments:
        path: the file to write.
        model, optimizer, scheduler, loader: their `state_dict()` is stored.
        generator: the stream that dropout draws from; without it a resumed run draws other masks.
        extra: numbers, texts, tensors, and lists, tuples and dicts of them.

    Raises:
        TypeError: something in the state cannot be stored; nothing was written.
    """
    arrays: dict[str, Array] = {}
    parts: dict[str, Any] = {}
    for name, part in _parts(model, optimizer, scheduler, generator, loader).items():
        parts[name] = {"type": type(part).__name__, "state": take_apart(_state(part), name, arrays)}
    content = {"version": VERSION, "parts": parts, "extra": take_apart(extra, "extra", arrays)}
    save_safetensors(path, arrays, {KEY: json.dumps(content)})


def load(
    path: str | os.PathLike[str],
    *,
    model: Stateful | None = None,
    optimizer: Stateful | None = None,
    scheduler: Stateful | None = None,
    generator: Generator | None = None,
    loader: Stateful | None = None,
) -> Any:
    """Give the state in a checkpoint back to the parts of a run; either all of them change, or none.

    Arguments:
        path: a file that `save` wrote.
        model, optimizer, scheduler, generator, loader: parts built as those that were saved. What is left out is not
            loaded: the model alone is enough for inference.

    Returns:
        what was given to `save` as extra.

    Raises:
        FileNotFoundError: there is no such file.
        BadFile: it is damaged, no checkpoint, or of a newer version.
        Mismatch: it holds no such part, or one of another class.
        RuntimeError, ValueError: names, shapes, dtypes or options of a part do not fit.
    """
    arrays, content = _content(path)
    stored = content["parts"]
    given = _parts(model, optimizer, scheduler, generator, loader)
    for name, part in given.items():
        if name not in stored:
            raise Mismatch(f"{os.fspath(path)} holds no {name}; it holds {', '.join(stored) or 'nothing but extra'}")
        if name in ("optimizer", "scheduler") and stored[name]["type"] != type(part).__name__:
            raise Mismatch(
                f"{os.fspath(path)} holds the {name} {stored[name]['type']}, this one is {type(part).__name__}"
            )
    states = {name: put_together(stored[name]["state"], arrays) for name in given}
    undo: list[Callable[[], Any]] = []
    try:
        for name, part in given.items():
            if name != "model":
                undo.append(_restorer(part, _state(part)))
            _load(part, states[name])
    except BaseException:
        for restore in reversed(undo):
            restore()
        raise
    return put_together(content["extra"], arrays)


def _parts(model: Any, optimizer: Any, scheduler: Any, generator: Any, loader: Any) -> dict[str, Any]:
    """The parts that were given, in the order of loading; the model last, as it loads all or nothing by itself."""
    parts = {
        "optimizer": optimizer,
        "scheduler": scheduler,
        "loader": loader,
        "generator": generator,
        "model": model,
    }
    return {name: part for name, part in parts.items() if part is not None}


def _state(part: Any) -> Any:
    return part.get_state() if isinstance(part, Generator) else part.state_dict()


def _load(part: Any, state: Any) -> None:
    if isinstance(part, Generator):
        part.set_state(state)
    else:
        part.load_state_dict(state)


def _restorer(part: Any, state: Any) -> Callable[[], None]:
    return lambda: _load(part, state)


def _content(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    arrays, texts = read(path)
    if KEY not in texts:
        raise BadFile(
            f"{os.fspath(path)} is a safetensors file but no checkpoint of minidl; load_safetensors reads its tensors"
        )
    content = json.loads(texts[KEY])
    if content["version"] > VERSION:
        raise BadFile(
            f"{os.fspath(path)} has format version {content['version']}, "
            f"this minidl reads up to {VERSION}; update minidl"
        )
    return arrays, content
