"""What the classical recognizers share: named arrays that were learned, kept, checked and restored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np

from minidl.backend import Array
from minidl.faces.errors import BadImage, BadModelFile, NotFitted


class Remembered:
    """A recognizer that is nothing but named arrays, among them the "size" (rows, columns) of its images.

    A subclass names itself and the arrays that it needs, and can be made without arguments.
    """

    name: str
    needed: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        self._state: dict[str, Array] | None = None

    def state(self) -> dict[str, Array]:
        """Everything that was learned, as named arrays, for `from_state`.

        Raises:
            NotFitted: `fit` was not called.
        """
        return dict(self._fitted())

    def _fitted(self) -> dict[str, Array]:
        if self._state is None:
            raise NotFitted(f"this {self.name} recognizer has learned nothing yet: call fit(images, labels) first")
        return self._state

    def _check_images(self, images: Array) -> None:
        h, w = self._fitted()["size"].tolist()
        if images.ndim != 3 or images.shape[1:] != (h, w) or images.dtype != np.uint8:
            raise BadImage(
                f"this {self.name} recognizer takes uint8 images of shape (n, {h}, {w}), "
                f"but got {images.dtype} of shape {images.shape}: resize the images"
            )

    @classmethod
    def _complete(cls, state: Mapping[str, Array]) -> dict[str, Array]:
        if missing := [key for key in cls.needed if key not in state]:
            raise BadModelFile(f"this is no {cls.name} model: it lacks {', '.join(missing)}; train it again")
        return {key: np.asarray(state[key]) for key in cls.needed}

    @classmethod
    def _with(cls, state: dict[str, Array]) -> Self:
        made = cls()
        made._state = state
        return made
