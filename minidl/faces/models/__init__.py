"""The networks that recognize faces: pixels to an embedding, and an embedding to people."""

from __future__ import annotations

from minidl.faces.models.cnn import FaceCNN as FaceCNN
from minidl.faces.models.cnn import ResidualBlock as ResidualBlock
from minidl.faces.models.cnn_lstm import FaceCNNLSTM as FaceCNNLSTM
from minidl.faces.models.committee import Committee as Committee
from minidl.faces.models.cosine import CosineClassifier as CosineClassifier
from minidl.faces.models.network import FaceNetwork as FaceNetwork
from minidl.faces.models.patches import FaceAttention as FaceAttention
from minidl.faces.models.patches import FaceViT as FaceViT
from minidl.faces.models.resnet import FaceResNet as FaceResNet
from minidl.faces.models.rows import FaceRows as FaceRows
