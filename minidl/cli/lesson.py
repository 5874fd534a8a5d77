"""`minidl lesson`: list, play, build, export, check, path, bless."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from minidl.io.atomic import write_atomically
from minidl.teaching import answers, library, notebook, pairs, site, terminal
from minidl.teaching.errors import LessonError
from minidl.teaching.page import page
from minidl.teaching.percent import LANGUAGES
from minidl.teaching.stage import settings_of
from minidl.teaching.strings import system_language


def add_to(commands: Any) -> None:
    """Add the command to the command line."""
    command = commands.add_parser("lesson", help="lessons that run, are played step by step, and check answers")
    actions = command.add_subparsers(dest="action", required=True, metavar="action")

    each = _action(actions, "list", "the lessons there are", _list)
    _language(each)
    each = _action(actions, "path", "the lessons that belong to a document", _path)
    each.add_argument("document", help="000, 001, 002, 003 or 004")
    _language(each)

    each = _action(actions, "play", "go through a lesson here, or write its page", _play)
    each.add_argument("lesson", help="L16, 16 or gru")
    each.add_argument("--html", type=Path, metavar="FILE", help="write its page to this file instead")
    each.add_argument("--set", dest="knobs", action="append", default=[], metavar="NAME=VALUE", help="turn a knob")
    each.add_argument("--no-player", action="store_true", help="show the numbers without stopping at the recordings")
    _language(each)

    each = _action(actions, "build", "write every page and an index into a folder", _build)
    each.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder")

    each = _action(actions, "export", "write a lesson as a notebook", _export)
    each.add_argument("lesson", nargs="*", help="which; all of them by default")
    each.add_argument("--out", type=Path, default=Path("."), metavar="DIR", help="the folder; by default this one")
    each.add_argument("--lang", choices=LANGUAGES, help="only this language")

    each = _action(actions, "check", "check the answers in a file", _check)
    each.add_argument("lesson", help="L16, 16 or gru")
    each.add_argument("file", type=Path, nargs="?", help="Python with the functions of the exercises")
    _language(each)

    each = _action(actions, "bless", "after reviewing: mark an English text as equal to the Chinese", _bless)
    each.add_argument("lesson", help="L16, 16 or gru")
    each.add_argument("key", nargs="?", help="of one text; all by default")


def _action(actions: Any, name: str, about: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=about)
    parser.set_defaults(run=run)
    return parser


def _language(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lang", choices=LANGUAGES, default=system_language(), help="by default the system's")


def _list(options: argparse.Namespace) -> int:
    for lesson in library.lessons():
        print(f"{lesson.id}  {lesson.title[options.lang]}\n     {lesson.aim[options.lang]}")
    return 0


def _path(options: argparse.Namespace) -> int:
    if not re.fullmatch(r"00[0-4]", options.document):
        raise LessonError(f"there are documents {', '.join(site.DOCUMENTS)}, got {options.document!r}")
    for lesson in site.path(options.document):
        print(f"{lesson.id}  {lesson.title[options.lang]}  ({lesson.documents[options.document]})")
    return 0


def _play(options: argparse.Namespace) -> int:
    lesson = library.lesson(options.lesson)
    settings = settings_of([word for pair in options.knobs for word in ("--set", pair)])
    if options.html is not None:
        if settings:
            raise LessonError("a page holds every value of every knob: --set and --html exclude each other")
        write_atomically(options.html, page(lesson).encode())
        print(options.html)
        return 0
    terminal.play(lesson, options.lang, settings, interactive=not options.no_player)
    return 0


def _build(options: argparse.Namespace) -> int:
    def progress(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    written = site.build(options.out, progress)
    progress("")
    for file in written:
        print(f"{file}  {file.stat().st_size / 1024:.0f} KB")
    return 0


def _export(options: argparse.Namespace) -> int:
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = [library.lesson(name) for name in options.lesson] or library.lessons()
    for lesson in chosen:
        for language in [options.lang] if options.lang else LANGUAGES:
            file = options.out / f"{lesson.path.stem}.{language}.ipynb"
            write_atomically(file, notebook.written(lesson, language).encode())
            print(file)
    return 0


def _check(options: argparse.Namespace) -> int:
    lesson = library.lesson(options.lesson)
    verdicts = answers.judged(lesson, options.file or lesson.path)
    for verdict in verdicts:
        print(verdict.text(options.lang))
    return 0 if all(verdict.state == "passed" for verdict in verdicts) else 1


def _bless(options: argparse.Namespace) -> int:
    for key in pairs.bless(library.lesson(options.lesson), options.key):
        print(key)
    return 0
