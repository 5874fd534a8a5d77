"""`minidl.cuda` without a GPU: clear sentences, and the order of things round a captured graph, on a stand-in."""

from __future__ import annotations

import contextlib
import types
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl import cuda
from minidl.kernels import capture
from minidl.kernels.gpu import launcher

absent = pytest.mark.skipif(cuda.is_available(), reason="there is a GPU: nothing is missing")


@absent
def test_without_a_gpu_it_says_what_is_missing() -> None:
    assert cuda.device_count() == 0
    calls = [
        cuda.synchronize, cuda.memory_allocated, cuda.memory_reserved, cuda.empty_cache, cuda.current_device,
        cuda.device_name, lambda: cuda.graph(lambda x: x),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(RuntimeError, match=r"device cuda:0: no usable GPU; it needs an NVIDIA driver and CuPy"):
            call()


class Machine(types.ModuleType):
    """NumPy with the streams and graphs of CuPy, which write down what happens."""

    def __init__(self) -> None:
        super().__init__("machine")
        self.log: list[str] = []
        self.zeros = np.zeros
        self.cuda = types.SimpleNamespace(
            Stream=lambda non_blocking: Stream(self, "graph"),
            MemoryPool=lambda: types.SimpleNamespace(malloc=None),
            get_current_stream=lambda: Stream(self, "default"),
            using_allocator=lambda malloc: contextlib.nullcontext(),
            runtime=types.SimpleNamespace(CUDARuntimeError=DriverError),
        )


class DriverError(RuntimeError):
    pass


class Stream:
    def __init__(self, machine: Machine, name: str) -> None:
        self.machine, self.name = machine, name

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: Any) -> None:
        pass

    def record(self) -> str:
        return self.name

    def wait_event(self, event: str) -> None:
        self.machine.log.append(f"{self.name} waits for {event}")

    def synchronize(self) -> None:
        self.machine.log.append("synchronize")

    def begin_capture(self) -> None:
        self.machine.log.append("begin")

    def end_capture(self) -> Any:
        self.machine.log.append("end")
        return types.SimpleNamespace(launch=lambda stream: self.machine.log.append("launch"))


@pytest.fixture
def machine() -> Any:
    machine = Machine()

    def load(file: str, instance: str) -> Any:
        return lambda grid, block, arguments: machine.log.append(instance.partition("<")[0])

    with launcher.loaded_by(load):
        yield machine


def test_the_first_calls_are_ordinary_steps_then_one_is_captured_and_repeated(machine: Machine) -> None:
    """On the CPU's arrays the optimizer stays outside of the graph; `test_graph` has it inside."""
    w = dl.tensor([1.0, 2.0], requires_grad=True)
    optimizer = dl.optim.SGD([w], lr=0.5)

    def step(x: Any) -> Any:
        machine.log.append("step")
        assert w.grad is None
        assert (capture.current_replay() is None) == ("begin" not in machine.log)
        loss = (w * x).sum()
        loss.backward()
        return loss

    train = cuda.Graph(machine, step, optimizer, warm_up=2)
    x, waits, waited = dl.tensor([1.0, 2.0]), "graph waits for default", "default waits for graph"
    for calls in (1, 2):
        assert float(train(x)) == 5 - 2.5 * (calls - 1)
        assert machine.log == [waits, "step", "count_on", waited]
        np.testing.assert_array_equal(w.detach().numpy(), [1 - calls / 2, 2 - calls])
        machine.log.clear()
    third = train(x)
    assert machine.log == [waits, "synchronize", "begin", "step", "count_on", "end", "launch", waited]
    assert third.creator is None
    np.testing.assert_array_equal(w.detach().numpy(), [-0.5, -1.0])
    machine.log.clear()
    w.grad = None
    assert train(dl.tensor([5.0, 6.0])) is third  # the same memory
    assert machine.log == [waits, "launch", waited]
    np.testing.assert_array_equal(train._inputs[0].numpy(), [5.0, 6.0])
    np.testing.assert_array_equal(w.detach().numpy(), [-1.0, -2.0])  # by the gradients of the captured run
    assert capture.current_replay() is None


def test_other_shapes_are_refused(machine: Machine) -> None:
    train = cuda.Graph(machine, lambda x: x * 2, None, warm_up=1)
    for _ in range(2):
        train(dl.tensor([1.0, 2.0]))
    with pytest.raises(
        ValueError, match=r"captured for inputs \[\(\(2,\), 'float32'\)\], got \[\(\(3,\), 'float32'\)\]"
    ):
        train(dl.tensor([1.0, 2.0, 3.0]))


def test_a_failed_capture_is_ended_and_explained(machine: Machine) -> None:
    def step(x: Any) -> Any:
        if "begin" in machine.log:
            raise DriverError("operation not permitted when stream is capturing")
        return x

    train = cuda.Graph(machine, step, None, warm_up=1)
    train(dl.tensor([1.0]))
    with pytest.raises(
        RuntimeError, match=r"cuda.graph: the step does what cannot be captured.*operation not permitted"
    ):
        train(dl.tensor([1.0]))
    assert machine.log[-2:] == ["begin", "end"]
    assert capture.current_replay() is None


def test_without_a_warm_up_nothing_would_be_compiled(machine: Machine) -> None:
    with pytest.raises(ValueError, match="warm_up must be ≥ 1"):
        cuda.Graph(machine, lambda x: x, None, warm_up=0)


def test_tf32_is_off_unless_allowed_and_the_choice_ends_with_the_block() -> None:
    assert not cuda.tf32_is_allowed()
    with cuda.allow_tf32():
        assert cuda.tf32_is_allowed()
        with cuda.allow_tf32(False):
            assert not cuda.tf32_is_allowed()
        assert cuda.tf32_is_allowed()
    assert not cuda.tf32_is_allowed()
