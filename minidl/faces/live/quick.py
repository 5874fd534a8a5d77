"""A recognizer for when none was trained: made at the start in a few seconds, from drawn faces."""

from __future__ import annotations

from typing import Final

from minidl.faces.datasets import FaceDataset
from minidl.faces.gallery import Gallery
from minidl.faces.generated import generated_faces
from minidl.faces.recognizer import FaceRecognizer

MODEL: Final = "lbp"
"""Local binary patterns learn nothing, so they lose nothing between drawn faces and real ones. Of what can be made in
seconds they carry over best: with the threshold from drawn faces, of 400 ORL photographs searched as strangers among
the other 39 people none was named, and 10.5 % of known ones were missed; fisherfaces from 100 drawn people named 41 %
of the strangers (one run, 2026-11-22)."""
PEOPLE, EACH, SEED, FAR = 20, 8, 7, 0.01
LEARNED: Final = 2
"""The fewest people that a recognizer is fitted to; all others are left for the threshold."""


def quick_recognizer(gallery: Gallery, data: FaceDataset | None = None) -> tuple[FaceRecognizer, dict[str, str]]:
    """A recognizer that knows nobody yet, its threshold chosen so that 1 % of strangers may be named.

    Arguments:
        gallery: where people will be kept.
        data: faces of at least four people to choose the threshold by; by default drawn ones. The same data give the
            same recognizer, so that a gallery in a file stays usable.

    Returns:
        The recognizer, and what it was made with, in English ("en") and Chinese ("zh").

    Raises:
        FaceError: the data do not suffice.
    """
    if data is None:
        drawn = generated_faces(people=LEARNED + PEOPLE, per_person=EACH, seed=SEED)
        data = FaceDataset(drawn.images, drawn.labels, [str(k) for k in range(LEARNED + PEOPLE)],
                           f"{PEOPLE} drawn people, {EACH} images each")  # fmt: skip
        source = {
            "en": f"local binary patterns; the threshold comes from {PEOPLE} drawn people, not from photographs",
            "zh": f"局部二值模式；阈值来自 {PEOPLE} 个画出来的人，不是照片",
        }
    else:
        source = {
            "en": f"local binary patterns; the threshold comes from {data.description}",
            "zh": f"局部二值模式；阈值来自 {data.description}",
        }
    learn = data.codes < LEARNED
    recognizer = FaceRecognizer(MODEL, image_size=data.images.shape[1:3], gallery=gallery)
    recognizer.fit(data.images[learn], data.labels[learn], progress=False)
    recognizer.calibrate(data.images[~learn], data.labels[~learn], FAR)
    return recognizer, source
