"""What the tests of the recognizer share: drawn faces of six people, and recognizers fitted to them."""

from functools import cache

import numpy as np
import pytest

from minidl.faces import FaceRecognizer
from minidl.faces.generated import generated_faces
from minidl.faces.recognizer import MODELS

SIZE = (48, 40)
NAMES = np.array(["ann", "bob", "cleo", "dora", "emil", "王芳"])
EACH_MODEL = pytest.mark.parametrize("model", MODELS)


@cache
def _drawn(color):
    return generated_faces(people=6, per_person=8, size=SIZE, seed=5, difficulty="easy", color=color)


def faces(color=False):
    """Eight images of each of six people, and who they show."""
    drawn = _drawn(color)
    return drawn.images.copy(), drawn.labels.copy()


def train_and_test(labels):
    """Indices of the first five images of each person, and of the other three."""
    position = np.arange(len(labels)) % 8
    return np.flatnonzero(position < 5), np.flatnonzero(position >= 5)


def fitted(model, labels=NAMES, epochs=2):
    """A recognizer after so many passes."""
    images, codes = faces()
    train, _ = train_and_test(codes)
    recognizer = FaceRecognizer(model, SIZE, seed=3)
    return recognizer.fit(images[train], labels[codes[train]], epochs=epochs, progress=False)
