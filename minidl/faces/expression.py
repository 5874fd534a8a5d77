"""Which expression a face has: a small convolutional network over the same training loop as the recognizer's.

Measured on the test part of FER2013 without repeats (1,246 images, seven expressions, seed 0, 4,569 to train on): macro
accuracy 50.3 % after 64 s of processor time, and 42.8 % by local binary patterns with a linear layer.

Sources: document 004 promises expressions; Goodfellow et al., "Challenges in representation learning", 2013 (FER2013).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

import minidl.nn.functional as F
from minidl.autograd import no_grad
from minidl.backend import Array, Device, Generator
from minidl.faces.augment import Augmentation
from minidl.faces.batches import ImageBatches
from minidl.faces.errors import BadDataset, BadImage, BadModelFile, NotFitted
from minidl.faces.expression_report import ExpressionReport, held_out, report_of
from minidl.faces.images import resize, to_grey
from minidl.faces.inputs import codes_of, in_order, plain_labels
from minidl.faces.models.cnn import FaceCNN
from minidl.faces.normalise import area_mean, local_contrast
from minidl.faces.probes import Picture, one_face
from minidl.faces.training import Recipe, progress_bar, train
from minidl.kernels.threads import single_threaded_blas
from minidl.nn import evaluating
from minidl.tensor import Tensor

SIZE: Final = (48, 48)
"""(rows, columns) that the network sees, those of FER2013."""
SMALLEST: Final = 24
"""The least side of an image."""
RECIPE: Final = Recipe(
    steps=1200,
    batch=64,
    several=Augmentation(
        shift=0.05, scale=0.1, aspect=0.05, elastic=0.02, gamma=0.3, light=0.3, noisy=0.3, noise=0.06, erased=0.3
    ),
)
"""Chosen on a validation part of FER2013's training images; more channels (20) and steps (1800) gained nothing."""
WIDTH, DROPOUT = 16, 0.3
AT_ONCE = 128


class ExpressionClassifier:
    """A network that names expressions, with all it takes to train, ask and store it.

    Arguments:
        device: where it computes.
        seed: of weights, order, augmentation and the validation part.
        recipe: how it is trained.
    """

    def __init__(self, device: Device | str = "cpu", seed: int = 0, recipe: Recipe = RECIPE) -> None:
        self.device, self.seed, self.recipe = device, seed, recipe
        self.classes: tuple[str, ...] = ()
        self.image_size: tuple[int, int] = SIZE
        self.temperature = 1.0
        self.validation: ExpressionReport | None = None
        self._network: FaceCNN | None = None

    @property
    def network(self) -> FaceCNN:
        """The trained network.

        Raises:
            NotFitted: there is none yet.
        """
        if self._network is None:
            raise NotFitted("no expressions were learned yet: call fit_expression(images, labels) first")
        return self._network

    def fit(
        self,
        images: Array,
        labels: Iterable[Hashable],
        people: Iterable[Hashable] | None = None,
        epochs: int | None = None,
        augment: bool = True,
        validation: float = 0.1,
        progress: bool = False,
    ) -> Self:
        """Train the network from new weights; rare expressions are shown as often as frequent ones.

        Arguments:
            images: (n, h, w) or (n, h, w, 3) uint8, faces; see `square`.
            labels: n names of expressions.
            people: n of them, who each image shows, where that is known; see `held_out`.
            epochs: passes over the images; by default the steps of the recipe.
            augment: whether the network sees the images changed, in another way each time.
            validation: the share of the images that is kept from training, for `validation` and `temperature`.
            progress: whether to show a bar on a terminal.

        Returns:
            Itself.

        Raises:
            BadImage: the images are not what they should be.
            BadDataset: labels are missing, there are not two expressions, or one would be left without an image.
        """
        faces = _small(images)
        named = [str(label) for label in plain_labels(labels, len(faces))]
        classes = tuple(str(name) for name in in_order(named))
        if len(classes) < 2:
            raise BadDataset(f"expressions need at least two kinds, but all {len(named)} images are {classes[0]!r}")
        if not 0 <= validation <= 0.5:
            raise BadDataset(f"validation={validation} must be a share of the images from 0 to 0.5")
        codes = codes_of(named, {name: k for k, name in enumerate(classes)})
        who = None
        if people is not None:
            shown = plain_labels(people, len(faces))
            who = codes_of(shown, {person: k for k, person in enumerate(dict.fromkeys(shown))})
        out = held_out(codes, who, validation, self.seed)
        recipe = self.recipe
        if epochs is not None:
            recipe = replace(recipe, steps=max(1, math.ceil(epochs * int((~out).sum()) / recipe.batch)))
        network = FaceCNN(len(classes), SIZE, WIDTH, dropout=DROPOUT, generator=Generator(self.seed)).to(self.device)
        change = recipe.several if augment else None
        batches = ImageBatches(faces[~out], codes[~out], _prepared, recipe.batch, change, seed=self.seed)
        with progress_bar(progress, recipe.steps) as watch:
            train(network, batches, recipe, device=self.device, watch=watch)
        # Only now: a training that was interrupted leaves what was learned before.
        self._network, self.classes, self.temperature, self.validation = network.eval(), classes, 1.0, None
        rows, columns = np.shape(images)[1:3]
        self.image_size = int(rows), int(columns)
        if out.any():
            logs = self._log_chances(faces[out])
            self.temperature = _best_temperature(logs, codes[out])
            self.validation = report_of(codes[out], logs.argmax(1), classes)
        return self

    def probabilities(self, images: Array) -> NDArray[np.float32]:
        """How likely each expression is.

            p = softmax(mean of the logits of the image and of its mirror image / temperature)

        The temperature is the one that makes the validation part most likely (Guo, Pleiss, Sun & Weinberger, "On
        calibration of modern neural networks", ICML 2017).

        Arguments:
            images: (n, h, w) or (n, h, w, 3) uint8.

        Returns:
            (n, K) float32, rows of sum 1, in the order of `classes`.

        Raises:
            NotFitted, BadImage: as `fit`.
        """
        return np.asarray(_softmax(self._log_chances(_small(images)) / self.temperature), np.float32)

    def name(self, picture: Picture, portrait: tuple[int, int]) -> dict[str, float]:
        """How likely each expression of one face is, the likeliest first.

        Arguments:
            picture: a face of the size that was fitted, or of (rows, columns) `portrait`; or a photograph or its path.
            portrait: the size to which a face that was found is brought.

        Raises:
            NotFitted: `fit` was not called.
            BadImage, NoFaceFound: the picture shows no face.
        """
        self.network  # noqa: B018  # raises where there is none, before a photograph is searched
        ready = isinstance(picture, np.ndarray) and picture.shape[:2] == self.image_size
        face = np.asarray(picture) if ready else one_face(picture, portrait)
        chances = self.probabilities(face[None])[0]
        return {self.classes[k]: float(chances[k]) for k in np.argsort(-chances, kind="stable").tolist()}

    def evaluate(self, images: Array, labels: Iterable[Hashable]) -> ExpressionReport:
        """How well the expressions of images that were not in the training are named.

        Arguments:
            images: (n, h, w) or (n, h, w, 3) uint8.
            labels: n names.

        Raises:
            NotFitted, BadImage: as `probabilities`.
            BadDataset: a label is missing, or no expression of the training.
        """
        said = self.probabilities(images).argmax(1)
        named = [str(label) for label in plain_labels(labels, len(said))]
        if strange := sorted(set(named) - set(self.classes)):
            raise BadDataset(f"{strange[0]!r} is no expression of the training: {', '.join(self.classes)}")
        return report_of(codes_of(named, {name: k for k, name in enumerate(self.classes)}), said, self.classes)

    def _log_chances(self, faces: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, K), the mean over image and mirror image."""
        network, found = self.network, []
        with evaluating(network), no_grad(), single_threaded_blas():
            for start in range(0, len(faces), AT_ONCE):
                some = faces[start : start + AT_ONCE]
                x = _prepared(np.concatenate([some, some[:, :, ::-1]]))
                logs = F.log_softmax(network(Tensor(x).to(self.device)), 1).cpu().numpy().astype(np.float64)
                found.append(logs.reshape(2, len(some), -1).mean(0))
        return np.concatenate(found)

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Everything that was learned, for `restore`: what json can hold, and named arrays.

        Raises:
            NotFitted: `fit` was not called.
        """
        arrays = {key: x.cpu().numpy() for key, x in self.network.state_dict().items()}
        about = {"classes": list(self.classes), "temperature": self.temperature, "image_size": list(self.image_size)}
        return about, arrays

    def restore(self, about: Mapping[str, Any], arrays: Mapping[str, Array]) -> Self:
        """Become what `state` was taken from.

        Arguments:
            about, arrays: of `state`.

        Returns:
            Itself.

        Raises:
            BadModelFile: something is missing or does not fit.
        """
        try:
            classes, temperature = tuple(str(name) for name in about["classes"]), float(about["temperature"])
            rows, columns = (int(side) for side in about["image_size"])
            network = FaceCNN(len(classes), SIZE, WIDTH, dropout=DROPOUT, generator=Generator(0))
            network.load_state_dict(dict(arrays))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise BadModelFile(f"the expressions of this model are damaged ({error}): train them again") from error
        self._network, self.classes, self.temperature = network.to(self.device).eval(), classes, temperature
        self.image_size = rows, columns
        return self


def square(images: Array) -> Array:
    """The part of each image that shows the expression: the whole of a square image, the inner face of a portrait.

    Faces aligned by `align` (112 × 92) show more hair; the square cut out of them is 0.96 of their width and has the
    eyes where FER2013 has them on average: 0.385 of the width apart, 0.37 of the height from above.

    Arguments:
        images: (n, h, w).

    Returns:
        (n, s, s), a view.
    """
    _, h, w = images.shape
    if h == w:
        return images
    side = min(h, round(0.96 * w)) if h > w else h
    top = min(max(0, round(h * 52.9 / 112 - 0.37 * side)), h - side) if h > w else 0
    left = (w - side) // 2
    return images[:, top : top + side, left : left + side]


def _small(images: Array) -> NDArray[np.float32]:
    """(n, *SIZE) float32 in 0..1."""
    x = np.asarray(images)
    if x.dtype != np.uint8 or not (x.ndim == 3 or (x.ndim == 4 and x.shape[3] == 3)) or not x.size:
        raise BadImage(
            f"expressions are read from faces (n, h, w) or (n, h, w, 3) of uint8, but got {x.dtype} of shape {x.shape}"
        )
    if min(x.shape[1:3]) < SMALLEST:
        raise BadImage(
            f"an expression needs faces of {SMALLEST}×{SMALLEST} pixels or more, but got {x.shape[1]}×{x.shape[2]}"
        )
    grey = square(to_grey(x))
    if grey.shape[1] >= SIZE[0]:
        return area_mean(grey, SIZE)
    return area_mean(np.stack([resize(one, SIZE) for one in grey]), SIZE)


def _prepared(faces: NDArray[np.float32]) -> NDArray[np.float32]:
    return local_contrast(faces)[:, None]


def _softmax(x: Array) -> NDArray[np.float64]:
    e = np.exp(x - x.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


def _best_temperature(logs: Array, codes: Array) -> float:
    """The temperature of least negative log-likelihood, to 2 %: the function of log T has one minimum."""
    candidates = np.exp(np.linspace(np.log(0.25), np.log(4), 141))
    rows = np.arange(len(codes))
    costs = [-np.log(_softmax(logs / t)[rows, codes] + 1e-12).mean() for t in candidates]
    return float(candidates[int(np.argmin(costs))])
