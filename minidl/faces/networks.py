"""The networks for faces by name, how each is trained, and the size of face that they see."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from minidl.backend import Generator
from minidl.faces.errors import BadImage
from minidl.faces.models.cnn import FaceCNN
from minidl.faces.models.cnn_lstm import FaceCNNLSTM
from minidl.faces.models.network import FaceNetwork
from minidl.faces.models.patches import FaceAttention, FaceViT
from minidl.faces.models.resnet import FaceResNet
from minidl.faces.models.rows import FaceRows
from minidl.faces.training import MILD, MILD_SINGLE, Recipe


class Kind(NamedTuple):
    """A kind of network: how it is made, from the number of people, the size of its input and a source of first
    weights, and how it is trained."""

    network: Callable[..., FaceNetwork]
    recipe: Recipe

    def build(self, people: int, size: tuple[int, int], generator: Generator) -> FaceNetwork:
        """A network with new weights."""
        return self.network(people, size, generator=generator)


NETWORKS: Final[dict[str, Kind]] = {
    # Two of them: on inner splits of ORL (fitted on three training images of each person, tried on two, three seeds)
    # one errs on 3.54 % and two on 3.33 %, with a log-likelihood of -0.168 and -0.155.
    "cnn": Kind(FaceCNN, Recipe(members=2)),
    "resnet": Kind(FaceResNet, Recipe()),
    "rnn": Kind(partial(FaceRows, reader="rnn"), Recipe(learning_rate=1e-3)),
    "lstm": Kind(partial(FaceRows, reader="lstm"), Recipe(learning_rate=2e-3)),
    "gru": Kind(partial(FaceRows, reader="gru"), Recipe(learning_rate=2e-3)),
    "stacked-gru": Kind(partial(FaceRows, reader="gru", layers=2, dropout=0.5), Recipe(learning_rate=2e-3)),
    "cnn-lstm": Kind(FaceCNNLSTM, Recipe(learning_rate=2e-3)),
    "attention": Kind(FaceAttention, Recipe(500, 32, 1.5e-3, 0.1, several=MILD, single=MILD_SINGLE)),
    "vit": Kind(FaceViT, Recipe(500, 32, 1.5e-3, 0.1, several=MILD, single=MILD_SINGLE)),
}
"""All kinds by name."""
INPUT_PIXELS: Final = 56 * 46
"""Faces are shrunk to about so many pixels."""
SMALLEST: Final = 16
"""The least number of rows and of columns that is left after shrinking."""


def input_size(image_size: tuple[int, int]) -> tuple[int, int]:
    """The (rows, columns) that a network sees of images of this size: the same shape, about `INPUT_PIXELS`.

    Arguments:
        image_size: (rows, columns) of the images.

    Raises:
        BadImage: too few rows or columns are left to show a face.

    >>> input_size((112, 92)), input_size((40, 40))
    ((56, 46), (40, 40))
    """
    rows, columns = image_size
    factor = max(1.0, math.sqrt(rows * columns / INPUT_PIXELS))
    size = round(rows / factor), round(columns / factor)
    if min(size) < SMALLEST:
        raise BadImage(
            f"images of {rows}×{columns} pixels (rows × columns) leave {size[0]}×{size[1]} to the network, which needs "
            f"{SMALLEST}×{SMALLEST}: use larger images, or cut them to the face"
        )
    return size
