"""FaceRecognizer: who is on a picture, whatever the model behind it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from os import PathLike, fspath
from typing import Any, Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array, Device, module_for
from minidl.faces import metrics
from minidl.faces.classical import Eigenfaces, Fisherfaces
from minidl.faces.errors import BadDataset, BadImage, BadModelFile, FaceError, NotFitted
from minidl.faces.images import to_grey
from minidl.faces.model_file import read_model, write_model
from minidl.faces.models import NETWORKS, NetworkClassifier
from minidl.faces.protocol import natural_order
from minidl.faces.training import History

Classifier: TypeAlias = Eigenfaces | Fisherfaces | NetworkClassifier

CLASSICAL: Final[dict[str, type[Eigenfaces] | type[Fisherfaces]]] = {"eigen": Eigenfaces, "fisher": Fisherfaces}
MODELS: Final = (*NETWORKS, *CLASSICAL)
"""The names of all models."""


class FaceRecognizer:
    """Learns who is who from labelled faces, and then names faces (closed set) or describes them by embeddings.

    Arguments:
        model: one of `MODELS`: "cnn" (a convolutional network), "eigen" (PCA) or "fisher" (PCA and LDA).
        image_size: (rows, columns) of every image.
        device: "cpu" or "cuda", for networks.
        seed: of everything random; the same images and seed give the same recognizer, bit for bit.

    Raises:
        BadDataset: there is no such model.
        BadImage: the image size is none, or too small for the model.
        FaceError: the device cannot be used, or the seed is negative.

    >>> from minidl.faces.generated import generated_faces
    >>> faces = generated_faces(people=3, per_person=4, difficulty="easy")
    >>> names = np.array(["ann", "bob", "cleo"])[faces.labels]
    >>> FaceRecognizer("fisher").fit(faces.images, names).predict(faces.images[:1]).tolist()
    ['ann']
    """

    def __init__(
        self,
        model: str = "cnn",
        image_size: tuple[int, int] = (112, 92),
        device: Device | str = "cpu",
        seed: int = 0,
    ) -> None:
        if model not in MODELS:
            raise BadDataset(f"there is no model {model!r}: choose one of {', '.join(MODELS)}")
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise FaceError(f"the seed must be an integer ≥ 0, but it is {seed!r}")
        try:
            module_for(device)
        except (RuntimeError, ValueError) as error:
            raise FaceError(str(error)) from error
        self.model = model
        self.image_size = _size(image_size)
        self.device = Device(device)
        self.seed = int(seed)
        self._people: list[Hashable] = []
        self._classifier: Classifier | None = None
        self._new_classifier()  # says now, not after the data was read, what is wrong

    def _new_classifier(self) -> Classifier:
        if self.model in CLASSICAL:
            return CLASSICAL[self.model]()
        return NetworkClassifier(self.model, self.image_size, self.device, self.seed)

    @property
    def _fitted(self) -> Classifier:
        if self._classifier is None:
            raise NotFitted(f"this {self.model} recognizer has learned nothing yet: call fit(images, labels) first")
        return self._classifier

    @property
    def classes(self) -> list[Hashable]:
        """Everybody it can name: numbers by value, names naturally, other labels in the order of the training."""
        return list(self._people)

    @property
    def parameter_count(self) -> int:
        """How many numbers were learned, the embeddings of the training images not counted."""
        if isinstance(self._fitted, NetworkClassifier):
            return self._fitted.parameter_count
        state = self._fitted.state()
        return int(state["mean"].size + state["components"].size)

    @property
    def history(self) -> History:
        """What happened in the training of a network; empty for models without steps."""
        return self._fitted.history if isinstance(self._fitted, NetworkClassifier) else History()

    # ── learning and asking ───────────────────────────────────────────────────────────────────

    def fit(
        self,
        images: Array,
        labels: Iterable[Hashable],
        epochs: int | None = None,
        augment: bool = True,
        validation: tuple[Array, Iterable[Hashable]] | None = None,
        progress: bool = True,
    ) -> Self:
        """Learn who is who, forgetting what was learned before.

        Arguments:
            images: (n, h, w) or (n, h, w, 3) uint8, colour in the order red, green, blue.
            labels: n of them, who each image shows: numbers, names, or anything hashable.
            epochs: passes over the images for a network; by default its recipe says how many.
            augment: whether a network also sees the images moved, bent, lit otherwise, noisy and partly hidden.
            validation: (images, labels) of people in the training, whose error is noted in `history` on the way.
            progress: whether to show a bar, if there is a terminal.

        Returns:
            Itself.

        Raises:
            BadImage: the images are not what they should be.
            BadDataset: labels are missing or unusable, or there are not two people.

        An error, or an interruption from the keyboard, leaves what was learned before as it was.
        """
        grey, named = self._faces(images), _labels(labels)
        _check_count(grey, named)
        people = _in_order(named)
        if len(people) < 2:
            raise BadDataset(
                f"a recognizer needs at least two people to tell apart, but all {len(named)} "
                f"image{'s show' if len(named) > 1 else ' shows'} {people[0]!r}: add images of somebody else"
            )
        if epochs is not None and (isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1):
            raise BadDataset(f"epochs must be an integer ≥ 1 or None, but it is {epochs!r}")
        code_of = {person: k for k, person in enumerate(people)}
        codes = np.array([code_of[person] for person in named], np.int64)
        held_out = self._validation(validation, code_of) if validation is not None else None
        classifier = self._new_classifier()
        if isinstance(classifier, NetworkClassifier):
            classifier.fit(grey, codes, epochs, augment, held_out, progress)
        else:
            classifier.fit(grey, codes)
        self._classifier, self._people = classifier, people
        return self

    def predict(self, images: Array) -> Array:
        """Who each image shows, of the people in the training.

        Arguments:
            images: (n, h, w) or (n, h, w, 3) uint8.

        Returns:
            (n,) labels: int64 or strings if all labels are of that kind, otherwise objects.

        Raises:
            NotFitted: `fit` was not called.
            BadImage: the images are not what they should be.
        """
        codes = self._fitted.predict(self._faces(images))
        return _as_array(self._people)[codes]

    def represent(self, images: Array) -> NDArray[np.float32]:
        """The embeddings, to compare faces by the cosine (the product) of two rows.

        Arguments:
            images: (n, h, w) or (n, h, w, 3) uint8.

        Returns:
            (n, d) float32, rows of length 1.

        Raises:
            NotFitted, BadImage: as `predict`.
        """
        return self._fitted.represent(self._faces(images))

    def evaluate(self, images: Array, labels: Iterable[Hashable]) -> metrics.Report:
        """All figures on images that were not in the training.

        Identification rests on `predict`; ranks and verification rest on the cosines between the embeddings of these
        images and those of the training images.

        Arguments:
            images: (n, h, w) or (n, h, w, 3) uint8.
            labels: n of them, people of the training.

        Returns:
            The report.

        Raises:
            NotFitted, BadImage: as `predict`.
            BadDataset: a label is missing or not one of the training.
        """
        classifier, grey = self._fitted, self._faces(images)
        codes = self._codes(grey, _labels(labels), {person: k for k, person in enumerate(self._people)})
        if isinstance(classifier, NetworkClassifier):
            known, shown = classifier.gallery
        else:
            state = classifier.state()
            length = np.linalg.norm(state["gallery"], axis=1, keepdims=True)
            known = np.asarray(state["gallery"] / np.where(length > 0, length, 1), np.float32)
            shown = state["labels"]
        scores = classifier.represent(grey) @ known.T
        found = metrics.report(codes, classifier.predict(grey), scores, shown)
        return replace(
            found,
            recall={self._people[code]: share for code, share in found.recall.items()},
            people=[self._people[code] for code in found.people],
        )

    # ── storing ───────────────────────────────────────────────────────────────────────────────

    def save(self, path: str | PathLike[str]) -> None:
        """Store the recognizer in one file, with embeddings of the training images but not the images.

        Arguments:
            path: of the file; what is there is replaced in one move.

        Raises:
            NotFitted: there is nothing to store.
            BadDataset: a label is neither a string nor an integer.
            OSError: the file cannot be written.
        """
        classifier = self._fitted
        for person in self._people:
            if type(person) not in (int, str):
                raise BadDataset(
                    f"only strings and integers can be stored as labels, but {person!r} is a "
                    f"{type(person).__name__}: fit with names or numbers to save the recognizer"
                )
        about = {
            "model": self.model,
            "image_size": list(self.image_size),
            "seed": self.seed,
            "people": self._people,
        }
        write_model(path, about, classifier.state())

    @classmethod
    def load(cls, path: str | PathLike[str], device: Device | str = "cpu") -> Self:
        """The recognizer that was stored; its predictions equal those before, bit for bit.

        Arguments:
            path: of the file.
            device: "cpu" or "cuda".

        Raises:
            BadModelFile: there is no such file, or it is something else, damaged, cut off or of another version.
            FaceError: the device cannot be used.
        """
        about, arrays = read_model(path)
        try:
            made = cls(about["model"], tuple(about["image_size"]), device, about["seed"])
            people = list(about["people"])
            classifier = made._new_classifier()
            if isinstance(classifier, NetworkClassifier):
                made._classifier = classifier.restore(arrays, len(people))
            else:
                made._classifier = classifier.from_state(arrays)
        except (KeyError, TypeError, BadModelFile, BadDataset, BadImage) as error:
            raise BadModelFile(f"{fspath(path)} cannot be used: {error}") from error
        made._people = people
        return made

    # ── checking what came in ─────────────────────────────────────────────────────────────────

    def _faces(self, images: Array) -> NDArray[np.uint8]:
        """The images as grey uint8 of the right size."""
        try:
            pixels = np.asarray(images)
        except ValueError as error:
            raise BadImage("the images must all be of one size, but they differ: resize them first") from error
        h, w = self.image_size
        wanted = f"uint8 of shape (n, {h}, {w}) or (n, {h}, {w}, 3)"
        if not pixels.size:
            raise BadImage(f"there are no images (the shape is {pixels.shape}): give {wanted}")
        if pixels.dtype != np.uint8:
            hint = ""
            if pixels.dtype.kind == "f":
                broken = int(np.sum(~np.isfinite(pixels)))
                hint = f" ({broken} values are NaN or infinite)" if broken else " (values in 0..1 times 255)"
            raise BadImage(f"images must be {wanted}, but they are {pixels.dtype}: convert them to uint8{hint}")
        if pixels.shape[1:] in ((h, w), (h, w, 3)):
            return to_grey(pixels)
        if pixels.shape in ((h, w), (h, w, 3)):
            raise BadImage(f"one image of shape {pixels.shape} came without the axis n: write image[None] for {wanted}")
        raise BadImage(
            f"images must be {wanted}, but the shape is {pixels.shape}: resize them, or make the recognizer with "
            "the image_size that they have"
        )

    def _validation(
        self, validation: tuple[Array, Iterable[Hashable]], code_of: Mapping[Hashable, int]
    ) -> tuple[Array, Array]:
        if not isinstance(validation, tuple) or len(validation) != 2:
            raise BadDataset("validation must be a pair (images, labels)")
        grey, named = self._faces(validation[0]), _labels(validation[1])
        return grey, self._codes(grey, named, code_of)

    @staticmethod
    def _codes(grey: Array, named: list[Hashable], code_of: Mapping[Hashable, int]) -> NDArray[np.int64]:
        _check_count(grey, named)
        if strangers := [person for person in named if person not in code_of]:
            raise BadDataset(
                f"{strangers[0]!r} was not in the training: leave these images out, or train with images of this person"
            )
        return np.array([code_of[person] for person in named], np.int64)


def _size(image_size: Any) -> tuple[int, int]:
    try:
        rows, columns = (int(side) for side in image_size)
    except (TypeError, ValueError) as error:
        raise BadImage(f"image_size must be (rows, columns) in pixels, but it is {image_size!r}") from error
    if min(rows, columns) < 1:
        raise BadImage(f"image_size must be (rows, columns) of at least one pixel, but it is {image_size!r}")
    return rows, columns


def _labels(labels: Iterable[Hashable]) -> list[Hashable]:
    """The labels as plain Python values, which hash and compare alike however they came."""
    if isinstance(labels, str | bytes) or not isinstance(labels, Iterable):
        raise BadDataset(f"labels must be a list or an array with one label an image, but they are {labels!r}")
    if isinstance(labels, np.ndarray):
        if labels.ndim != 1:
            raise BadDataset(f"labels must have shape (n,), but the shape is {labels.shape}")
        labels = labels.tolist()
    plain: list[Hashable] = [label.item() if isinstance(label, np.generic) else label for label in labels]
    for label in plain:
        try:
            hash(label)
            same = bool(label == label)
        except (TypeError, ValueError) as error:
            raise BadDataset(
                f"a label must be a name, a number or another hashable value, but {label!r} is a {type(label).__name__}"
            ) from error
        if label is None or not same:
            raise BadDataset(f"every image needs a label, but one is {label!r}: leave it out or say who it is")
    return plain


def _check_count(images: Array, labels: list[Hashable]) -> None:
    if len(images) != len(labels):
        raise BadDataset(f"every image needs one label, but there are {len(images)} images and {len(labels)} labels")


def _in_order(labels: list[Hashable]) -> list[Hashable]:
    people = list(dict.fromkeys(labels))
    if all(type(person) is int for person in people):
        return sorted(people)  # type: ignore[type-var]  # all of them are int
    if all(isinstance(person, str) for person in people):
        return list(natural_order([str(person) for person in people]))
    return people


def _as_array(people: list[Hashable]) -> Array:
    if all(type(person) is int for person in people) and max(map(abs, people)) < 2**63:  # type: ignore[arg-type]
        return np.array(people, np.int64)
    if all(type(person) is str for person in people):
        return np.array(people)
    kept = np.empty(len(people), object)
    for k, person in enumerate(people):  # one by one: NumPy would take a tuple for a row
        kept[k] = person
    return kept
