"""Whom a face resembles, and which pairs of faces mislead: nearest neighbours and worst pairs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minidl.backend import Array
from minidl.faces.errors import BadScores
from minidl.faces.images import Pixels
from minidl.kernels.threads import single_threaded_blas


class Neighbour(NamedTuple):
    """A face of the gallery: where it stands there, and its cosine with the probe, -1 to 1."""

    place: int
    similarity: float


class Pair(NamedTuple):
    """Two faces, by where they stand, and the cosine of their embeddings."""

    first: int
    second: int
    similarity: float


class WorstPairs(NamedTuple):
    """The pairs nearest to a mistake.

    Attributes:
        impostors: of different people, the most alike first.
        genuine: of the same person, the least alike first.
    """

    impostors: list[Pair]
    genuine: list[Pair]


def _embeddings(name: str, rows: Array) -> Array:
    rows = np.asarray(rows)
    if rows.ndim != 2 or rows.dtype.kind != "f" or not rows.size:
        raise BadScores(f"{name}: embeddings have shape (n, d) and are floating, but got {rows.dtype} {rows.shape}")
    return rows


@single_threaded_blas()
def nearest_neighbours(probe: Array, gallery: Array, k: int = 5) -> list[Neighbour]:
    """The faces of a gallery that a model takes to be most like a face.

    Arguments:
        probe: (d,) embedding, of length 1.
        gallery: (n, d) embeddings, rows of length 1.
        k: how many at most.

    Returns:
        The nearest first; of equals, the one that stands first.

    Raises:
        BadScores: shapes or dtypes do not fit, or k is less than 1.

    >>> nearest_neighbours(np.array([1.0, 0.0]), np.array([[0.0, 1.0], [1.0, 0.0]]), k=1)
    [Neighbour(place=1, similarity=1.0)]
    """
    known, face = _embeddings("nearest_neighbours", gallery), np.asarray(probe)
    if face.shape != known.shape[1:] or k < 1:
        raise BadScores(
            f"nearest_neighbours: a probe of shape {face.shape} and k={k} do not fit a gallery {known.shape}"
        )
    cosines = known @ face
    order = np.argsort(-cosines, kind="stable")[:k]
    return [Neighbour(int(i), float(cosines[i])) for i in order]


@single_threaded_blas()
def worst_pairs(embeddings: Array, labels: Array, k: int = 6) -> WorstPairs:
    """The most alike faces of different people, and the least alike of one person: what a threshold must part.

    Arguments:
        embeddings: (n, d), rows of length 1.
        labels: (n,) who each shows.
        k: how many of each kind at most; every face occurs at most once a kind, so that one bad picture does not fill
            the list.

    Raises:
        BadScores: shapes or dtypes do not fit, or k is less than 1.
    """
    rows, people = _embeddings("worst_pairs", embeddings), np.asarray(labels)
    if people.shape != rows.shape[:1] or k < 1:
        raise BadScores(f"worst_pairs: labels of shape {people.shape} and k={k} do not fit embeddings {rows.shape}")
    cosines = rows @ rows.T
    first, second = np.triu_indices(len(rows), 1)
    values, same = cosines[first, second], people[first] == people[second]
    return WorstPairs(
        _most(first[~same], second[~same], values[~same], k, -1), _most(first[same], second[same], values[same], k, 1)
    )


def _most(first: Array, second: Array, values: Array, k: int, sign: int) -> list[Pair]:
    found: list[Pair] = []
    used: set[int] = set()
    for at in np.argsort(sign * values, kind="stable").tolist():
        i, j = int(first[at]), int(second[at])
        if i not in used and j not in used:
            found.append(Pair(i, j, float(values[at])))
            used |= {i, j}
            if len(found) == k:
                break
    return found


def pairs_picture(images: Pixels, pairs: list[Pair], gap: int = 4) -> Pixels:
    """Pairs of faces as columns, one face above the other.

    Arguments:
        images: (n, h, w) uint8, in the order that the pairs count in.
        pairs: at least one.
        gap: white pixels between columns and rows.

    Returns:
        (2 h + gap, columns) uint8.

    Raises:
        BadScores: there is no pair.
    """
    if not pairs:
        raise BadScores("pairs_picture: there is no pair to show")
    h, w = images.shape[1:]
    sheet = np.full((2 * h + gap, len(pairs) * (w + gap) - gap), 255, np.uint8)
    for column, pair in enumerate(pairs):
        at = slice(column * (w + gap), column * (w + gap) + w)
        sheet[:h, at], sheet[h + gap :, at] = images[pair.first], images[pair.second]
    return sheet
