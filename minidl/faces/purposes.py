"""What a recognizer is for, and the recipe that each network is trained by for that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from minidl.faces.augment import Augmentation
from minidl.faces.training import Recipe


def _identification(recipe: Recipe) -> Recipe:
    return recipe


def _verification(recipe: Recipe) -> Recipe:
    return replace(recipe, steps=5 * recipe.steps // 2, virtual=600, scale=16.0, moved=2)


def _hidden(change: Augmentation) -> Augmentation:
    return replace(change, erased=0.3, block=0.6, dim=0.2, gamma=1.1, noise=0.18)


def _damage(recipe: Recipe) -> Recipe:
    return replace(recipe, steps=2 * recipe.steps, several=_hidden(recipe.several), single=_hidden(recipe.single))


PURPOSES: Final[dict[str, Callable[[Recipe], Recipe]]] = {
    "identification": _identification,
    "verification": _verification,
    "damage": _damage,
}
"""From the recipe of a network to that for a purpose.

identification: to name the people of the training, on photographs like those of the training.
verification: to compare people who were not in the training; many more people are made up from those who were.
damage: to name people of the training on photographs that are dark, noisy or half hidden.
"""

MARGINS: Final = {"cross-entropy": 0.0, "arcface": 0.2, "triplet": 0.4}
"""The margin of each loss; see `Recipe`."""


def with_loss(recipe: Recipe, loss: str) -> Recipe:
    """The recipe with another loss.

    Arguments:
        recipe: any.
        loss: one of `losses.LOSSES`.
    """
    if loss == recipe.loss:
        return recipe
    return replace(recipe, loss=loss, margin=MARGINS[loss], scale=max(recipe.scale, 16.0))
