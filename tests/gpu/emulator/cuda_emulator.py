"""Runs the `.cu` files on the CPU: what stands in for CuPy's RawModule where there is no GPU.

g++ compiles the very text that NVRTC would compile. Each launch runs three times, with the threads of a block and the
blocks of the grid in three orders, and the results must be the same bits: a missing barrier and blocks that race show
as a difference. Arrays lie between pages that nobody may touch, const ones are read-only, shared arrays lie between
guard zones, and barriers that not all threads reach are refused.

NumPy arrays are the memory of this device.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from minidl.kernels.gpu.source import Declaration, declarations, declared, text

HERE = Path(__file__).parent
ORDERS = ((0, 0), (1, 1), (5, 7))
"""(order of threads, order of blocks): forward, backward, shuffled by a seed."""

BESIDE = (0xFF, 0x3C)
"""The bytes beside an array on its page: nan, which shows in results, and in the next run numbers, which show a change.
Results of the two runs that differ were computed of what lies there."""

_CHECKED = "bounds,signed-integer-overflow,integer-divide-by-zero,shift"
_FLAGS = ["-std=c++17", "-O1", "-fPIC", "-shared", "-w", "-ffp-contract=off", "-I", str(HERE)]
_SHARED = re.compile(r"__shared__ ([\w<>:, ]+?) (\w+)((?:\[[^\]]*\])*);")
_COLLECTIVE = re.compile(r"__sync|__shfl|multiply_16x8x8")


class EmulationError(RuntimeError):
    """A kernel did what a GPU would not forgive."""


def is_available() -> bool:
    """Whether there is a g++ to compile with, and a processor whose fibers the runtime can switch."""
    return shutil.which("g++") is not None and os.uname().machine == "x86_64"


class Emulator:
    """A loader of kernels (see `launcher.Loader`) that remembers what ran.

    Arguments:
        instances: the instances of each file that may be asked for; all are compiled at once. A file that is not
            here is compiled instance by instance.
        orders: the orders of threads and blocks to run each launch in.
    """

    def __init__(self, instances: dict[str, list[str]], orders: Sequence[tuple[int, int]] = ORDERS) -> None:
        self.instances, self.orders = instances, orders
        self.ran: dict[str, int] = {}
        self._libraries: dict[Any, ctypes.CDLL] = {}
        self._runtime = _library("runtime", (HERE / "runtime.cpp").read_text(), ["-O2"])
        self._runtime.guarded_new.restype = ctypes.c_void_p
        self._runtime.guarded_new.argtypes = [ctypes.c_size_t, ctypes.c_int]
        self._runtime.guarded_intact.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for name in ("guarded_read_only", "guarded_free"):
            getattr(self._runtime, name).argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        self._runtime.emulator_launch.restype = ctypes.c_char_p

    def __call__(self, file: str, instance: str) -> Any:
        return self.kernel(text(file), instance, declarations(file), self.instances.get(file, [instance]))

    def kernel(
        self,
        source: str,
        instance: str,
        declared_kernels: dict[str, Declaration] | None = None,
        instances: list[str] | None = None,
    ) -> Any:
        """The kernel as a function of (grid, block, arguments)."""
        instances = instances or [instance]
        declaration = (declared_kernels or declared(source))[instance.partition("<")[0]]
        key = (source, *instances)
        if key not in self._libraries:
            self._libraries[key] = _library("kernels", _as_cpp(source, instances), [f"-fsanitize={_CHECKED}",
                                            "-fsanitize-undefined-trap-on-error"])  # fmt: skip
        entry = getattr(self._libraries[key], f"entry_{instances.index(instance)}")
        size = getattr(self._libraries[key], f"size_{instances.index(instance)}")
        size.restype = ctypes.c_size_t
        fibers = _COLLECTIVE.search(source) is not None

        def start(grid: Sequence[int], block: Sequence[int], arguments: Sequence[Any]) -> None:
            self.ran[instance] = self.ran.get(instance, 0) + 1
            for i, (p, argument) in enumerate(zip(declaration.parameters, arguments, strict=True)):
                if not isinstance(argument, np.ndarray) or not argument.ndim:
                    passed = 8 if p.is_pointer else np.asarray(argument).nbytes
                    if passed != size(i):
                        raise EmulationError(f"{instance}: {p.name} has {size(i)} bytes, but {passed} are passed")
            self._run(instance, entry, fibers, _three(grid), _three(block), declaration, arguments)

        return start

    def _run(self, instance: str, entry: Any, fibers: bool, grid: list[int], block: list[int],
             declaration: Declaration, arguments: Sequence[Any]) -> None:  # fmt: skip
        arrays = [a if isinstance(a, np.ndarray) and p.is_pointer else None
                  for p, a in zip(declaration.parameters, arguments, strict=True)]  # fmt: skip
        written = _check_aliases(instance, declaration, arrays)
        results: list[list[bytes]] = []
        for fill, (thread_order, block_order) in zip(cycle(BESIDE), self.orders):
            memory = self._memory(arrays, written, fill)
            try:
                keep = [_argument(m, a) for m, a in zip(memory, arguments, strict=True)]
                pointers = (ctypes.c_void_p * len(keep))(*[ctypes.cast(k, ctypes.c_void_p) for k in keep])
                error = self._runtime.emulator_launch(
                    entry, pointers, (ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(*block), fibers,
                    thread_order, block_order)  # fmt: skip
                if error:
                    raise EmulationError(f"{instance}: {error.decode()}")
                for i in written:
                    if not memory[i].intact():  # type: ignore[union-attr]
                        name = declaration.parameters[i].name
                        raise EmulationError(f"{instance}: a write in front of or behind the array {name}")
                results.append([memory[i].bytes() for i in written])  # type: ignore[union-attr]
                last = thread_order, block_order
                for i, now, before in zip(written, results[-1], results[0], strict=True):
                    if now != before:
                        raise EmulationError(
                            f"{instance}: {declaration.parameters[i].name} depends on the order in which threads and "
                            f"blocks run ({self.orders[0]} and {last} differ)"
                        )
            finally:
                for m in memory:
                    if m is not None:
                        m.free()
        for i, data in zip(written, results[0], strict=True):
            array = arrays[i]
            assert array is not None
            array.reshape(-1)[...] = np.frombuffer(data, array.dtype)

    def _memory(self, arrays: Sequence[Any], written: list[int], fill: int) -> list[_Guarded | None]:
        """A guarded copy of every array; the same array twice is the same memory."""
        memory: list[_Guarded | None] = []
        for i, a in enumerate(arrays):
            alike = [j for j, other in enumerate(arrays) if _same(a, other)]
            if a is None or (alike and alike[0] < i):
                memory.append(None if a is None else memory[alike[0]])
            else:
                memory.append(_Guarded(self._runtime, a, i in written or bool({*alike} & {*written}), fill))
        return memory


class _Guarded:
    """A copy of an array between pages that nobody may touch."""

    def __init__(self, runtime: ctypes.CDLL, array: Any, writable: bool, fill: int) -> None:
        self.runtime, self.size, self.fill = runtime, array.nbytes, fill
        self.address = runtime.guarded_new(self.size, fill)
        ctypes.memmove(self.address, array.ctypes.data, self.size)
        if not writable:
            runtime.guarded_read_only(self.address, self.size)

    def intact(self) -> bool:
        return bool(self.runtime.guarded_intact(self.address, self.size, self.fill))

    def bytes(self) -> bytes:
        return ctypes.string_at(self.address, self.size)

    def free(self) -> None:
        if self.address is not None:
            self.runtime.guarded_free(self.address, self.size)
            self.address = None


def _same(a: Any, b: Any) -> bool:
    return a is not None and b is not None and a.ctypes.data == b.ctypes.data and a.nbytes == b.nbytes and a.nbytes > 0


def _check_aliases(instance: str, declaration: Declaration, arrays: Sequence[Any]) -> list[int]:
    """Which arguments are written; refuses memory that is written under one name and used under another."""
    written = [i for i, p in enumerate(declaration.parameters) if arrays[i] is not None and not p.is_const]
    for i in written:
        for j, other in enumerate(arrays):
            if i == j or other is None or not np.may_share_memory(arrays[i], other):
                continue
            p, q = declaration.parameters[i], declaration.parameters[j]
            if not _same(arrays[i], other) or p.is_restrict or q.is_restrict:
                raise EmulationError(f"{instance}: {p.name} is written and shares memory with {q.name}")
    return written


def _argument(memory: _Guarded | None, argument: Any) -> Any:
    if memory is not None:
        return ctypes.pointer(ctypes.c_void_p(memory.address))
    raw = np.asarray(argument).tobytes()
    return ctypes.create_string_buffer(raw, len(raw))


def _three(sizes: Sequence[int]) -> list[int]:
    return [*map(int, sizes), 1, 1][:3]


def _as_cpp(source: str, instances: list[str]) -> str:
    """The text as C++: shared arrays become references into the arena, every instance gets an entry."""
    body = _SHARED.sub(r"auto& \2 = emulator::shared<\1\3>(__LINE__);", source)
    entries = [
        f'extern "C" void entry_{i}(void** p) {{ emulator::Entry<&{instance}>::run(p); }}\n'
        f'extern "C" size_t size_{i}(int n) {{ return emulator::Entry<&{instance}>::size(n); }}'
        for i, instance in enumerate(instances)
    ]
    return "\n".join(['#include "cuda_on_cpu.h"', '#line 1 "kernel.cu"', body, *entries, ""])


def _library(name: str, source: str, flags: list[str]) -> ctypes.CDLL:
    """The text compiled, from the cache where it was compiled before."""
    header = (HERE / "cuda_on_cpu.h").read_text()
    tag = hashlib.sha256("\0".join([source, header, *flags, *_FLAGS]).encode()).hexdigest()[:20]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minidl" / "cuda-emulator"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        cache = Path(tempfile.mkdtemp(prefix="minidl-cuda-emulator-"))
    library = cache / f"{name}-{tag}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            cpp, built = Path(folder) / f"{name}.cpp", Path(folder) / f"{name}.so"
            cpp.write_text(source)
            result = subprocess.run(
                ["g++", *_FLAGS, *flags, str(cpp), "-o", str(built)], capture_output=True, text=True, check=False
            )
            if result.returncode:
                raise EmulationError(f"g++ does not compile {name}:\n{result.stderr}")
            os.replace(built, library)
    return ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL if name == "runtime" else ctypes.RTLD_LOCAL)
