"""`minidl faces enrol`, `people` and `forget`: who is known."""

from __future__ import annotations

import argparse
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from minidl.cli.faces.known import add_gallery, files_of, opened, opened_to_change, person
from minidl.cli.faces.options import add_command
from minidl.faces import FaceRecognizer
from minidl.faces.errors import UnknownPerson
from minidl.faces.probes import stack_of_faces


def add_to(actions: Any) -> None:
    """Add the commands to `minidl faces`."""
    enrol = add_command(actions, "enrol", "make a person known to a model by pictures, at once and without training")
    add_gallery(enrol)
    enrol.add_argument("name", help="who it is")
    enrol.add_argument("pictures", type=Path, nargs="+", help="of this person alone; a folder stands for all in it")
    enrol.add_argument("--empty", action="store_true", help="begin a new gallery without the people of the training")
    enrol.add_argument("--encrypt", action="store_true", help="ask for a passphrase and seal a new gallery by it")
    enrol.set_defaults(run=run_enrol)

    people = add_command(actions, "people", "list who is known")
    add_gallery(people)
    people.set_defaults(run=run_people)

    forget = add_command(actions, "forget", "delete a person, leaving no trace in the gallery")
    add_gallery(forget)
    forget.add_argument("name", help="who it is")
    forget.set_defaults(run=run_forget)


def run_enrol(options: argparse.Namespace) -> int:
    """Enrol a person."""
    alone = FaceRecognizer.load(options.model, options.device)
    pictures = list(files_of(options.pictures))
    faces = stack_of_faces(pictures, alone.image_size)  # says what is wrong with them before a gallery is made
    recognizer = opened_to_change(options)
    name = options.name
    with suppress(UnknownPerson):  # then it is somebody new
        name = person(name, recognizer)
    added = recognizer.enrol(name, faces)
    gallery = recognizer.gallery
    if options.json:
        facts = {"name": name, "added": added, "templates": len(gallery.templates(name)), "gallery": str(gallery.path)}
        print(json.dumps(facts, ensure_ascii=False))
    else:
        already = f", {len(faces) - added} known already" if added < len(faces) else ""
        print(f"{name}: {added} pictures added{already}; {gallery.path} knows {len(gallery)} people")
    return 0


def run_people(options: argparse.Namespace) -> int:
    """Print who is known, one a line."""
    recognizer = opened(options)
    counts = [(name, len(recognizer.gallery.templates(name))) for name in recognizer.people()]
    if options.json:
        print(json.dumps([{"name": name, "templates": n} for name, n in counts], ensure_ascii=False))
    else:
        for name, _ in counts:
            text = str(name)  # a name may come from a file of others: one line, and no command to the terminal
            print(text if text.isprintable() else json.dumps(text))
    return 0


def run_forget(options: argparse.Namespace) -> int:
    """Forget a person."""
    person(options.name, opened(options))  # known at all? if not, no gallery is made
    recognizer = opened_to_change(options)
    name = person(options.name, recognizer)
    templates = recognizer.forget(name)
    trained = name in recognizer.classes
    if options.json:
        facts = {"name": name, "templates": templates, "in_training": trained, "gallery": str(recognizer.gallery.path)}
        print(json.dumps(facts, ensure_ascii=False))
    else:
        print(f"{name}: {templates} templates deleted from {recognizer.gallery.path}")
        if trained:
            print(f"{options.model} was trained with pictures of {name}: train again without them to undo that too")
    return 0
