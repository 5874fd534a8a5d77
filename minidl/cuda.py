"""The GPU: what there is, how much of its memory is used, and training steps captured as graphs.

Where there is no GPU, every function but `is_available` and `device_count` says in one sentence what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.variable import Variable
from minidl.backend import Array, cuda_is_available, module_for
from minidl.kernels.capture import MOST_NUMBERS, Update, capturing, holding_updates
from minidl.kernels.precision import allow_tf32 as allow_tf32
from minidl.kernels.precision import tf32_is_allowed as tf32_is_allowed
from minidl.kernels.selection import gpu_kernels

if TYPE_CHECKING:
    from minidl.tensor import Tensor

WARM_UP = 3
"""How many calls run as ordinary steps before one is captured: kernels are compiled there, and memory is taken."""


def is_available() -> bool:
    """True when CuPy is installed and sees at least one GPU."""
    return cuda_is_available()


def device_count() -> int:
    """How many GPUs there are; 0 without CuPy or a driver."""
    return int(module_for("cuda").cuda.runtime.getDeviceCount()) if cuda_is_available() else 0


def current_device() -> int:
    """The number of the GPU that new arrays lie on."""
    return int(module_for("cuda").cuda.Device().id)


def device_name(device: int | None = None) -> str:
    """What the maker calls the GPU.

    Arguments:
        device: its number; the current one if None.
    """
    runtime = module_for("cuda").cuda.runtime
    name = runtime.getDeviceProperties(current_device() if device is None else device)["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def synchronize(device: int | None = None) -> None:
    """Wait until the GPU has done everything it was told to; without it, a clock measures only the telling."""
    module_for("cuda").cuda.Device(device).synchronize()


# ── memory ────────────────────────────────────────────────────────────────────────────────────────


def memory_allocated() -> int:
    """Bytes of the GPU's memory that arrays use now."""
    return int(module_for("cuda").get_default_memory_pool().used_bytes())


def memory_reserved() -> int:
    """Bytes that CuPy's pool has taken from the GPU: what arrays use, and free blocks kept for later."""
    return int(module_for("cuda").get_default_memory_pool().total_bytes())


def max_memory_reserved() -> int:
    """The most bytes the pool has held since `empty_cache`: it only gives blocks back when it is told to."""
    return memory_reserved()


def empty_cache() -> None:
    """Give the free blocks of the pool back to the GPU, for other programs."""
    xp = module_for("cuda")
    xp.get_default_memory_pool().free_all_blocks()
    xp.get_default_pinned_memory_pool().free_all_blocks()


# ── graphs ────────────────────────────────────────────────────────────────────────────────────────


def graph(step: Callable[..., Any], optimizer: Any = None, *, warm_up: int = WARM_UP) -> Graph:
    """A training step that is captured once and then repeated as a whole, without Python between its kernels.

        def step(images, labels):
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            return loss

        train = cuda.graph(step, optimizer)
        for images, labels in loader:
            loss = train(images, labels)

    The first calls run `step` and the optimizer as they are; the next one is captured, and all later ones repeat it.
    Every call is one step, with the numbers that it has without a graph. The graph holds memory in a pool of its own,
    which `memory_allocated` does not count.

    Updates by SGD, Adam and AdamW are part of the graph where all parameters are float32 or float64; their kernels read
    rates and counts from the GPU's memory, where the host writes them before each run, so that schedules go on. Other
    optimizers, and classes with a `step` or `rule` of their own, step outside of the graph after each run.

    A `GradScaler` cannot be captured: its scale would stand still. Give the scale to `step` as a tensor and no
    optimizer to `graph`, clear the gradients in `step`, and call `scaler.step(optimizer)` after each run; or use
    `autocast("cuda", dtype=bfloat16)`, which needs no scale.

    Arguments:
        step: computes with its tensors, and may call backward; the same kernels every time. It must not read results
            on the host (`float(loss)`, printing, an `if` on a tensor), nor call `optimizer.step()`.
        optimizer: its gradients are cleared before `step`, and it steps after it; or None.
        warm_up: how many calls run before one is captured, at least 1.

    Returns:
        A callable with the arguments of `step`. Its tensors keep their memory: the next call overwrites them.

    Raises:
        RuntimeError: there is no GPU.
    """
    return Graph(module_for("cuda"), step, optimizer, warm_up)


class Graph:
    """See `graph`. Once it is captured, inputs must have the same shapes, and the optimizer the same arrays."""

    def __init__(self, xp: Any, step: Callable[..., Any], optimizer: Any, warm_up: int) -> None:
        if warm_up < 1:
            raise ValueError(f"cuda.graph: warm_up must be ≥ 1, kernels are compiled there; got {warm_up}")
        self._xp, self._step, self._optimizer, self._to_warm_up = xp, step, optimizer, warm_up
        self._stream = xp.cuda.Stream(non_blocking=True)
        self._pool = xp.cuda.MemoryPool()  # nobody else may get the memory that the graph will write to again
        self._graph: Any = None
        self._inputs: list[Tensor] = []
        self._outputs: Any = None
        self._gradients: list[tuple[Tensor, Tensor | None]] = []
        self._updates: list[Update] = []

    def __call__(self, *inputs: Tensor) -> Any:
        """Run the step on new inputs.

        Raises:
            ValueError: an input has another shape or dtype than when the step was captured.
            RuntimeError: the step cannot be captured, or the optimizer changes other arrays than when it was.
        """
        before = self._xp.cuda.get_current_stream()
        self._stream.wait_event(before.record())
        if self._to_warm_up:
            self._to_warm_up -= 1
            outputs = self._run_as_it_is(inputs)
        else:
            outputs = self._run_captured(inputs)
        before.wait_event(self._stream.record())
        if self._graph is not None and self._optimizer is not None and not self._updates:
            self._optimizer.step()
        return outputs

    def _run_as_it_is(self, inputs: Sequence[Tensor]) -> Any:
        with self._stream, self._xp.cuda.using_allocator(self._pool.malloc):
            outputs = _detached(self._stepped(inputs))
            if self._optimizer is not None:
                self._optimizer.step()
            gpu_kernels().count_on(self._xp.zeros((), np.uint64))  # compiled, for the capture
        return outputs

    def _run_captured(self, inputs: Sequence[Tensor]) -> Any:
        if self._graph is None:
            updates = self._capture(inputs)
        else:
            self._check(inputs)
            for parameter, gradient in self._gradients:
                parameter.grad = gradient
            updates = self._next_updates() if self._updates else []
        with self._stream:
            for static, given in zip(self._inputs, inputs, strict=True):
                static.array[...] = given.array
            if updates:
                self._numbers[...] = self._xp.asarray(_table(updates, len(self._numbers)))
            self._graph.launch(self._stream)
        return self._outputs

    def _check(self, inputs: Sequence[Tensor]) -> None:
        forms = [[(x.array.shape, x.array.dtype.name) for x in xs] for xs in (self._inputs, inputs)]
        if forms[0] != forms[1]:
            raise ValueError(f"cuda.graph: the step was captured for inputs {forms[0]}, got {forms[1]}")

    def _next_updates(self) -> list[Update]:
        """What the optimizer would do now, to the same arrays as when it was captured: only its numbers are new."""
        with holding_updates() as updates:
            self._optimizer.step()
        arrays = [[id(array) for update in some for array in update.arrays] for some in (self._updates, updates)]
        if arrays[0] != arrays[1]:
            raise RuntimeError(
                "cuda.graph: the optimizer changes other arrays than when the step was captured (a parameter was "
                "replaced or frozen, or a state was loaded); make a new graph"
            )
        return updates

    def _parameters(self) -> list[Tensor]:
        groups = [] if self._optimizer is None else self._optimizer.param_groups
        return [parameter for group in groups for parameter in group["params"]]

    def _stepped(self, inputs: Sequence[Tensor]) -> Any:
        for parameter in self._parameters():
            parameter.grad = None
        return self._step(*inputs)

    def _capture(self, inputs: Sequence[Tensor]) -> list[Update]:
        xp, parameters = self._xp, self._parameters()
        with self._stream, xp.cuda.using_allocator(self._pool.malloc), capturing(xp) as replays:
            self._inputs = [Variable._wrap(x.array.copy(), x.requires_grad) for x in inputs]
            self._numbers: Array = xp.zeros((len(parameters), MOST_NUMBERS), np.float64)
            self._stream.synchronize()
            self._stream.begin_capture()
            try:
                outputs = self._stepped(self._inputs)
                if _updates_by_kernels(self._optimizer, parameters):
                    with holding_updates() as self._updates:
                        self._optimizer.step()
                    for row, update in enumerate(self._updates):
                        update.start(self._numbers[row])
                gpu_kernels().count_on(replays)
            except BaseException as error:
                self._give_up(error)
                raise
            self._graph = self._stream.end_capture()
        self._outputs = _detached(outputs)
        self._gradients = [(parameter, parameter.grad) for parameter in parameters]
        self._replays: Array = replays
        return self._updates

    def _give_up(self, error: BaseException) -> None:
        """End a capture that failed, which leaves the stream usable."""
        runtime_error = self._xp.cuda.runtime.CUDARuntimeError
        with suppress(runtime_error):  # what broke the capture is said already
            self._stream.end_capture()
        if isinstance(error, runtime_error):
            raise RuntimeError(
                f"cuda.graph: the step does what cannot be captured, most likely it reads a result on the host "
                f"(float(loss), printing, an if on a tensor); CUDA says: {error}"
            ) from error


def _detached(outputs: Any) -> Any:
    """The tensors without their tape, which would keep every intermediate result alive."""
    if isinstance(outputs, Variable):
        return Variable._wrap(outputs.array)
    if isinstance(outputs, tuple | list):
        return type(outputs)([_detached(output) for output in outputs])
    return outputs


def _updates_by_kernels(optimizer: Any, parameters: Sequence[Tensor]) -> bool:
    """Whether a step of the optimizer is nothing but kernels that can read their numbers from the GPU's memory."""
    if optimizer is None:
        return False
    kind = type(optimizer)
    rule, step = (next(c for c in kind.__mro__ if name in vars(c)) for name in ("rule", "step"))
    by_kernel = vars(rule).get("rule_is_a_kernel", False) and step is kind.__mro__[-2]  # Optimizer's own step
    return by_kernel and all(p.is_cuda and p.dtype in ("f4", "f8") and p.is_contiguous() for p in parameters)


def _table(updates: Sequence[Update], rows: int) -> Array:
    """The numbers of each update in a row."""
    table = np.zeros((rows, MOST_NUMBERS))
    for row, update in zip(table, updates, strict=False):
        row[: len(update.numbers)] = update.numbers
    return table
