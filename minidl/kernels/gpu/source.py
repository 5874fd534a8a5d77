"""The text of the `.cu` files, and what their kernels ask for: the one description of every argument.

A kernel is a template, `template <typename T, int N> __global__ void name(const T* x, Windows v, int n)`. What is
written there is read here, so that Python never repeats it: pointers want arrays of that type, numbers are converted
to it, and a struct takes the fields of the same names from a named tuple.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

TYPES: dict[str, np.dtype[Any]] = {
    "__half": np.dtype(np.float16),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
    "bool": np.dtype(np.bool_),
    "unsigned char": np.dtype(np.uint8),
    "unsigned short": np.dtype(np.uint16),
    "int": np.dtype(np.int32),
    "unsigned": np.dtype(np.uint32),
    "long long": np.dtype(np.int64),
    "unsigned long long": np.dtype(np.uint64),
}
"""What CUDA C++ calls each dtype."""

NAMES = {dtype: name for name, dtype in TYPES.items()}

_INCLUDE = re.compile(r'^#include "(\w+\.cuh)"\n', re.M)
_COMMENT = re.compile(r"//[^\n]*")
_STRUCT = re.compile(r"struct (\w+) \{([^}]*)\};")
_KERNEL = re.compile(r"template <([^>]*)>\s*__global__ void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\(([^)]*)\)")


@dataclass(frozen=True)
class Parameter:
    """One argument of a kernel, in the words of the file: its type may name the template's own."""

    name: str
    type: str
    is_pointer: bool
    is_const: bool
    is_restrict: bool


@dataclass(frozen=True)
class Declaration:
    """What a kernel is called with."""

    template: tuple[str, ...]
    parameters: tuple[Parameter, ...]

    def types(self, values: tuple[str, ...]) -> dict[str, str]:
        """What each template parameter T, and wide<T>, stands for."""
        if len(values) != len(self.template):
            raise TypeError(f"a template of {', '.join(self.template)} cannot take <{', '.join(values)}>")
        pairs = [*zip(self.template, values, strict=True)]
        return {**dict(pairs), **{f"wide<{name}>": "float" if value == "__half" else value for name, value in pairs}}


@cache
def text(file: str) -> str:
    """A `.cu` file with the `.cuh` files it includes written in place, each once.

    The compiler needs no search path then, and a cache keyed by the text notices every change.
    """
    seen: set[str] = set()

    def inline(name: str) -> str:
        def header(match: re.Match[str]) -> str:
            if match[1] in seen:
                return ""
            seen.add(match[1])
            return inline(match[1])

        return _INCLUDE.sub(header, (files(__package__) / name).read_text("utf-8"))

    return inline(file)


@cache
def declarations(file: str) -> dict[str, Declaration]:
    """The kernels of a file by name."""
    return declared(text(file))


def declared(source: str) -> dict[str, Declaration]:
    """The kernels of a text by name."""
    plain = _COMMENT.sub("", source)
    return {
        name: Declaration(tuple(p.split()[-1] for p in template.split(",")), tuple(map(_parameter, _split(arguments))))
        for template, name, arguments in _KERNEL.findall(plain)
    }


@cache
def structs(file: str) -> dict[str, np.dtype[Any]]:
    """The structs of a file that hold only numbers, as dtypes with the same layout."""
    return struct_dtypes(text(file))


def struct_dtypes(source: str) -> dict[str, np.dtype[Any]]:
    """The structs of a text that hold only numbers, as dtypes with the same layout."""
    found = {}
    for name, body in _STRUCT.findall(_COMMENT.sub("", source)):
        lines = [*filter(None, map(str.strip, body.split(";")))]
        kinds = [next((t for t in TYPES if re.match(rf"{t} \w+(, \w+)*$", line)), None) for line in lines]
        fields = [
            (field.strip(), TYPES[kind])
            for kind, line in zip(kinds, lines, strict=True)
            if kind is not None
            for field in line.removeprefix(kind).split(",")
        ]
        if None not in kinds:
            found[name] = np.dtype(fields, align=True)
    return found


def _split(arguments: str) -> list[str]:
    return [" ".join(part.split()) for part in arguments.split(",")]


def _parameter(argument: str) -> Parameter:
    kind, _, name = argument.rpartition(" ")
    plain = kind.removeprefix("const ").replace("__restrict__", "").strip()
    return Parameter(name, plain.rstrip("*"), plain.endswith("*"), kind.startswith("const "), "__restrict__" in kind)
