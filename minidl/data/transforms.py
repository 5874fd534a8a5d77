"""Transforms: what is done to a picture on its way into a network, as small typed objects that compose.

Two kinds. *Preprocessing* (`Always`) makes every picture what the network expects and belongs to training, evaluation
and use alike: `ToFloat, ToGray, ToRGB, Resize, CenterCrop, Normalize`. *Augmentation* (`TrainOnly`) draws a variation
and belongs to training alone: `RandomCrop, HorizontalFlip, Rotate, ShiftScale, BrightnessContrast, Gamma,
RandomErasing, GaussianNoise`. What is drawn depends on the key alone, never on what was drawn before.

Pictures are arrays or tensors (..., C, H, W); uint8 ones hold 0 … 255, floating ones 0 … 1.

>>> picture = np.zeros((3, 8, 6), np.uint8)
>>> train = Compose([ToGray(), HorizontalFlip(), RandomErasing(p=1), ToFloat(), Normalize(0.5, 0.5)])
>>> train(picture, key=(0, 3, 17)).shape
(1, 8, 6)
>>> train.evaluation()
Compose(transforms=(ToGray(), ToFloat(), Normalize(mean=0.5, std=0.5)))
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.autograd.variable import Variable
from minidl.backend import Array
from minidl.data import transforms_geometry as geometry
from minidl.data import transforms_intensity as intensity
from minidl.data.dataset import Key
from minidl.data.sampler import stream

Range = tuple[float, float]


class Transform:
    """A picture in, a picture out."""

    def __call__(self, image: Any, key: Key | None = None) -> Any:
        """The transformed picture, a tensor if the picture was one.

        Arguments:
            image: (..., C, H, W), an array or a tensor; it is not written to.
            key: names the draw, (seed, epoch, index); what draws nothing needs none.
        """
        if isinstance(image, Variable):
            return Variable._wrap(self.run(image.array, key))
        return self.run(image, key)

    def run(self, image: Array, key: Key | None) -> Array:
        raise NotImplementedError


class Always(Transform):
    """Preprocessing: the same for training, evaluation and use."""

    def run(self, image: Array, key: Key | None) -> Array:
        return self.apply(image)

    def apply(self, image: Array) -> Array:
        raise NotImplementedError


class TrainOnly(Transform):
    """Augmentation: a variation drawn for training."""

    def run(self, image: Array, key: Key | None) -> Array:
        if key is None:
            raise TypeError(f"{type(self).__name__}: it draws, so it needs a key, for example key=(seed, epoch, index)")
        return self.vary(image, stream(*key))

    def vary(self, image: Array, rng: np.random.Generator) -> Array:
        raise NotImplementedError


@dataclass(frozen=True)
class Compose(Transform):
    """Transforms one after the other; the i-th draws with the key (*key, i)."""

    transforms: Sequence[Transform]

    def __post_init__(self) -> None:
        object.__setattr__(self, "transforms", tuple(self.transforms))

    def run(self, image: Array, key: Key | None) -> Array:
        for i, transform in enumerate(self.transforms):
            image = transform.run(image, None if key is None else (*key, i))
        return image

    def evaluation(self) -> Compose:
        """The same without what belongs to training alone."""
        kept = [t.evaluation() if isinstance(t, Compose) else t for t in self.transforms]
        return Compose([t for t in kept if not isinstance(t, TrainOnly)])


# ── always ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class ToFloat(Always):
    """uint8 as float32 between 0 and 1, see `to_float`."""

    def apply(self, image: Array) -> Array:
        return intensity.to_float(image)


@dataclass(frozen=True)
class ToGray(Always):
    """Brightness in one channel, see `to_gray`."""

    def apply(self, image: Array) -> Array:
        return intensity.to_gray(image)


@dataclass(frozen=True)
class ToRGB(Always):
    """Three channels, see `to_rgb`."""

    def apply(self, image: Array) -> Array:
        return intensity.to_rgb(image)


@dataclass(frozen=True)
class Resize(Always):
    """Another size, see `resize`; sides are scaled independently."""

    size: geometry.Size
    mode: str = "area"

    def apply(self, image: Array) -> Array:
        return geometry.resize(image, self.size, self.mode)


@dataclass(frozen=True)
class CenterCrop(Always):
    """The middle of the picture."""

    size: geometry.Size

    def apply(self, image: Array) -> Array:
        return geometry.center_crop(image, self.size)


@dataclass(frozen=True)
class Normalize(Always):
    """(x − mean) / std, of all channels alike or of each; after `ToFloat`, and after all augmentation."""

    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]

    def apply(self, image: Array) -> Array:
        return intensity.normalize(image, self.mean, self.std)


# ── training only: geometry ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class RandomCrop(TrainOnly):
    """A part of the picture at a place drawn uniformly, after a margin was added on every side."""

    size: geometry.Size
    padding: int = 0
    fill: float | None = 0

    def vary(self, image: Array, rng: np.random.Generator) -> Array:
        if self.padding:
            image = geometry.pad(image, self.padding, self.fill)
        rows, columns = image.shape[-2:]
        top, left = (int(rng.integers(max(0, n - m) + 1)) for n, m in zip((rows, columns), self.size, strict=True))
        return geometry.crop(image, top, left, self.size)


@dataclass(frozen=True)
class HorizontalFlip(TrainOnly):
    """Left and right exchanged, with probability p. (A face upside down is no face, so there is no vertical flip.)"""

    p: float = 0.5

    def vary(self, image: Array, rng: np.random.Generator) -> Array:
        return geometry.horizontal_flip(image) if rng.random() < self.p else image.copy()


@dataclass(frozen=True)
class Rotate(TrainOnly):
    """Turned about the centre by an angle drawn between −degrees and degrees; fill None repeats the border."""

    degrees: float
    fill: float | None = None

    def vary(self, image: Array, rng: np.random.Generator) -> Array:
        return geometry.rotate(image, rng.uniform(-self.degrees, self.degrees), self.fill)


@dataclass(frozen=True)
class ShiftScale(TrainOnly):
    """Moved by up to shift (a part of each side) and enlarged by a factor between 1/(1 + scale) and 1 + scale."""

    shift: float = 0.08
    scale: float = 0.1
    fill: float | None = None

    def vary(self, image: Array, rng: np.random.Generator) -> Array:
        rows, columns = image.shape[-2:]
        dy, dx = rng.uniform(-self.shift, self.shift, 2)
        spread = math.log1p(self.scale)
        factor = math.exp(rng.uniform(-spread, spread))
        return geometry.shift_scale(image, (dy * rows, dx * columns), factor, self.fill)


# ── training only: light, noise, occlusion ────────────────────────────────────────────────────────


@dataclass(frozen=True)
class BrightnessContrast(TrainOnly):
    """Brightness drawn within ± brightness (a part of the range), contrast between 1 − contrast and 1 + contrast."""

    brightness: float = 0.2
    contrast: float = 0.2

    def vary(self, image: Array, rng: np.random.Generator) -> Array:
        b, c = rng.uniform(-self.brightness, self.brightness), 1 + rng.uniform(-self.contrast, self.contrast)
        return intensity.brightness_contrast(image, b, c)


@dataclass(frozen=True)
class Gamma(TrainOnly):
    """x^γ with γ between 1/(1 + spread) and 1 + spread, drawn evenly on the scale of its logarithm."""

    spread: float = 0.5

    def vary(self, image: Array, rng: np.random.Generator) -> Array:
        limit = math.log1p(self.spread)
        return intensity.gamma(image, math.exp(rng.uniform(-limit, limit)))


@dataclass(frozen=True)
class GaussianNoise(TrainOnly):
    """Normal noise of standard deviation std (a part of the range), independent for every value."""

    std: float = 0.02

    def vary(self, image: Array, rng: np.random.Generator) -> Array:
        return intensity.add_noise(image, rng.standard_normal(image.shape, dtype=np.float32) * np.float32(self.std))


@dataclass(frozen=True)
class RandomErasing(TrainOnly):
    """With probability p, a rectangle overwritten, by uniform noise unless a value is given.

    Arguments:
        p: how often.
        area: the part of the picture it covers, between these.
        aspect: height over width, between these, drawn evenly on the scale of its logarithm.
        value: what it is overwritten with, on the picture's scale; None: noise.

    Source: Zhong et al., "Random erasing data augmentation", AAAI 2020.
    """

    p: float = 0.5
    area: Range = (0.02, 0.33)
    aspect: Range = (0.3, 1 / 0.3)
    value: float | None = None

    def vary(self, image: Array, rng: np.random.Generator) -> Array:
        if rng.random() >= self.p:
            return image.copy()
        rows, columns = image.shape[-2:]
        covered = rng.uniform(*self.area) * rows * columns
        ratio = math.exp(rng.uniform(*np.log(self.aspect)))
        height = min(rows, max(1, round(math.sqrt(covered * ratio))))
        width = min(columns, max(1, round(covered / height)))
        top, left = int(rng.integers(rows - height + 1)), int(rng.integers(columns - width + 1))
        if self.value is not None:
            return intensity.erase(image, top, left, (height, width), self.value)
        noise = rng.random((*image.shape[:-2], height, width), dtype=np.float32)
        if image.dtype.kind != "f":
            noise = noise * np.iinfo(image.dtype).max
        return intensity.erase(image, top, left, (height, width), geometry.like(noise, image))
