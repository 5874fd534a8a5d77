"""`python -m benchmarks.one_convolution`: one convolution, from seven loops to the microkernel, measured at every step.

    y[n,o,i,j] = Σ_c Σ_k Σ_l w[o,c,k,l] · x[n,c,i+k,j+l]

Every step computes the same numbers (each result is compared with the first that is fast enough to run whole) and
differs from the one before in one idea. The page that `--page FILE` writes has the text, the code as it ran and the
operations a second of *your* machine; the last column is the share of its measured multiply-add peak.
"""

from __future__ import annotations

import argparse
import inspect
import statistics
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from benchmarks.machine import machine, peak_gflops
from minidl.backend import Array
from minidl.kernels.cpu import winograd, winograd_convolution, winograd_strips
from minidl.kernels.cpu.jit import jit
from minidl.kernels.cpu.tiles import ROWS, TILE, wide_tile
from minidl.kernels.geometry import convolution
from minidl.kernels.threads import num_threads, parallel_for, set_num_threads, single_threaded_blas

N, C, O, H, W, K = 8, 32, 64, 55, 45, 3
OH, OW = H - K + 1, W - K + 1
FLOPS = 2.0 * N * O * OH * OW * C * K * K
PATCH = 2  # images, channels in and out, rows and columns of the piece that plain Python is given


def seven_loops(x: Array, w: Array, y: Array) -> None:
    N, C, O = x.shape[0], x.shape[1], w.shape[0]
    for n in range(N):
        for o in range(O):
            for i in range(y.shape[2]):
                for j in range(y.shape[3]):
                    total = np.float32(0)
                    for c in range(C):
                        for k in range(w.shape[2]):
                            for l in range(w.shape[3]):
                                total += w[o, c, k, l] * x[n, c, i + k, j + l]
                    y[n, o, i, j] = total


compiled_loops = jit(seven_loops)


@jit
def row_by_row(x: Array, w: Array, y: Array) -> None:
    y[:] = 0
    for n in range(x.shape[0]):
        for o in range(w.shape[0]):
            for c in range(x.shape[1]):
                for k in range(w.shape[2]):
                    for l in range(w.shape[3]):
                        weight = w[o, c, k, l]
                        for i in range(y.shape[2]):
                            for j in range(y.shape[3]):
                                y[n, o, i, j] += weight * x[n, c, i + k, j + l]


def unfolded_whole(x: Array, w: Array, y: Array) -> None:
    windows = sliding_window_view(x, (K, K), (2, 3))  # n, c, i, j, k, l
    columns = windows.transpose(1, 4, 5, 0, 2, 3).reshape(C * K * K, N * OH * OW)
    y[:] = (w.reshape(O, -1) @ columns).reshape(O, N, OH, OW).transpose(1, 0, 2, 3)


def unfolded_by_image(x: Array, w: Array, y: Array) -> None:
    for n in range(N):
        windows = sliding_window_view(x[n], (K, K), (1, 2))  # c, i, j, k, l
        columns = windows.transpose(0, 3, 4, 1, 2).reshape(C * K * K, OH * OW)
        np.matmul(w.reshape(O, -1), columns, out=y[n].reshape(O, -1))


def packed(w: Array) -> Array:
    blocks = w.reshape(O // ROWS, ROWS, C * K * K)
    return np.ascontiguousarray(blocks.transpose(0, 2, 1)).reshape(-1)


def taps() -> Array:
    c, k, l = np.ogrid[:C, :K, :K]
    return (c * H * W + k * W + l).ravel()


@jit
def tiles_of_images(
    x: Array, w: Array, offsets: Array, bias: Array, row: Array, y: Array, start: int, stop: int
) -> None:
    extent = (y.shape[2] - 1) * x.shape[3] + y.shape[3]  # from the first window to the last, flat
    image = x.shape[1] * x.shape[2] * x.shape[3]
    for n in range(start, stop):
        for block in range(y.shape[1] // ROWS):
            for p in range(0, extent, TILE):
                p = min(p, extent - TILE)
                wide_tile(w, block * offsets.size * ROWS, x.reshape(-1), n * image + p, offsets, 0, offsets.size,
                          bias, 0, row, p, extent)  # fmt: skip
            for r in range(ROWS):
                for i in range(y.shape[2]):
                    for j in range(y.shape[3]):
                        y[n, block * ROWS + r, i, j] = row[r * extent + i * x.shape[3] + j]


def in_registers(x: Array, w: Array, y: Array) -> None:
    filters, offsets, bias = packed(w), taps(), np.zeros(ROWS, np.float32)
    row = np.empty(ROWS * H * W, np.float32)
    tiles_of_images(x, filters, offsets, bias, row, y, 0, N)


def on_all_threads(x: Array, w: Array, y: Array) -> None:
    filters, offsets, bias = packed(w), taps(), np.zeros(ROWS, np.float32)

    def images(start: int, stop: int) -> None:
        row = np.empty(ROWS * H * W, np.float32)
        tiles_of_images(x, filters, offsets, bias, row, y, start, stop)

    parallel_for(N, 1, images)


def by_fewer_products(x: Array, w: Array, y: Array) -> None:
    sizes = convolution("conv2d", x.shape, w.shape, (1, 1), (0, 0, 0, 0), (1, 1), 1)
    left_out = winograd_convolution.conv2d(x, w, None, sizes, y)
    assert not left_out.size  # images that `winograd.is_moderate` sends to the direct way


@dataclass(frozen=True)
class Step:
    """One idea: the function that carries it out, and the code to show. What to say of it stands in a file beside."""

    run: Callable[[Array, Array, Array], None]
    shown: tuple[Any, ...]
    name: str
    piece: bool = False
    on_all: bool = False  # threads

    def text(self, key: str) -> str:
        """The words of the step: "title_en", "title_zh", "en" or "zh"."""
        return " ".join(_WORDS[self.name][key].split("\n")).format(rows=ROWS, tile=TILE, sums=ROWS * TILE)


_WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
STEPS = (
    Step(seven_loops, (seven_loops,), "seven_loops", piece=True),
    Step(compiled_loops, (seven_loops,), "compiled_loops"),
    Step(row_by_row, (row_by_row,), "row_by_row"),
    Step(unfolded_whole, (unfolded_whole,), "unfolded_whole"),
    Step(unfolded_by_image, (unfolded_by_image,), "unfolded_by_image"),
    Step(in_registers, (packed, taps, tiles_of_images, in_registers), "in_registers"),
    Step(on_all_threads, (on_all_threads,), "on_all_threads", on_all=True),
    Step(
        by_fewer_products,
        (winograd.patch_columns, winograd.filter_columns, winograd.output_columns, winograd_strips.multiply_strip,
         by_fewer_products),
        "by_fewer_products", on_all=True,
    ),
)  # fmt: skip


def operands() -> tuple[Array, Array, Array]:
    """A batch of images, filters, and room for the result."""
    rng = np.random.default_rng(0)
    return (
        rng.standard_normal((N, C, H, W), np.float32),
        rng.standard_normal((O, C, K, K), np.float32),
        np.empty((N, O, OH, OW), np.float32),
    )


def seconds(task: Callable[[], None], budget: float) -> float:
    """The median of as many runs as the budget allows, at least three."""
    task()
    times: list[float] = []
    while len(times) < 3 or sum(times) < budget:
        started = time.perf_counter()
        task()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def measured(budget: float = 0.5) -> list[float]:
    """10⁹ operations a second of every step; raises if one of them computes something else.

    Raises:
        AssertionError: two steps disagree.
    """
    x, w, y = operands()
    row_by_row(x, w, y)
    expected, rates = y.copy(), []
    for step in STEPS:
        if step.piece:
            small_x, small_w = x[:1, :PATCH, : 8 + K, : 8 + K], w[:PATCH, :PATCH]
            small_y = np.empty((1, PATCH, 9, 9), np.float32)
            flops = 2.0 * small_y.size * PATCH * K * K
            rates.append(flops / seconds(lambda: step.run(small_x, small_w, small_y), budget) / 1e9)  # noqa: B023
            continue
        y[:] = np.nan
        with single_threaded_blas():
            rates.append(FLOPS / seconds(lambda: step.run(x, w, y), budget) / 1e9)  # noqa: B023
        np.testing.assert_allclose(y, expected, rtol=2e-4, atol=2e-4, err_msg=step.name)
    return rates


def share(part: float) -> str:
    """A part of the peak in percent, with two digits."""
    return f"{100 * part:.0f} %" if part >= 0.1 else f"{100 * part:.2g} %"


def page(rates: list[float], peaks: tuple[float, float]) -> str:
    """The walk as Markdown in both languages, with the code as it ran and the figures of this machine."""
    about = machine()
    lines = [
        "# One convolution, from seven loops to the microkernel",
        "# 一次卷积：从七重循环到微内核",
        "",
        f"{N}×{C}×{H}×{W} images, {O} filters {K}×{K}, float32, {FLOPS / 1e9:.2f}·10⁹ operations. "
        f"{about['processor']}; all steps but the last two on one thread, whose measured multiply-add peak is "
        f"{peaks[0]:.0f} GFLOP/s ({peaks[1]:.0f} on {num_threads()} threads). Written by "
        "`python -m benchmarks.one_convolution --page`; run it for the figures of your own machine. Operations are "
        "those of the loops, so the last step, which saves some, may exceed the peak.",
        "",
        "$$y_{n,o,i,j} = \\sum_{c,k,l} w_{o,c,k,l}\\, x_{n,c,i+k,j+l}$$",
        "",
        "| | step | 步骤 | GFLOP/s | of the peak |",
        "|---|---|---|---|---|",
    ]
    for number, (step, rate) in enumerate(zip(STEPS, rates, strict=True), 1):
        peak = peaks[step.on_all]
        lines.append(
            f"| {number} | {step.text('title_en')} | {step.text('title_zh')} | {rate:.3g} | {share(rate / peak)} |"
        )
    for number, (step, rate) in enumerate(zip(STEPS, rates, strict=True), 1):
        lines += ["", f"## {number}. {step.text('title_en')} · {step.text('title_zh')}: {rate:.3g} GFLOP/s"]
        lines += ["", step.text("en"), "", step.text("zh")]
        sources = [inspect.getsource(getattr(f, "py_func", f)).rstrip() for f in step.shown]
        lines += ["", "```python", "\n\n\n".join(sources), "```"]
    lines += ["", f"## {_WORDS['after']['title_en']} · {_WORDS['after']['title_zh']}", "", _WORDS["after"]["en"]]
    lines += ["", _WORDS["after"]["zh"], ""]
    return "\n".join(lines)


def main() -> None:
    """Measure every step, print the table, write the page if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.one_convolution", description=__doc__.split("\n")[0])
    parser.add_argument("--page", type=Path, help="write the page to this Markdown file")
    parser.add_argument("--budget", type=float, default=0.5, help="seconds a step (default: 0.5)")
    chosen = parser.parse_args()
    threads = num_threads()
    peaks = peak_gflops(1), peak_gflops(threads)
    set_num_threads(threads)
    rates = measured(chosen.budget)
    for step, rate in zip(STEPS, rates, strict=True):
        peak = peaks[step.on_all]
        print(f"{step.text('title_en'):<28}{rate:10.3f} GFLOP/s {share(rate / peak):>8} of the peak")
    if chosen.page:
        chosen.page.write_text(page(rates, peaks), encoding="utf-8")
        print(f"page: {chosen.page}")


if __name__ == "__main__":
    main()
