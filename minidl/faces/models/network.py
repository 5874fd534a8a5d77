"""What every network for faces is: pixels to an embedding, and an embedding to people."""

from __future__ import annotations

from minidl import nn
from minidl.faces.models.cosine import CosineClassifier
from minidl.tensor import Tensor


class FaceNetwork(nn.Module):
    """A network that describes a face by an embedding and names the people of its training from that.

    Subclasses define `embed` and assign a `classifier`.
    """

    classifier: CosineClassifier

    def embed(self, x: Tensor) -> Tensor:
        """The embedding of each face.

        Arguments:
            x: (N, 1, H, W) float32, faces with the light taken out.

        Returns:
            (N, E) float32, of any length.
        """
        raise NotImplementedError(f"{type(self).__name__} has no embed method; define one")

    def forward(self, x: Tensor) -> Tensor:
        """The logits of the people.

        Arguments:
            x: (N, 1, H, W) float32.

        Returns:
            (N, people) float32.
        """
        logits: Tensor = self.classifier(self.embed(x))
        return logits
