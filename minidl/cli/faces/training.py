"""`minidl faces train` and `evaluate`."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from minidl.cli.faces.known import beside
from minidl.cli.faces.options import add_command, add_data, positive, show_progress, writable
from minidl.faces import FaceRecognizer, datasets
from minidl.faces.errors import BadGallery
from minidl.faces.losses import LOSSES
from minidl.faces.purposes import PURPOSES
from minidl.faces.recognizer import MODELS


def add_to(actions: Any) -> None:
    """Add the commands to `minidl faces`."""
    train = add_command(actions, "train", "fit a model and save it")
    add_data(train)
    train.add_argument("--out", type=Path, default=Path("faces.minidl"), help="where the model goes")
    train.add_argument("--model", default="cnn", help=f"one of {', '.join(MODELS)} (default: cnn)")
    train.add_argument("--purpose", default="identification", choices=list(PURPOSES), help="what a network is for")
    train.add_argument("--loss", choices=list(LOSSES), help="what a network is trained by; its recipe's own by default")
    train.add_argument("--epochs", type=positive, help="passes over the images; the model's own recipe by default")
    train.add_argument("--no-augment", action="store_true", help="show the network only the images as they are")
    train.set_defaults(run=run_train)

    evaluate = add_command(actions, "evaluate", "error rates of a saved model")
    evaluate.add_argument("model", type=Path, help="a file that `train` wrote")
    add_data(evaluate)
    evaluate.add_argument(
        "--strangers", metavar="DATA", help="pictures of people not in the training: open-set figures"
    )
    evaluate.set_defaults(run=run_evaluate)


def run_train(options: argparse.Namespace) -> int:
    """Fit a model on a data set and save it."""
    writable(options.out)
    if (gallery := beside(options.out)).exists():
        raise BadGallery(
            f"{gallery} holds people that only the model which is {options.out} now can recognize: give another --out, "
            f"or delete {gallery} first"
        )
    data = datasets.load(options.data, photographs=options.photographs)
    recognizer = FaceRecognizer(
        options.model,
        image_size=data.images.shape[1:3],
        device=options.device,
        seed=options.seed,
        purpose=options.purpose,
        loss=options.loss,
    )
    started = time.perf_counter()
    progress, augment = show_progress(options), not options.no_augment
    recognizer.fit(data.images, data.labels, epochs=options.epochs, augment=augment, progress=progress)
    seconds = time.perf_counter() - started
    recognizer.save(options.out)
    if options.json:
        facts = {"model": options.model, "images": len(data), "people": len(data.names), "seconds": round(seconds, 2)}
        print(json.dumps({**facts, "parameters": recognizer.parameter_count, "file": str(options.out)}))
    else:
        print(
            f"{options.model}: learned {len(data.names)} people from {len(data)} images in {seconds:.1f} s "
            f"({recognizer.parameter_count:,} parameters), saved as {options.out}"
        )
    return 0


def run_evaluate(options: argparse.Namespace) -> int:
    """Print the error rates of a saved model on a data set."""
    recognizer = FaceRecognizer.load(options.model)
    data = datasets.load(options.data, image_size=recognizer.image_size, photographs=options.photographs)
    strangers = None
    if options.strangers is not None:
        size, photographs = recognizer.image_size, options.photographs
        strangers = datasets.load(options.strangers, image_size=size, min_people=1, photographs=photographs).images
    report = recognizer.evaluate(data.images, data.labels, strangers)
    print(json.dumps(report.to_dict()) if options.json else report.table())
    return 0
