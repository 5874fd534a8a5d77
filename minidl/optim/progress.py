"""How a training run goes: its figures by epoch, and when to stop it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any


class History:
    """Figures of a run, one row for each epoch or step.

    >>> history = History()
    >>> history.add(epoch=0, loss=2.0)
    >>> history.add(epoch=1, loss=1.5, accuracy=0.8)
    >>> history["loss"], history["accuracy"], history.best("loss")
    ([2.0, 1.5], [None, 0.8], {'epoch': 1, 'loss': 1.5, 'accuracy': 0.8})
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, **figures: Any) -> None:
        """Add a row: numbers, or anything with `.item()`."""
        self.rows.append({name: v.item() if hasattr(v, "item") else v for name, v in figures.items()})

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __getitem__(self, name: str) -> list[Any]:
        """A figure over all rows, None where a row lacks it."""
        if not any(name in row for row in self.rows):
            raise KeyError(
                f"history: no row has {name!r}; there are {sorted({key for row in self.rows for key in row})}"
            )
        return [row.get(name) for row in self.rows]

    def best(self, name: str, mode: str = "min") -> dict[str, Any]:
        """The row with the least value of a figure, or with the largest where mode is "max"; the first of equals."""
        rows = [row for row in self.rows if row.get(name) is not None and not math.isnan(row[name])]
        if not rows:
            raise KeyError(f"history: no row has a value of {name!r}")
        return (max if _checked(mode) == "max" else min)(rows, key=lambda row: row[name])

    def state_dict(self) -> dict[str, Any]:
        """All rows, copied."""
        return {"rows": [dict(row) for row in self.rows]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Replace all rows by saved ones."""
        self.rows = [dict(row) for row in state_dict["rows"]]


class EarlyStopping:
    """Says when a measure has not improved for patience epochs.

    Arguments:
        patience: epochs without improvement that are let pass before the one that stops.
        min_delta: how much better counts as better.
        mode: "min" where less is better, "max" where more is.

    >>> stop = EarlyStopping(patience=1)
    >>> [stop.step(loss) for loss in (3.0, 2.0, 2.5, 2.5)]
    [False, False, False, True]
    >>> stop.best, stop.best_epoch
    (2.0, 1)
    """

    def __init__(self, patience: int = 10, min_delta: float = 0.0, mode: str = "min") -> None:
        if patience < 0 or not min_delta >= 0:
            raise ValueError(f"EarlyStopping: expected patience ≥ 0 and min_delta ≥ 0, got {patience} and {min_delta}")
        self.patience, self.min_delta, self.mode = patience, min_delta, _checked(mode)
        self.best = math.inf if mode == "min" else -math.inf
        self.best_epoch, self.epochs = -1, 0

    @property
    def improved(self) -> bool:
        """True when the last epoch was the best one so far: the moment to keep its weights."""
        return self.epochs > 0 and self.best_epoch == self.epochs - 1

    def step(self, value: Any) -> bool:
        """Count one epoch that ended with this value; True when the run should stop. A nan never improves."""
        value = float(value)
        gain = self.best - value if self.mode == "min" else value - self.best
        if gain > self.min_delta:
            self.best, self.best_epoch = value, self.epochs
        self.epochs += 1
        return self.epochs - 1 - self.best_epoch > self.patience

    def state_dict(self) -> dict[str, Any]:
        """What has been seen so far."""
        return {"best": self.best, "best_epoch": self.best_epoch, "epochs": self.epochs, "mode": self.mode}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what had been seen.

        Raises:
            ValueError: the state is not one of this mode.
        """
        if set(state_dict) != set(self.state_dict()) or state_dict["mode"] != self.mode:
            raise ValueError(f"EarlyStopping: the saved state {state_dict} is not one of mode {self.mode!r}")
        self.best, self.best_epoch, self.epochs = (state_dict[key] for key in ("best", "best_epoch", "epochs"))


def _checked(mode: str) -> str:
    if mode not in ("min", "max"):
        raise ValueError(f"mode is 'min' or 'max', got {mode!r}")
    return mode
