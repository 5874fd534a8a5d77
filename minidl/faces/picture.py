"""The picture that a comparison ends with: who was shown, how often each model was wrong, and on whom."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from minidl.backend import Array
from minidl.faces.comparison import Comparison
from minidl.faces.datasets import FaceDataset
from minidl.faces.errors import BadImage, MissingLibrary
from minidl.io import write_atomically

INK, PAPER, QUIET = "#1b1f24", "#ffffff", "#8b939e"
COLOURS = ("#4878a8", "#e0a03c", "#3f9b6e", "#b3564d", "#7d62a8", "#6f7b86", "#c27ba0", "#5aa9b5")
FORMATS = ("png", "svg", "pdf")
SHOWN_PEOPLE, SHOWN_IMAGES, SHOWN_MISTAKES = 7, 9, 7


def format_of(out: Path) -> str:
    """The format of a picture by the suffix of its file.

    Raises:
        BadImage: the suffix stands for none of the formats.
    """
    suffix = out.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise BadImage(f"{out} is no name for a picture: let it end in .{', .'.join(FORMATS)}")
    return suffix


def require_matplotlib() -> None:
    """Say now, not after a training, that there can be no picture.

    Raises:
        MissingLibrary: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingLibrary("a picture needs matplotlib: pip install 'minidl[faces]'")


def draw_comparison(result: Comparison, data: FaceDataset, out: Path) -> None:
    """Draw a comparison and save it.

    Arguments:
        result: what `compare` returned.
        data: the faces it was measured on.
        out: where the picture goes; its suffix (.png, .svg, .pdf) decides the format.

    Raises:
        BadImage: the suffix is none of these.
        MissingLibrary: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7.2), facecolor=PAPER, dpi=110)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.0, 1.2), height_ratios=(1.0, 1.0), left=0.065, right=0.985,
                               top=0.86, bottom=0.02, hspace=0.3, wspace=0.09)  # fmt: skip
    figure.text(0.02, 0.945, "Who is it?", fontsize=21, color=INK, weight="bold")
    figure.text(0.02, 0.905, f"{result.description}; {result.train} training images a person, "
                f"{result.tests} unseen test images a split", fontsize=10.5, color=QUIET)  # fmt: skip
    _bars(figure.add_subplot(grid[0, 0]), result)
    _faces(figure.add_subplot(grid[:, 1]), data)
    _mistakes(figure.add_subplot(grid[1, 0]), result, data)
    drawn = io.BytesIO()
    figure.savefig(drawn, format=format_of(out))
    write_atomically(out, drawn.getbuffer())


def _bars(axes: Any, result: Comparison) -> None:
    """One bar a model: the mean error, with every split as a dot."""
    models = result.models
    rows = [result.summary(model) for model in models]
    places = np.arange(len(models))[::-1]
    axes.barh(places, [row["error"] for row in rows], height=0.58, color=COLOURS[: len(models)])
    for place, model in zip(places, models, strict=True):
        dots = [100 * run.error for run in result.of(model)]
        axes.plot(dots, np.full(len(dots), place), "o", color=INK, markersize=3.2, alpha=0.55)
    widest = max([100 * run.error for run in result.runs] + [1e-9])
    for place, model, row in zip(places, models, rows, strict=True):
        reach = max(100 * run.error for run in result.of(model))
        axes.text(reach + 0.03 * widest, place, f"{row['error']:.1f} %", va="center", fontsize=12, color=INK)
    axes.set_yticks(places, models, fontsize=12, color=INK)
    axes.set_xlim(0, 1.28 * widest)
    axes.set_title("test images named wrongly (a dot is one split)", loc="left", fontsize=11, color=INK)
    axes.tick_params(axis="x", colors=QUIET, labelsize=9)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)


def _faces(axes: Any, data: FaceDataset) -> None:
    """Some of the people, a row each."""
    codes = data.codes
    chosen = np.linspace(0, len(data.names) - 1, min(SHOWN_PEOPLE, len(data.names))).astype(int)
    rows = [[data.images[i] for i in np.flatnonzero(codes == person)[:SHOWN_IMAGES]] for person in chosen]
    axes.imshow(_sheet(rows), cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
    axes.set_title("some of the people", loc="left", fontsize=11, color=INK)
    axes.set_anchor("NW")
    axes.axis("off")


def _mistakes(axes: Any, result: Comparison, data: FaceDataset) -> None:
    """The most confident model's mistakes: the image above, somebody it was taken for below."""
    best = min(result.models, key=lambda model: result.summary(model)["error"])
    mistakes = [mistake for run in result.of(best) for mistake in run.mistakes]
    axes.axis("off")
    if not mistakes:
        axes.set_title(f"mistakes of the best model ({best}): none", loc="left", fontsize=11, color=INK)
        return
    shown = list({mistake.image: mistake for mistake in mistakes}.values())[:SHOWN_MISTAKES]
    seen = [data.images[mistake.image] for mistake in shown]
    said = [data.images[np.flatnonzero(data.labels == mistake.said)[0]] for mistake in shown]
    axes.set_anchor("NW")
    axes.imshow(_sheet([seen, said]), cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
    axes.set_title(f"mistakes of the best model ({best}): shown, and taken for", loc="left", fontsize=11, color=INK)


def _sheet(rows: list[list[Array]], gap: int = 4) -> Array:
    """Images in rows, with white gaps; short rows are filled with white."""
    h, w = rows[0][0].shape
    columns = max(len(row) for row in rows)
    sheet = np.full((len(rows) * (h + gap) - gap, columns * (w + gap) - gap), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            sheet[i * (h + gap) : i * (h + gap) + h, j * (w + gap) : j * (w + gap) + w] = image
    return sheet
