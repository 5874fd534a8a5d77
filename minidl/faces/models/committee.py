"""Several networks that were trained apart and answer together."""

from __future__ import annotations

from collections.abc import Sequence

import minidl.nn.functional as F
from minidl import nn, ops
from minidl.backend import Generator
from minidl.faces.models.cosine import CosineClassifier
from minidl.faces.models.network import FaceNetwork
from minidl.tensor import Tensor


class Committee(FaceNetwork):
    r"""Networks of one kind as one network: their embeddings side by side, their logits averaged.

        e = (e₁/|e₁|, …, e_m/|e_m|) / √m,   cos(e, w) = mean over k of cos(e_k, w_k)

    So the mean of the members' logits is again a classifier by angle, on the joined embedding. What one member mistakes
    by the chance of its first weights, another may not.

    Arguments:
        members: trained networks that name the same people.

    Source: Hansen, Salamon, "Neural network ensembles", IEEE TPAMI 1990.
    """

    def __init__(self, members: Sequence[FaceNetwork]) -> None:
        super().__init__()
        self.members = nn.ModuleList(list(members))
        heads = [member.classifier.weight for member in members]
        joined = ops.cat([F.normalize(w.detach()) for w in heads], 1)
        scale, unused = members[0].classifier.scale, Generator(0)  # the first directions are replaced at once
        self.classifier = CosineClassifier(joined.shape[1], joined.shape[0], scale, generator=unused)
        self.classifier.weight = nn.Parameter(joined)

    def embed(self, x: Tensor) -> Tensor:
        """The embeddings of all members side by side; see `FaceNetwork.embed`."""
        return ops.cat([F.normalize(member.embed(x)) for member in self._networks()], 1)

    def _networks(self) -> list[FaceNetwork]:
        return [member for member in self.members if isinstance(member, FaceNetwork)]
