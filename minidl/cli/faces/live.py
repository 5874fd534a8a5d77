"""`minidl faces live`."""

from __future__ import annotations

import argparse
import json
import sys
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Any

from minidl.cli.faces.known import add_passphrase, open_gallery, opened_to_change
from minidl.cli.faces.options import DATA, add_command
from minidl.faces import FaceRecognizer, Gallery, datasets
from minidl.faces.errors import BadDataset, FaceError
from minidl.faces.images import opencv
from minidl.faces.live import Desk, LiveServer, quick_recognizer, require_live


def add_to(actions: Any) -> None:
    """Add the command to `minidl faces`."""
    command = add_command(
        actions, "live", "a page on this computer that recognizes who looks into the camera; Ctrl-C ends it"
    )
    command.add_argument("--model", type=Path, help="a file that `train` wrote; without it, one is made in seconds")
    command.add_argument("--data", help=DATA + "; what to make one with (default: drawn faces)")
    command.add_argument("--gallery", type=Path, help="where people are kept (default: in memory, until the end)")
    command.add_argument("--empty", action="store_true", help="begin without the people of the training")
    add_passphrase(command)
    command.add_argument("--encrypt", action="store_true", help="ask for a passphrase and seal a new gallery by it")
    command.add_argument("--port", type=_port, default=0, help="of 127.0.0.1 (default: any that is free)")
    command.add_argument("--no-browser", action="store_true", help="only print the address")
    command.set_defaults(run=run_live)


def _port(text: str) -> int:
    if not text.isdecimal() or not int(text) < 65536:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text}")
    return int(text)


def run_live(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    require_live()
    opencv("finding faces")
    if options.model is not None and options.data is not None:
        raise BadDataset("--data is for making a model, and --model gives one: leave one of them out")
    if options.encrypt and options.gallery is None:
        raise BadDataset("--encrypt seals a gallery in a file: name it with --gallery")
    recognizer, source = _recognizer(options)
    try:
        server = LiveServer(Desk(recognizer, source), options.port)
    except OSError as error:
        raise FaceError(f"port {options.port} cannot be used ({error.strerror}): choose another") from error
    if options.json:
        print(json.dumps({"address": server.address, "model": recognizer.model}), flush=True)
    else:
        print(f"{recognizer.model}: {source['en']}")
        print(f"open {server.address}  (this computer only; Ctrl-C ends it)", flush=True)
    if sys.stdout.isatty() and not options.no_browser and not options.json:
        webbrowser.open(server.address)
    with suppress(KeyboardInterrupt):  # the way it is meant to end
        server.run()
    return 0


def _recognizer(options: argparse.Namespace) -> tuple[FaceRecognizer, dict[str, str]]:
    """The one that was asked for, and what it learned from."""
    if options.model is None:
        if not options.json:
            print("making a recognizer: some seconds", file=sys.stderr)
        data = None if options.data is None else datasets.load(options.data, image_size=(112, 92), min_people=4)
        gallery = Gallery() if options.gallery is None else open_gallery(options.gallery, options, create=True)
        return quick_recognizer(gallery, data)
    if options.gallery is not None:
        recognizer = opened_to_change(options)
    else:
        recognizer = FaceRecognizer.load(options.model, options.device, gallery=Gallery() if options.empty else None)
    name, people = options.model.name, len(recognizer.classes)
    return recognizer, {"en": f"{name}, trained with {people} people", "zh": f"{name}，用 {people} 个人训练"}
