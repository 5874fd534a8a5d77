"""A few words for vector instructions: load, store, splat, fused multiply-add, and a loop that carries registers.

Each word emits LLVM code for `LANES` float32 at once. Numba's own vectorizer keeps sums of products in memory; kernels
that must keep them in registers are written with these words (`tiles`).
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding  # type: ignore[import-untyped]
from llvmlite import ir

from minidl.kernels.cpu.jit import INTERPRETED, config


def _features() -> set[str]:
    """What Numba compiles for: this machine, or what NUMBA_CPU_FEATURES says, as in "+avx2,+fma"."""
    if config.CPU_FEATURES is not None:
        return {word[1:] for word in config.CPU_FEATURES.split(",") if word.startswith("+")}
    return {name for name, there in llvmlite.binding.get_host_cpu_features().items() if there}


def _vector_registers() -> tuple[int, int]:
    """(float32 per register, number of registers) of the machine that kernels are compiled for."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        features = _features()
        if "avx512f" in features:
            return 16, 32
        return (8, 16) if {"avx2", "fma"} <= features else (4, 16)
    return 4, 32


LANES, REGISTERS = (4, 16) if INTERPRETED else _vector_registers()

_FLOAT = ir.FloatType()
_INDEX = ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)
Value = Any
"""A value in the code being emitted."""


def constant(i: int) -> Value:
    """The index i."""
    return ir.Constant(_INDEX, i)


def zeros() -> Value:
    """A register of zeros."""
    return ir.Constant(_VECTOR, [0.0] * LANES)


def pointer(context: Any, builder: Any, array_type: Any, array: Value, offset: Value) -> Value:
    """Where element `offset` of a flat array lies."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


def moved(builder: Any, place: Value, offset: Value | int) -> Value:
    """The place `offset` elements further on."""
    return builder.gep(place, [constant(offset) if isinstance(offset, int) else offset])


def load(builder: Any, place: Value, width: int = LANES) -> Value:
    """LANES numbers (or so many) from a place, which need not be aligned."""
    value = builder.load(builder.bitcast(place, ir.VectorType(_FLOAT, width).as_pointer()))
    value.align = 4
    return value


def store(builder: Any, value: Value, place: Value) -> None:
    """Write a vector or one number to a place, which need not be aligned."""
    builder.store(value, builder.bitcast(place, value.type.as_pointer())).align = 4


def splat(builder: Any, number: Value) -> Value:
    """One number in every lane."""
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, undefined, lanes)


def fma(builder: Any, a: Value, b: Value, c: Value) -> Value:
    """a·b + c in every lane, rounded once."""
    return builder.call(declared(builder, f"llvm.fma.v{LANES}f32", _VECTOR, [_VECTOR] * 3), [a, b, c])


def sqrt(builder: Any, value: Value) -> Value:
    """The square root of every lane."""
    return builder.call(declared(builder, f"llvm.sqrt.v{LANES}f32", _VECTOR, [_VECTOR]), [value])


def times_power_of_two(builder: Any, value: Value, power: Value) -> Value:
    """Every lane times 2ⁿ, n being the low bits of the number in `power`; the result must be a normal number."""
    whole = ir.VectorType(ir.IntType(32), LANES)
    n = builder.shl(builder.bitcast(power, whole), ir.Constant(whole, [23] * LANES))
    return builder.bitcast(builder.add(builder.bitcast(value, whole), n), _VECTOR)


def first_lanes(builder: Any, count: Value) -> Value:
    """A mask of the lanes 0 … count − 1."""
    lanes = ir.VectorType(_INDEX, LANES)
    first = builder.insert_element(ir.Constant(lanes, ir.Undefined), count, ir.Constant(ir.IntType(32), 0))
    zero = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    counts = builder.shuffle_vector(first, ir.Constant(lanes, ir.Undefined), zero)
    return builder.icmp_signed("<", ir.Constant(lanes, list(range(LANES))), counts)


def load_part(builder: Any, place: Value, mask: Value | None) -> Value:
    """LANES numbers from a place; with a mask 0 in the lanes outside of it, and nothing is read there."""
    if mask is None:
        return load(builder, place)
    place = builder.bitcast(place, _VECTOR.as_pointer())
    kinds = [place.type, ir.IntType(32), mask.type, _VECTOR]
    function = declared(builder, f"llvm.masked.load.v{LANES}f32.p0", _VECTOR, kinds)
    return builder.call(function, [place, ir.Constant(ir.IntType(32), 4), mask, zeros()])


def store_part(builder: Any, value: Value, place: Value, mask: Value | None) -> None:
    """Write a vector to a place; with a mask only its lanes."""
    if mask is None:
        store(builder, value, place)
        return
    place = builder.bitcast(place, _VECTOR.as_pointer())
    kinds = [_VECTOR, place.type, ir.IntType(32), mask.type]
    function = declared(builder, f"llvm.masked.store.v{LANES}f32.p0", ir.VoidType(), kinds)
    builder.call(function, [value, place, ir.Constant(ir.IntType(32), 4), mask])


def declared(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    """A function that LLVM or the C library has, as this module knows it."""
    function = builder.module.globals.get(name)
    return ir.Function(builder.module, ir.FunctionType(result, arguments), name) if function is None else function


def _combined(builder: Any, a: Value, b: Value, combine: str) -> Value:
    """a + b in every lane, or the larger one."""
    return builder.fadd(a, b) if combine == "add" else builder.select(builder.fcmp_ordered(">", a, b), a, b)


def across(builder: Any, value: Value, combine: str) -> Value:
    """The sum or the largest of all lanes, halves joined to halves."""
    width = LANES
    while width > 1:
        width //= 2
        low, high = (picked(builder, value, value, range(i, i + width)) for i in (0, width))
        value = _combined(builder, low, high, combine)
    return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))


def over_vectors(
    builder: Any, n: Value, turn: Callable[[Value, Value | None], list[Value]], sums: int, turns: int, combine: str
) -> list[Value]:
    """Call turn(start, mask) for 0 … n−1, LANES numbers at a time, and combine what it returns lane by lane.

    The mask is None for whole vectors, and the lanes that remain in the last one. `turns` calls share a round of the
    loop, each with sums of its own.
    """
    nothing = ir.Constant(_VECTOR, [0.0 if combine == "add" else float("-inf")] * LANES)
    whole = builder.sdiv(n, constant(LANES))
    totals, done = [nothing] * sums, constant(0)
    if turns > 1:
        done = builder.and_(whole, constant(-turns))
        loop = Loop(builder, builder.sdiv(whole, constant(turns)), totals * turns)
        found = []
        for k in range(turns):
            vector = builder.add(builder.mul(loop.index, constant(turns)), constant(k))
            found += turn(builder.mul(vector, constant(LANES)), None)
        kept = loop.end([_combined(builder, a, b, combine) for a, b in zip(loop.carried, found, strict=True)])
        totals = kept[:sums]
        for k in range(1, turns):
            parts = kept[k * sums : (k + 1) * sums]
            totals = [_combined(builder, a, b, combine) for a, b in zip(totals, parts, strict=True)]
    loop = Loop(builder, builder.sub(whole, done), totals)
    found = turn(builder.mul(builder.add(loop.index, done), constant(LANES)), None)
    totals = loop.end([_combined(builder, a, b, combine) for a, b in zip(loop.carried, found, strict=True)])
    rest = builder.and_(n, constant(LANES - 1))
    loop = Loop(builder, builder.zext(builder.icmp_signed("!=", rest, constant(0)), _INDEX), totals)  # once or never
    mask = first_lanes(builder, rest)
    found = [builder.select(mask, part, nothing) for part in turn(builder.sub(n, rest), mask)]
    return loop.end([_combined(builder, a, b, combine) for a, b in zip(loop.carried, found, strict=True)])


def picked(builder: Any, a: Value, b: Value, lanes: Sequence[int]) -> Value:
    """The named lanes of a followed by b."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes)))


def transposed(builder: Any, rows: Sequence[Value]) -> list[Value]:
    """The columns of LANES registers: blocks of 1, 2, 4 … lanes change sides."""
    turned, d = list(rows), 1
    while d < LANES:
        low = [LANES + i - d if i & d else i for i in range(LANES)]
        high = [LANES + i if i & d else i + d for i in range(LANES)]
        for i in range(LANES):
            if not i & d:
                a, b = turned[i], turned[i + d]
                turned[i], turned[i + d] = picked(builder, a, b, low), picked(builder, a, b, high)
        d *= 2
    return turned


def lane_sums(builder: Any, values: Sequence[Value]) -> list[Value]:
    """The sum of the lanes of each vector: two vectors become one of half sums, until every lane is a sum."""
    found: list[Value] = []
    for first in range(0, len(values), LANES):
        level = [*values[first : first + LANES]]
        count = len(level)
        level += [zeros()] * (LANES - count)
        width = LANES  # lanes that belong together
        while width > 1:
            low = [i + j for i in range(0, 2 * LANES, width) for j in range(width // 2)]
            high = [i + width // 2 for i in low]
            pairs = [*zip(level[::2], level[1::2], strict=True)]
            level = [builder.fadd(picked(builder, a, b, low), picked(builder, a, b, high)) for a, b in pairs]
            width //= 2
        found += [builder.extract_element(level[0], ir.Constant(ir.IntType(32), i)) for i in range(count)]
    return found


def in_vectors(builder: Any, n: Value, emit: Callable[[Value, int], None]) -> None:
    """Call emit(start, width) so that the vectors cover 0 … n−1 and nothing else, with no loop over single numbers.

    From LANES on, the last vector reaches back over numbers already done; below, the widths are the bits of n.
    """
    lanes = constant(LANES)
    with builder.if_else(builder.icmp_signed(">=", n, lanes)) as (long, short):
        with long:
            loop = Loop(builder, builder.sdiv(n, lanes), [])
            emit(builder.mul(loop.index, lanes), LANES)
            loop.end([])
            emit(builder.sub(n, lanes), LANES)
        with short:
            width = LANES // 2
            while width:
                present = builder.icmp_signed("!=", builder.and_(n, constant(width)), constant(0))
                with builder.if_then(present):
                    emit(builder.and_(n, constant(-2 * width)), width)
                width //= 2


class Loop:
    """`for i in range(n)` whose carried values stay in registers.

    Emit the body after making it, reading `index` and `carried`; then `end(new values)` returns the final ones.
    """

    def __init__(self, builder: Any, n: Value, carried: Sequence[Value]) -> None:
        self.builder, self.n, self.before = builder, n, list(carried)
        function = builder.function
        self.entry = builder.block
        self.body = function.append_basic_block("loop")
        self.after = function.append_basic_block("after")
        builder.cbranch(builder.icmp_signed("<", constant(0), n), self.body, self.after)
        builder.position_at_end(self.body)
        self.index = builder.phi(_INDEX)
        self.index.add_incoming(constant(0), self.entry)
        self.carried = [builder.phi(value.type) for value in self.before]
        for phi, value in zip(self.carried, self.before, strict=True):
            phi.add_incoming(value, self.entry)

    def end(self, values: Sequence[Value]) -> list[Value]:
        """Close the body: `values` are carried to the next turn, or out."""
        builder, last = self.builder, self.builder.block
        following = builder.add(self.index, constant(1))
        self.index.add_incoming(following, last)
        for phi, value in zip(self.carried, values, strict=True):
            phi.add_incoming(value, last)
        builder.cbranch(builder.icmp_signed("<", following, self.n), self.body, self.after)
        builder.position_at_end(self.after)
        results = []
        for before, value in zip(self.before, values, strict=True):
            phi = builder.phi(before.type)
            phi.add_incoming(before, self.entry)
            phi.add_incoming(value, last)
            results.append(phi)
        return results
