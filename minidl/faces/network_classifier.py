"""A network behind the same four methods as eigenfaces and fisherfaces: fit, predict, represent, state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

import minidl.nn.functional as F
from minidl.autograd import no_grad
from minidl.backend import Array, Device, Generator
from minidl.faces.augment import Augmentation
from minidl.faces.batches import ImageBatches
from minidl.faces.errors import BadModelFile, NotFitted
from minidl.faces.losses import COMPARING, EACH
from minidl.faces.models.committee import Committee
from minidl.faces.models.network import FaceNetwork
from minidl.faces.networks import NETWORKS, input_size
from minidl.faces.normalise import area_mean, local_contrast, normalise
from minidl.faces.training import Recipe, progress_bar, train
from minidl.faces.virtual import VirtualPeople
from minidl.faces.visible import visible
from minidl.kernels.threads import single_threaded_blas
from minidl.nn import evaluating
from minidl.optim import History
from minidl.tensor import Tensor

AT_ONCE: Final = 64
"""How many faces go through the network together when it is asked; bounds the memory."""


class NetworkClassifier:
    """A network that names people, with all it takes to train, ask and store it.

    Arguments:
        name: one of `NETWORKS`.
        image_size: (rows, columns) of the images.
        device: where it computes.
        seed: of weights, order, dropout and augmentation.
        recipe: how it is trained; by default as `NETWORKS` says.

    Raises:
        BadImage: the images are too small.
    """

    def __init__(
        self,
        name: str,
        image_size: tuple[int, int],
        device: Device | str = "cpu",
        seed: int = 0,
        recipe: Recipe | None = None,
    ) -> None:
        self.name, self.size, self.device, self.seed = name, input_size(image_size), device, seed
        self.recipe = recipe or NETWORKS[name].recipe
        self.history = History()
        self._network: FaceNetwork | None = None
        self._gallery: dict[str, Array] = {}

    @property
    def network(self) -> FaceNetwork:
        """The trained network.

        Raises:
            NotFitted: there is none yet.
        """
        if self._network is None:
            raise NotFitted(f"this {self.name} recognizer has learned nothing yet: call fit(images, labels) first")
        return self._network

    @property
    def parameter_count(self) -> int:
        """How many numbers were learned."""
        return sum(p.array.size for p in self.network.parameters())

    def fit(
        self,
        images: Array,
        codes: Array,
        epochs: int | None = None,
        augment: bool = True,
        validation: tuple[Array, Array] | None = None,
        progress: bool = False,
    ) -> Self:
        """Train the network from new weights, and remember the training faces by their embeddings.

        Arguments:
            images: (n, h, w) uint8.
            codes: (n,) int64, who each image shows, as 0 … people - 1, everybody at least once.
            epochs: passes over the images; by default the steps of the recipe, however many images there are.
            augment: whether the network sees the images changed, in another way each time, as the recipe says.
            validation: (images, codes) to measure the error on during training; nothing is chosen by it.
            progress: whether to show a bar on a terminal.

        Returns:
            Itself.
        """
        people, recipe = int(codes.max()) + 1, self.recipe
        if epochs is not None:
            recipe = replace(recipe, steps=math.ceil(epochs * len(images) / recipe.batch))
        change = (recipe.single if len(images) == people else recipe.several) if augment else None
        codes = np.asarray(codes, np.int64).copy()
        small = area_mean(images, self.size)
        # Then the classifier knows nobody, or many who do not exist: the mean embedding of each person takes its place.
        learned_by_comparing = recipe.loss in COMPARING or recipe.virtual > 0

        def validate(network: FaceNetwork) -> float:
            assert validation is not None
            embeddings, chances = self._ask(network, validation[0])
            if learned_by_comparing:
                known = self._ask(network, images)[0]
                said = codes[(embeddings @ known.T).argmax(1)]
            else:
                said = chances.argmax(1)
            return float(np.mean(said != validation[1]))

        members: list[FaceNetwork] = []
        history = History()
        with progress_bar(progress, recipe.members * recipe.steps) as watch:
            for seed in self._seeds():
                batches = self._batches(small, codes, change, recipe, seed)
                member = NETWORKS[self.name].build(batches.classes, self.size, Generator(seed)).to(self.device)
                member.classifier.scale = recipe.scale
                members.append(member)
                ask = partial(validate, member) if validation is not None else None
                train(member, batches, recipe, history, device=self.device, validate=ask, watch=watch)
        network = members[0] if recipe.members == 1 else Committee(members)
        embeddings = self._ask(network.eval(), images)[0]
        if learned_by_comparing:
            network.classifier.point_at(embeddings, codes)
        # Only now: a training that was interrupted leaves what was learned before.
        self._network, self.history = network, history
        self._gallery = {"embeddings": embeddings, "codes": codes}
        return self

    def _seeds(self) -> list[int]:
        """Of the members: the first has the seed of the recognizer, the others what follows from it."""
        drawn = np.random.SeedSequence([self.seed, 1]).generate_state(self.recipe.members, np.uint64)
        return [self.seed, *[int(seed >> 1) for seed in drawn[1:].tolist()]]

    def _batches(
        self, faces: NDArray[np.float32], codes: Array, change: Augmentation | None, recipe: Recipe, seed: int
    ) -> ImageBatches | VirtualPeople:
        """What a member is shown."""
        each = EACH.get(recipe.loss, 1)
        if not recipe.virtual:
            return ImageBatches(faces, codes, self.prepared, recipe.batch, change, each, seed)
        upright = replace(change, flip=0.0) if change else None
        return VirtualPeople(faces, codes, self.prepared, recipe.batch, upright, recipe.virtual, each, seed)

    def prepared(self, faces: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the network takes: faces with the light taken out, and 0 where they show nothing.

        Arguments:
            faces: (n, *size) float32, grey levels in 0..1.

        Returns:
            (n, 1, *size) float32.
        """
        if self.recipe.light != "lcn":
            return normalise(faces, self.recipe.light)[:, None]
        return local_contrast(faces, seen=visible(faces) if self.recipe.blind else None)[:, None]

    def predict(self, images: Array) -> NDArray[np.int64]:
        """Who each image shows, by the mean of the log-probabilities of the image and of its mirror image.

        Arguments:
            images: (n, h, w) uint8.

        Returns:
            (n,) int64.
        """
        return np.asarray(self.log_probabilities(images).argmax(1), np.int64)

    def log_probabilities(self, images: Array) -> NDArray[np.float32]:
        """The mean of the log-probabilities of the image and of its mirror image.

        Arguments:
            images: (n, h, w) uint8.

        Returns:
            (n, people) float32.
        """
        return self._ask(self.network, images)[1]

    def represent(self, images: Array) -> NDArray[np.float32]:
        """The embeddings: the mean direction of the image and of its mirror image.

        Arguments:
            images: (n, h, w) uint8.

        Returns:
            (n, d) float32, rows of length 1.
        """
        return self._ask(self.network, images)[0]

    @property
    def gallery(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The embeddings of the training images, (n, d), and who they show, (n,)."""
        self.network  # noqa: B018  # raises where there is none
        return self._gallery["embeddings"], self._gallery["codes"]

    def _ask(self, network: FaceNetwork, images: Array) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Embeddings and log-probabilities, both over image and mirror image."""
        found = []
        with evaluating(network), no_grad(), single_threaded_blas():
            for start in range(0, len(images), AT_ONCE):
                small = area_mean(images[start : start + AT_ONCE], self.size)
                views = self._views(small)
                embeddings = network.embed(Tensor(self.prepared(np.concatenate(views))).to(self.device))
                chances = F.log_softmax(network.classifier(embeddings), 1)
                each = (len(views), len(small), -1)
                directions = F.normalize(F.normalize(embeddings).reshape(each).sum(0))
                found.append((directions.cpu().numpy(), chances.reshape(each).mean(0).cpu().numpy()))
        return np.concatenate([e for e, _ in found]), np.concatenate([c for _, c in found])

    def _views(self, faces: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """What is asked about: the faces, moved a little if the recipe says so, and the mirror images of all these."""
        by, (_, h, w) = self.recipe.moved, faces.shape
        wide = np.pad(faces, ((0, 0), (by, by), (by, by)), mode="edge")
        corners = [(by, by)] if not by else [(by, by), (0, by), (2 * by, by), (by, 0), (by, 2 * by)]
        views = [wide[:, y : y + h, x : x + w] for y, x in corners]
        return views + [view[:, :, ::-1] for view in views] if self.recipe.mirror else views

    def state(self) -> dict[str, Array]:
        """Everything that was learned, as named arrays, for `restore`.

        Raises:
            NotFitted: `fit` was not called.
        """
        learned = {f"network.{key}": x.cpu().numpy() for key, x in self.network.state_dict().items()}
        return {**learned, **{f"gallery.{key}": x for key, x in self._gallery.items()}}

    def restore(self, state: Mapping[str, Array], people: int) -> Self:
        """Become what `state` was taken from.

        Arguments:
            state: named arrays.
            people: how many the network tells apart.

        Returns:
            Itself.

        Raises:
            BadModelFile: arrays are missing or do not fit.
        """
        members = [NETWORKS[self.name].build(people, self.size, Generator(0)) for _ in range(self.recipe.members)]
        network = members[0] if len(members) == 1 else Committee(members)
        network.classifier.scale = self.recipe.scale
        gallery = {key: np.asarray(state.get(f"gallery.{key}", ())) for key in ("embeddings", "codes")}
        try:
            network.load_state_dict(
                {key.removeprefix("network."): x for key, x in state.items() if key.startswith("network.")}
            )
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip()
            raise BadModelFile(f"this {self.name} model does not fit its network ({first}): train it again") from error
        codes, embeddings = gallery["codes"], gallery["embeddings"]
        if embeddings.ndim != 2 or codes.shape != embeddings.shape[:1] or not np.isin(codes, range(people)).all():
            raise BadModelFile(
                f"this {self.name} model is damaged: it has embeddings of shape {embeddings.shape} for {len(codes)} "
                "images of its people: train it again"
            )
        self._network, self._gallery = network.to(self.device).eval(), gallery
        return self
