"""Faces with the names of their expressions, from a folder or an .npz file."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike, fspath

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces import datasets
from minidl.faces.errors import BadDataset
from minidl.faces.expression import SIZE


@dataclass(frozen=True)
class ExpressionData:
    """Faces and what they express.

    Attributes:
        images: (n, h, w) or (n, h, w, 3) uint8.
        labels: (n,) names.
        test: (n,) bool, images that are for measuring only; all False where the data do not say.
        people: (n,) who each shows, or None where nobody knows.
    """

    images: NDArray[np.uint8]
    labels: Array
    test: NDArray[np.bool_]
    people: Array | None


def load_expressions(data: str | PathLike[str]) -> ExpressionData:
    """Expressions that are stored.

    Arguments:
        data: a folder `expression/*.jpg`, whose pictures are brought to 48 × 48; or an .npz file with `images` and
            `labels` and, if it likes, `classes` (the names of the labels), `usage` (0 for training, otherwise test) and
            `people` (who each image shows).

    Raises:
        BadDataset: it cannot be read, or its parts do not fit.
    """
    name = fspath(data)
    if not name.lower().endswith(".npz"):
        found = datasets.load(name, image_size=SIZE)
        return ExpressionData(found.images, found.labels.astype(str), np.zeros(len(found), bool), None)
    checked = datasets.load(name)  # says what is wrong with images and labels
    with np.load(name, allow_pickle=False) as held:
        extra = {key: held[key] for key in ("classes", "usage", "people") if key in held.files}
        codes = held["labels"]
    n = len(checked)
    for key in ("usage", "people"):
        if key in extra and extra[key].shape != (n,):
            raise BadDataset(f"{name} has {key} of shape {extra[key].shape} for {n} images: store one for each image")
    labels = codes.astype(str)
    if "classes" in extra:
        classes = extra["classes"]
        if codes.dtype.kind not in "iu" or classes.ndim != 1 or not np.isin(codes, np.arange(len(classes))).all():
            raise BadDataset(
                f"the labels in {name} must be whole numbers from 0 to {max(0, classes.size - 1)}, as it names "
                f"{classes.size} classes"
            )
        labels = classes.astype(str)[codes]
    usage = extra.get("usage")
    test = np.zeros(n, bool) if usage is None else np.asarray(usage != 0)
    return ExpressionData(checked.images, labels, test, extra.get("people"))
