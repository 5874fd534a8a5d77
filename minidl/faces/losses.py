"""What a face network is trained by, chosen by name: to name people, by a margin of angle, or to compare faces.

loss = LOSSES[name](network, faces, people, recipe, done)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import minidl.nn.functional as F
from minidl.faces.models.network import FaceNetwork
from minidl.tensor import Tensor

Loss: TypeAlias = Callable[[FaceNetwork, Tensor, Tensor, float, float], Tensor]

RISING: Final = 0.3
"""The share of the training in which a margin of angle grows from 0: put in at once, it keeps the network from
learning to tell people apart at all."""


def cross_entropy(network: FaceNetwork, faces: Tensor, people: Tensor, margin: float, done: float) -> Tensor:
    """The negative log-probability of the right person (documents 001 and 003, section 3.1.4).

    Arguments:
        network: whose logits count.
        faces: (N, 1, H, W).
        people: (N,) int64.
        margin: not used.
        done: not used.
    """
    return F.cross_entropy(network(faces), people)


def arcface(network: FaceNetwork, faces: Tensor, people: Tensor, margin: float, done: float) -> Tensor:
    """Cross-entropy of logits in which the right person must win by an angle (Deng et al., arXiv:1801.07698).

    Arguments:
        network: with a `CosineClassifier`.
        faces: (N, 1, H, W).
        people: (N,) int64.
        margin: the angle, in radians, reached after `RISING` of the training.
        done: the share of the training that is over.
    """
    head = network.classifier
    now = margin * min(1.0, done / RISING)
    return F.cross_entropy(F.arcface_logits(network.embed(faces), head.weight, people, head.scale, now), people)


def triplet(network: FaceNetwork, faces: Tensor, people: Tensor, margin: float, done: float) -> Tensor:
    """Two faces of a person must be nearer than those of two people, by a margin of squared distance.

    The hardest positive and the hardest negative of each face in the batch are compared (FaceNet, which document 004,
    section 1.1, names: Schroff, Kalenichenko, Philbin, CVPR 2015; Hermans, Beyer, Leibe, arXiv:1703.07737).

    Arguments:
        network: whose embeddings, at length 1, count; its classifier learns nothing.
        faces: (N, 1, H, W), several of each person.
        people: (N,) int64.
        margin: of squared distance, at most 4.
        done: not used.
    """
    return F.batch_triplet_loss(F.normalize(network.embed(faces)), people, margin, "hard")


LOSSES: Final[dict[str, Loss]] = {"cross-entropy": cross_entropy, "arcface": arcface, "triplet": triplet}
"""All losses by name."""
COMPARING: Final = frozenset({"triplet"})
"""The losses by which the classifier learns nothing; it is then made of the mean embedding of each person."""
EACH: Final = {"triplet": 4}
"""How many images of a person a batch needs; 1 where it is not said."""
