"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from typing import Any

from minidl.backend import Array
from minidl.kernels import kernels_for
from minidl.optim.optimizer import Group, Optimizer, ParamsLike, State, zeros


class SGD(Optimizer):
    r"""Gradient descent, with heavy-ball or Nesterov momentum.

    $b \leftarrow \mu b + (1-\tau)(g + \lambda p),\quad p \leftarrow p - \alpha b$, and b is the first gradient itself
    at the first step. Without momentum $p \leftarrow p - \alpha (g + \lambda p)$.

    The exponential moving average $v \leftarrow \beta v + (1-\beta) g,\ p \leftarrow p - \alpha v$ from v = 0 is
    `SGD(lr=(1-β)*α, momentum=β)` exactly. `SGD(lr=α, momentum=β, dampening=β)` is not: its first v is g, not (1−β)g.

    Arguments:
        params: see `Optimizer`.
        lr: the rate α.
        momentum: the part μ of the old direction that is kept.
        dampening: the part τ of the new gradient that is dropped.
        weight_decay: the strength λ of the pull towards 0.
        nesterov: look one step of momentum ahead; needs momentum > 0 and dampening = 0.
        maximize: climb instead of descend.

    Source: Polyak, "Some methods of speeding up the convergence of iteration methods", 1964; Sutskever et al., "On the
    importance of initialization and momentum in deep learning", ICML 2013.

    >>> import minidl as dl
    >>> w = dl.tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> SGD([w], lr=0.25).step()
    >>> w.tolist()
    [0.5]
    """

    block = 1 << 17  # the kernel keeps nothing in between; fewer calls keep threads from waiting (`benchmarks sgd`)
    rule_is_a_kernel = True
    formula = r"b \leftarrow \mu b + (1 - \tau) g,\quad p \leftarrow p - \alpha b"

    def __init__(
        self,
        params: ParamsLike,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def check(self, group: Group) -> None:
        super().check(group)
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                f"SGD: nesterov needs momentum > 0 and dampening = 0, got {group['momentum']} and {group['dampening']}"
            )

    def prepare(self, p: Array, state: State, group: Group) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
        if not group["momentum"]:
            return (), ()
        if state.get("momentum_buffer") is None:
            state["momentum_buffer"] = zeros(p)
            return (state["momentum_buffer"],), (1,)
        return (state["momentum_buffer"],), (1 - group["dampening"],)

    def rule(self, p: Array, g: Array, arrays: tuple[Array, ...], group: Group, numbers: tuple[Any, ...]) -> None:
        b, fresh = (arrays[0], numbers[0]) if arrays else (None, 1)
        sign = -1 if group["maximize"] else 1
        update = kernels_for(p).sgd_update
        update(p, g, b, group["lr"], group["momentum"], fresh, group["nesterov"], group["weight_decay"], sign)
