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
from minidl.faces.calibration import Calibration
from minidl.faces.classical import Eigenfaces, Fisherfaces
from minidl.faces.errors import BadDataset, BadImage, BadModelFile, FaceError, NotFitted
from minidl.faces.explain import Explanation, explain_face
from minidl.faces.expression import ExpressionClassifier
from minidl.faces.gallery import Gallery
from minidl.faces.identification import Identifier
from minidl.faces.inputs import codes_of, grey_images, in_order, label_array, plain_labels, size_of
from minidl.faces.losses import LOSSES
from minidl.faces.model_file import read_model, write_model
from minidl.faces.network_classifier import NetworkClassifier
from minidl.faces.networks import NETWORKS
from minidl.faces.patterns import LocalBinaryPatterns
from minidl.faces.probes import Picture, one_face
from minidl.faces.purposes import PURPOSES, with_loss
from minidl.optim import History

Classical: TypeAlias = Eigenfaces | Fisherfaces | LocalBinaryPatterns
Classifier: TypeAlias = Classical | NetworkClassifier

CLASSICAL: Final[dict[str, type[Classical]]] = {"eigen": Eigenfaces, "fisher": Fisherfaces, "lbp": LocalBinaryPatterns}
MODELS: Final = (*NETWORKS, *CLASSICAL)
"""The names of all models."""


class FaceRecognizer(Identifier):
    """Learns who is who from labelled faces; then names faces of those people (`predict`), describes any face by an
    embedding (`represent`), and recognizes whoever is enrolled, or says that it is nobody known (`identify`).

    Arguments:
        model: one of `MODELS`: the networks "cnn", "resnet" (convolution), "rnn", "lstm", "gru", "stacked-gru" (rows as
            a sequence), "cnn-lstm" (columns of a feature map as a sequence), "attention", "vit" (patches as tokens);
            or, without a network, "eigen" (PCA), "fisher" (PCA and LDA), "lbp" (local binary patterns).
        image_size: (rows, columns) of every image.
        device: "cpu" or "cuda", for networks.
        seed: of everything random; the same images and seed give the same recognizer, bit for bit.
        purpose: what a network is trained for: "identification" (name the people of the training), "verification"
            (compare people who were not in it) or "damage" (name people on dark, noisy or half hidden photographs).
        loss: what a network is trained by: "cross-entropy", "arcface" or "triplet"; by default as its recipe says.
        gallery: where known people are kept: the path of a file, which is made if it does not exist, or a `Gallery`.
            By default they are kept in the recognizer, begin with the people of each training, and are saved with it.

    Raises:
        BadDataset: there is no such model, purpose or loss.
        BadGallery: the gallery cannot be used.
        BadImage: the image size is none, or too small for the model.
        FaceError: the device cannot be used, or the seed is no integer from 0 to 2⁶³ − 1.

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
        *,
        purpose: str = "identification",
        loss: str | None = None,
        gallery: str | PathLike[str] | Gallery | None = None,
    ) -> None:
        if model not in MODELS:
            raise BadDataset(f"there is no model {model!r}: choose one of {', '.join(MODELS)}")
        if purpose not in PURPOSES:
            raise BadDataset(f"there is no purpose {purpose!r}: choose one of {', '.join(PURPOSES)}")
        if loss is not None and loss not in LOSSES:
            raise BadDataset(f"there is no loss {loss!r}: choose one of {', '.join(LOSSES)}")
        if model in CLASSICAL and (purpose != "identification" or loss is not None):
            raise BadDataset(
                f"{model} has no steps of training that a purpose or a loss could change: leave them out, or choose a "
                f"network ({', '.join(NETWORKS)})"
            )
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
            raise FaceError(f"the seed must be an integer from 0 to 2⁶³ − 1, but it is {seed!r}")
        try:
            module_for(device)
        except (RuntimeError, ValueError) as error:
            raise FaceError(str(error)) from error
        self.model = model
        self.image_size = size_of(image_size)
        self.device = Device(device)
        self.seed = int(seed)
        self.purpose, self.loss = purpose, loss
        self._people: list[Hashable] = []
        self._classifier: Classifier | None = None
        self._calibration: Calibration | None = None
        self._fingerprint: str | None = None
        self.expressions: ExpressionClassifier | None = None
        self._new_classifier()  # says now, not after the data was read, what is wrong
        self._own_gallery = gallery is None
        self._gallery = gallery if isinstance(gallery, Gallery) else Gallery(gallery)

    def _new_classifier(self) -> Classifier:
        if self.model in CLASSICAL:
            return CLASSICAL[self.model]()
        recipe = PURPOSES[self.purpose](NETWORKS[self.model].recipe)
        recipe = with_loss(recipe, self.loss) if self.loss else recipe
        return NetworkClassifier(self.model, self.image_size, self.device, self.seed, recipe)

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
        return self._fitted.parameter_count

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
        grey = grey_images(images, self.image_size)
        named = plain_labels(labels, len(grey))
        people = in_order(named)
        if len(people) < 2:
            raise BadDataset(
                f"a recognizer needs at least two people to tell apart, but all {len(named)} "
                f"image{'s show' if len(named) > 1 else ' shows'} {people[0]!r}: add images of somebody else"
            )
        if epochs is not None and (isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1):
            raise BadDataset(f"epochs must be an integer ≥ 1 or None, but it is {epochs!r}")
        code_of = {person: k for k, person in enumerate(people)}
        codes = codes_of(named, code_of)
        held_out: tuple[Array, Array] | None = None
        if validation is not None:
            if not isinstance(validation, tuple) or len(validation) != 2:
                raise BadDataset("validation must be a pair (images, labels)")
            seen = grey_images(validation[0], self.image_size)
            held_out = seen, codes_of(plain_labels(validation[1], len(seen)), code_of)
        classifier = self._new_classifier()
        if isinstance(classifier, NetworkClassifier):
            classifier.fit(grey, codes, epochs, augment, held_out, progress)
        else:
            classifier.fit(grey, codes)
        self._classifier, self._people, self._fingerprint = classifier, people, None
        self._calibrate_by_training(grey, codes)
        if self._own_gallery:
            self._know(named, classifier.gallery[0])
        return self

    def _learned(self) -> tuple[dict[str, Any], Mapping[str, Array]]:
        about = {"model": self.model, "image_size": list(self.image_size), "purpose": self.purpose, "loss": self.loss}
        arrays = self._fitted.state()
        return about, {
            key: x for key, x in arrays.items() if key not in {"gallery", "labels"} and key[:8] != "gallery."
        }

    def _training_embeddings(self) -> NDArray[np.float32]:
        return self._fitted.gallery[0]

    def fingerprint(self) -> str:
        """The same for recognizers whose embeddings can be compared: a hash of everything that was learned."""
        if self._fingerprint is None:
            self._fingerprint = super().fingerprint()
        return self._fingerprint

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
        codes = self._fitted.predict(grey_images(images, self.image_size))
        return label_array(self._people)[codes]

    def represent(self, images: Array) -> NDArray[np.float32]:
        """The embeddings, to compare faces by the cosine (the product) of two rows.

        Arguments:
            images: (n, h, w) or (n, h, w, 3) uint8.

        Returns:
            (n, d) float32, rows of length 1.

        Raises:
            NotFitted, BadImage: as `predict`.
        """
        return self._fitted.represent(grey_images(images, self.image_size))

    def evaluate(self, images: Array, labels: Iterable[Hashable], strangers: Array | None = None) -> metrics.Report:
        """All figures on images that were not in the training.

        Identification rests on `predict`; ranks and verification rest on the cosines between the embeddings of these
        images and those of the training images.

        Arguments:
            images: (n, h, w) or (n, h, w, 3) uint8.
            labels: n of them, people of the training.
            strangers: (m, h, w) or (m, h, w, 3) uint8, images of people who were not in the training, if there are
                such: then the report has the open-set figures.

        Returns:
            The report.

        Raises:
            NotFitted, BadImage: as `predict`.
            BadDataset: a label is missing or not one of the training.
        """
        classifier, grey = self._fitted, grey_images(images, self.image_size)
        codes = codes_of(plain_labels(labels, len(grey)), {person: k for k, person in enumerate(self._people)})
        known, shown = classifier.gallery
        scores = classifier.represent(grey) @ known.T
        others = None if strangers is None else self.represent(strangers) @ known.T
        found = metrics.report(codes, classifier.predict(grey), scores, shown, others)
        return replace(
            found,
            recall={self._people[code]: share for code, share in found.recall.items()},
            precision={self._people[code]: share for code, share in found.precision.items()},
            people=[self._people[code] for code in found.people],
        )

    def explain(self, image: Picture, method: str = "occlusion", person: Hashable = None) -> Explanation:
        """Which pixels speak for a face being a person.

        Arguments:
            image: a face of the recognizer's size, or a photograph with a face in it.
            method: one of `explain.METHODS`; "occlusion" works for every model.
            person: of the training; by default who the face is taken for.

        Raises:
            NotFitted, BadImage: as `predict`.
            BadDataset: there is no such person.
            FaceError: there is no such method, or not for this model.
        """
        classifier, face = self._fitted, one_face(image, self.image_size)
        grey = grey_images(face[None], self.image_size)
        if person is None:
            code = int(classifier.predict(grey)[0])
        else:
            code = int(codes_of([person], {name: k for k, name in enumerate(self._people)})[0])
        known, shown = classifier.gallery
        return explain_face(classifier, grey[0], code, known[shown == code], self._people[code], method)

    def fit_expression(
        self,
        images: Array,
        labels: Iterable[Hashable],
        people: Iterable[Hashable] | None = None,
        epochs: int | None = None,
        augment: bool = True,
        validation: float = 0.1,
        progress: bool = True,
    ) -> Self:
        """Learn to name expressions; who is who is not touched. See `ExpressionClassifier.fit`."""
        made = ExpressionClassifier(self.device, self.seed)
        self.expressions = made.fit(images, labels, people, epochs, augment, validation, progress)
        return self

    def expression(self, image: Picture) -> dict[str, float]:
        """How likely each expression is, the likeliest first.

        Arguments:
            image: a face of the size that expressions were learned from, or of the recognizer's, or a photograph.

        Raises:
            NotFitted: `fit_expression` was not called.
            BadImage, NoFaceFound: the picture shows no face.
        """
        if self.expressions is None:
            raise NotFitted("no expressions were learned yet: call fit_expression(images, labels) first")
        return self.expressions.name(image, self.image_size)

    # ── storing ───────────────────────────────────────────────────────────────────────────────

    def save(self, path: str | PathLike[str]) -> None:
        """Store the recognizer in one file, with embeddings of the training images but not the images.

        The calibration is stored too, and the known people unless their gallery has a file of its own.

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
        about: dict[str, Any] = {
            "model": self.model,
            "image_size": list(self.image_size),
            "seed": self.seed,
            "purpose": self.purpose,
            "loss": self.loss,
            "people": self._people,
            "calibration": None if self._calibration is None else self._calibration.to_dict(),
        }
        about["enrolled"], enrolled = self._people_to_save()
        arrays = {**classifier.state(), **enrolled}
        if self.expressions is not None:
            about["expressions"], learned = self.expressions.state()
            arrays |= {f"expression.{key}": x for key, x in learned.items()}
        write_model(path, about, arrays)

    @classmethod
    def load(
        cls,
        path: str | PathLike[str],
        device: Device | str = "cpu",
        gallery: str | PathLike[str] | Gallery | None = None,
    ) -> Self:
        """The recognizer that was stored; its predictions equal those before, bit for bit.

        Arguments:
            path: of the file.
            device: "cpu" or "cuda".
            gallery: where known people are kept, as in the constructor; by default those that were saved are known.

        Raises:
            BadModelFile: there is no such file, or it is something else, damaged, cut off or of another version.
            FaceError: the device or the gallery cannot be used.
        """
        about, arrays = read_model(path)
        try:
            trained = {"purpose": about.get("purpose", "identification"), "loss": about.get("loss")}
            made = cls(about["model"], tuple(about["image_size"]), device, about["seed"], **trained, gallery=gallery)
            people = list(about["people"])
            classifier = made._new_classifier()
            if isinstance(classifier, NetworkClassifier):
                made._classifier = classifier.restore(arrays, len(people))
            else:
                made._classifier = classifier.from_state(arrays)
                if not np.isin(arrays["labels"], range(len(people))).all():
                    raise BadModelFile(f"this {made.model} model is damaged: it shows people it does not name")
            made._people = people
            if (expressions := about.get("expressions")) is not None:
                learned = {key[11:]: x for key, x in arrays.items() if key.startswith("expression.")}
                made.expressions = ExpressionClassifier(device, made.seed).restore(expressions, learned)
            if (calibration := about.get("calibration")) is not None:
                made._calibration = Calibration.from_dict(calibration)
            if made._own_gallery:
                made._restore_people(about.get("enrolled") or [], arrays)
        except (KeyError, TypeError, BadModelFile, BadDataset, BadImage) as error:
            raise BadModelFile(f"{fspath(path)} cannot be used: {error}") from error
        return made
