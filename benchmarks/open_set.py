"""`python -m benchmarks.open_set [models]`: does a calibrated recognizer keep its promise on real strangers?

ORL, the people shuffled by the seed: twenty are trained and enrolled by five pictures each and tested by the other
five; ten calibrate; the last ten, never seen by anything before, are the strangers.
"""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path

import numpy as np

from benchmarks.machine import machine
from minidl.backend import Array
from minidl.faces import FaceRecognizer, datasets, metrics

FARS = (0.01, 0.05)


def split(labels: Array, seed: int) -> tuple[Array, Array, Array, Array]:
    """Indices for training, testing, calibrating, strangers."""
    rng = np.random.default_rng(seed)
    pictures = [rng.permutation(np.flatnonzero(labels == person)) for person in rng.permutation(np.unique(labels))]
    known = np.stack(pictures[:20])
    return known[:, :5].ravel(), known[:, 5:].ravel(), np.concatenate(pictures[20:30]), np.concatenate(pictures[30:])


def rates(recognizer: FaceRecognizer, data: datasets.FaceDataset, known: Array, strangers: Array) -> dict[str, float]:
    """What happens to pictures that no choice was made by, in percent; the calibration error as a share."""
    answers = [row[0] for row in recognizer.identify_many(data.images[known])]
    others = [row[0] for row in recognizer.identify_many(data.images[strangers])]
    truth = data.labels[known].tolist()
    said = np.array([answer.probability for answer in answers + others])
    right = [answer.candidate == person for answer, person in zip(answers, truth, strict=True)] + [False] * len(others)
    weights = np.r_[np.full(len(answers), 1 / len(answers)), np.full(len(others), 1 / len(others))]
    embeddings, codes = recognizer.represent(data.images[strangers]), data.labels[strangers]
    first, second = np.triu_indices(len(strangers), 1)
    accepted = np.sum(embeddings[first] * embeddings[second], 1) >= recognizer.calibration.pair_threshold
    same = codes[first] == codes[second]
    return {
        "strangers named": 100 * float(np.mean([answer.name is not None for answer in others])),
        "known not named": 100 * float(np.mean([a.name != person for a, person in zip(answers, truth, strict=True)])),
        "known misnamed": 100 * float(np.mean([a.name not in (None, p) for a, p in zip(answers, truth, strict=True)])),
        "pairs of two accepted": 100 * float(accepted[~same].mean()),
        "pairs of one refused": 100 * float((~accepted[same]).mean()),
        "calibration error": metrics.expected_calibration_error(said, np.array(right), weights=weights),
    }


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.open_set", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "models", nargs="*", default=["eigen", "fisher", "lbp", "cnn"], help="default: eigen fisher lbp cnn"
    )
    parser.add_argument("--seeds", type=int, default=5, help="how many (default: 5)")
    parser.add_argument("--purpose", default="identification", help="of networks (default: identification)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder for the figures")
    chosen = parser.parse_args()
    data = datasets.load("orl")
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for model in chosen.models:
        found: dict[str, list[dict[str, float]]] = {}
        for seed in range(chosen.seeds):
            train, known, calibrating, strangers = split(data.labels, seed)
            purpose = {} if model in ("eigen", "fisher", "lbp") else {"purpose": chosen.purpose}
            recognizer = FaceRecognizer(model, data.images.shape[1:], seed=seed, **purpose)
            recognizer.fit(data.images[train], data.labels[train], progress=False)
            found.setdefault("rule of thumb", []).append(rates(recognizer, data, known, strangers))
            for far in FARS:
                recognizer.calibrate(data.images[calibrating], data.labels[calibrating], far=far)
                found.setdefault(f"calibrated {far:.0%}", []).append(rates(recognizer, data, known, strangers))
        figures[model] = {}
        for how, rows in found.items():
            mean = {key: round(float(np.mean([row[key] for row in rows])), 3) for key in rows[0]}
            figures[model][how] = mean
            print(f"{model:<8}{how:<16}" + "  ".join(f"{key} {value:.2f}" for key, value in mean.items()), flush=True)
    day = datetime.date.today().isoformat()
    chosen.out.mkdir(parents=True, exist_ok=True)
    file = chosen.out / f"open-set-{chosen.purpose}-{day}.json"
    facts = {"date": day, "machine": machine(), "seeds": chosen.seeds, "mean over seeds": figures}
    file.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    print(f"stored in {file}")


if __name__ == "__main__":
    main()
