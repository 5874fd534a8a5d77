"""Faces drawn from numbers: people who do not exist, photographed in any pose and light.

The data set that needs no download and harms nobody's privacy. NumPy alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minidl.faces.errors import BadDataset
from minidl.faces.generated.circumstances import DIFFICULTIES, EXPRESSIONS, draw_nuisance
from minidl.faces.generated.head import build
from minidl.faces.generated.parameters import Parameters, draw_identity
from minidl.faces.generated.scene import eye_positions, render
from minidl.faces.generated.scenes import GeneratedScenes, SceneFace, generated_scenes

__all__ = [
    "DIFFICULTIES",
    "EXPRESSIONS",
    "GeneratedFaces",
    "GeneratedScenes",
    "SceneFace",
    "contact_sheet",
    "generated_faces",
    "generated_scenes",
]

_SMALLEST = 32


@dataclass(frozen=True)
class GeneratedFaces:
    """Pictures of people who do not exist, and everything that is true of them.

    Attributes:
        images: (n, h, w) or (n, h, w, 3) uint8, person after person.
        labels: (n,) int64, the person 0, 1, 2, … on each picture.
        expressions: (n,) int64, index into `EXPRESSIONS`.
        eyes: (n, 2, 2) float32, pixel (x, y) of the eye on the picture's left and of the other one;
            a pixel's centre has whole coordinates.
        identity: name → (people,) float64, what each person is made of.
        nuisance: name → (n,) float64, the circumstances of each picture (angles in degrees).
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    expressions: NDArray[np.int64]
    eyes: NDArray[np.float32]
    identity: dict[str, NDArray[np.float64]]
    nuisance: dict[str, NDArray[np.float64]]


def _columns(rows: list[Parameters]) -> dict[str, NDArray[np.float64]]:
    return {name: np.array([row[name] for row in rows], dtype=np.float64) for name in rows[0]}


def generated_faces(
    people: int = 40,
    per_person: int = 10,
    size: tuple[int, int] = (112, 92),
    seed: int = 0,
    difficulty: str = "normal",
    color: bool = False,
) -> GeneratedFaces:
    """Draw faces.

    Person k depends on (seed, k) alone, the circumstances of that person's picture j on (seed, k, j) alone:
    more people or more pictures leave the earlier ones as they were, bit for bit.

    Arguments:
        people: how many people, at least 1.
        per_person: how many pictures of each, at least 1.
        size: (height, width) in pixels, at least 32 each.
        seed: of everything, not negative.
        difficulty: "easy" (passport photographs), "normal" (an ordinary session) or "hard" (dark,
            turned, hidden).
        color: three channels (red, green, blue) instead of one.

    Returns:
        Pictures, labels and ground truth.

    Raises:
        BadDataset: an argument is out of its range.

    >>> faces = generated_faces(people=2, per_person=3)
    >>> faces.images.shape, faces.labels.tolist()
    ((6, 112, 92), [0, 0, 0, 1, 1, 1])
    """
    _check(people, per_person, size, seed, difficulty)
    height, width = int(size[0]), int(size[1])
    channels = 3 if color else 1
    images = np.empty((people * per_person, height, width) + ((3,) if color else ()), dtype=np.uint8)
    eyes = np.empty((len(images), 2, 2), dtype=np.float32)
    identities = [draw_identity(seed, person) for person in range(people)]
    nuisances: list[Parameters] = []
    for person, identity in enumerate(identities):
        shape = build(identity)
        for picture in range(per_person):
            nuisance = draw_nuisance(seed, person, picture, identity, difficulty)
            images[len(nuisances)] = render(identity, shape, nuisance, (height, width), channels)
            eyes[len(nuisances)] = eye_positions(identity, shape, nuisance, (height, width))
            nuisances.append(nuisance)
    truth = _columns(nuisances)
    return GeneratedFaces(
        images=images,
        labels=np.repeat(np.arange(people, dtype=np.int64), per_person),
        expressions=truth["expression"].astype(np.int64),
        eyes=eyes,
        identity=_columns(identities),
        nuisance=truth,
    )


def _check(people: int, per_person: int, size: tuple[int, int], seed: int, difficulty: str) -> None:
    for name, value in (("people", people), ("per_person", per_person), ("seed", seed)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise BadDataset(f"generated_faces: {name}={value!r} must be a whole number")
    if not isinstance(size, tuple | list) or not all(isinstance(side, int | np.integer) for side in size):
        raise BadDataset(f"generated_faces: size={size!r} must be (height, width) in whole pixels")
    if people < 1 or per_person < 1:
        raise BadDataset(f"generated_faces: people={people}, per_person={per_person} must be at least 1")
    if len(size) != 2 or min(size) < _SMALLEST:
        raise BadDataset(
            f"generated_faces: size={tuple(size)} is too small to show a face: "
            f"give (height, width) of at least {_SMALLEST} pixels each"
        )
    if seed < 0:
        raise BadDataset(f"generated_faces: seed={seed} must not be negative")
    if difficulty not in DIFFICULTIES:
        known = ", ".join(DIFFICULTIES)
        raise BadDataset(f"generated_faces: unknown difficulty {difficulty!r}: choose one of {known}")


def contact_sheet(images: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """All images side by side in rows, for looking at; the last row is filled up with black.

    Arguments:
        images: (n, h, w) or (n, h, w, 3) uint8.
        columns: images a row, at least 1.

    Returns:
        (rows·h, columns·w) or (rows·h, columns·w, 3) uint8.

    Raises:
        BadDataset: there are no images, or less than one column.
    """
    if len(images) == 0 or images.ndim not in (3, 4) or columns < 1:
        raise BadDataset(
            f"contact_sheet: needs a stack of images and at least one column, "
            f"but got shape {images.shape} and columns={columns}"
        )
    rows = -(-len(images) // columns)
    cells = np.zeros((rows * columns, *images.shape[1:]), dtype=np.uint8)
    cells[: len(images)] = images
    _, h, w, *rest = cells.shape
    grid = cells.reshape(rows, columns, h, w, *rest).swapaxes(1, 2)
    return np.ascontiguousarray(grid.reshape(rows * h, columns * w, *rest))
