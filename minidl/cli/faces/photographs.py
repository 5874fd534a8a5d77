"""`minidl faces detect`, `expression` and `explain`: what is on a photograph, and why a face is taken for somebody."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from minidl.cli.faces.known import usable_files_of
from minidl.cli.faces.options import add_command, positive, show_progress, writable
from minidl.faces import FaceRecognizer
from minidl.faces.errors import BadImage, FaceError, NoFaceFound, UnknownPerson
from minidl.faces.explain import METHODS
from minidl.faces.expression_baseline import PatternExpressions
from minidl.faces.expression_data import load_expressions
from minidl.faces.images import Pixels, encode_png, pixels_of, to_grey
from minidl.faces.photographs import Face, faces_in
from minidl.io import write_atomically

TILTED: Final = (0.0, -30.0, 30.0)
FRAME: Final = (232, 90, 40)
"""The colour of a box in a picture."""
ENLARGED: Final = 3
"""An explanation is so many times as large as the face."""


def add_to(actions: Any) -> None:
    """Add the commands to `minidl faces`."""
    detect = add_command(
        actions, "detect", "where the faces are: prints file,x,y,width,height,score,quality,aligned by"
    )
    detect.add_argument("pictures", type=Path, nargs="+", help="files, or folders of them")
    detect.add_argument(
        "--least", type=_share, default=0.5, help="faces of a smaller score are left out (default: 0.5)"
    )
    detect.add_argument(
        "--smallest", type=_share, default=0.05, help="width of the smallest face, of the longer side (default: 0.05)"
    )
    detect.add_argument("--tilted", action="store_true", help="also look for heads that lean by 30 degrees")
    detect.add_argument("--out", type=Path, help="a .png of the picture with its faces marked (one picture only)")
    detect.add_argument("--crops", type=Path, help="a folder to put every aligned face in, as a .png")
    detect.set_defaults(run=run_detect)

    expression = add_command(actions, "expression", "which expression faces have: prints file,expression,probability")
    expression.add_argument("model", type=Path, help="a file that `train` wrote")
    expression.add_argument("pictures", type=Path, nargs="*", help="files, or folders of them; every face is named")
    expression.add_argument(
        "--fit", metavar="DATA", help="first learn expressions from a folder expression/*.jpg or an .npz, and save them"
    )
    expression.add_argument("--epochs", type=positive, help="passes over the images; the recipe's own by default")
    expression.set_defaults(run=run_expression)

    explain = add_command(actions, "explain", "which pixels speak for a face being a person: draws a picture")
    explain.add_argument("model", type=Path, help="a file that `train` wrote")
    explain.add_argument("picture", type=Path, help="a file with one face")
    explain.add_argument("--method", choices=METHODS, default=METHODS[0], help=f"default: {METHODS[0]}")
    explain.add_argument("--person", help="of the training; by default who the face is taken for")
    explain.add_argument("--out", type=Path, default=Path("minidl-explain.png"), help="where the .png goes")
    explain.set_defaults(run=run_explain)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0 and up to 1, got {text}")
    return share


def _png(file: Path) -> Path:
    if file.suffix.lower() != ".png":
        raise BadImage(f"{file} is no name for this picture: let it end in .png")
    return writable(file)


# ── detect ────────────────────────────────────────────────────────────────────────────────────────


def run_detect(options: argparse.Namespace) -> int:
    """Print every face; 0 if every picture has one, 1 if one has none, 2 if one cannot be used."""
    files, bad = usable_files_of(options.pictures)
    if options.out is not None:
        _png(options.out)
        if len(files) != 1:
            raise BadImage(
                f"--out marks the faces of one picture, but {len(files)} are given: use --crops, or give one"
            )
    if options.crops is not None:
        options.crops.mkdir(parents=True, exist_ok=True)
    found, empty = [], False
    for file in files:
        try:
            photo = pixels_of(file)
            faces = faces_in(photo, options.least, options.smallest, TILTED if options.tilted else (0.0,))
        except NoFaceFound as error:
            empty, faces = True, []
            print(f"minidl: {file}: {error}", file=sys.stderr)
        except FaceError as error:
            bad = True
            print(f"minidl: {error}", file=sys.stderr)
            continue
        found.append({"file": str(file), "faces": [_facts(face) for face in faces]})
        if not options.json:
            _print_faces(file, faces)
        if options.out is not None:
            write_atomically(options.out, encode_png(_marked(photo, faces)))
        if options.crops is not None:
            for k, face in enumerate(faces):
                write_atomically(options.crops / f"{file.stem}-{k + 1}.png", encode_png(face.image))
    if options.json:
        print(json.dumps(found, ensure_ascii=False))
    return 2 if bad else 1 if empty else 0


def _facts(face: Face) -> dict[str, Any]:
    quality = {key: round(value, 4) for key, value in asdict(face.quality).items()}
    return {
        **asdict(face.box),
        "eyes": face.eyes.astype(float).round(1).tolist(),
        "aligned_by": face.by,
        "quality": round(face.quality.score, 4),
        "parts": quality,
    }


def _print_faces(file: Path, faces: list[Face]) -> None:
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n").writerow
    for face in faces:
        b = face.box
        write([file, b.x, b.y, b.w, b.h, f"{b.score:.3f}", f"{face.quality.score:.3f}", face.by])
    print(text.getvalue(), end="")


def _marked(photo: Pixels, faces: list[Face]) -> Pixels:
    """The photograph with a frame round every face and a spot on every eye."""
    made = np.repeat(photo[..., None], 3, 2) if photo.ndim == 2 else photo.copy()
    h, w = made.shape[:2]
    thick = max(1, round(max(h, w) / 300))
    for face in faces:
        b = face.box
        inner = made[b.y + thick : b.y + b.h - thick, b.x + thick : b.x + b.w - thick].copy()
        made[b.y : b.y + b.h, b.x : b.x + b.w] = FRAME
        made[b.y + thick : b.y + b.h - thick, b.x + thick : b.x + b.w - thick] = inner
        for x, y in face.eyes.round().astype(int).tolist():
            made[max(0, y - thick) : y + thick + 1, max(0, x - thick) : x + thick + 1] = FRAME
    return made


# ── expression ────────────────────────────────────────────────────────────────────────────────────


def run_expression(options: argparse.Namespace) -> int:
    """Learn expressions if asked to; print the expression of every face; 2 if a picture shows none."""
    if options.fit is None and not options.pictures:
        raise BadImage("there is nothing to do: give pictures, or --fit with data to learn expressions from")
    recognizer = FaceRecognizer.load(options.model, options.device)
    facts: dict[str, Any] = {}
    if options.fit is not None:
        facts = _fit(recognizer, options)
    elif recognizer.expressions is None:
        raise FaceError(
            f"{options.model} knows no expressions yet: learn them by `minidl faces expression {options.model} --fit …`"
        )
    found: list[dict[str, Any]] = []
    files, bad = usable_files_of(options.pictures)
    for file in files:
        try:
            faces = _faces_of(file, recognizer)
        except FaceError as error:
            bad = True
            print(f"minidl: {error}", file=sys.stderr)
            continue
        for face in faces:
            chances = recognizer.expression(face)
            best = next(iter(chances))
            found.append({"file": str(file), "expression": best, "probabilities": chances})
            if not options.json:
                csv.writer(sys.stdout, lineterminator="\n").writerow([file, best, f"{chances[best]:.3f}"])
    if options.json:
        print(json.dumps({**facts, "faces": found}, ensure_ascii=False))
    return 2 if bad else 0


def _faces_of(file: Path, recognizer: FaceRecognizer) -> list[Pixels]:
    """The picture itself if it has the size that expressions were learned from, otherwise the faces in it."""
    photo = to_grey(pixels_of(file))
    if recognizer.expressions is not None and photo.shape == recognizer.expressions.image_size:
        return [photo]
    if photo.shape == recognizer.image_size:
        return [photo]
    try:
        return [face.image for face in faces_in(photo, size=recognizer.image_size)]
    except NoFaceFound as error:
        raise NoFaceFound(f"{file}: {error}") from error


def _fit(recognizer: FaceRecognizer, options: argparse.Namespace) -> dict[str, Any]:
    """Learn, save with the model, and say how well the test part (if there is one) is named."""
    writable(options.model)
    data = load_expressions(options.fit)
    train = ~data.test
    people = None if data.people is None else data.people[train].tolist()
    recognizer.seed = options.seed
    recognizer.fit_expression(
        data.images[train], data.labels[train], people, epochs=options.epochs, progress=show_progress(options)
    )
    recognizer.save(options.model)
    learned = recognizer.expressions
    assert learned is not None
    facts: dict[str, Any] = {"images": int(train.sum()), "classes": list(learned.classes), "model": str(options.model)}
    lines = [f"learned {', '.join(learned.classes)} from {int(train.sum())} images, saved with {options.model}"]
    if learned.validation is not None:
        facts["validation"] = learned.validation.to_dict()
        lines.append(f"validation part: macro accuracy {learned.validation.macro_accuracy:.1%}")
    if data.test.any():
        report = learned.evaluate(data.images[data.test], data.labels[data.test])
        plain = PatternExpressions(options.seed).fit(to_grey(data.images[train]), data.labels[train], people)
        yardstick = plain.evaluate(to_grey(data.images[data.test]), data.labels[data.test])
        facts |= {"test": report.to_dict(), "patterns": yardstick.to_dict()}
        lines.append(
            f"test part: macro accuracy {report.macro_accuracy:.1%} (local binary patterns and a linear layer: "
            f"{yardstick.macro_accuracy:.1%})"
        )
        lines += [f"  {name:<12} {share:.1%}" for name, share in report.recall.items()]
    if not options.json:
        print("\n".join(lines))
    return facts


# ── explain ───────────────────────────────────────────────────────────────────────────────────────


def run_explain(options: argparse.Namespace) -> int:
    """Draw which pixels speak for a person; print who it is and where the picture went."""
    _png(options.out)
    recognizer = FaceRecognizer.load(options.model, options.device)
    who = None if options.person is None else _of_training(options.person, recognizer)
    found = recognizer.explain(options.picture, options.method, who)
    face = np.repeat(found.image[..., None], 3, 2)
    both = np.concatenate([face, found.picture()], 1).repeat(ENLARGED, 0).repeat(ENLARGED, 1)
    write_atomically(options.out, encode_png(both))
    if options.json:
        facts = {"person": found.target, "method": found.method, "picture": str(options.out)}
        print(json.dumps({**facts, "map": found.map.round(5).tolist()}, ensure_ascii=False))
    else:
        print(f"{found.target}: {options.out} (red speaks for it, blue against it; {found.method})")
    return 0


def _of_training(text: str, recognizer: FaceRecognizer) -> Any:
    """Who of the training is meant by a word on the command line."""
    known = {str(name): name for name in recognizer.classes}
    if text not in known:
        shown = ", ".join(list(known)[:5]) + (f" and {len(known) - 5} others" if len(known) > 5 else "")
        raise UnknownPerson(f"nobody in the training is called {text!r}: known are {shown}")
    return known[text]
