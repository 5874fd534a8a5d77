"""The first sections of a report: the error rates in words, the table of models, the thresholds."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from minidl.faces.comparison import Comparison
from minidl.faces.identification import GIVEN, TRAINING
from minidl.faces.report.curves import colour
from minidl.faces.report.findings import Findings, Share
from minidl.faces.report.words import both, of_thousand, paragraph, percent


def heading(key: str, section: str, body: str) -> str:
    """A section of the page with its title."""
    return f'<section id="{section}"><h2>{both(key)}</h2>\n{body}\n</section>'


def escaped(value: object) -> str:
    """Text for HTML."""
    return html.escape(str(value))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], css: str = "", row_css: Sequence[str] = ()) -> str:
    """A table that scrolls by itself where it is too wide.

    Arguments:
        head: of the columns, as HTML.
        rows: cells, as HTML; a cell may begin with `<td`.
        css: class of the table.
        row_css: class of each row.
    """
    kinds = [*row_css, *[""] * (len(rows) - len(row_css))]
    cells = ["".join(c if c.startswith("<td") else f"<td>{c}</td>" for c in row) for row in rows]
    lines = [
        f'<tr class="{kind}">{row}</tr>' if kind else f"<tr>{row}</tr>" for kind, row in zip(kinds, cells, strict=True)
    ]
    top = "".join(f"<th scope='col'>{cell}</th>" for cell in head)
    kind = f' class="{css}"' if css else ""
    return (
        f'<div class="scroll" tabindex="0"><table{kind}><thead><tr>{top}</tr></thead><tbody>{"".join(lines)}'
        "</tbody></table></div>"
    )


def source_of(found: Findings) -> dict[str, str]:
    """Where the threshold comes from, in both languages."""
    source = found.calibration.source
    if source == GIVEN:
        return {"en": "given images", "zh": "所给图像"}
    if source == TRAINING:
        return {
            "en": "a rule of thumb on the training images; calibrate with others for one to rely on",
            "zh": "训练图像上的经验规则；要得到可靠的阈值，请用别的图像校准",
        }
    return {"en": source, "zh": source}


# ── in words ──────────────────────────────────────────────────────────────────────────────────────


def in_words(found: Findings, several: bool = False) -> str:
    """The error rates as sentences, each with its figure; warnings first."""
    notes = [paragraph("words_of", "quiet", name=found.name)] if several else []
    if found.seen:
        notes.append(paragraph("seen", "note", seen=found.seen, images=found.images))
    if found.apart:
        notes.append(paragraph("apart", "note"))
    elif not found.real_strangers:
        named = found.operation.named
        notes.append(paragraph("named_left_out", "note", count=of_thousand(named.value), k=named.count, n=named.of))
    said = found.operation
    lines = []
    if found.real_strangers or found.apart:
        lines.append(_line(said.named, "named_real"))
    lines.append(_line(said.missed, "missed"))
    lines.append(
        _item(
            f"{percent(said.accepted.value, 1)} %<small>FAR</small>",
            both(
                "pairs_said",
                wrong=of_thousand(said.accepted.value),
                refused=of_thousand(said.refused.value),
                wk=f"{said.accepted.count:,}",
                wn=f"{said.accepted.of:,}",
                rk=f"{said.refused.count:,}",
                rn=f"{said.refused.of:,}",
            ),
        )
    )
    if found.report is not None:
        wrong = 1 - found.report.accuracy
        right = round(found.report.accuracy * found.report.images)
        lines.append(
            _item(
                f"{percent(wrong, 1)} %",
                both("closed", right=right, n=found.report.images, percent=f"{percent(wrong)} %"),
            )
        )
    lines.append(
        _item(
            f"± {100 * found.probabilities.error:.0f}<small>ECE</small>",
            both("probability", error=f"{100 * found.probabilities.error:.1f}"),
        )
    )
    notes.append(f'<ul class="say">{"".join(lines)}</ul>')
    notes.append(paragraph("thumb", "quiet", source=source_of(found)))
    return heading("in_words", "words", "\n".join(notes))


def _item(figure: str, sentence: str) -> str:
    return f"<li><b>{figure}</b><span>{sentence}</span></li>"


def _line(share: Share, key: str) -> str:
    low, high = share.interval()
    return _item(
        f"{of_thousand(share.value)}<small>/ 1,000</small>",
        both(key, count=of_thousand(share.value), k=share.count, n=share.of, low=of_thousand(low),
             high=of_thousand(high)),
    )  # fmt: skip


# ── models ────────────────────────────────────────────────────────────────────────────────────────


def models(all_: Sequence[Findings], comparison: Comparison | None = None) -> str:
    """The table of models; with a comparison, errors over all its splits and the time of training."""
    head = [both("model"), both("purpose"), both("parameters")]
    head += [both("error_sd"), both("seconds")] if comparison else [both("error")]
    head += [both(key) for key in ("eer", "auc", "tar1", "tar01", "strangers_named", "known_missed")]
    rows = []
    for k, found in enumerate(all_):
        here = found.operation
        wrong = [percent(1 - found.report.accuracy) if found.report else "–"]
        if comparison is not None:
            row = comparison.summary(found.name)
            spread = f" ± {row['sd']:.2f}" if math.isfinite(row["sd"]) else ""
            wrong = [f"{row['error']:.2f}{spread}", f"{row['seconds']:.1f}"]
        rows.append(
            [
                f'<span class="swatch {colour(k)}"></span>{escaped(found.name)}',
                f'<td class="words">{escaped(found.about["purpose"])}</td>',
                f"{found.about['parameters']:,}",
                *wrong,
                percent(found.roc.eer()),
                f"{found.roc.auc():.4f}",
                percent(found.roc.tar_at_far(0.01), 1),
                percent(found.roc.tar_at_far(0.001), 1),
                percent(here.named.value, 1) if found.real_strangers or found.apart else "–",
                percent(here.missed.value, 1),
            ]
        )
    parts = [table(head, rows)]
    if len(all_) > 1:
        parts.append(paragraph("models_note", "quiet", name=all_[0].name))
    if comparison is not None:
        seeds = sorted({run.seed for run in comparison.runs})
        parts.append(
            paragraph("splits", "quiet", n=len(seeds), seeds=", ".join(map(str, seeds)), train=comparison.train,
                      tests=comparison.tests)
        )  # fmt: skip
        if len(seeds) > 1:
            drawn = _dots(comparison, [found.name for found in all_])
            parts.append(f'<figure class="sheet dots">{drawn}<figcaption>{both("split_dots")}</figcaption></figure>')
    return heading("models", "models", "\n".join(parts))


def _dots(comparison: Comparison, names: Sequence[str]) -> str:
    """A row a model, a dot a split, a stroke at the mean."""
    left, wide, row = 90.0, 410.0, 26.0
    most = max([100 * run.error for run in comparison.runs] + [1.0])
    parts = []
    for k, name in enumerate(names):
        y = row * (k + 0.6)
        parts.append(f'<line class="grid" x1="{left}" x2="{left + wide}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="end" x="{left - 10}" y="{y + 4}">{escaped(name)}</text>')
        for run in comparison.of(name):
            x = left + wide * 100 * run.error / most
            parts.append(f'<circle class="dot {colour(k)}" cx="{x:.1f}" cy="{y}" r="4.5"/>')
        x = left + wide * comparison.summary(name)["error"] / most
        parts.append(f'<line class="curve {colour(k)}" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 9}" y2="{y + 9}"/>')
    tall = row * (len(names) + 1.2)
    parts.append(f'<text x="{left}" y="{tall - 8}">0 %</text>')
    parts.append(f'<text class="end" x="{left + wide}" y="{tall - 8}">{most:.1f} %</text>')
    title = "errors of every split, model by model"
    return f'<svg viewBox="0 0 520 {tall:g}" role="img" aria-label="{title}">{"".join(parts)}</svg>'


# ── thresholds ────────────────────────────────────────────────────────────────────────────────────


def thresholds(found: Findings) -> str:
    """The table of the calibration, the row in use marked."""
    chosen = found.calibration
    head = [both(key) for key in ("allowed", "threshold", "strangers_named", "known_missed", "pair_threshold",
                                  "pair_far", "pair_frr")]  # fmt: skip
    rows = [
        [f"{100 * row.far:g} %", f"{row.threshold:.4f}", percent(row.named), percent(row.missed),
         f"{row.pair_threshold:.4f}", percent(row.pair_far), percent(row.pair_frr)]
        for row in chosen.rows
    ]  # fmt: skip
    used = ["used" if math.isclose(row.far, chosen.far) else "" for row in chosen.rows]
    parts = [
        paragraph("thresholds_lead", source=source_of(found), images=chosen.images, people=chosen.people),
        table(head, rows, row_css=used),
        paragraph("in_use", threshold=f"{chosen.threshold:.4f}", pair=f"{chosen.pair_threshold:.4f}"),
    ]
    if not chosen.enough:
        parts.append(paragraph("not_enough", "note"))
    return heading("thresholds_heading", "thresholds", "\n".join(parts))
