"""A schedule that listens: the rate falls when a measure stops improving."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minidl.optim.optimizer import Optimizer


class ReduceLROnPlateau:
    """Multiplies the rates by factor after more than patience epochs without improvement.

    Arguments:
        optimizer: whose groups' "lr" is reduced.
        mode: "min" where less is better, "max" where more is.
        factor: what the rates are multiplied by, below 1.
        patience: how many epochs without improvement are let pass.
        threshold: how much better counts as better.
        threshold_mode: "rel": a part of the best value; "abs": its units.
        cooldown: epochs after a reduction in which nothing is counted.
        min_lr: no rate falls below it; one number, or one for each group.
        eps: reductions smaller than this are left out.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueError(
                f"ReduceLROnPlateau: mode is 'min' or 'max' and threshold_mode 'rel' or 'abs', "
                f"got {mode!r} and {threshold_mode!r}"
            )
        if not 0 <= factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor must lie in [0, 1), got {factor}")
        groups = len(optimizer.param_groups)
        self.min_lrs = [min_lr] * groups if isinstance(min_lr, int | float) else list(min_lr)
        if len(self.min_lrs) != groups:
            raise ValueError(f"ReduceLROnPlateau: {len(self.min_lrs)} values of min_lr for {groups} groups")
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown, self.eps = threshold, threshold_mode, cooldown, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0

    def is_better(self, value: float) -> bool:
        """True when a value improves on the best one by more than the threshold."""
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "rel":
            bar = self.best * (1 + sign * self.threshold)
        else:
            bar = self.best + sign * self.threshold
        return value > bar if self.mode == "max" else value < bar

    def step(self, metrics: Any) -> None:
        """Count one epoch that ended with this value of the measure."""
        value = float(metrics)
        self.last_epoch += 1
        if self.is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, min_lr in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                reduced = max(group["lr"] * self.factor, min_lr)
                if group["lr"] - reduced > self.eps:
                    group["lr"] = reduced
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def get_last_lr(self) -> list[float]:
        """The present rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """What has been seen so far."""
        return {
            "best": self.best,
            "num_bad_epochs": self.num_bad_epochs,
            "cooldown_counter": self.cooldown_counter,
            "last_epoch": self.last_epoch,
            "mode": self.mode,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what had been seen.

        Raises:
            ValueError: the state is not one of this schedule.
        """
        if set(state_dict) != set(self.state_dict()):
            raise ValueError(f"ReduceLROnPlateau: expected {sorted(self.state_dict())}, got {sorted(state_dict)}")
        if state_dict["mode"] != self.mode:
            raise ValueError(f"ReduceLROnPlateau: saved with mode={state_dict['mode']!r}, made with {self.mode!r}")
        self.best = float(state_dict["best"])
        self.num_bad_epochs, self.cooldown_counter = state_dict["num_bad_epochs"], state_dict["cooldown_counter"]
        self.last_epoch = state_dict["last_epoch"]
