"""The figures drawn: how cost grows, and the roofline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TITLES = {
    "batch": ("face CNN, training", "images in a batch", "ms an image"),
    "time": ("GRU, forward and backward", "time steps", "ms a step"),
    "tokens": ("attention, forward and backward", "tokens", "ms a token"),
    "channels": ("3×3 convolution, both passes", "channels", "ms a channel²"),
    "depth": ("chain of multiplications", "operations", "ms an operation"),
    "threads": ("face CNN, training", "threads", "ms a step"),
}
POWER = {"channels": 2, "threads": 0}
INK = {"minidl": "#0b6e4f", "torch": "#c8553d", "torch+malloc": "#d98f4e", "jax": "#5b6ee1"}


def draw_scaling(series: dict[str, Any], folder: Path) -> Path:
    """One panel a sweep: time divided by size, so that a cost that grows in proportion is a level line."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(12, 6.4), layout="constrained")
    for axis, (sweep, sizes) in zip(axes.flat, series.items(), strict=True):
        title, xlabel, ylabel = TITLES[sweep]
        engines = sorted({engine for rows in sizes.values() for engine in rows}, key=list(INK).index)
        for engine in engines:
            points = [(int(n), rows[engine]) for n, rows in sizes.items() if engine in rows]
            scale = [1e3 / n ** POWER.get(sweep, 1) for n, _ in points]
            y = [row["median"] * s for (_, row), s in zip(points, scale, strict=True)]
            axis.plot([n for n, _ in points], y, "o-", color=INK[engine], lw=2, ms=4, label=engine)
            low, high = ([row[q] * s for (_, row), s in zip(points, scale, strict=True)] for q in ("q1", "q3"))
            axis.fill_between([n for n, _ in points], low, high, color=INK[engine], alpha=0.15, lw=0)
        axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
        axis.set_xscale("log", base=2 if sweep != "depth" else 10)
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
    axes.flat[0].legend(frameon=False)
    return _saved(figure, folder / "scaling.png")


def draw_roofline(points: dict[str, Any], folder: Path) -> Path:
    """GFLOP/s over operations a byte, under the two ceilings."""
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 5), layout="constrained")
    peak, stream = points["peak"], points["bandwidth"]
    reach = [1.0, peak / stream, 400.0]
    axis.plot(reach, [stream, peak, peak], color="0.35", lw=2)
    axis.text(reach[1] * 1.1, peak * 1.04, f"multiply-adds: {peak:.0f} GFLOP/s", color="0.35")
    axis.text(1.05, stream * 1.35, f"memory: {stream:.0f} GB/s", color="0.35", rotation=33)
    marks = {"forward": "o", "input": "s", "weight": "^"}
    for which, mark in marks.items():
        chosen = [p for name, p in points["convolutions"].items() if name.endswith(which)]
        axis.plot(
            [p["intensity"] for p in chosen], [p["gflops"] for p in chosen], mark, label=which, ms=7, alpha=0.8,
        )  # fmt: skip
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="operations of the loops a byte",
        ylabel="GFLOP/s",
        title="minidl's convolutions",
    )
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, loc="lower right")
    return _saved(figure, folder / "roofline.png")


def _saved(figure: Any, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
    return file
