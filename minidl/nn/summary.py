"""summary: what a network does to the shape of its input, and where its parameters and its memory are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from minidl.autograd.modes import no_grad
from minidl.creation import zeros
from minidl.nn.module import Module, evaluating
from minidl.tensor import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One call of a layer: where it stands, what came in and went out, and what it holds.

    `parameters` counts only what no earlier row has counted; `output_bytes` is the memory of its results.
    """

    name: str
    kind: str
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    parameters: int
    trainable: int
    output_bytes: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The rows of a network in the order of the computation; printing it gives a table."""

    model: str
    input_shapes: tuple[Shape, ...]
    input_bytes: int
    parameter_bytes: int
    rows: tuple[Row, ...]

    @property
    def parameters(self) -> int:
        """How many numbers the network learns or holds frozen; tied parameters count once."""
        return sum(row.parameters for row in self.rows)

    @property
    def trainable(self) -> int:
        """How many of them are trained."""
        return sum(row.trainable for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        """The memory of the input and of every layer's output, in bytes."""
        return self.input_bytes + sum(row.output_bytes for row in self.rows)

    @property
    def trail(self) -> tuple[Shape, ...]:
        """The shape of the first input, then of the first output of every layer."""
        return (*self.input_shapes[:1], *(row.output_shapes[0] for row in self.rows if row.output_shapes))

    def share(self, row: Row) -> float:
        """The part of all parameters that stands in one row, between 0 and 1."""
        return row.parameters / self.parameters if self.parameters else 0.0

    def __str__(self) -> str:
        head = ("layer", "kind", "output", "parameters", "share")
        lines = [("input", "", _shapes(self.input_shapes), "", "")]
        for row in self.rows:
            share = f"{100 * self.share(row):.1f} %" if row.parameters else ""
            lines.append((row.name, row.kind, _shapes(row.output_shapes), f"{row.parameters:,}", share))
        widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
        rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
        table = [_line(head, widths), rule, *(_line(line, widths) for line in lines), rule]
        frozen = self.parameters - self.trainable
        table.append(
            f"{self.model}: {self.parameters:,} parameters ({self.trainable:,} trained, {frozen:,} frozen), "
            f"{_bytes(self.parameter_bytes)}"
        )
        table.append(f"activations of one forward pass: {_bytes(self.activation_bytes)}")
        return "\n".join(table)

    __repr__ = __str__


def summary(model: Module, input: Tensor | Shape | tuple[Tensor, ...]) -> Summary:
    """Run a network once and note, layer by layer, shapes, parameters and memory.

    The pass runs in evaluation mode, off the tape, and leaves the network as it was.

    Arguments:
        model: any module.
        input: the shape of one input with its batch, (N, …), then zeros are used; or the input; or a tuple of inputs.

    >>> from minidl import nn
    >>> facts = summary(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)), (1, 1, 4, 4))
    >>> facts.parameters, facts.trail
    (47, ((1, 1, 4, 4), (1, 2, 2, 2), (1, 8), (1, 3)))
    """
    inputs = _inputs(model, input)
    names = {module: name or type(model).__name__ for name, module in model.named_modules()}
    counted: set[Tensor] = set()
    rows: list[Row] = []

    def note(module: Module, args: tuple[Any, ...], output: Any) -> None:
        own = [p for p in module._parameters.values() if p is not None and p not in counted]
        counted.update(own)
        outputs = list(_tensors(output))
        rows.append(
            Row(
                names[module], type(module).__name__,
                tuple([tuple(x.shape) for x in _tensors(args)]), tuple([tuple(y.shape) for y in outputs]),
                sum(p.numel() for p in own), sum(p.numel() for p in own if p.requires_grad),
                # a module of modules hands on what its last one made
                0 if module._modules else sum(y.array.nbytes for y in outputs),
            )
        )  # fmt: skip

    # a module with children is a row of its own only where it holds parameters itself
    listening = [m for m in names if not m._modules or any(p is not None for p in m._parameters.values())]
    handles = [module.register_forward_hook(note) for module in listening]
    try:
        with evaluating(model), no_grad():
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    rows += _never_called(listening, names, counted, {row.name for row in rows})
    return Summary(
        type(model).__name__,
        tuple([tuple(x.shape) for x in inputs]),
        sum(x.array.nbytes for x in inputs),
        sum(p.array.nbytes for p in model.parameters()),
        tuple(rows),
    )


def _inputs(model: Module, input: Any) -> tuple[Tensor, ...]:
    if isinstance(input, Tensor):
        return (input,)
    values = tuple(input)
    if values and all(isinstance(x, Tensor) for x in values):
        return values
    if not all(isinstance(n, int) for n in values):
        raise TypeError(f"summary: expected a shape, a tensor or a tuple of tensors, got {input!r}")
    like = next(iter(model.parameters()), None)
    return (zeros(values) if like is None else zeros(values, dtype=like.dtype, device=like.device),)


def _never_called(
    modules: list[Module], names: dict[Module, str], counted: set[Tensor], called: set[str]
) -> Iterator[Row]:
    """Rows for layers that hold parameters but took no part in the pass."""
    for module in modules:
        own = [p for p in module._parameters.values() if p is not None and p not in counted]
        if names[module] not in called and own:
            counted.update(own)
            trainable = sum(p.numel() for p in own if p.requires_grad)
            yield Row(names[module], type(module).__name__, (), (), sum(p.numel() for p in own), trainable, 0)


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)


def _shapes(shapes: tuple[Shape, ...]) -> str:
    return " ".join("×".join(str(n) for n in shape) or "number" for shape in shapes) or "not called"


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    left = [cell.ljust(width) for cell, width in zip(cells[:3], widths[:3], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True)]
    return "  ".join([*left, *right]).rstrip()


def _bytes(count: int) -> str:
    """A number of bytes in the unit that suits it, of 1,024 steps."""
    size, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{count} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
