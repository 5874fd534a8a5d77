"""The sections of a report after the first: curves, damages, people, pairs, maps, what was measured, privacy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from minidl.faces.explain import Pair
from minidl.faces.metrics import Report
from minidl.faces.report import curves as draw
from minidl.faces.report.findings import Findings
from minidl.faces.report.pictures import picture
from minidl.faces.report.summary import escaped, heading, table
from minidl.faces.report.words import both, paragraph, percent

MOST_IN_MATRIX: Final = 60
"""People; a larger table of confusion could not be read."""
MOST_MISTAKES: Final = 12


# ── curves ────────────────────────────────────────────────────────────────────────────────────────


def curves(all_: Sequence[Findings]) -> str:
    """ROC and CMC of all models; error rates over the threshold and reliability of the first."""
    names = [(draw.colour(k), escaped(found.name)) for k, found in enumerate(all_)]
    many = _legend(names) if len(names) > 1 else ""
    first = all_[0]
    figures = [_figure(many + draw.roc_plot(all_), "roc_caption")]
    figures.append(_figure(many + draw.det_plot(all_), "det_caption"))
    ranks = draw.cmc_plot(all_)
    figures.append(_figure(many + ranks, "cmc_caption") if ranks else "")
    for drawn, name in ((draw.search_plot(first), "search"), (draw.pairs_plot(first), "pairs")):
        legend = _legend([(css, both(f"legend_{css}_{name}")) for css in ("wrong", "refused")])
        more = both("left_out") if name == "search" and not (first.real_strangers or first.apart) else ""
        figures.append(_figure(legend + drawn, f"{name}_caption", more))
    figures.append(_figure(draw.reliability_plot(first), "reliability_caption"))
    missing = "" if ranks else paragraph("cmc_missing", "quiet")
    return heading("curves", "curves", f'<div class="curves">{"".join(figures)}</div>{missing}')


def _figure(inside: str, caption: str, more: str = "") -> str:
    return f"<figure>{inside}<figcaption>{both(caption)} {more}</figcaption></figure>"


def _legend(names: Sequence[tuple[str, str]]) -> str:
    return (
        '<p class="legend">'
        + "".join(f'<span><span class="swatch {css}"></span>{name}</span>' for css, name in names)
        + "</p>"
    )


# ── damages ───────────────────────────────────────────────────────────────────────────────────────


def damages(all_: Sequence[Findings], photographs: bool) -> str:
    """A row a model, a column a damage, the darker the worse."""
    measured = [found for found in all_ if found.damages]
    if not measured:
        return heading("damage", "damage", paragraph("damage_none"))
    head = [both("model")]
    for damaged in measured[0].damages:
        shown = picture(damaged.example, damaged.kind) if photographs else ""
        head.append(shown + both(f"damage_{damaged.kind.replace(' ', '_')}"))
    rows = [
        [
            escaped(found.name),
            *[
                f'<td style="--h:{min(1.0, one.wrong.value):.3f}">{percent(one.wrong.value, 1)}</td>'
                for one in found.damages
            ],
        ]
        for found in measured
    ]
    return heading("damage", "damage", paragraph("damage_lead") + table(head, rows, "heat"))


# ── people ────────────────────────────────────────────────────────────────────────────────────────


def people(found: Findings) -> str:
    """Who was taken for whom; recall and precision of each."""
    report = found.report
    if report is None:
        return ""
    parts = []
    if len(report.people) <= MOST_IN_MATRIX:
        parts.append(
            f'<figure class="sheet"><div class="matrix">{confusion_svg(report)}</div>'
            f"<figcaption>{both('confusion_caption')}</figcaption></figure>"
        )
    else:
        parts.append(paragraph("confusion_large", people=len(report.people)))
    parts.append(_mistakes(report))
    parts.append(paragraph("people_lead"))
    worst = sorted(report.recall, key=lambda name: (report.recall[name], _known(report.precision[name])))
    listed = [name for name in worst if report.recall[name] < 1 or report.precision[name] != 1]
    perfect = len(worst) - len(listed)
    lines = []
    for name in listed:
        bars = "".join(_bar(x) for x in (report.recall[name], report.precision[name]))
        lines.append(f'<li><span class="who" title="{escaped(name)}">{escaped(name)}</span>{bars}</li>')
    if lines:
        parts.append(f'<ul class="each">{"".join(lines)}</ul>')
    if perfect:
        parts.append(paragraph("people_more", "quiet", n=perfect))
    return heading("people_heading", "people", "\n".join(parts))


def _known(value: float) -> float:
    return value if value == value else 1.0


def _bar(share: float) -> str:
    known = share == share
    return (
        f'<span class="bar" style="--v:{share if known else 0:.3f}">{percent(share, 0)}{" %" if known else ""}</span>'
    )


def confusion_svg(report: Report) -> str:
    """The table of confusion as squares, one a pair that occurred."""
    n = len(report.people)
    side, left, above = 480.0 / n, 46.0, 46.0
    shown = report.confusion.sum(1, keepdims=True)
    share = report.confusion / np.maximum(shown, 1)
    parts = [f'<rect class="frame" x="{left}" y="{above}" width="480" height="480"/>']
    for i, j in np.argwhere(report.confusion > 0).tolist():
        title = f"{report.people[i]} → {report.people[j]}: {report.confusion[i, j]}"
        parts.append(
            f'<rect class="cell{"" if i == j else " wrong"}" x="{left + j * side:.1f}" y="{above + i * side:.1f}" '
            f'width="{side:.1f}" height="{side:.1f}" opacity="{0.25 + 0.75 * share[i, j]:.2f}">'
            f"<title>{escaped(title)}</title></rect>"
        )
    for k, name in enumerate(report.people):
        if n > 45 and k % 2:
            continue
        label, at = escaped(str(name)[:8]), above + (k + 0.5) * side
        parts.append(f'<text class="end" x="{left - 4}" y="{at + 2.6:.1f}">{label}</text>')
        across = left + (k + 0.5) * side
        parts.append(
            f'<text transform="translate({across + 2.6:.1f} {above - 4}) rotate(-90)" x="0" y="0">{label}</text>'
        )
    return f'<svg viewBox="0 0 530 530" role="img" aria-label="confusion">{"".join(parts)}</svg>'


def _mistakes(report: Report) -> str:
    counts = Counter(
        {(i, j): int(report.confusion[i, j]) for i, j in np.argwhere(report.confusion > 0).tolist() if i != j}
    )
    title = f"<h3>{both('most_confused')}</h3>"
    if not counts:
        return title + paragraph("confusion_none")
    shown = report.confusion.sum(1)
    lines = [
        f"<li>{both('confused', truth=report.people[i], said=report.people[j], count=count, of=int(shown[i]))}</li>"
        for (i, j), count in counts.most_common(MOST_MISTAKES)
    ]
    return f"{title}<ul>{''.join(lines)}</ul>"


# ── pictures ──────────────────────────────────────────────────────────────────────────────────────


def pairs(found: Findings) -> str:
    """The worst pairs of either kind, as pictures."""
    threshold = found.calibration.pair_threshold
    parts = []
    for kind, some in (("impostors", found.pairs.impostors), ("genuine", found.pairs.genuine)):
        shots = []
        for pair in some:
            passes = pair.similarity >= threshold
            wrong = passes == (kind == "impostors")
            said = both("pair_above" if passes else "pair_below", similarity=f"{pair.similarity:.3f}")
            shots.append(
                f'<figure class="{"over" if wrong else ""}"><div class="two">{_two(found, pair)}</div>'
                f'<figcaption><span class="who">{_who(found, pair)}</span><b>{said}</b></figcaption></figure>'
            )
        if shots:
            parts.append(f'<h3>{both(kind)}</h3><div class="shots">{"".join(shots)}</div>')
    return heading("pairs_heading", "pairs", "\n".join(parts))


def _two(found: Findings, pair: Pair) -> str:
    return "".join(picture(found.faces[i], str(found.shown[i])) for i in (pair.first, pair.second))


def _who(found: Findings, pair: Pair) -> str:
    names = list(dict.fromkeys(escaped(found.shown[i]) for i in (pair.first, pair.second)))
    return " · ".join(names)


def explained(found: Findings) -> str:
    """Faces and what spoke for the answer."""
    if not found.explained:
        return ""
    rows = []
    for one in found.explained:
        key, css = ("named_rightly", "") if one.truth == one.said else ("named_wrongly", ' class="bad"')
        shots = [f"<div>{picture(one.maps[0].image, str(one.truth))}<span>{both('way_face')}</span></div>"]
        shots += [
            f"<div>{picture(way.picture(), f'{one.truth}, {way.method}')}"
            f"<span>{both('way_' + way.method.replace('-', '_'))}</span></div>"
            for way in one.maps
        ]
        rows.append(
            f'<div class="sheet"><h3{css}>{both(key, truth=one.truth, said=one.said)}</h3>'
            f'<div class="row" style="--n:{len(shots)}">{"".join(shots)}</div></div>'
        )
    return heading(
        "explained_heading", "explained", paragraph("explained_lead") + f'<div class="maps">{"".join(rows)}</div>'
    )


# ── what was measured, and what for ───────────────────────────────────────────────────────────────


def method(found: Findings) -> str:
    """Data, counts, definitions, limits."""
    t = found.trials
    lines = [
        both("method_data", data=found.data),
        both("method_counts", images=found.images, known=found.known, strangers=found.strangers,
             enrolled=found.enrolled),
        both("seen", seen=found.seen, images=found.images) if found.seen else both("method_seen"),
        both("method_pairs", same=f"{len(t.same.similarity):,}", different=f"{len(t.different.similarity):,}"),
        both("method_roc", genuine=f"{found.report.genuine:,}", impostor=f"{found.report.impostor:,}")
        if found.report
        else both("method_roc_apart"),
        both("method_interval"),
        *([both("method_damage")] if found.damages else []),
        both("method_limits"),
    ]  # fmt: skip
    return heading("method_heading", "method", f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>")


def privacy() -> str:
    """What happens to faces, and what this must not be used for."""
    keys = ("privacy_biometric", "privacy_local", "privacy_gallery", "privacy_spoof", "privacy_decide")
    return heading("privacy_heading", "privacy", f"<ul>{''.join(f'<li>{both(key)}</li>' for key in keys)}</ul>")
