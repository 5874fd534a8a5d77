"""`python -m benchmarks.gallery [people]`: how long a gallery takes to enrol, to forget, to open and to search.

People who do not exist, one embedding each; the file lies in the temporary folder. Searching is one product of the
probe with the matrix of all embeddings, and then the best of them.
"""

from __future__ import annotations

import argparse
import datetime
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.machine import machine
from minidl.backend import Array
from minidl.faces.gallery import Gallery

MODEL = "the model of the benchmark"


def directions(n: int, dimension: int, seed: int) -> Array:
    """(n, dimension) float32 rows of length 1."""
    rows = np.random.default_rng(seed).standard_normal((n, dimension), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def each(action: Callable[[int], object], times: int) -> list[float]:
    """Milliseconds of every call."""
    taken = []
    for k in range(times):
        start = time.perf_counter()
        action(k)
        taken.append(1e3 * (time.perf_counter() - start))
    return taken


def measure(people: int, dimension: int, passphrase: str | None, times: int) -> dict[str, list[float]]:
    """Milliseconds by what was done, on a gallery of so many people."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery"
        rows, probes = directions(people, dimension, 0), directions(times, dimension, 1)
        gallery = Gallery(path, passphrase)
        found = {"enrol all": each(lambda k: gallery.enrol_many(list(range(people)), rows, MODEL), 1)}
        gallery.close()

        def reopen(k: int) -> None:
            nonlocal gallery
            gallery = Gallery(path, passphrase)
            gallery.search(probes[:1], 3, MODEL)

        found["open and search"] = each(reopen, 1)
        found["search"] = each(lambda k: gallery.search(probes[k : k + 1], 3, MODEL), times)
        found["enrol one, 3 pictures"] = each(
            lambda k: gallery.enrol(f"new {k}", directions(3, dimension, 9 + k), MODEL), times
        )
        found["forget one"] = each(lambda k: gallery.forget(f"new {k}"), times)
        other = Gallery(path, passphrase)
        other.search(probes[:1], 3, MODEL)

        def followed(k: int) -> None:
            gallery.search(probes[k : k + 1], 3, MODEL)

        taken = []
        for k in range(times):
            other.enrol(f"new {k}", directions(3, dimension, 90 + k), MODEL)
            taken += each(followed, 1)
        found["search after another process enrolled"] = taken
        found["megabytes of the file"] = [path.stat().st_size / 1e6]
        other.close()
        gallery.close()
    return found


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gallery", description=__doc__.partition("\n")[0])
    parser.add_argument("people", nargs="?", type=int, default=100_000, help="how many (default: 100000)")
    parser.add_argument("--dimension", type=int, default=128, help="numbers in an embedding (default: 128)")
    parser.add_argument("--times", type=int, default=50, help="how often each is measured (default: 50)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder for the figures")
    chosen = parser.parse_args()
    figures = {}
    for kind, passphrase in (("plain", None), ("sealed by a passphrase", "benchmark")):
        found = measure(chosen.people, chosen.dimension, passphrase, chosen.times)
        print(f"\n{chosen.people:,} people, one embedding of {chosen.dimension} numbers each, {kind}")
        figures[kind] = {}
        for what, taken in found.items():
            median, worst = float(np.median(taken)), max(taken)
            unit = "" if what.startswith("mega") else " ms"
            print(f"  {what:<40}{median:10.2f}{unit}" + (f"   at most {worst:.2f}" if len(taken) > 1 else ""))
            figures[kind][what] = {"median": round(median, 3), "most": round(worst, 3), "of": len(taken)}
    day = datetime.date.today().isoformat()
    chosen.out.mkdir(parents=True, exist_ok=True)
    facts = {"date": day, "machine": machine(), "people": chosen.people, "dimension": chosen.dimension}
    file = chosen.out / f"gallery-{day}.json"
    file.write_text(json.dumps({**facts, "milliseconds": figures}, indent=1, ensure_ascii=False) + "\n")
    print(f"\nstored in {file}")


if __name__ == "__main__":
    main()
