"""Adam and its kin: a step of about the rate for every element, whatever the size of its gradients."""

from __future__ import annotations

import math
from typing import Any

from minidl.backend import Array, array_module
from minidl.kernels import kernels_for
from minidl.optim.optimizer import Group, Optimizer, ParamsLike, State, followed_gradient, zeros


class Adam(Optimizer):
    r"""Running averages of gradients and of their squares, corrected for starting at zero.

    $m \leftarrow \beta_1 m + (1-\beta_1) g,\ v \leftarrow \beta_2 v + (1-\beta_2) g^2$, and at step t
    $p \leftarrow p - \alpha\, \dfrac{m/(1-\beta_1^t)}{\sqrt{v/(1-\beta_2^t)} + \epsilon}$.

    Arguments:
        params: see `Optimizer`.
        lr: the rate α.
        betas: β₁ and β₂, how much of the averages is kept a step.
        eps: keeps the denominator from zero.
        weight_decay: λ, added to the gradient as λp.
        amsgrad: divide by the largest v so far, which never lets the rate grow again.
        maximize: climb instead of descend.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015; amsgrad: Reddi, Kale and Kumar, "On
    the convergence of Adam and beyond", ICLR 2018 (here, as in PyTorch, with the corrections for the start).
    """

    formula = (
        r"m \leftarrow \beta_1 m + (1-\beta_1) g,\quad v \leftarrow \beta_2 v + (1-\beta_2) g^2,\quad "
        r"p \leftarrow p - \alpha \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + \epsilon}"
    )
    decoupled = False
    block = 1 << 17  # the kernel keeps nothing in between; fewer calls keep threads from waiting (`benchmarks adam`)
    rule_is_a_kernel = True

    def __init__(
        self,
        params: ParamsLike,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
            },
        )

    def prepare(self, p: Array, state: State, group: Group) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
        if not state:
            state.update(step=0, exp_avg=zeros(p), exp_avg_sq=zeros(p))
        state["step"] += 1
        beta1, beta2 = group["betas"]
        numbers = group["lr"] / (1 - beta1 ** state["step"]), math.sqrt(1 - beta2 ** state["step"])
        if not group["amsgrad"]:
            return (state["exp_avg"], state["exp_avg_sq"]), numbers
        if "max_exp_avg_sq" not in state:
            state["max_exp_avg_sq"] = zeros(p)
        return (state["exp_avg"], state["exp_avg_sq"], state["max_exp_avg_sq"]), numbers

    def rule(self, p: Array, g: Array, arrays: tuple[Array, ...], group: Group, numbers: tuple[Any, ...]) -> None:
        m, v, *largest = arrays
        decay, shrink = group["weight_decay"], 1.0
        if self.decoupled:
            decay, shrink = 0, 1 - group["lr"] * decay
        sign = -1 if group["maximize"] else 1
        most, update = largest[0] if largest else None, kernels_for(p).adam_update
        update(p, g, m, v, most, *numbers, *group["betas"], group["eps"], decay, shrink, sign)


class AdamW(Adam):
    r"""Adam whose weight decay bypasses the averages: $p \leftarrow (1 - \alpha\lambda) p$ before the step.

    Arguments: those of `Adam`; weight_decay is 0.01 unless given.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """

    formula = r"p \leftarrow (1 - \alpha \lambda) p,\quad \text{then } " + Adam.formula
    decoupled = True

    def __init__(
        self,
        params: ParamsLike,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)


class NAdam(Optimizer):
    r"""Adam with Nesterov's look ahead.

    With $\mu_t = \beta_1(1 - \frac12 0.96^{t\psi})$ and m, v as in Adam,
    $\hat m = \dfrac{\mu_{t+1} m}{1 - \prod_{i \le t+1} \mu_i} + \dfrac{(1-\mu_t) g}{1 - \prod_{i \le t} \mu_i}$
    takes the place of $m/(1-\beta_1^t)$.

    Arguments:
        params, lr, betas, eps, weight_decay, maximize: as in `Adam`.
        momentum_decay: ψ.
        decoupled_weight_decay: decay as in `AdamW`.

    Source: Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016.
    """

    formula = (
        r"p \leftarrow p - \alpha \frac{\mu_{t+1} m / (1 - \prod^{t+1} \mu_i) + (1-\mu_t) g / (1 - \prod^{t} \mu_i)}"
        r"{\sqrt{v / (1-\beta_2^t)} + \epsilon}"
    )

    def __init__(
        self,
        params: ParamsLike,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    def check(self, group: Group) -> None:
        super().check(group)
        if not group["momentum_decay"] >= 0:
            raise ValueError(f"NAdam: momentum_decay must be ≥ 0, got {group['momentum_decay']}")

    def prepare(self, p: Array, state: State, group: Group) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
        if not state:
            state.update(step=0, mu_product=1.0, exp_avg=zeros(p), exp_avg_sq=zeros(p))
        state["step"] = t = state["step"] + 1
        beta1, beta2 = group["betas"]
        mu = beta1 * (1 - 0.5 * 0.96 ** (t * group["momentum_decay"]))
        mu_next = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * group["momentum_decay"]))
        state["mu_product"] *= mu
        for_g = group["lr"] * (1 - mu) / (1 - state["mu_product"])
        for_m = group["lr"] * mu_next / (1 - state["mu_product"] * mu_next)
        return (state["exp_avg"], state["exp_avg_sq"]), (for_g, for_m, 1 - beta2**t)

    def rule(self, p: Array, g: Array, arrays: tuple[Array, ...], group: Group, numbers: tuple[Any, ...]) -> None:
        m, v = arrays
        for_g, for_m, correction = numbers
        beta1, beta2 = group["betas"]
        if group["decoupled_weight_decay"]:
            p *= 1 - group["lr"] * group["weight_decay"]
            g = -g if group["maximize"] else g
        else:
            g = followed_gradient(p, g, group)
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * g * g
        denominator = array_module(p).sqrt(v / correction) + group["eps"]
        p -= for_g * g / denominator
        p -= for_m * m / denominator
