"""What the tests of reports share: six drawn people, pictures to test by, five strangers, and what was measured."""

from __future__ import annotations

from functools import cache

from recognizer_cases import NAMES, SIZE, faces, train_and_test

from minidl.faces import FaceRecognizer
from minidl.faces.datasets import FaceDataset
from minidl.faces.generated import generated_faces
from minidl.faces.report import Findings, measure


def dataset(part: str) -> FaceDataset:
    images, codes = faces()
    train, test = train_and_test(codes)
    some = train if part == "train" else test
    return FaceDataset(images[some], NAMES[codes[some]], sorted(NAMES), "six drawn people")


def strangers() -> FaceDataset:
    drawn = generated_faces(people=5, per_person=4, size=SIZE, seed=900, difficulty="easy")
    return FaceDataset(drawn.images, drawn.labels, list("01234"), "five others")


@cache
def recognizer(model: str = "eigen") -> FaceRecognizer:
    data = dataset("train")
    return FaceRecognizer(model, SIZE, seed=3).fit(data.images, data.labels, epochs=2, progress=False)


@cache
def measured(model: str = "eigen") -> Findings:
    return measure(recognizer(model), dataset("test"), strangers())
