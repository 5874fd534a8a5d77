"""Error rates of the face recognizer on ORL, part by part into one file: `python -m benchmarks.faces_orl --help`.

A part that stands in the file with all its seeds is not measured again, so that a run can be interrupted and continued.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from minidl.faces import comparison, datasets
from minidl.faces.damaged_comparison import compare_damaged
from minidl.faces.datasets import FaceDataset
from minidl.faces.recognizer import CLASSICAL, MODELS
from minidl.faces.unseen_comparison import compare_unseen
from minidl.io import write_atomically

RESULTS: Final = Path(__file__).parent / "results"
SETS: Final = {"classical": list(CLASSICAL), **{name: [name] for name in MODELS if name not in CLASSICAL}}
"""Models that are measured together."""
TESTS: Final[dict[str, Callable[..., Any]]] = {
    **{
        f"n={n}": (lambda data, models, n=n, **rest: comparison.compare(data, models, train=n, **rest))
        for n in (1, 3, 5)
    },
    "damage": compare_damaged,
    "unseen": compare_unseen,
}
"""n training images a person; damaged test images with 5; people not in the training."""


def measure(data: FaceDataset, test: str, models: str, seeds: list[int], file: Path) -> None:
    """Measure one part and put it into the file.

    Arguments:
        data: ORL.
        test: one of `TESTS`.
        models: one of `SETS`.
        seeds: of splits and models.
        file: a json file, or none yet.
    """
    name, result = f"{test} {models}", None
    if set(seeds) <= set(_read(file)["parts"].get(name, {"seeds": []})["seeds"]):
        return
    started = time.strftime("%Y-%m-%d %H:%M")
    for done, seed in enumerate(seeds, 1):
        one = TESTS[test](data, SETS[models], seeds=[seed], advance=lambda text: print(f"{test}: {text}", flush=True))
        result = one if result is None else replace(result, runs=result.runs + one.runs)
        found = _read(file)
        found["parts"][name] = {"seeds": seeds[:done], "started": started, **result.to_dict()}
        write_atomically(file, json.dumps(found, indent=1).encode())
    if result is not None:
        print(result.table(), flush=True)


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"about": about(), "parts": {}}
    return found


def about() -> dict[str, str]:
    """Where it was measured."""
    return {"machine": platform.processor() or platform.machine(), "python": platform.python_version()}


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--test", choices=list(TESTS), nargs="*", default=list(TESTS), help="all by default")
    parser.add_argument("--models", choices=list(SETS), nargs="*", default=["classical", "cnn"])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0], help="for example 0 1 2 (default: 0)")
    parser.add_argument("--out", type=Path, default=RESULTS / f"faces-orl-{date.today()}.json")
    options = parser.parse_args()
    data = datasets.load("orl")
    for test in options.test:
        for models in options.models:
            measure(data, test, models, options.seeds, options.out)


if __name__ == "__main__":
    main()
