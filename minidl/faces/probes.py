"""What people hand to a recognizer as faces: stacks of the model's size, single pictures, photographs, paths."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any, TypeAlias

import numpy as np

from minidl.backend import Array
from minidl.faces.errors import BadImage
from minidl.faces.images import Pixels, pixels_of, to_grey
from minidl.faces.inputs import grey_images
from minidl.faces.photographs import faces_in

Picture: TypeAlias = str | PathLike[str] | Array

Size: TypeAlias = tuple[int, int]


def faces_of(picture: Picture, size: Size) -> list[Pixels]:
    """All faces of one picture: itself if it has the size of the model, otherwise those that are found in it.

    Arguments:
        picture: a path, or uint8 (h, w) or (h, w, 3).
        size: (rows, columns) of a face.

    Returns:
        uint8 arrays of that size, the most certain first.

    Raises:
        NoFaceFound: there is none.
        BadImage: it cannot be read.
        MissingLibrary: OpenCV 4 is needed to find faces and is not installed.
    """
    pixels = to_grey(pixels_of(picture))
    if pixels.shape == size:
        return [pixels]
    return [face.image for face in faces_in(picture if isinstance(picture, str | PathLike) else pixels, size=size)]


def one_face(picture: Picture, size: Size) -> Pixels:
    """The most certain face of a picture; see `faces_of`."""
    if isinstance(picture, np.ndarray) and picture.shape[:1] == (1,) and picture.shape[1:3] == size:
        picture = picture[0]
    return faces_of(picture, size)[0]


def stack_of_faces(pictures: Array | Sequence[Picture] | Picture, size: Size) -> Pixels:
    """One face for each picture, for enrolling.

    Arguments:
        pictures: (n, h, w) or (n, h, w, 3) uint8 of the model's size; or one picture; or a list of pictures of any
            size and of paths.
        size: (rows, columns) of a face.

    Returns:
        (n, *size) uint8.

    Raises:
        NoFaceFound, BadImage, MissingLibrary: as `faces_of`; BadImage also where a photograph shows several people.
    """
    if isinstance(pictures, np.ndarray):
        if pictures.shape[1:] in (size, (*size, 3)) and pictures.ndim >= 3:
            return grey_images(pictures, size)
        if pictures.ndim == 2 or (pictures.ndim == 3 and pictures.shape[2] == 3):
            pictures = [pictures]
    elif isinstance(pictures, str | PathLike):
        pictures = [pictures]
    listed: list[Any] = list(pictures)
    if not listed:
        raise BadImage("there are no pictures: give at least one")
    found = []
    for picture in listed:
        faces = faces_of(picture, size)
        if len(faces) > 1:
            what = "a photograph" if isinstance(picture, np.ndarray) else str(picture)
            raise BadImage(f"{what} shows {len(faces)} faces: cut it to the one that is meant")
        found.append(faces[0])
    return np.stack(found)
