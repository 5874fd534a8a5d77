"""A loop of nothing but fused multiply-adds on registers: the ceiling of every float32 product on this machine."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

from minidl.backend import Array
from minidl.kernels.cpu import simd
from minidl.kernels.cpu.jit import jit

ACCUMULATORS = 12  # enough to hide the latency of one multiply-add, few enough for 16 registers
FLOPS_PER_ROUND = 2 * ACCUMULATORS * simd.LANES


@intrinsic
def _spin(typing: Any, rounds: Any, out: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        count, array = arguments
        place = simd.pointer(context, builder, signature.args[1], array, simd.constant(0))
        factor = simd.splat(builder, builder.load(place))
        loop = simd.Loop(builder, count, [factor] * ACCUMULATORS)
        sums = loop.end([simd.fma(builder, factor, factor, c) for c in loop.carried])
        total = sums[0]
        for other in sums[1:]:
            total = builder.fadd(total, other)
        builder.store(simd.across(builder, total, "add"), place)
        return context.get_dummy_value()

    return types.void(types.int64, out), emit


@jit
def spin(rounds: int, out: Array) -> None:
    """Do so many rounds of ACCUMULATORS vector multiply-adds; `out` takes the sum, so that nothing is left out."""
    _spin(rounds, out)
