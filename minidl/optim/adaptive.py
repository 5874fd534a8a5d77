"""Adagrad, Adadelta and RMSprop: rates that follow the size of each element's past gradients."""

from __future__ import annotations

from typing import Any

from minidl.backend import Array, array_module
from minidl.optim.optimizer import Group, Optimizer, ParamsLike, State, followed_gradient, zeros


class Adagrad(Optimizer):
    r"""$G \leftarrow G + g^2,\quad p \leftarrow p - \dfrac{\alpha}{1 + (t-1)\eta} \dfrac{g}{\sqrt G + \epsilon}$.

    Arguments:
        params: see `Optimizer`.
        lr: the rate α.
        lr_decay: η.
        weight_decay: λ, added to the gradient as λp.
        initial_accumulator_value: what G starts from.
        eps: keeps the denominator from zero.
        maximize: climb instead of descend.

    Source: Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization",
    JMLR 12, 2011.
    """

    formula = r"G \leftarrow G + g^2,\quad p \leftarrow p - \alpha \frac{g}{\sqrt{G} + \epsilon}"

    def __init__(
        self,
        params: ParamsLike,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "eps": eps,
                "maximize": maximize,
            },
        )

    def prepare(self, p: Array, state: State, group: Group) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
        if not state:
            state.update(step=0, sum=zeros(p))
            state["sum"] += group["initial_accumulator_value"]
        state["step"] += 1
        return (state["sum"],), (group["lr"] / (1 + (state["step"] - 1) * group["lr_decay"]),)

    def rule(self, p: Array, g: Array, arrays: tuple[Array, ...], group: Group, numbers: tuple[Any, ...]) -> None:
        (total,), (rate,) = arrays, numbers
        g = followed_gradient(p, g, group)
        total += g * g
        p -= rate * g / (array_module(p).sqrt(total) + group["eps"])


class Adadelta(Optimizer):
    r"""Steps in the units of the parameter: the ratio of the sizes of past steps and past gradients, times g.

    $s \leftarrow \rho s + (1-\rho) g^2,\quad \delta = \sqrt{\dfrac{d + \epsilon}{s + \epsilon}}\, g,\quad
    d \leftarrow \rho d + (1-\rho) \delta^2,\quad p \leftarrow p - \alpha \delta$.

    Arguments:
        params: see `Optimizer`.
        lr: the rate α, 1 in the paper.
        rho: ρ, how much of the averages is kept a step.
        eps: ε, which also sets the size of the first steps.
        weight_decay: λ, added to the gradient as λp.
        maximize: climb instead of descend.

    Source: Zeiler, "ADADELTA: an adaptive learning rate method", 2012.
    """

    formula = (
        r"s \leftarrow \rho s + (1-\rho) g^2,\quad \delta = \frac{\sqrt{d + \epsilon}}{\sqrt{s + \epsilon}} g,\quad "
        r"d \leftarrow \rho d + (1-\rho) \delta^2,\quad p \leftarrow p - \alpha \delta"
    )

    def __init__(
        self,
        params: ParamsLike,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize})

    def prepare(self, p: Array, state: State, group: Group) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
        if not state:
            state.update(step=0, square_avg=zeros(p), acc_delta=zeros(p))
        state["step"] += 1
        return (state["square_avg"], state["acc_delta"]), ()

    def rule(self, p: Array, g: Array, arrays: tuple[Array, ...], group: Group, numbers: tuple[Any, ...]) -> None:
        xp, rho, eps = array_module(p), group["rho"], group["eps"]
        s, d = arrays
        g = followed_gradient(p, g, group)
        s *= rho
        s += (1 - rho) * g * g
        delta = xp.sqrt(d + eps) / xp.sqrt(s + eps) * g
        d *= rho
        d += (1 - rho) * delta * delta
        p -= group["lr"] * delta


class RMSprop(Optimizer):
    r"""The gradient over the running root mean square of its element.

    $s \leftarrow \alpha s + (1-\alpha) g^2,\quad p \leftarrow p - \gamma \dfrac{g}{\sqrt s + \epsilon}$; centered:
    $\sqrt{s - \bar g^2}$ with the running mean $\bar g$; momentum: $b \leftarrow \mu b + g/(\sqrt s + \epsilon),\
    p \leftarrow p - \gamma b$.

    Arguments:
        params: see `Optimizer`.
        lr: the rate γ.
        alpha: how much of the averages is kept a step.
        eps: keeps the denominator from zero.
        weight_decay: λ, added to the gradient as λp.
        momentum: μ.
        centered: divide by the running standard deviation instead. Where rounding makes the running variance
            negative it counts as 0; PyTorch gives nan there.
        maximize: climb instead of descend.

    Source: Tieleman and Hinton, lecture 6.5 of "Neural networks for machine learning", 2012; centered: Graves,
    "Generating sequences with recurrent neural networks", 2013.
    """

    formula = r"s \leftarrow \alpha s + (1-\alpha) g^2,\quad p \leftarrow p - \gamma \frac{g}{\sqrt{s} + \epsilon}"

    def __init__(
        self,
        params: ParamsLike,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
                "maximize": maximize,
            },
        )

    def prepare(self, p: Array, state: State, group: Group) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
        if not state:
            state.update(step=0, square_avg=zeros(p))
        state["step"] += 1
        names = ("square_avg", *("grad_avg",) * group["centered"], *("momentum_buffer",) * (group["momentum"] > 0))
        for name in names:
            if name not in state:
                state[name] = zeros(p)
        return tuple([state[name] for name in names]), ()

    def rule(self, p: Array, g: Array, arrays: tuple[Array, ...], group: Group, numbers: tuple[Any, ...]) -> None:
        xp, alpha = array_module(p), group["alpha"]
        s, *more = arrays
        g = followed_gradient(p, g, group)
        s *= alpha
        s += (1 - alpha) * g * g
        variance = s
        if group["centered"]:
            mean = more[0]
            mean += (1 - alpha) * (g - mean)
            variance = xp.maximum(s - mean * mean, 0)
        root = xp.sqrt(variance) + group["eps"]
        if group["momentum"] > 0:
            b = more[-1]
            b *= group["momentum"]
            b += g / root
            p -= group["lr"] * b
        else:
            p -= group["lr"] * g / root
