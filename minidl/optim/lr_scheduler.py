r"""Schedules: the rate as a function of the epoch (or of the step: whatever `step()` is called after).

All but `ReduceLROnPlateau` are functions of the epoch alone, so a schedule can be drawn before it is run:
`StepLR(optimizer, 10).lr_at(0.1, epoch)`. PyTorch multiplies schedulers that share an optimizer; here the last one
to step sets the rate, and `SequentialLR` is the way to combine two.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence

from minidl.optim.optimizer import Optimizer
from minidl.optim.plateau import ReduceLROnPlateau as ReduceLROnPlateau
from minidl.optim.schedule import LRScheduler as LRScheduler
from minidl.optim.schedule import SequentialLR as SequentialLR


class LambdaLR(LRScheduler):
    r"""$\alpha_t = \alpha_0\, f(t)$.

    Arguments:
        optimizer: whose rates are set.
        lr_lambda: f, a function of the epoch, or one for each group. It is not saved.
    """

    formula = r"\alpha_t = \alpha_0 f(t)"

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]]
    ) -> None:
        groups = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != groups:
            raise ValueError(f"LambdaLR: {len(self.lr_lambdas)} functions for {groups} groups")
        super().__init__(optimizer)

    def lr_at(self, base_lr: float, epoch: int) -> float:
        return self.group_lr_at(0, base_lr, epoch)

    def group_lr_at(self, group: int, base_lr: float, epoch: int) -> float:
        return base_lr * self.lr_lambdas[group](epoch)


class StepLR(LRScheduler):
    r"""$\alpha_t = \alpha_0 \gamma^{\lfloor t / s \rfloor}$: times γ every s = step_size epochs."""

    formula = r"\alpha_t = \alpha_0 \gamma^{\lfloor t / s \rfloor}"
    saved = ("step_size", "gamma")

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size, self.gamma = _positive("StepLR", "step_size", step_size), gamma
        super().__init__(optimizer)

    def lr_at(self, base_lr: float, epoch: int) -> float:
        return base_lr * self.gamma ** (epoch // self.step_size)


class MultiStepLR(LRScheduler):
    r"""$\alpha_t = \alpha_0 \gamma^{k}$, k the number of milestones that t has reached."""

    formula = r"\alpha_t = \alpha_0 \gamma^{|\{m : m \le t\}|}"
    saved = ("milestones", "gamma")

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def lr_at(self, base_lr: float, epoch: int) -> float:
        return base_lr * self.gamma ** bisect_right(self.milestones, epoch)


class ExponentialLR(LRScheduler):
    r"""$\alpha_t = \alpha_0 \gamma^t$."""

    formula = r"\alpha_t = \alpha_0 \gamma^t"
    saved = ("gamma",)

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def lr_at(self, base_lr: float, epoch: int) -> float:
        return base_lr * self.gamma**epoch


class LinearLR(LRScheduler):
    """The rate times a factor that goes straight from start_factor to end_factor in total_iters epochs, then stays."""

    formula = r"\alpha_t = \alpha_0 (a + (b - a) \min(t / T, 1))"
    saved = ("start_factor", "end_factor", "total_iters")

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
    ) -> None:
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise ValueError(
                f"LinearLR: expected 0 < start_factor ≤ 1 and 0 ≤ end_factor ≤ 1, got {start_factor} and {end_factor}"
            )
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = _positive("LinearLR", "total_iters", total_iters)
        super().__init__(optimizer)

    def lr_at(self, base_lr: float, epoch: int) -> float:
        part = min(epoch, self.total_iters) / self.total_iters
        return base_lr * (self.start_factor + (self.end_factor - self.start_factor) * part)


class CosineAnnealingLR(LRScheduler):
    r"""Half a cosine from the base rate to eta_min in T_max epochs, and back up if it goes on.

    $\alpha_t = \eta + \frac12 (\alpha_0 - \eta)(1 + \cos(\pi t / T))$.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, without restarts.
    """

    formula = r"\alpha_t = \eta + \tfrac{1}{2} (\alpha_0 - \eta)(1 + \cos(\pi t / T))"
    saved = ("T_max", "eta_min")

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max, self.eta_min = _positive("CosineAnnealingLR", "T_max", T_max), eta_min
        super().__init__(optimizer)

    def lr_at(self, base_lr: float, epoch: int) -> float:
        return self.eta_min + (base_lr - self.eta_min) * (1 + math.cos(math.pi * epoch / self.T_max)) / 2


class WarmupCosine(LRScheduler):
    r"""Straight up to the base rate in warmup_steps steps, then half a cosine down to lr_min at total_steps.

    Step t = 0 … T−1 of a run of T = total_steps steps takes the rate $\alpha_0 (t+1)/W$ while t < W, then
    $\eta + \frac12(\alpha_0-\eta)(1 + \cos(\pi (t - W)/(T - W)))$; from step T on it is lr_min.

    Arguments:
        optimizer: whose rates are set.
        warmup_steps: W, may be 0.
        total_steps: T, more than W.
        lr_min: η.

    Raises:
        ValueError: not 0 ≤ warmup_steps < total_steps.
    """

    formula = (
        r"\alpha_t = \alpha_0 \frac{t + 1}{W} \;(t < W),\quad "
        r"\alpha_t = \eta + \tfrac{1}{2}(\alpha_0 - \eta)(1 + \cos(\pi \tfrac{t - W}{T - W})) \;(t \ge W)"
    )
    saved = ("warmup_steps", "total_steps", "lr_min")

    def __init__(self, optimizer: Optimizer, warmup_steps: int, total_steps: int, lr_min: float = 0.0) -> None:
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                f"WarmupCosine: expected 0 ≤ warmup_steps < total_steps, got {warmup_steps} and {total_steps}"
            )
        self.warmup_steps, self.total_steps, self.lr_min = warmup_steps, total_steps, lr_min
        super().__init__(optimizer)

    def lr_at(self, base_lr: float, epoch: int) -> float:
        if epoch < self.warmup_steps:
            return base_lr * (epoch + 1) / self.warmup_steps
        part = min(1.0, (epoch - self.warmup_steps) / (self.total_steps - self.warmup_steps))
        return self.lr_min + (base_lr - self.lr_min) * (1 + math.cos(math.pi * part)) / 2


class InverseSqrtLR(LRScheduler):
    r"""$\alpha_t = \alpha_0 / \sqrt{1 + \epsilon t}$: one global decay, the same for all parameters.

    The documents give it, with $\alpha_0 = 1$, as an adaptive rate of each parameter. It is neither: `Adagrad`,
    `RMSprop` and `Adam` are. Nor is ε a guard against division by zero here; it sets how fast the rate decays, and
    ε = 1e-8 leaves it where it was.

    Source: document 001, sections 3.1.5 and 3.2.3.
    """

    formula = r"\alpha_t = \frac{\alpha_0}{\sqrt{1 + \epsilon t}}"
    saved = ("epsilon",)

    def __init__(self, optimizer: Optimizer, epsilon: float) -> None:
        if not epsilon >= 0:
            raise ValueError(f"InverseSqrtLR: epsilon must be ≥ 0, got {epsilon}")
        self.epsilon = epsilon
        super().__init__(optimizer)

    def lr_at(self, base_lr: float, epoch: int) -> float:
        return base_lr / math.sqrt(1 + self.epsilon * epoch)


def inverse_sqrt_decay(iteration: int, epsilon: float) -> float:
    r"""$1 / \sqrt{1 + \epsilon t}$, the factor of `InverseSqrtLR`.

    >>> round(inverse_sqrt_decay(100, 0.01), 4), round(inverse_sqrt_decay(10_000, 1e-8), 5)
    (0.7071, 0.99995)
    """
    return 1 / math.sqrt(1 + epsilon * iteration)


def _positive(who: str, what: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"{who}: {what} must be ≥ 1, got {value}")
    return value
