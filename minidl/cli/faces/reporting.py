"""`minidl faces report`."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from minidl.cli.faces.known import add_passphrase, beside, open_gallery
from minidl.cli.faces.options import DATA, add_command, show_progress, writable
from minidl.faces import FaceRecognizer, datasets
from minidl.faces.report import measure, write_report


def add_to(actions: Any) -> None:
    """Add the command to `minidl faces`."""
    command = add_command(actions, "report", "measure saved models and write a page that works offline")
    command.add_argument("model", type=Path, nargs="+", help="files that `train` wrote; the first is told of most")
    command.add_argument("data", help=DATA + "; pictures that were not in the training")
    command.add_argument("--strangers", help="more data, of people none of whom is enrolled")
    command.add_argument("--out", type=Path, default=Path("minidl-report.html"), help="where the page goes")
    command.add_argument("--no-photographs", action="store_true", help="leave every picture out of the page")
    add_passphrase(command)
    command.set_defaults(run=run_report)


def run_report(options: argparse.Namespace) -> int:
    """Measure every model, write the page, print where it is."""
    writable(options.out)
    recognizers = [_loaded(path, options) for path in options.model]
    stems = [path.stem for path in options.model]
    names = [path.stem if stems.count(path.stem) == 1 else str(path) for path in options.model]
    findings = []
    for name, recognizer in zip(names, recognizers, strict=True):
        data = datasets.load(options.data, image_size=recognizer.image_size)
        others = None
        if options.strangers is not None:
            others = datasets.load(options.strangers, image_size=recognizer.image_size, min_people=1)
        step = partial(_say, name) if show_progress(options) else None
        findings.append(measure(recognizer, data, others, name=name, advance=step))
    write_report(options.out, findings, photographs=not options.no_photographs)
    if options.json:
        print(json.dumps({"page": str(options.out), "models": {f.name: f.to_dict() for f in findings}}))
    else:
        print(f"page: {options.out} ({options.out.stat().st_size / 1000:.0f} kB)")
    return 0


def _loaded(path: Path, options: argparse.Namespace) -> FaceRecognizer:
    """A recognizer with the people in the gallery beside it, or those of its training if there is none."""
    known = open_gallery(beside(path), options, create=False) if beside(path).exists() else None
    return FaceRecognizer.load(path, options.device, gallery=known)


def _say(name: str, text: str) -> None:
    print(f"  {name}: {text}", file=sys.stderr)
