"""One call for every model and method: why is this face taken for this person?"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.errors import FaceError
from minidl.faces.explain.explanation import Explanation, enlarged
from minidl.faces.explain.gradients import grad_cam, gradient_map, gradient_times_input
from minidl.faces.explain.occlusion import likeness, occlusion_map
from minidl.faces.explain.rollout import rollout_map
from minidl.faces.images import Pixels
from minidl.faces.models.network import FaceNetwork
from minidl.faces.normalise import area_mean

METHODS: Final = ("occlusion", "gradient", "gradient-input", "grad-cam", "rollout")
"""Ways to explain; the first works for every model, the others for networks, the last for those with attention."""


class Represents(Protocol):
    """What every model can do: describe faces by embeddings, rows of length 1."""

    def represent(self, images: Array) -> NDArray[np.float32]:
        """(n, h, w) uint8 to (n, d)."""
        ...


@runtime_checkable
class HasNetwork(Represents, Protocol):
    """A model with a network inside, and what the network takes."""

    size: tuple[int, int]

    @property
    def network(self) -> FaceNetwork:
        """Trained."""
        ...

    def prepared(self, faces: NDArray[np.float32]) -> NDArray[np.float32]:
        """Grey levels in 0..1, (n, *size), to (n, 1, *size)."""
        ...


def explain_face(
    model: Represents, image: Pixels, code: int, known: Array, target: Hashable, method: str = "occlusion"
) -> Explanation:
    """Which pixels speak for a face being a person.

    Arguments:
        model: fitted.
        image: (h, w) uint8.
        code: the number of the person, of a network's logit.
        known: (m, d) embeddings of the person's faces; occlusion measures the largest cosine with one of them.
        target: what the person is called.
        method: one of `METHODS`. Networks are explained for the face as it is, without its mirror image; a roll-out
            shows the attention beyond that of the patch with the least, and is the same for every person.

    Raises:
        FaceError: there is no such method, or not for this model.
    """
    if method not in METHODS:
        raise FaceError(f"there is no way to explain called {method!r}: choose one of {', '.join(METHODS)}")
    if method == "occlusion":
        return Explanation(occlusion_map(likeness(model.represent, known), image), method, target, image)
    if not isinstance(model, HasNetwork):
        raise FaceError(f"{method} needs a network, and this model is none: use occlusion")
    network, x = model.network, model.prepared(area_mean(image[None], model.size))
    if method == "rollout":
        shares = rollout_map(network, x)
        found = shares - shares.min()  # every patch gets some attention: what it gets beyond the least tells
    else:
        way = {"gradient": gradient_map, "gradient-input": gradient_times_input, "grad-cam": grad_cam}[method]
        found = way(network, x, code)
    return Explanation(enlarged(found, image.shape), method, target, image)
