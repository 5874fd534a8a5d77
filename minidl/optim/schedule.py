"""What all schedules share: the epoch, the base rates, saving; and one schedule after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, ClassVar

from minidl.optim.optimizer import Optimizer


class LRScheduler:
    """Sets the rate of every group of an optimizer as a function of the epoch.

    Arguments:
        optimizer: whose groups' "lr" is set, at once and at every `step()`; its present rates are the base rates.
    """

    formula: ClassVar[str] = ""
    saved: ClassVar[tuple[str, ...]] = ()

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(self).__name__}: expected an optimizer, got {type(optimizer).__name__}")
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = 0
        self._set()

    def lr_at(self, base_lr: float, epoch: int) -> float:
        """The rate at an epoch, counted from 0."""
        raise NotImplementedError

    def group_lr_at(self, group: int, base_lr: float, epoch: int) -> float:
        """The rate of one group; differs from `lr_at` only where groups follow rules of their own."""
        return self.lr_at(base_lr, epoch)

    def step(self) -> None:
        """Go on to the next epoch."""
        self.last_epoch += 1
        self._set()

    def _set(self) -> None:
        if len(self.base_lrs) != len(self.optimizer.param_groups):
            raise ValueError(
                f"{type(self).__name__}: made for {len(self.base_lrs)} groups, "
                f"the optimizer now has {len(self.optimizer.param_groups)}"
            )
        for i, (group, base_lr) in enumerate(zip(self.optimizer.param_groups, self.base_lrs, strict=True)):
            group["lr"] = self.group_lr_at(i, base_lr, self.last_epoch)

    def get_last_lr(self) -> list[float]:
        """The present rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The position in the schedule, and the numbers that define it."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)} | {
            name: getattr(self, name) for name in self.saved
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a saved position.

        Raises:
            ValueError: the state is that of another schedule, or of one with other numbers.
        """
        mine, name = self.state_dict(), type(self).__name__
        if set(mine) != set(state_dict):
            raise ValueError(f"{name}: the saved state has {sorted(state_dict)}, expected {sorted(mine)}")
        for key in self.saved:
            if _plain(state_dict[key]) != _plain(mine[key]):
                raise ValueError(f"{name}: saved with {key}={state_dict[key]}, made with {key}={mine[key]}")
        if len(state_dict["base_lrs"]) != len(self.base_lrs):
            raise ValueError(f"{name}: saved for {len(state_dict['base_lrs'])} groups, made for {len(self.base_lrs)}")
        self.last_epoch = int(state_dict["last_epoch"])
        self.base_lrs = [float(lr) for lr in state_dict["base_lrs"]]
        self._set()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


class SequentialLR(LRScheduler):
    """One schedule after the other: schedule i starts, at its own epoch 0, when milestone i−1 is reached.

    Arguments:
        optimizer: whose rates are set.
        schedulers: made for the same optimizer, functions of the epoch alone.
        milestones: the epochs at which the second, third … begin; one fewer than there are schedulers.
    """

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]) -> None:
        if len(milestones) != len(schedulers) - 1 or list(milestones) != sorted(milestones):
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedulers need {len(schedulers) - 1} rising milestones, "
                f"got {list(milestones)}"
            )
        for scheduler in schedulers:
            if not isinstance(scheduler, LRScheduler) or scheduler.optimizer is not optimizer:
                raise TypeError(
                    f"SequentialLR: {type(scheduler).__name__} is not a function of the epoch for this optimizer"
                )
        self._schedulers, self._milestones = list(schedulers), list(milestones)
        super().__init__(optimizer)

    def lr_at(self, base_lr: float, epoch: int) -> float:
        return self.group_lr_at(0, base_lr, epoch)

    def group_lr_at(self, group: int, base_lr: float, epoch: int) -> float:
        i = bisect_right(self._milestones, epoch)
        return self._schedulers[i].group_lr_at(group, base_lr, epoch - (self._milestones[i - 1] if i else 0))

    def state_dict(self) -> dict[str, Any]:
        """The position, and the state of each part."""
        parts = [scheduler.state_dict() for scheduler in self._schedulers]
        return super().state_dict() | {"milestones": self._milestones, "schedulers": parts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a saved position; nothing changes where it does not fit."""
        parts = state_dict.get("schedulers", [])
        if len(parts) != len(self._schedulers) or list(state_dict.get("milestones", ())) != self._milestones:
            raise ValueError(f"SequentialLR: expected {len(self._schedulers)} parts with milestones {self._milestones}")
        before = [scheduler.state_dict() for scheduler in self._schedulers]
        try:
            for scheduler, part in zip(self._schedulers, parts, strict=True):
                scheduler.load_state_dict(part)
            super().load_state_dict(state_dict)
        except ValueError:
            for scheduler, part in zip(self._schedulers, before, strict=True):
                scheduler.load_state_dict(part)
            self._set()
            raise
