"""`minidl faces identify`, `verify` and `calibrate`: who is it, are these two one, and what counts as alike."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from minidl.cli.faces.known import add_gallery, beside, opened, usable_files_of
from minidl.cli.faces.options import add_command, add_data, positive, show_progress, writable
from minidl.cli.faces.progress import counting
from minidl.faces import FaceRecognizer, datasets
from minidl.faces.errors import FaceError
from minidl.faces.identification import Match
from minidl.faces.images import Pixels
from minidl.faces.probes import faces_of

UNKNOWN: Final = "unknown"
AT_ONCE: Final = 64
"""How many pictures are read before their faces are searched together."""


def add_to(actions: Any) -> None:
    """Add the commands to `minidl faces`."""
    identify = add_command(actions, "identify", "who is on the pictures: prints file,name,similarity,threshold")
    add_gallery(identify)
    identify.add_argument("pictures", type=Path, nargs="+", help="files, or folders of them; every face is named")
    identify.add_argument(
        "--candidates", type=positive, help="print so many lines a face, with a fifth column: who comes nearest"
    )
    identify.set_defaults(run=run_identify)

    verify = add_command(actions, "verify", "whether two pictures show one person: prints same or different")
    verify.add_argument("model", type=Path, help="a file that `train` wrote")
    verify.add_argument("pictures", type=Path, nargs=2, help="two files")
    verify.set_defaults(run=run_verify)

    calibrate = add_command(actions, "calibrate", "choose the threshold by pictures that were not in the training")
    add_gallery(calibrate)
    add_data(calibrate)
    calibrate.add_argument("--far", type=_share, default=0.01, help="share of strangers let in (default: 0.01)")
    calibrate.add_argument("--people", type=positive, help="how many people a stranger is searched among")
    calibrate.set_defaults(run=run_calibrate)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"expected a share between 0 and 1, such as 0.01, got {text}")
    return share


def run_identify(options: argparse.Namespace) -> int:
    """Print who is on each picture; 0 if everybody is known, 1 if somebody is not, 2 if a picture cannot be used."""
    recognizer = opened(options)
    files, bad = usable_files_of(options.pictures)
    unknown, found = False, []
    with counting(show_progress(options) and not sys.stdout.isatty(), "pictures", len(files)) as advance:
        for file, matches in _searched(recognizer, files, options.candidates or 3, advance):
            if isinstance(matches, FaceError):
                bad = True
                print(f"minidl: {matches}", file=sys.stderr)
                continue
            unknown |= matches[0].name is None
            if options.json:
                best = {k: v for k, v in asdict(matches[0]).items() if k != "candidate"}
                found.append({"file": str(file), **best, "candidates": [_candidate(m) for m in matches]})
            else:
                _print_lines(file, matches, options.candidates)
    if options.json:
        print(json.dumps(found, ensure_ascii=False))
    return 2 if bad else 1 if unknown else 0


def _searched(
    recognizer: FaceRecognizer, files: list[Path], k: int, advance: Callable[[], None]
) -> Iterator[tuple[Path, list[Match] | FaceError]]:
    """Every face of every picture with its matches, or what is wrong with the picture, in order."""
    for start in range(0, len(files), AT_ONCE):
        waiting: list[tuple[Path, Pixels | FaceError]] = []
        for file in files[start : start + AT_ONCE]:
            advance()
            try:
                waiting += [(file, face) for face in faces_of(file, recognizer.image_size)]
            except FaceError as error:
                waiting.append((file, error))
        faces = [face for _, face in waiting if not isinstance(face, FaceError)]
        answers = iter(recognizer.identify_many(np.stack(faces), k) if faces else [])
        yield from ((file, face if isinstance(face, FaceError) else next(answers)) for file, face in waiting)


def _candidate(match: Match) -> dict[str, Any]:
    return {"name": match.candidate, "similarity": match.similarity, "probability": match.probability}


def _print_lines(file: Path, matches: list[Match], candidates: int | None) -> None:
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n").writerow
    for match in matches[: candidates or 1]:
        name = UNKNOWN if match.name is None else match.name
        line = [file, name, f"{match.similarity:.4f}", f"{match.threshold:.4f}"]
        write([*line, match.candidate] if candidates else line)
    print(text.getvalue(), end="")


def run_verify(options: argparse.Namespace) -> int:
    """Print same or different, the similarity and the threshold; 0 if same, 1 if not."""
    answer = FaceRecognizer.load(options.model, options.device).verify(*options.pictures)
    if options.json:
        print(json.dumps(asdict(answer)))
    else:
        word = "same" if answer.same else "different"
        print(f"{word},{answer.similarity:.4f},{answer.threshold:.4f}")
    return 0 if answer.same else 1


def run_calibrate(options: argparse.Namespace) -> int:
    """Choose a threshold, print what it costs, and save it with the model."""
    recognizer = FaceRecognizer.load(options.model, options.device)
    people = options.people
    if people is None and (options.gallery or beside(options.model).exists()):
        people = len(opened(options).gallery) or None
    data = datasets.load(options.data, image_size=recognizer.image_size, photographs=options.photographs)
    others = len(data.names) - 1
    recognizer.calibrate(
        data.images, data.labels, options.far, max(people or 0, others) if options.people is None else people
    )
    recognizer.save(writable(options.model))
    if options.json:
        print(json.dumps(recognizer.calibration.to_dict()))
    else:
        print(recognizer.calibration.table())
        print(f"saved with {options.model}")
    return 0
