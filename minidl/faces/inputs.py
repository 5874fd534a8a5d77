"""What people hand to a recognizer, brought into one form, or one sentence why it cannot be used."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.errors import BadDataset, BadImage
from minidl.faces.images import to_grey
from minidl.faces.protocol import natural_order


def size_of(image_size: Any) -> tuple[int, int]:
    """(rows, columns) as two integers.

    Raises:
        BadImage: it is something else, or less than one pixel.
    """
    try:
        rows, columns = (int(side) for side in image_size)
    except (TypeError, ValueError) as error:
        raise BadImage(f"image_size must be (rows, columns) in pixels, but it is {image_size!r}") from error
    if min(rows, columns) < 1:
        raise BadImage(f"image_size must be (rows, columns) of at least one pixel, but it is {image_size!r}")
    return rows, columns


def grey_images(images: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The images as grey levels.

    Arguments:
        images: (n, h, w) or (n, h, w, 3) uint8, colour in the order red, green, blue.
        size: (h, w) that they must have.

    Returns:
        (n, h, w) uint8.

    Raises:
        BadImage: they are something else.
    """
    try:
        pixels = np.asarray(images)
    except ValueError as error:
        raise BadImage("the images must all be of one size, but they differ: resize them first") from error
    h, w = size
    wanted = f"uint8 of shape (n, {h}, {w}) or (n, {h}, {w}, 3)"
    if not pixels.size:
        raise BadImage(f"there are no images (the shape is {pixels.shape}): give {wanted}")
    if pixels.dtype != np.uint8:
        hint = ""
        if pixels.dtype.kind == "f":
            broken = int(np.sum(~np.isfinite(pixels)))
            hint = f" ({broken} values are NaN or infinite)" if broken else " (values in 0..1 times 255)"
        raise BadImage(f"images must be {wanted}, but they are {pixels.dtype}: convert them to uint8{hint}")
    if pixels.shape[1:] in ((h, w), (h, w, 3)):
        return to_grey(pixels)
    if pixels.shape in ((h, w), (h, w, 3)):
        raise BadImage(f"one image of shape {pixels.shape} came without the axis n: write image[None] for {wanted}")
    raise BadImage(
        f"images must be {wanted}, but the shape is {pixels.shape}: resize them, or make the recognizer with "
        "the image_size that they have"
    )


def plain_labels(labels: Any, images: int) -> list[Hashable]:
    """The labels as plain Python values, which hash and compare alike however they came.

    Arguments:
        labels: anything that can be gone through, numbers, names or other hashable values.
        images: how many there must be.

    Raises:
        BadDataset: there are more or fewer, or one of them is missing or not hashable.
    """
    if isinstance(labels, str | bytes) or not isinstance(labels, Iterable):
        raise BadDataset(f"labels must be a list or an array with one label an image, but they are {labels!r}")
    if isinstance(labels, np.ndarray):
        if labels.ndim != 1:
            raise BadDataset(f"labels must have shape (n,), but the shape is {labels.shape}")
        labels = labels.tolist()
    plain: list[Hashable] = [label.item() if isinstance(label, np.generic) else label for label in labels]
    for label in plain:
        try:
            hash(label)
            same = bool(label == label)
        except (TypeError, ValueError) as error:
            raise BadDataset(
                f"a label must be a name, a number or another hashable value, but {label!r} is a {type(label).__name__}"
            ) from error
        if label is None or not same:
            raise BadDataset(f"every image needs a label, but one is {label!r}: leave it out or say who it is")
    if len(plain) != images:
        raise BadDataset(f"every image needs one label, but there are {images} images and {len(plain)} labels")
    return plain


def in_order(labels: Iterable[Hashable]) -> list[Hashable]:
    """Everybody once: numbers by value, names naturally, other labels in the order in which they come.

    >>> in_order(["s10", "s2", "s10"]), in_order([3, 1]), in_order([("b", 1), "a"])
    (['s2', 's10'], [1, 3], [('b', 1), 'a'])
    """
    people = list(dict.fromkeys(labels))
    if all(type(person) is int for person in people):
        return sorted(people)  # type: ignore[type-var]  # all of them are int
    if all(isinstance(person, str) for person in people):
        return list(natural_order([str(person) for person in people]))
    return people


def codes_of(labels: Iterable[Hashable], people: Mapping[Hashable, int]) -> NDArray[np.int64]:
    """The number of each label.

    Raises:
        BadDataset: a label is not among the people.
    """
    named = list(labels)
    if strangers := [person for person in named if person not in people]:
        raise BadDataset(
            f"{strangers[0]!r} was not in the training: leave these images out, or train with images of this person"
        )
    return np.array([people[person] for person in named], np.int64)


def label_array(people: list[Hashable]) -> Array:
    """The labels as an array: int64 or strings if all are of that kind, otherwise objects."""
    if all(type(person) is int and abs(person) < 2**63 for person in people):
        return np.array(people, np.int64)
    if all(type(person) is str for person in people):
        return np.array(people)
    kept = np.empty(len(people), object)
    for k, person in enumerate(people):  # one by one: NumPy would take a tuple for a row
        kept[k] = person
    return kept
