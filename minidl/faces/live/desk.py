"""What the page can ask: who is there, why, make known, forget. One question at a time."""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from minidl.faces.calibration import Calibration
from minidl.faces.errors import BadDataset
from minidl.faces.explain import Explanation, likeness, occlusion_map
from minidl.faces.gallery import Name
from minidl.faces.identification import Match
from minidl.faces.images import Pixels, decode_image, encode_png
from minidl.faces.photographs import Face, align, detect, faces_in
from minidl.faces.probes import stack_of_faces
from minidl.faces.recognizer import FaceRecognizer

SMALLEST: Final = 0.1
"""Of the longer side of a frame of the camera: smaller faces are passed over, which is faster."""
LONGEST_NAME: Final = 80


class Desk:
    """Answers the page's questions with one recognizer.

    Arguments:
        recognizer: fitted, with a threshold.
        source: what it learned from, in English ("en") and Chinese ("zh").

    Raises:
        BadGallery: its gallery was made with another model.
    """

    def __init__(self, recognizer: FaceRecognizer, source: Mapping[str, str]) -> None:
        # A search for no face at all fails where the gallery is another model's: better now than at the first look.
        recognizer.gallery.search(np.zeros((0, 1), np.float32), 1, recognizer.fingerprint())
        self.recognizer = recognizer
        self.source = dict(source)
        self._one_at_a_time = threading.Lock()

    def about(self) -> dict[str, Any]:
        """The model, where people are kept, and the error rates that were measured when the threshold was chosen."""
        chosen = self.recognizer.calibration
        path = self.recognizer.gallery.path
        return {
            "model": self.recognizer.model,
            "parameters": self.recognizer.parameter_count,
            "source": self.source,
            "gallery": None if path is None else str(path),
            "encrypted": self.recognizer.gallery.encrypted,
            "threshold": chosen.threshold,
            "calibration": _in_use(chosen),
        }

    def people(self) -> list[dict[str, Any]]:
        """Everybody who is known, and by how many templates."""
        gallery = self.recognizer.gallery
        return [{"name": name, "templates": len(gallery.templates(name))} for name in self.recognizer.people()]

    def look(self, data: bytes, live: bool = False) -> dict[str, Any]:
        """Who is on a picture.

        Arguments:
            data: of an image file.
            live: whether it is one frame of many: small faces are passed over, and no hint is looked for.

        Returns:
            "width", "height" of the picture; "faces": where each is, who it is, how sure, and the aligned face.

        Raises:
            BadImage: it is no picture.
            NoFaceFound: there is no face, and it is no frame.
        """
        with self._one_at_a_time:
            pixels = decode_image(data, "the picture")
            found = self._faces(pixels, live)
            known = len(self.recognizer.gallery) > 0
            faces = np.stack([face for _, face, _ in found]) if found else None
            answers: list[list[Match]] = [[] for _ in found]
            if known and faces is not None:
                answers = self.recognizer.identify_many(faces, 3)
            return {
                "width": int(pixels.shape[1]),
                "height": int(pixels.shape[0]),
                "threshold": self.recognizer.calibration.threshold,
                "faces": [
                    {"box": box, "quality": worth, "face": _url(face), **_said(matches)}
                    for (box, face, worth), matches in zip(found, answers, strict=True)
                ],
            }

    def _faces(self, pixels: Pixels, live: bool) -> list[tuple[list[int], Pixels, float | None]]:
        """(box, aligned face, quality) of every face."""
        size = self.recognizer.image_size
        if pixels.shape == size:
            return [([0, 0, size[1], size[0]], pixels, None)]
        faces: list[Face]
        if live:
            faces = [align(pixels, box, size) for box in detect(pixels, smallest=SMALLEST)]
        else:
            faces = faces_in(pixels, size=size)
        return [([f.box.x, f.box.y, f.box.w, f.box.h], f.image, round(f.quality.score, 3)) for f in faces]

    def enrol(self, name: Name, data: bytes) -> dict[str, Any]:
        """Make a person known, or better known, by a picture of this person alone.

        Raises:
            BadDataset: the name cannot be used.
            BadImage, NoFaceFound: the picture cannot be used.
        """
        if isinstance(name, str) and not 0 < len(name.strip()) <= LONGEST_NAME:
            raise BadDataset(f"a name has 1 to {LONGEST_NAME} letters, but this one has {len(name.strip())}")
        with self._one_at_a_time:
            kept = name.strip() if isinstance(name, str) else name
            faces = stack_of_faces([decode_image(data, "the picture")], self.recognizer.image_size)
            added = self.recognizer.enrol(kept, faces)
            return {"name": kept, "added": added, "templates": len(self.recognizer.gallery.templates(kept))}

    def forget(self, name: Name) -> dict[str, Any]:
        """Delete a person; says whether the model itself learned from this person's pictures.

        Raises:
            UnknownPerson: there is nobody of this name.
        """
        with self._one_at_a_time:
            return {"name": name, "templates": self.recognizer.forget(name),
                    "in_training": name in self.recognizer.classes}  # fmt: skip

    def explain(self, name: Name, data: bytes) -> bytes:
        """Which pixels of an aligned face make it like a person: a png of the face under the occlusion map.

        Raises:
            UnknownPerson: there is nobody of this name.
            BadImage, NoFaceFound: the picture cannot be used.
        """
        with self._one_at_a_time:
            templates = self.recognizer.gallery.templates(name)
            (_, face, _), *_ = self._faces(decode_image(data, "the picture"), live=False)
            found = occlusion_map(likeness(self.recognizer.represent, templates), face)
            return encode_png(Explanation(found, "occlusion", name, face).picture())


def _said(matches: list[Match]) -> dict[str, Any]:
    """What is said of a face; "name" is None for somebody unknown, "candidate" where nobody is enrolled."""
    if not matches:
        return {"name": None, "candidate": None, "similarity": None, "probability": None, "others": []}
    best = matches[0]
    return {
        "name": best.name,
        "candidate": best.candidate,
        "similarity": round(best.similarity, 4),
        "probability": round(best.probability, 4),
        "others": [{"name": one.candidate, "similarity": round(one.similarity, 4)} for one in matches[1:]],
    }


def _in_use(chosen: Calibration) -> dict[str, Any]:
    """What the threshold in use did when it was chosen; the rates are None where its row is not in the table."""
    rows = [row for row in chosen.rows if abs(row.far - chosen.far) < 1e-12]
    return {
        "far": chosen.far,
        "named": rows[0].named if rows else None,
        "missed": rows[0].missed if rows else None,
        "images": chosen.images,
        "people": chosen.people,
        "source": chosen.source,
        "enough": chosen.enough,
    }


def _url(face: Pixels) -> str:
    return "data:image/png;base64," + base64.b64encode(encode_png(face)).decode()
