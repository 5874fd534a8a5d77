"""Take out of a face what the light put in: standard score, gamma, difference of Gaussians, local contrast.

Blurring and shrinking are linear along each axis, so each is one small matrix from the left and one from
the right: exact, the same for one image as for many, and fast for the sizes of faces.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.errors import BadImage
from minidl.kernels.threads import single_threaded_blas

Faces = NDArray[np.float32]

FLAT = 1e-5
"""A spread below this (of grey levels from 0 to 1) is rounding, not a picture; it is not blown up."""
LEAST_SHARE = 0.01
"""A mean over less than this share of a neighbourhood is none."""


# ── along one axis ────────────────────────────────────────────────────────────────────────────────


@lru_cache(maxsize=64)
def _shrinking(size: int, to: int) -> Faces:
    """(to, size): entry i, j is the share of new pixel i that old pixel j covers."""
    edges = np.arange(to + 1) * (size / to)
    old = np.arange(size)
    low = np.maximum(edges[:-1, None], old)
    high = np.minimum(edges[1:, None], old + 1)
    return _frozen(np.maximum(high - low, 0) * (to / size))


@lru_cache(maxsize=64)
def _box_twice(size: int, width: int) -> Faces:
    """(size, size): the mean of `width` neighbours, twice, the border pixel repeated outwards."""
    once = _blur(size, np.full(width, 1 / width))
    return _frozen(once @ once)


@lru_cache(maxsize=64)
def _gaussian(size: int, sigma: float) -> Faces:
    """(size, size): a Gaussian blur cut at four sigma, the border pixel repeated outwards."""
    at = np.arange(-int(4 * sigma + 0.5), int(4 * sigma + 0.5) + 1)
    weights = np.exp(-0.5 * (at / sigma) ** 2)
    return _frozen(_blur(size, weights / weights.sum()))


def _blur(size: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix = np.zeros((size, size))
    for k, weight in enumerate(weights):
        neighbour = np.clip(np.arange(size) + k - len(weights) // 2, 0, size - 1)
        matrix[np.arange(size), neighbour] += weight
    return matrix


def _frozen(matrix: NDArray[np.float64]) -> Faces:
    found = matrix.astype(np.float32)
    found.flags.writeable = False  # the cache hands the same array to everybody
    return found


def _both_axes(x: Faces, rows: Faces, columns: Faces) -> Faces:
    with single_threaded_blas():  # one small product an image: threads would cost more than they bring
        return np.asarray(rows @ x @ columns.T, np.float32)


# ── whole images ──────────────────────────────────────────────────────────────────────────────────


def unit(images: Array) -> Faces:
    """Grey levels as float32; uint8 is divided by 255, floats keep their values.

    Arguments:
        images: any shape, uint8 or floating.

    Returns:
        A new float32 array of the same shape.

    Raises:
        BadImage: the dtype is another one, or a value is not finite.
    """
    images = np.asarray(images)
    if images.dtype == np.uint8:
        return images.astype(np.float32) / np.float32(255)
    if not np.issubdtype(images.dtype, np.floating):
        raise BadImage(f"a face must be uint8 (0 to 255) or floating (0 to 1), but it is {images.dtype}")
    if not np.isfinite(images).all():
        raise BadImage("a face must have finite grey levels, but some are NaN or infinite")
    return images.astype(np.float32)


def area_mean(images: Array, size: tuple[int, int]) -> Faces:
    """Smaller images: each new pixel is the mean of the area it covers.

    Arguments:
        images: (n, h, w) or (h, w), uint8 or floating.
        size: (rows, columns) of the result, at most those of the images.

    Returns:
        float32 in 0..1 (floats keep their units), with `size` as the last two axes.

    Raises:
        BadImage: the images are not grey, or `size` would enlarge them.

    >>> area_mean(np.array([[0, 255, 0], [0, 255, 0]], np.uint8), (1, 1)).tolist()
    [[0.3333333432674408]]
    """
    images = _grey_stack(images)
    (h, w), (rows, columns) = images.shape[-2:], size
    if not (0 < rows <= h and 0 < columns <= w):
        raise BadImage(
            f"area_mean only shrinks, but images of {h}×{w} pixels (rows × columns) "
            f"were asked to become {rows}×{columns}"
        )
    return _both_axes(unit(images), _shrinking(h, rows), _shrinking(w, columns))


def zscore(x: Faces, seen: Faces | None = None) -> Faces:
    """Mean 0 and standard deviation 1: takes out brightness and contrast of the whole image.

        z = (x - mean x) / std x

    Arguments:
        x: (..., h, w) float32.
        seen: 1 where x shows the face and 0 elsewhere, of the same shape; mean and deviation are of the former.

    Returns:
        The same shape; all 0 for an image of one grey level, and where nothing is seen.
    """
    pixels = x.shape[-1] * x.shape[-2] if seen is None else np.maximum(seen.sum((-2, -1), keepdims=True), 1)
    d = x - (x if seen is None else x * seen).sum((-2, -1), keepdims=True) / pixels
    d = d if seen is None else d * seen
    spread = np.sqrt(np.square(d).sum((-2, -1), keepdims=True) / pixels)
    return np.asarray(d / np.maximum(spread, np.float32(FLAT)), np.float32)


def local_contrast(x: Faces, width: int = 9, floor: float = 0.2, seen: Faces | None = None) -> Faces:
    """Mean 0 and spread about 1 in every neighbourhood: takes out shadows and slopes of light.

        z = zscore(x);  d = z - blur z;  y = d / (√(blur d²) + floor)

    where blur is the mean over width × width pixels, taken twice, the border repeated outwards
    (Jarrett, Kavukcuoglu, Ranzato, LeCun, "What is the best multi-stage architecture for object
    recognition?", ICCV 2009, with a box for the Gaussian). Pixels that show nothing enter no mean.

    Arguments:
        x: (..., h, w) float32.
        width: odd side of the neighbourhood in pixels.
        floor: added to the local spread, so that empty areas stay quiet.
        seen: as in `zscore`; see `visible.visible`.

    Returns:
        The same shape; 0 where nothing is seen.
    """
    rows, columns = _box_twice(x.shape[-2], width), _box_twice(x.shape[-1], width)
    z = zscore(x, seen)
    if seen is None:
        d = z - _both_axes(z, rows, columns)
        spread = np.sqrt(_both_axes(np.square(d), rows, columns))
    else:
        share = np.maximum(_both_axes(seen, rows, columns), np.float32(LEAST_SHARE))
        d = (z - _both_axes(z, rows, columns) / share) * seen
        spread = np.sqrt(_both_axes(np.square(d), rows, columns) / share)
    return np.asarray(d / (spread + np.float32(floor)), np.float32)


def gamma(x: Faces) -> Faces:
    """The power of the grey levels that brings their mean near one half: dark and bright alike.

        y = x^γ,  γ = log ½ / log(mean x), between 1/5 and 5

    Arguments:
        x: (..., h, w) float32 in 0..1; values outside are clipped.

    Returns:
        The same shape, in 0..1.
    """
    x = np.clip(x, 0, 1)
    mean = np.clip(x.mean((-2, -1), keepdims=True), np.float32(1e-6), np.float32(1 - 1e-6))
    power = np.clip(np.log(np.float32(0.5)) / np.log(mean), np.float32(0.2), np.float32(5))
    return np.asarray(x**power, np.float32)


def difference_of_gaussians(x: Faces) -> Faces:
    """Keep the middle frequencies and even out their contrast: for faces in hard light.

        d = G₁ * x^0.2 - G₂ * x^0.2;  c = d / (mean |d|^α)^(1/α);  c = c / (mean min(τ, |c|)^α)^(1/α);
        y = τ tanh(c / τ),  α = 0.1, τ = 10

    (Tan & Triggs, "Enhanced local texture feature sets for face recognition under difficult lighting
    conditions", IEEE TIP 2010.)

    Arguments:
        x: (..., h, w) float32 in 0..1; values outside are clipped.

    Returns:
        The same shape, between -10 and 10; all 0 for an image of one grey level.
    """
    alpha, tau = np.float32(0.1), np.float32(10)
    lit = np.clip(x, 0, 1) ** np.float32(0.2)
    h, w = x.shape[-2:]
    d = _both_axes(lit, _gaussian(h, 1.0), _gaussian(w, 1.0)) - _both_axes(lit, _gaussian(h, 2.0), _gaussian(w, 2.0))
    d = np.where(np.abs(d).max((-2, -1), keepdims=True) < FLAT, np.float32(0), d)
    for limit in (np.float32(np.inf), tau):
        size = np.mean(np.minimum(np.abs(d), limit) ** alpha, (-2, -1), keepdims=True) ** (1 / alpha)
        d = d / np.where(size > 0, size, np.float32(1))
    return np.asarray(tau * np.tanh(d / tau), np.float32)


_HOW: dict[str, Callable[[Faces], Faces]] = {
    "zscore": zscore,
    "gamma": gamma,
    "dog": difference_of_gaussians,
    "lcn": local_contrast,
}


def normalise(face: Array, how: str = "zscore") -> Faces:
    """A face with the light taken out.

    Arguments:
        face: (h, w) or (n, h, w), uint8 or floating in 0..1.
        how: "zscore" (whole image), "gamma" (mean brightness), "dog" (difference of Gaussians) or
            "lcn" (local contrast).

    Returns:
        float32 of the same shape; every image by itself, whatever others are in the stack.

    Raises:
        BadImage: the face is not grey, not finite or has no pixels, or `how` is unknown.
    """
    if how not in _HOW:
        raise BadImage(f"normalise knows {', '.join(_HOW)}, but was asked for {how!r}: choose one of them")
    return _HOW[how](unit(_grey_stack(face)))


def _grey_stack(images: Array) -> Array:
    images = np.asarray(images)
    if images.ndim not in (2, 3) or not images.size:
        raise BadImage(f"grey images have shape (h, w) or (n, h, w) and at least one pixel, but got {images.shape}")
    return images
