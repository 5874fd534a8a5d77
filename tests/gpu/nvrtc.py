"""NVIDIA's compiler by ctypes, from the wheels nvidia-cuda-nvrtc, -runtime and -crt: no GPU, no driver, no CuPy."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import sys
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_void_p
from pathlib import Path
from typing import NamedTuple

_STACK = re.compile(r"Function properties for (\w+)\n\D*(\d+) bytes stack frame")


class CompileError(RuntimeError):
    """What the compiler said."""


class Compiled(NamedTuple):
    """An instance in machine code: its name there, and the bytes that a thread keeps outside of registers."""

    name: str
    stack: int


def _folders() -> list[Path]:
    found = [Path(place) / "nvidia" / "cu13" for place in sys.path]
    return [*filter(Path.is_dir, found), *[Path(v) for k in ("CUDA_PATH", "CUDA_HOME") if (v := os.environ.get(k))]]


def library() -> Path | None:
    """Where libnvrtc is, or None."""
    for folder in _folders():
        for name in ("lib", "lib64"):
            for path in sorted((folder / name).glob("libnvrtc.so.*")):
                if "alt" not in path.name:
                    return path
    return None


class Nvrtc:
    """The compiler.

    Arguments:
        path: of libnvrtc.
        cache: a folder where it is noted what compiled, so that the same text is not compiled again; None forgets.
    """

    def __init__(self, path: Path, cache: Path | None) -> None:
        self.library, self.cache = ctypes.CDLL(str(path)), cache
        self.library.nvrtcGetErrorString.restype = c_char_p
        major, minor = c_int(), c_int()
        self._call("nvrtcVersion", byref(major), byref(minor))
        self.version = (major.value, minor.value)

    def _call(self, name: str, *arguments: object) -> int:
        return int(getattr(self.library, name)(*arguments))

    def compile(
        self, source: str, architecture: str, options: tuple[str, ...], instances: list[str]
    ) -> dict[str, Compiled]:
        """Compile to machine code.

        Arguments:
            source: the text. architecture: "sm_80". options: as on a command line.
            instances: the templates to instantiate: "im2col<float>".

        Returns:
            What became of each instance.

        Raises:
            CompileError: with the compiler's own words.
        """
        parts = ["with stack", source, architecture, *options, *instances, str(self.version)]
        note = self.cache / hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32] if self.cache else None
        if note is not None and note.exists():
            lines = [line.split("\t") for line in note.read_text().splitlines()]
            return {instance: Compiled(name, int(stack)) for instance, name, stack in lines}
        found = self._compile(source, architecture, options, instances)
        if note is not None:
            note.write_text("".join(f"{instance}\t{name}\t{stack}\n" for instance, (name, stack) in found.items()))
        return found

    def _compile(
        self, source: str, architecture: str, options: tuple[str, ...], instances: list[str]
    ) -> dict[str, Compiled]:
        program = c_void_p()
        self._call("nvrtcCreateProgram", byref(program), source.encode(), b"kernel.cu", 0, None, None)
        try:
            for instance in instances:
                self._call("nvrtcAddNameExpression", program, instance.encode())
            include = [f"-I{folder / 'include'}" for folder in _folders() if (folder / "include").is_dir()]
            flags = [f"--gpu-architecture={architecture}", "--ptxas-options=-v", *options, *include]
            array = (c_char_p * len(flags))(*[flag.encode() for flag in flags])
            status = self._call("nvrtcCompileProgram", program, len(flags), array)
            size = c_size_t()
            self._call("nvrtcGetProgramLogSize", program, byref(size))
            log = ctypes.create_string_buffer(max(size.value, 1))
            self._call("nvrtcGetProgramLog", program, log)
            if status:
                raise CompileError(f"{architecture}: {log.value.decode()}")
            self._call("nvrtcGetCUBINSize", program, byref(size))
            if not size.value:
                raise CompileError(f"{architecture}: no machine code came out")
            stacks = dict(_STACK.findall(log.value.decode()))
            names = {instance: self._lowered(program, instance) for instance in instances}
            return {instance: Compiled(name, int(stacks[name])) for instance, name in names.items()}
        finally:
            self._call("nvrtcDestroyProgram", byref(program))

    def _lowered(self, program: c_void_p, instance: str) -> str:
        name = c_char_p()
        function = self.library.nvrtcGetLoweredName
        function.argtypes = [c_void_p, c_char_p, POINTER(c_char_p)]
        if function(program, instance.encode(), byref(name)) or not name.value:
            raise CompileError(f"{instance} is not in the machine code")
        return name.value.decode()
