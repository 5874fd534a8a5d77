"""The report says what was measured: every figure on the page is one of the recognizer's, and it asks for nothing."""

from __future__ import annotations

import base64
import datetime
import html
import json
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recognizer_cases import NAMES, SIZE
from report_cases import dataset, measured, recognizer, strangers

from minidl.cli.main import main
from minidl.faces import FaceRecognizer, Gallery, metrics, protocol
from minidl.faces.comparison import Run, compare
from minidl.faces.datasets import FaceDataset
from minidl.faces.errors import BadDataset
from minidl.faces.generated import generated_faces
from minidl.faces.images import decode_image
from minidl.faces.report import Findings, measure, report_html
from minidl.faces.report.findings import Share
from minidl.faces.report.measuring import operation
from minidl.faces.report.words import LANGUAGES, strings
from minidl.faces.trials import search

DATE = datetime.date(2026, 11, 22)


@cache
def page(photographs: bool = True) -> str:
    return report_html([measured(), measured("gru")], photographs=photographs, date=DATE)


class Reading(HTMLParser):
    """The text of one language of a section, and its tables as lists of rows; every tag must be closed."""

    VOID = frozenset({"meta", "link", "img"})

    def __init__(self, language: str) -> None:
        super().__init__()
        self.language, self.hidden, self.open = language, 0, []
        self.section, self.texts, self.rows = "", {}, {}
        self.cell: list[str] | None = None
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        told = dict(attributes)
        other = tag == "span" and told.get("lang") not in (None, self.language)
        if tag not in self.VOID:
            self.open.append((tag, other))
        self.hidden += other
        if tag == "section":
            self.section = str(told["id"])
        if tag == "tr":
            self.rows.setdefault(self.section, []).append([])
        if tag in ("td", "th"):
            self.cell = []
        if "src" in told:
            self.sources.append(str(told["src"]))

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if "src" in dict(attributes):
            self.sources.append(str(dict(attributes)["src"]))

    def handle_endtag(self, tag: str) -> None:
        opened, other = self.open.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>"
        self.hidden -= other
        if tag in ("td", "th") and self.cell is not None:
            self.rows[self.section][-1].append("".join(self.cell).strip())
            self.cell = None
        if tag == "section":
            self.section = ""

    def handle_data(self, data: str) -> None:
        if self.hidden or (self.open and self.open[-1][0] in ("style", "script")):
            return
        self.texts[self.section] = self.texts.get(self.section, "") + data
        if self.cell is not None:
            self.cell.append(data)


def read(text: str, language: str = "en") -> Reading:
    found = Reading(language)
    found.feed(text)
    assert not found.open, found.open
    return found


# ── figures ───────────────────────────────────────────────────────────────────────────────────────


def test_findings_are_those_of_evaluate_and_of_the_open_set() -> None:
    found, fr, data = measured(), recognizer(), dataset("test")
    truth = fr.evaluate(data.images, data.labels)
    assert found.report is not None
    assert found.report.to_dict() == truth.to_dict()
    assert (found.known, found.strangers, found.enrolled, found.seen) == (18, 20, 6, 0)
    assert (found.real_strangers, found.apart) == (True, False)
    named = [fr.identify(image)[0].name for image in strangers().images]
    assert found.operation.named == Share(sum(name is not None for name in named), 20)
    said = [fr.identify(image)[0].name for image in data.images]
    assert found.operation.missed == Share(sum(a != b for a, b in zip(said, data.labels.tolist(), strict=True)), 18)


def test_open_set_figures_agree_with_the_metric() -> None:
    found, fr = measured(), recognizer()
    people = fr.people()
    rows = [fr.gallery.templates(name) for name in people]
    known, owners = np.concatenate(rows), np.repeat(np.arange(6), [len(row) for row in rows])
    data, others = dataset("test"), strangers()
    probes = np.concatenate([fr.represent(data.images), fr.represent(others.images)])
    codes = np.r_[[people.index(name) for name in data.labels], np.full(20, -1)]
    curve = metrics.open_set(probes @ known.T, codes, owners)
    at = np.sum(curve.thresholds >= fr.calibration.threshold) - 1
    assert found.operation.named.value == pytest.approx(curve.fpir[at])
    assert found.operation.missed.value == pytest.approx(curve.fnir[at])
    assert found.trials.own.similarity.tolist() == search(probes, codes, known, owners).own.similarity.tolist()


def test_the_damages_are_those_of_the_protocol() -> None:
    fr, data = recognizer(), dataset("test")
    assert [one.kind for one in measured().damages] == list(protocol.DAMAGES)
    for one in measured().damages:
        wrong = fr.predict(protocol.damage(data.images, one.kind)) != data.labels
        assert one.wrong == Share(int(wrong.sum()), 18), one.kind


def test_every_model_is_explained_in_the_ways_it_has() -> None:
    assert {way.method for one in measured().explained for way in one.maps} == {"occlusion"}
    assert {way.method for one in measured("gru").explained for way in one.maps} == {"occlusion", "gradient"}
    wrong = [one for one in measured().explained if one.truth != one.said]
    assert len(measured().explained) == 6
    assert len(wrong) == min(3, round((1 - measured().report.accuracy) * 18))  # type: ignore[union-attr]


def test_a_share_lies_in_its_interval() -> None:
    """Wilson's interval covers the truth 95 times of 100, by all outcomes of 30 trials with their probabilities."""
    for p in (0.05, 0.3, 0.7):
        chances = [
            float(np.prod([(30 - i) / (i + 1) for i in range(k)]) * p**k * (1 - p) ** (30 - k)) for k in range(31)
        ]
        inside = [low <= p <= high for low, high in (Share(k, 30).interval() for k in range(31))]
        assert 0.92 < np.sum(np.array(chances)[inside]) < 0.99, p


def test_thresholds_at_the_ends() -> None:
    trials = measured().trials
    nobody, everybody = operation(trials, 2.0, 2.0), operation(trials, -2.0, -2.0)
    assert (nobody.named.value, nobody.missed.value, nobody.accepted.value, nobody.refused.value) == (0, 1, 0, 1)
    assert (everybody.named.value, everybody.accepted.value, everybody.refused.value) == (1, 1, 0)


# ── the page ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_table_of_models_holds_their_figures(language: str) -> None:
    rows = read(page(), language).rows["models"][1:]
    assert [row[0] for row in rows] == ["eigen", "gru"]
    for row, found in zip(rows, (measured(), measured("gru")), strict=True):
        report = found.report
        assert report is not None
        here, tar = found.operation, report.tar_at_far
        shares = [1 - report.accuracy, report.eer, report.auc / 100, tar[0.01], tar[0.001]]
        figures = [100 * share for share in [*shares, here.named.value, here.missed.value]]
        assert row[2] == f"{recognizer(found.name).parameter_count:,}"
        assert [float(cell) for cell in row[3:]] == pytest.approx(figures, abs=0.051)


def test_the_words_hold_the_counts() -> None:
    said, here = read(page()).texts["words"], measured().operation
    low, high = here.named.interval()
    assert f"measured: {here.named.count} of 20 images" in said
    assert f"the true number lies between {1000 * low:.0f} and {1000 * high:.0f} in 95" in said
    assert f"Of 1,000 strangers, about {1000 * here.named.value:.0f} would be given" in said
    assert f"({here.refused.count} of {here.refused.of})" in said
    report = measured().report
    assert report is not None
    assert f"it names {round(18 * report.accuracy)} of 18 rightly" in said
    assert f"off by {100 * measured().probabilities.error:.1f} percentage points" in said


def test_thresholds_damages_and_people() -> None:
    found, rows = read(page()), measured().calibration.rows
    shown = found.rows["thresholds"][1:]
    assert [row[1] for row in shown] == [f"{row.threshold:.4f}" for row in rows]
    damages = {row[0]: row[1:] for row in found.rows["damage"][1:]}
    for name, findings in (("eigen", measured()), ("gru", measured("gru"))):
        assert damages[name] == [f"{100 * one.wrong.value:.1f}" for one in findings.damages]
    report = measured().report
    assert report is not None
    off = [(i, j) for i, j in np.argwhere(report.confusion).tolist() if i != j]
    squares = re.findall(r'class="cell( wrong)?"[^>]*><title>([^<]*)', page())
    assert sorted(title for wrong, title in squares if wrong) == sorted(
        f"{report.people[i]} → {report.people[j]}: {report.confusion[i, j]}" for i, j in off
    )
    for i, j in off:
        assert (
            f"{report.people[i]} taken for {report.people[j]}: {report.confusion[i, j]} of 3" in found.texts["people"]
        )


def test_pairs_are_the_pictures_themselves() -> None:
    found, text = measured(), page()
    section = text[text.index('<section id="pairs">') : text.index('<section id="explained">')]
    shown = [decode_image(base64.b64decode(one)) for one in re.findall(r'src="data:image/png;base64,([^"]+)"', section)]
    expected = [found.faces[i] for pair in [*found.pairs.impostors, *found.pairs.genuine] for i in pair[:2]]
    assert len(shown) == len(expected) > 8
    assert all((a == b).all() for a, b in zip(shown, expected, strict=True))
    for pair in found.pairs.impostors:
        assert found.shown[pair.first] != found.shown[pair.second]


def test_nothing_is_asked_for_from_elsewhere() -> None:
    for text in (page(), page(False)):
        assert "http" not in re.sub(r'http-equiv="Content-Security-Policy"', "", text)
        assert "//" not in re.sub(r"(?m)^\s*//.*$|/\*.*?\*/|base64,[\w+/=]+", "", text)
        assert all(source.startswith("data:image/png;base64,") for source in read(text).sources)
        assert "default-src 'none'" in text
        assert len(text.encode()) < 3_000_000


def test_photographs_are_announced_or_left_out() -> None:
    assert "This page contains photographs" in read(page()).texts[""]
    without = page(False)
    assert "<img" not in without
    assert "image/png" not in without
    assert "Photographs were left out" in read(without).texts[""]
    assert set(read(without).texts) == set(read(page()).texts) - {"pairs", "explained"}


def test_honesty() -> None:
    said = read(page()).texts
    assert "not for guarding a door" in said["privacy"]
    assert "biometric" in said["privacy"]
    assert "six drawn people; strangers: five others" in said["method"]
    assert "38 images; 18 show somebody enrolled, 20 somebody who is not; 6 people are enrolled" in said["method"]
    assert "rule of thumb" in said["words"], "nobody calibrated this model"


def test_images_of_the_training_are_noticed() -> None:
    found = measure(recognizer(), dataset("train"), strangers(), details=False)
    assert found.seen == 30
    said = read(report_html([found], date=DATE)).texts
    assert "30 of the 50 images were in the training" in said["words"]
    assert "not measured" in said["damage"].lower()


def test_without_strangers_it_says_so() -> None:
    found = measure(recognizer(), dataset("test"), details=False)
    assert not found.real_strangers
    read_ = read(report_html([found], date=DATE))
    assert "No stranger was measured" in read_.texts["words"]
    assert "Of 1,000 strangers" not in read_.texts["words"]
    assert read_.rows["models"][1][-2] == "–"


def test_people_who_are_all_unknown_are_told_apart_from_each_other() -> None:
    found = measure(recognizer(), strangers(), details=False)
    assert (found.apart, found.report, found.known) == (True, None, 0)
    said = read(report_html([found], date=DATE)).texts
    assert "Nobody in these data is enrolled" in said["words"]
    assert "There is no CMC" in said["curves"]
    with pytest.raises(BadDataset, match="nobody in five others is known"):
        measure(recognizer(), strangers(), strangers())


def test_names_are_text_whatever_they_look_like() -> None:
    data = dataset("train")
    evil = {name: f"<script>alert('{name}')</script>&" for name in NAMES.tolist()}
    labels = np.array([evil[name] for name in data.labels])
    fr = FaceRecognizer("eigen", SIZE).fit(data.images, labels)
    test = dataset("test")
    other = FaceDataset(test.images, np.array([evil[n] for n in test.labels]), sorted(evil.values()), "<b>data</b>")
    text = report_html([measure(fr, other, name="</title><i>")], date=DATE)
    assert "<script>alert" not in text
    assert "<b>data" not in text
    assert "<i>" not in text
    assert html.escape("<b>data</b>") in text
    read(text)


def test_a_recognizer_that_knows_nobody_has_nothing_to_report() -> None:
    data = dataset("train")
    fr = FaceRecognizer("eigen", SIZE, gallery=Gallery()).fit(data.images, data.labels)
    with pytest.raises(BadDataset, match="knows nobody"):
        measure(fr, dataset("test"))
    with pytest.raises(BadDataset, match="at least one model"):
        report_html([])


def test_a_page_that_would_be_too_large_is_refused() -> None:
    one, noise = measured(), np.random.default_rng(0)
    image = noise.integers(0, 256, (128, 128), np.uint8)
    loud = replace(one.explained[0].maps[0], image=image, map=image.astype(np.float32))
    many = (replace(one.explained[0], maps=(loud, loud)),) * 60
    with pytest.raises(BadDataset, match="limit is 3 MB"):
        report_html([replace(one, explained=many)])


def test_every_sentence_has_both_languages_and_the_same_values() -> None:
    for key, said in strings().items():
        assert set(said) == set(LANGUAGES), key
        fields = [sorted(re.findall(r"\{(\w+)\}", said[language])) for language in LANGUAGES]
        assert fields[0] == fields[1], key
        assert re.search(r"[一-鿿]", said["zh"]) or key == "auc", key


def test_a_comparison_as_a_page() -> None:
    drawn = generated_faces(people=4, per_person=7, size=SIZE, seed=3, difficulty="easy")
    data = FaceDataset(drawn.images, drawn.labels, list("0123"), "four drawn people")
    kept: list[Findings] = []

    def keep(run: Run, fr: FaceRecognizer, test: Any) -> None:
        if run.seed == 0:
            kept.append(measure(fr, data.subset(test), name=run.model, details=False))

    result = compare(data, ["lbp", "eigen"], train=3, seeds=(0, 1), keep=keep)
    rows = read(report_html(kept, result, date=DATE)).rows["models"][1:]
    for row in rows:
        summary = result.summary(row[0])
        assert row[3] == f"{summary['error']:.2f} ± {summary['sd']:.2f}"
        assert float(row[4]) == pytest.approx(summary["seconds"], abs=0.051)


# ── the command ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for part in ("train", "test"):
        np.savez(tmp_path / f"{part}.npz", images=dataset(part).images, labels=dataset(part).labels)
    np.savez(tmp_path / "others.npz", images=strangers().images, labels=strangers().labels)
    recognizer().save(tmp_path / "a.minidl")
    recognizer("gru").save(tmp_path / "b.minidl")
    return tmp_path


def test_the_command_writes_the_page(files: Path, capsys: Any) -> None:
    words = ["faces", "report", str(files / "a.minidl"), str(files / "b.minidl"), str(files / "test.npz")]
    out = files / "page.html"
    assert main([*words, "--strangers", str(files / "others.npz"), "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["page"] == str(out)
    assert told["models"]["a"]["operation"]["named"] == {"count": measured().operation.named.count, "of": 20}
    assert [row[0] for row in read(out.read_text(encoding="utf-8")).rows["models"][1:]] == ["a", "b"]
    assert main([*words, "--out", str(out), "--no-photographs"]) == 0
    assert "<img" not in out.read_text(encoding="utf-8")
    assert "kB" in capsys.readouterr().out


def test_people_in_the_gallery_beside_the_model_are_known(files: Path, capsys: Any) -> None:
    """Two strangers are enrolled, so they are none; the others of the five still are."""
    others = strangers()
    with Gallery(files / "a.gallery") as gallery:
        gallery.enrol_all_of(recognizer().gallery)
        for person in (0, 1):
            rows = recognizer().represent(others.images[others.labels == person][:2])
            gallery.enrol(person, rows, recognizer().fingerprint())
    words = ["faces", "report", str(files / "a.minidl"), str(files / "others.npz"), "--no-photographs", "--json"]
    assert main([*words, "--out", str(files / "page.html")]) == 0
    told = json.loads(capsys.readouterr().out)["models"]["a"]
    assert (told["known"], told["strangers"], told["enrolled"], told["seen"]) == (8, 12, 8, 4)
    assert told["report"] is None, "nobody of the training is shown"


def test_the_comparison_writes_the_page_too(files: Path, capsys: Any) -> None:
    drawn = generated_faces(people=4, per_person=7, size=SIZE, seed=3, difficulty="easy")
    np.savez(files / "four.npz", images=drawn.images, labels=drawn.labels)
    words = ["faces", "compare", str(files / "four.npz"), "--models", "lbp,eigen", "--train", "3", "--seeds", "0"]
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (pip install minidl[faces])")
    assert main([*words, "--out", str(files / "c.png"), "--report", str(files / "c.html")]) == 0
    assert f"page: {files / 'c.html'}" in capsys.readouterr().out
    assert len(read((files / "c.html").read_text(encoding="utf-8")).rows["models"]) == 3
    assert main([*words, "--damage", "--report", str(files / "d.html")]) == 2
    assert "--report" in capsys.readouterr().err
    assert not (files / "d.html").exists()


@pytest.mark.parametrize(("change", "said"), [
    ({"model": "nowhere.minidl"}, "does not exist"),
    ({"data": "nowhere"}, "does not exist"),
    ({"out": "no/such/folder/page.html"}, "folder"),
])  # fmt: skip
def test_what_cannot_be_is_one_sentence(files: Path, capsys: Any, change: dict[str, str], said: str) -> None:
    words = {
        "model": str(files / "a.minidl"),
        "data": str(files / "test.npz"),
        "out": str(files / "page.html"),
        **change,
    }
    assert main(["faces", "report", words["model"], words["data"], "--out", words["out"]]) == 2
    wrong = capsys.readouterr().err
    assert len(wrong.strip().splitlines()) == 1
    assert said in wrong
