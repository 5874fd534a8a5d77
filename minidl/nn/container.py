"""Containers: modules one after the other, in a list, in a dictionary."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self, overload

from minidl.nn.fusion import fused
from minidl.nn.module import Module, indented
from minidl.nn.parameter import Parameter
from minidl.tensor import Tensor


def _position(owner: Module, index: int, length: int) -> int:
    """An index counted from the start."""
    if not -length <= index < length:
        raise IndexError(f"{type(owner).__name__}: index {index} of {length}")
    return index % length


class _Listed(Module):
    """Modules under the names "0", "1", … or names of their own, which can be indexed like a list."""

    def _held(self) -> list[Module]:
        return [child for child in self._modules.values() if child is not None]

    def _renumber(self, children: list[Module]) -> None:
        for name in list(self._modules):
            delattr(self, name)
        for i, child in enumerate(children):
            self.add_module(str(i), child)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._held())

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Any:
        names = list(self._modules)
        if isinstance(index, slice):
            return self._part(names[index])
        return self._modules[names[_position(self, index, len(names))]]

    def _part(self, names: list[str]) -> Self:
        raise NotImplementedError

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(list(self._modules)[_position(self, index, len(self))], module)

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)
        numbered = names == [str(i) for i in range(len(names))]
        gone = names[index] if isinstance(index, slice) else [names[_position(self, index, len(names))]]
        for name in gone:
            delattr(self, name)
        if numbered:
            self._renumber(self._held())

    def append(self, module: Module) -> Self:
        """Add a module at the end; returns self."""
        number = len(self)
        while str(number) in self._modules:  # a slice keeps its names, so that this one may be taken
            number += 1
        self.add_module(str(number), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add several modules at the end; returns self."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Add a module before the one at `index`, and number all anew; returns self."""
        children = self._held()
        children.insert(index, module)
        self._renumber(children)
        return self

    def pop(self, index: int = -1) -> Module:
        """Take a module out and return it."""
        module: Module = self[index]
        del self[index]
        return module


class Sequential(_Listed):
    """Modules one after the other: the output of each is the input of the next.

    Arguments:
        args: the modules in order, or one dictionary of names and modules.

    >>> from minidl import nn
    >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> [name for name, _ in model.named_parameters()]
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """

    def __init__(self, *args: Module | Mapping[str, Module]) -> None:
        super().__init__()
        first = args[0] if len(args) == 1 else None
        named = first.items() if isinstance(first, Mapping) else [(str(i), module) for i, module in enumerate(args)]
        for name, module in named:
            self.add_module(name, module)  # type: ignore[arg-type]  # add_module refuses what is no module

    def _part(self, names: list[str]) -> Self:
        return type(self)({name: self._modules[name] for name in names})  # type: ignore[misc]

    def steps(self) -> Iterator[Callable[[Any], Any]]:
        """What `forward` applies in turn: the modules, with runs of them that have one fused operation made one."""
        return fused(self._held())

    def forward(self, input: Any) -> Any:
        for step in self.steps():
            input = step(input)
        return input


class ModuleList(_Listed):
    """A list of modules whose parameters belong to the module that holds the list."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def _part(self, names: list[str]) -> Self:
        return type(self)([self._modules[name] for name in names])  # type: ignore[misc]

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def _printed_children(self) -> list[str]:
        """Equal modules that follow each other on one line: "(0-5): 6 x …"."""
        lines, first = [], 0
        for text, alike in itertools.groupby(repr(child) for child in self._modules.values()):
            count = len(list(alike))
            place = f"({first})" if count == 1 else f"({first}-{first + count - 1}): {count} x"
            lines.append(f"{place}{':' if count == 1 else ''} {indented(text)}")
            first += count
        return lines


class ModuleDict(Module):
    """A dictionary of modules whose parameters belong to the module that holds it."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        if key not in self._modules:
            raise KeyError(key)
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        """The modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """The names with their modules."""
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add modules, or replace those whose names are there."""
        for key, module in modules.items() if isinstance(modules, Mapping) else modules:
            self[key] = module

    def pop(self, key: str) -> Module:
        """Take a module out and return it."""
        module: Module = self[key]
        del self[key]
        return module


class ParameterList(Module):
    """A list of parameters that belong to the module that holds it; plain tensors become parameters."""

    def __init__(self, values: Iterable[Tensor] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Parameter]:
        return iter([p for p in self._parameters.values() if p is not None])

    def __getitem__(self, index: int) -> Parameter:
        return list(self)[_position(self, index, len(self))]

    def __setitem__(self, index: int, value: Tensor) -> None:
        self.register_parameter(str(_position(self, index, len(self))), _as_parameter(value))

    def append(self, value: Tensor) -> Self:
        """Add a parameter at the end; returns self."""
        self.register_parameter(str(len(self)), _as_parameter(value))
        return self

    def extend(self, values: Iterable[Tensor]) -> Self:
        """Add several parameters at the end; returns self."""
        for value in values:
            self.append(value)
        return self

    def __repr__(self) -> str:
        lines = [f"  ({i}): Parameter of shape {tuple(p.shape)}, {p.dtype.name}\n" for i, p in enumerate(self)]
        return "ParameterList(" + ("\n" + "".join(lines) if lines else "") + ")"


def _as_parameter(value: Tensor) -> Parameter:
    return value if isinstance(value, Parameter) else Parameter(value)
