"""Training a face network: the recipe, the loop, and batches made ready in the background.

What is learned depends on the images and the seed alone: the order of the images and what happens to each of them
are keyed by (seed, epoch, index), weights and dropout come from one generator, and kernels and BLAS give the same
bits on any number of threads.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from queue import Full, Queue
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from minidl import nn, optim
from minidl.backend import Device
from minidl.faces.augment import Augmentation
from minidl.faces.batches import Batch
from minidl.faces.losses import LOSSES
from minidl.faces.models.network import FaceNetwork
from minidl.kernels.threads import single_threaded_blas
from minidl.tensor import Tensor

T = TypeVar("T")


SEVERAL: Final = Augmentation(elastic=0.03)
"""Gentler bending than the default: chosen by fitting on three training images of each person of ORL and trying the
other two, never by test images."""
SINGLE: Final = replace(SEVERAL, turn=15.0, nod=8.0)
"""For one image a person."""
MILD: Final = Augmentation(shift=0.04, scale=0.07, rotation=6.0, elastic=0.02, erased=0.0)
"""For networks to which a pixel is tied to its place: patches as tokens."""
MILD_SINGLE: Final = replace(MILD, turn=15.0, nod=8.0)
"""For those, with one image a person."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        steps: how many batches, however many images there are.
        batch: images a batch.
        learning_rate: the highest one of AdamW.
        weight_decay: of the weights; biases and the factors of batch normalisation are left alone.
        warm_up: the share of the steps in which the rate rises linearly; then it falls along a cosine to 0.
        clip: the longest gradient, over all parameters.
        several: how faces are changed where people have several images, all in all.
        single: how they are changed where everybody has one image: other poses are made up too.
        loss: one of `LOSSES`.
        scale: of the classifier by angle.
        margin: of the loss: an angle in radians for "arcface", a squared distance for "triplet".
        virtual: how many people are made up of the real ones, to learn what tells apart people never seen.
        light: how light is taken out, one of those of `normalise`.
        blind: whether parts of a face that show nothing are left out of that.
        mirror: whether an answer is the mean of those for an image and its mirror image.
        moved: an answer is also the mean over the image moved by so many pixels of the input in four directions.
        members: so many networks are trained, one after another, and answer together; see `Committee`.
    """

    steps: int = 400
    batch: int = 48
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    warm_up: float = 0.1
    clip: float = 2.0
    several: Augmentation = SEVERAL
    single: Augmentation = SINGLE
    loss: str = "cross-entropy"
    scale: float = 10.0
    margin: float = 0.2
    virtual: int = 0
    light: str = "lcn"
    blind: bool = True
    mirror: bool = True
    moved: int = 0
    members: int = 1


def decayed_and_not(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The parameters that weight decay holds back, and the biases and factors that it must leave alone.

    Arguments:
        network: any.
    """
    parameters = list(network.parameters())
    return [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]


def train(
    network: FaceNetwork,
    batches: Callable[[int], Batch],
    recipe: Recipe,
    history: optim.History | None = None,
    *,
    device: Device | str = "cpu",
    validate: Callable[[], float] | None = None,
    watch: Callable[[int, float], None] | None = None,
) -> optim.History:
    """Train a network to tell people apart.

    Arguments:
        network: whose parameters change; in training mode afterwards.
        batches: faces and people of a step; called in another thread, ahead of the step.
        recipe: steps, rates and loss.
        history: of the networks trained before this one, to be continued; a new one by default.
        device: where the network is.
        validate: called ten times on the way; its result goes into the history.
        watch: called after each step with its number, from 1, and its loss.

    Returns:
        A row a step: `step` from 1, `loss`, `learning_rate`, `seconds` since the start by the clock, and, where it was
        measured, `error`: the share of the validation images that were named wrongly.
    """
    weights, others = decayed_and_not(network)
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = optim.AdamW(groups, lr=recipe.learning_rate)
    rising = min(round(recipe.warm_up * recipe.steps), recipe.steps - 1)
    schedule = optim.lr_scheduler.WarmupCosine(optimizer, rising, recipe.steps)
    loss_of, history = LOSSES[recipe.loss], optim.History() if history is None else history
    before = len(history)
    started = time.perf_counter() - (history["seconds"][-1] if before else 0.0)
    with single_threaded_blas(), Prefetched(batches, recipe.steps) as prepared:
        for step, (faces, people) in enumerate(prepared):
            network.train()
            row = {"step": before + step + 1, "learning_rate": schedule.get_last_lr()[0]}
            done = step / recipe.steps
            loss = loss_of(network, Tensor(faces).to(device), Tensor(people).to(device), recipe.margin, done)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
            optimizer.step()
            schedule.step()
            row["loss"] = float(loss.item())
            if validate is not None and (step + 1) % max(1, recipe.steps // 10) == 0:
                row["error"] = validate()
            history.add(**row, seconds=time.perf_counter() - started)
            if watch is not None:
                watch(before + step + 1, row["loss"])
    return history


class Prefetched(Generic[T]):
    """The results of make(0), make(1), … make(count - 1), made ahead by one other thread.

    Arguments:
        make: called in the other thread, in order.
        count: how many results there are.
        ahead: how many may wait at most.

    Leaving the `with` block stops the thread, whatever the reason. An error in `make` is raised where its result would
    have been handed out.

    >>> with Prefetched(lambda k: k * k, 3) as squares:
    ...     list(squares)
    [0, 1, 4]
    """

    def __init__(self, make: Callable[[int], T], count: int, ahead: int = 4) -> None:
        self._make, self._count = make, count
        self._ready: Queue[tuple[T | None, BaseException | None]] = Queue(ahead)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="minidl-faces-batches", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        for _ in range(self._count):
            made, error = self._ready.get()
            if error is not None:
                raise error
            yield made  # type: ignore[misc]  # where there is no error there is a result

    def _work(self) -> None:
        for k in range(self._count):
            try:
                made: tuple[T | None, BaseException | None] = (self._make(k), None)
            except BaseException as error:  # handed to whoever takes the result
                made = (None, error)
            while not self._stopped.is_set():
                try:
                    self._ready.put(made, timeout=0.1)
                    break
                except Full:
                    continue
            if self._stopped.is_set() or made[1] is not None:
                return


@contextmanager
def progress_bar(show: bool, steps: int) -> Iterator[Callable[[int, float], None] | None]:
    """A bar on the terminal with the loss; nothing in a pipe, or where `rich` is not installed."""
    if not show or not sys.stderr.isatty():
        yield None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        yield None
        return
    columns = (
        TextColumn("training"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} steps, loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("training", total=steps, loss=float("nan"))
        yield lambda step, loss: bar.update(task, completed=step, loss=loss)
