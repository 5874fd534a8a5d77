"""Open-set recognition: who is it, if anybody we know; are these two one; and what would count as alike."""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.calibration import Calibration, calibrate
from minidl.faces.errors import BadModelFile, NotFitted, UnknownPerson
from minidl.faces.gallery import Gallery, Name
from minidl.faces.inputs import grey_images, in_order, plain_labels
from minidl.faces.probes import Picture, one_face, stack_of_faces
from minidl.faces.trials import SAME_PICTURE, leave_one_out, rule_of_thumb

GIVEN: Final = "given images"
TRAINING: Final = "a rule of thumb on the training images: calibrate with others"
UNCALIBRATED_FAR: Final = 0.05
"""The share of made-up strangers that the rule of thumb lets in (see `trials.rule_of_thumb`). On ORL, with 20 of the 40
people in the training, 0 to 2 % of real strangers are then given a name, and 8 % (cnn) to 37 % (eigen) of known faces
are not (`python -m benchmarks.open_set`)."""


@dataclass(frozen=True)
class Match:
    """A person of the gallery who may be on the picture.

    Attributes:
        name: who it is; None where the similarity does not reach the threshold.
        similarity: the cosine between the picture and this person's most similar template, -1 to 1.
        distance: the same as a Euclidean distance of embeddings of length 1, √(2 - 2 · similarity), 0 to 2.
        threshold: the least similarity that counts.
        probability: that it is this person, if strangers come as often as known people.
        candidate: who is meant, whether or not it is enough.
    """

    name: Name | None
    similarity: float
    distance: float
    threshold: float
    probability: float
    candidate: Name


@dataclass(frozen=True)
class Verification:
    """Whether two pictures show one person.

    Attributes:
        same: whether the similarity reaches the threshold.
        similarity: the cosine between the two pictures.
        threshold: the least similarity that counts.
        probability: that they show one person, if both is as likely beforehand.
    """

    same: bool
    similarity: float
    threshold: float
    probability: float


class Identifier(ABC):
    """What a recognizer can do once it can represent faces: know people, without learning again."""

    model: str
    image_size: tuple[int, int]
    seed: int
    _gallery: Gallery
    _calibration: Calibration | None

    @abstractmethod
    def represent(self, images: Array) -> NDArray[np.float32]:
        """(n, d) embeddings of length 1 of (n, h, w) images."""

    @abstractmethod
    def _learned(self) -> tuple[dict[str, Any], Mapping[str, Array]]:
        """Everything that an embedding depends on: settings and arrays."""

    @abstractmethod
    def _training_embeddings(self) -> NDArray[np.float32]:
        """(n, d), of the images it learned from."""

    # ── who is known ──────────────────────────────────────────────────────────────────────────

    @property
    def gallery(self) -> Gallery:
        """Where the people are kept."""
        return self._gallery

    def fingerprint(self) -> str:
        """The same for recognizers whose embeddings can be compared: a hash of everything that was learned."""
        about, arrays = self._learned()
        found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
        for key, x in sorted(arrays.items()):
            found.update(f"{key} {x.dtype.str} {x.shape} ".encode())
            found.update(np.ascontiguousarray(x).tobytes())
        return found.hexdigest()

    def enrol(self, name: Name, images: Array | Sequence[Picture] | Picture) -> int:
        """Make a person known, or better known, without training.

        Arguments:
            name: a text or an integer.
            images: (n, h, w) or (n, h, w, 3) uint8 of the model's size; or photographs: one, or a list of arrays and
                paths of any size, each with one face, which is found and aligned.

        Returns:
            How many templates were added; the same picture twice is one.

        Raises:
            NotFitted: `fit` was not called.
            NoFaceFound, BadImage: a picture has no face, several, or cannot be read.
            BadDataset: the name cannot be used.
            BadGallery: the gallery belongs to another model or cannot be written.
        """
        return self._gallery.enrol(name, self.represent(stack_of_faces(images, self.image_size)), self.fingerprint())

    def forget(self, name: Name) -> int:
        """Delete a person from the gallery, without a trace in its file.

        The weights of a network that was trained with this person's images still come from them, and a saved model
        keeps the embeddings of its training: to undo that, train again without these images.

        Arguments:
            name: of the person.

        Returns:
            How many templates there were.

        Raises:
            UnknownPerson: there is nobody of this name.
            BadGallery: the gallery cannot be written.
        """
        return self._gallery.forget(name)

    def people(self) -> list[Name]:
        """Everybody who is known: numbers by value, then names naturally."""
        return self._gallery.people()

    # ── who is it ─────────────────────────────────────────────────────────────────────────────

    def identify(self, image: Picture, k: int = 3) -> list[Match]:
        """The k people who are most like the face, named only where the similarity reaches the threshold.

        Arguments:
            image: (h, w) or (h, w, 3) uint8 of the model's size; or a photograph, as an array or a path, whose most
                certain face is meant.
            k: how many people at most.

        Returns:
            Matches, the best first; at least one.

        Raises:
            NotFitted, NoFaceFound, BadImage, BadGallery: as `enrol`.
            UnknownPerson: nobody is enrolled.
        """
        return self._matches(one_face(image, self.image_size)[None], k)[0]

    def identify_many(self, images: Array, k: int = 3) -> list[list[Match]]:
        """`identify` for a stack of faces, by one product.

        Arguments:
            images: (n, h, w) or (n, h, w, 3) uint8 of the model's size.
            k: how many people at most for each.

        Returns:
            n lists of matches.
        """
        return self._matches(grey_images(images, self.image_size), k)

    def _matches(self, faces: Array, k: int) -> list[list[Match]]:
        calibration = self.calibration
        found = self._gallery.search(self.represent(faces), k, self.fingerprint())
        if not found[0]:
            raise UnknownPerson("nobody is enrolled: call enrol(name, images) first")
        return [
            [
                Match(
                    name=c.name if c.similarity >= calibration.threshold else None,
                    similarity=c.similarity,
                    distance=math.sqrt(max(0.0, 2 - 2 * c.similarity)),
                    threshold=calibration.threshold,
                    probability=calibration.match(c.similarity),
                    candidate=c.name,
                )
                for c in row
            ]
            for row in found
        ]

    def verify(self, a: Picture, b: Picture) -> Verification:
        """Whether two pictures show one person, whoever it is.

        The threshold is lower than that of `identify` at the same rate of false alarms: two people are one chance to
        go wrong, a search among many people is many.

        Arguments:
            a, b: each as the image of `identify`.

        Returns:
            The answer.

        Raises:
            NotFitted, NoFaceFound, BadImage: as `identify`.
        """
        calibration = self.calibration
        first, second = self.represent(np.stack([one_face(image, self.image_size) for image in (a, b)]))
        similarity = float(np.clip(first @ second, -1, 1))
        threshold = calibration.pair_threshold
        return Verification(similarity >= threshold, similarity, threshold, calibration.pair(similarity))

    # ── what counts as alike ──────────────────────────────────────────────────────────────────

    @property
    def calibration(self) -> Calibration:
        """The threshold in use, with the error rates it was chosen by.

        Raises:
            NotFitted: there is none.
        """
        if self._calibration is None:
            raise NotFitted(f"this {self.model} recognizer has no threshold yet: call calibrate(images, labels)")
        return self._calibration

    def calibrate(
        self, images: Array, labels: Iterable[Hashable], far: float = 0.01, people: int | None = None
    ) -> float:
        """Choose the threshold by images that were not in the training, of people who need not be known.

        Each image is searched among all the others as if its person were not enrolled (a stranger) and as if it were.
        The table of what came out is `calibration.table()`, and is saved with the recognizer.

        Arguments:
            images: (n, h, w) or (n, h, w, 3) uint8.
            labels: n of them, who each shows; at least two people, one with two images.
            far: the share of strangers that `identify` may give a name, and of pairs of two people that `verify` may
                take for one.
            people: among how many people a stranger is searched; by default as many as are enrolled, or as there are
                in these images if those are more.

        Returns:
            The threshold that `identify` uses from now on; that of `verify` is `calibration.pair_threshold`.

        Raises:
            NotFitted, BadImage: as `represent`.
            BadDataset: labels are unusable, people or images too few, or `far` is no rate.
        """
        grey = grey_images(images, self.image_size)
        named = plain_labels(labels, len(grey))
        code = {person: k for k, person in enumerate(in_order(named))}
        embeddings = self.represent(grey)
        trials = leave_one_out(embeddings, np.array([code[person] for person in named], np.int64))
        known = (embeddings @ self._training_embeddings().T).max(1) > SAME_PICTURE
        source = (
            f"{GIVEN}; {known.mean():.0%} of them were in the training: too good to be true" if known.any() else GIVEN
        )
        among = max(trials.people, len(self._gallery)) if people is None else people
        self._calibration = calibrate(trials, far, among, source)
        return self._calibration.threshold

    def _calibrate_by_training(self, images: Array, codes: NDArray[np.int64]) -> None:
        trials = rule_of_thumb(self.represent, images, codes, self.seed)
        self._calibration = calibrate(trials, UNCALIBRATED_FAR, None, TRAINING)

    # ── keeping people in the recognizer itself ───────────────────────────────────────────────

    def _know(self, names: Sequence[Hashable], embeddings: NDArray[np.float32]) -> None:
        """Begin the gallery in memory anew with these people, if they have names that can be kept."""
        self._gallery = Gallery()
        kept = [
            i
            for i, name in enumerate(names)
            if type(name) in (str, int) and np.any(embeddings[i]) and str(name).strip()
        ]
        if kept:
            self._gallery.enrol_many([names[i] for i in kept], embeddings[kept], self.fingerprint())

    def _people_to_save(self) -> tuple[list[Name], dict[str, Array]]:
        """Names and embeddings of the gallery in memory; nothing of a gallery that has its own file."""
        names = self._gallery.people() if self._gallery.path is None else []
        if not names:
            return [], {}
        rows = [self._gallery.templates(name) for name in names]
        owners = np.repeat(np.arange(len(names)), [len(row) for row in rows])
        return names, {"enrolled.embeddings": np.concatenate(rows), "enrolled.codes": owners}

    def _restore_people(self, names: list[Name], arrays: Mapping[str, Array]) -> None:
        """What `_people_to_save` gave, into the gallery in memory. Raises BadModelFile where it does not fit."""
        if not names:
            return
        rows, owners = (np.asarray(arrays.get(f"enrolled.{key}", ())) for key in ("embeddings", "codes"))
        if rows.ndim != 2 or owners.shape != rows.shape[:1] or not np.isin(owners, range(len(names))).all():
            raise BadModelFile(f"this {self.model} model is damaged: the embeddings of its people do not fit")
        self._gallery.enrol_many([names[k] for k in owners.tolist()], rows, self.fingerprint())
