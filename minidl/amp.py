"""Mixed precision: `autocast` computes products of matrices in few digits, `GradScaler` keeps gradients from vanishing.

    scaler = amp.GradScaler()
    for x, y in loader:
        optimizer.zero_grad()
        with amp.autocast("cuda", dtype=dl.float16):
            loss = F.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

Parameters, their gradients and the optimizer stay in float32. float16 ends at 65,504 and numbers below 6·10⁻⁸ are 0 in
it: gradients of a small loss vanish unless the loss is multiplied by a large scale first, and the scale is halved
whenever something overflows (Micikevicius et al., Mixed Precision Training, 2018).

bfloat16 has fewer digits and the range of float32, so it needs no scale; there are no tensors of it. With
`autocast("cuda", dtype=dl.bfloat16)` every tensor stays float32, and only the factors of products are rounded where
tensor cores multiply them: half the digits in the multiplication, all of them in the sum, and no memory saved.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.modes import _Switch, no_grad, tape
from minidl.backend import array_module, bfloat16
from minidl.kernels.capture import forbid_while_capturing
from minidl.ops.precision import FULL as FULL
from minidl.ops.precision import LOWER as LOWER

if TYPE_CHECKING:
    from minidl.optim.optimizer import Optimizer
    from minidl.tensor import Tensor


class autocast(_Switch):
    """Compute products in a lower precision inside a `with` block or a decorated function.

    Operations in `LOWER` take float32 inputs in the lower precision, those in `FULL` take lower ones in float32, all
    others compute in what they are given. Each thread has its own setting. The backward walk is not affected: every
    gradient has the dtype of what it belongs to.

    With bfloat16 all tensors keep their dtype. Convolutions and products of float32 matrices in `LOWER` round their
    factors, in their gradients too, and add up in float32; a GPU before compute 8.0 has no bfloat16 and computes them
    in float32. Attention and the steps of recurrent layers are float32 on every GPU.

    Arguments:
        device_type: "cuda" or "cpu"; tensors elsewhere are left as they are. On the CPU it saves memory, not time.
        dtype: float16, or on "cuda" also `minidl.bfloat16`.
        enabled: False for a block that computes in full precision inside another `autocast`.

    Raises:
        ValueError: there is no such device, or it does not compute in that dtype.

    >>> import minidl as dl
    >>> x = dl.ones(2, 3)
    >>> with autocast("cpu"):
    ...     y = x @ x.T
    ...     y.dtype, y.softmax(1).dtype
    (dtype('float16'), dtype('float32'))
    """

    field = "autocast"

    def __init__(self, device_type: str = "cuda", dtype: Any = np.float16, enabled: bool = True) -> None:
        if device_type not in ("cuda", "cpu"):
            raise ValueError(f"autocast: the device type must be 'cuda' or 'cpu', got {device_type!r}")
        super().__init__((device_type, _lower(device_type, dtype)) if enabled else None)


def _lower(device_type: str, dtype: Any) -> Any:
    """The dtype as float16 or `bfloat16`."""
    if dtype is bfloat16 or getattr(dtype, "name", dtype) == "bfloat16":
        if device_type == "cpu":
            raise ValueError("autocast: bfloat16 needs the tensor cores of a GPU; on the CPU use float16")
        return bfloat16
    try:
        lower = np.dtype(dtype)
    except TypeError as error:
        raise ValueError(f"autocast: {dtype!r} is no dtype; use float16 or bfloat16") from error
    if lower != np.float16:
        raise ValueError(f"autocast: the lower precision must be float16 or bfloat16, got {lower.name}")
    return lower


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether an `autocast` for this device type holds in this thread."""
    return tape.autocast is not None and tape.autocast[0] == device_type


class GradScaler:
    """Multiplies the loss by a scale, takes it out of the gradients again, and adapts it.

    Arguments:
        device: kept for PyTorch's signature; gradients may lie anywhere.
        init_scale: the first scale.
        growth_factor: what the scale is multiplied by after `growth_interval` steps without an overflow.
        backoff_factor: what it is multiplied by after an overflow.
        growth_interval: steps.
        enabled: False makes every method do as if there were no scale.

    Raises:
        ValueError: a number makes no sense.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if not (init_scale > 0 and math.isfinite(init_scale)):
            raise ValueError(f"GradScaler: init_scale must be a positive number, got {init_scale!r}")
        if not growth_factor > 1:
            raise ValueError(f"GradScaler: growth_factor must be > 1, got {growth_factor!r}")
        if not 0 < backoff_factor < 1:
            raise ValueError(f"GradScaler: backoff_factor must lie between 0 and 1, got {backoff_factor!r}")
        if isinstance(growth_interval, bool) or not isinstance(growth_interval, int) or growth_interval < 1:
            raise ValueError(f"GradScaler: growth_interval must be an integer ≥ 1, got {growth_interval!r}")
        self._scale = float(init_scale)
        self._growth_factor, self._backoff_factor = float(growth_factor), float(backoff_factor)
        self._growth_interval, self._steps_since = growth_interval, 0
        self._enabled = enabled
        self._overflowed: dict[int, bool] = {}
        """Optimizers whose gradients were unscaled since the last update, by identity: was there an overflow?"""
        self._stepped: set[int] = set()
        """Those that made their step, or left it out, since the last update."""

    def is_enabled(self) -> bool:
        """Whether it scales at all."""
        return self._enabled

    def get_scale(self) -> float:
        """The scale; 1 if disabled."""
        return self._scale if self._enabled else 1.0

    def scale(self, outputs: Any) -> Any:
        """The loss (or each of a list of them) times the scale: call backward on that.

        Raises:
            RuntimeError: a graph is being captured, in which the scale would stand still.
        """
        if not self._enabled:
            return outputs
        forbid_while_capturing("the scale of GradScaler", "give the scale to the function as a tensor")
        if isinstance(outputs, list | tuple):
            return type(outputs)([self.scale(y) for y in outputs])
        return outputs.to(dtype=np.float32) * self._scale if outputs.dtype == np.float16 else outputs * self._scale

    @no_grad()
    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients by the scale, in place: needed only to look at them or clip them before `step`.

        Raises:
            RuntimeError: it was called for this optimizer already since the last `update`.
        """
        if not self._enabled:
            return
        if id(optimizer) in self._overflowed:
            raise RuntimeError("unscale_: the gradients of this optimizer were divided by the scale already")
        overflowed = False
        for parameter in _parameters(optimizer):
            if parameter.grad is not None:
                g = parameter.grad.array
                g *= g.dtype.type(1.0 / self._scale)
                parameter.grad._written()
                overflowed = overflowed or not bool(array_module(g).isfinite(g).all())
        self._overflowed[id(optimizer)] = overflowed

    def step(self, optimizer: Optimizer, *arguments: Any) -> Any:
        """`optimizer.step()`, unless a gradient is infinite or nan: then nothing is changed.

        Raises:
            RuntimeError: it was called for this optimizer already since the last `update`.
        """
        if not self._enabled:
            return optimizer.step(*arguments)
        if id(optimizer) in self._stepped:
            raise RuntimeError("step: this optimizer made its step already; call update once an iteration")
        self._stepped.add(id(optimizer))
        if id(optimizer) not in self._overflowed:
            self.unscale_(optimizer)
        return None if self._overflowed[id(optimizer)] else optimizer.step(*arguments)

    def update(self, new_scale: float | None = None) -> None:
        """Adapt the scale; call it once after all optimizers of an iteration have made their step.

        Raises:
            RuntimeError: no gradients were looked at since the last call.
            ValueError: the new scale is no positive number.
        """
        if not self._enabled:
            return
        if new_scale is not None:
            if not (new_scale > 0 and math.isfinite(new_scale)):
                raise ValueError(f"update: the new scale must be a positive number, got {new_scale!r}")
            self._scale = float(new_scale)
        elif not self._overflowed:
            raise RuntimeError(
                "update: call step (or unscale_) first, so that there is something to adapt the scale to"
            )
        elif any(self._overflowed.values()):
            self._scale, self._steps_since = self._scale * self._backoff_factor, 0
        else:
            self._steps_since += 1
            if self._steps_since == self._growth_interval:
                self._scale, self._steps_since = self._scale * self._growth_factor, 0
        self._overflowed, self._stepped = {}, set()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale, "growth_factor": self._growth_factor, "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval, "_growth_tracker": self._steps_since,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`.

        Raises:
            ValueError: an entry is missing.
        """
        if not self._enabled:
            return
        missing = self.state_dict().keys() - state.keys()
        if missing:
            raise ValueError(f"GradScaler.load_state_dict: {', '.join(sorted(missing))} missing in the state")
        self._scale, self._steps_since = float(state["scale"]), int(state["_growth_tracker"])
        self._growth_factor, self._backoff_factor = float(state["growth_factor"]), float(state["backoff_factor"])
        self._growth_interval = int(state["growth_interval"])


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
