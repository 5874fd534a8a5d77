"""Open-set recognition end to end: strangers are nobody, people come and go without training, models keep apart."""

import json

import numpy as np
import pytest
from recognizer_cases import NAMES, SIZE, faces, fitted, train_and_test

from minidl.faces import FaceRecognizer, Gallery, metrics
from minidl.faces.errors import BadDataset, BadGallery, BadImage, NoFaceFound, NotFitted, UnknownPerson
from minidl.faces.generated import generated_faces

PEOPLE = np.array([f"p{k}" for k in range(1, 15)] + ["Łukasz", "王芳"])


@pytest.fixture(scope="module")
def parts():
    """Five images of each of sixteen people and who they show, and three others of each."""
    drawn = generated_faces(people=16, per_person=8, size=SIZE, seed=5, difficulty="easy")
    train, test = train_and_test(drawn.labels)
    return drawn.images[train], drawn.labels[train], drawn.images[test], drawn.labels[test]


@pytest.fixture
def recognizer(parts):
    images, codes, _, _ = parts
    return FaceRecognizer("fisher", SIZE).fit(images, PEOPLE[codes])


def strangers(people=12):
    return generated_faces(people=people, per_person=4, size=SIZE, seed=77, difficulty="easy")


# ── identify ──────────────────────────────────────────────────────────────────────────────────────


def test_known_people_are_named_and_strangers_are_not(recognizer, parts):
    _, _, others, codes = parts
    unknown = strangers()
    recognizer.calibrate(unknown.images[:24], unknown.labels[:24], far=0.05)
    named = [matches[0].name for matches in recognizer.identify_many(others)]
    assert np.mean([name == PEOPLE[code] for name, code in zip(named, codes, strict=True)]) >= 0.75
    assert not any(name not in (None, PEOPLE[code]) for name, code in zip(named, codes, strict=True))
    assert np.mean([m[0].name is not None for m in recognizer.identify_many(unknown.images[24:])]) <= 0.1


def test_a_match_says_what_everything_is(recognizer, parts):
    images, codes, others, _ = parts
    for image in others:
        matches = recognizer.identify(image, k=16)
        assert [m.similarity for m in matches] == sorted((m.similarity for m in matches), reverse=True)
        assert {m.candidate for m in matches} == set(PEOPLE.tolist())
        for m in matches:
            cosines = (
                recognizer.represent(images[codes == PEOPLE.tolist().index(m.candidate)])
                @ recognizer.represent(image[None])[0]
            )
            assert m.similarity == pytest.approx(cosines.max(), abs=1e-5)
            assert m.distance == pytest.approx(np.sqrt(2 - 2 * m.similarity), abs=1e-5)
            assert m.threshold == recognizer.calibration.threshold
            assert m.name == (m.candidate if m.similarity >= m.threshold else None), (
                "the candidate is shown all the same"
            )
            assert 0 <= m.probability <= 1
        assert [m.probability for m in matches] == sorted((m.probability for m in matches), reverse=True)


def test_many_at_once_are_as_one_by_one(recognizer, parts):
    others = parts[2]
    for image, together in zip(others, recognizer.identify_many(others, k=2), strict=True):
        alone = recognizer.identify(image, k=2)
        assert [m.candidate for m in alone] == [m.candidate for m in together]
        assert [m.similarity for m in alone] == pytest.approx([m.similarity for m in together], abs=1e-5)


# ── enrol, forget ─────────────────────────────────────────────────────────────────────────────────


def test_somebody_new_is_known_at_once_and_forgotten_at_once(recognizer):
    new = strangers().images[:3]
    assert recognizer.identify(new[0])[0].candidate in PEOPLE
    assert recognizer.enrol("Zoë", new) == 3
    assert recognizer.enrol("Zoë", new[1]) == 0, "the same picture again is no new template"
    found = recognizer.identify(new[0])[0]
    assert (found.name, found.similarity) == ("Zoë", pytest.approx(1, abs=1e-5))
    assert recognizer.people() == [*PEOPLE[:14].tolist(), "Zoë", *PEOPLE[14:].tolist()]
    assert recognizer.forget("Zoë") == 3
    assert recognizer.identify(new[0])[0].candidate in PEOPLE
    with pytest.raises(UnknownPerson):
        recognizer.forget("Zoë")


def test_when_everybody_is_forgotten_it_says_so(recognizer, parts):
    for name in recognizer.people():
        recognizer.forget(name)
    with pytest.raises(UnknownPerson, match="nobody is enrolled"):
        recognizer.identify(parts[2][0])


def test_numbers_and_names_may_both_be_people(parts):
    images, codes, others, shown = parts
    recognizer = FaceRecognizer("fisher", SIZE).fit(images, codes)
    assert recognizer.people() == list(range(16))
    assert recognizer.identify(others[0])[0].candidate == shown[0]
    recognizer.enrol("0", strangers().images[:2])
    assert recognizer.people() == [*range(16), "0"]


def test_other_labels_still_fit_and_predict_but_are_not_enrolled(parts):
    images, codes, others, _ = parts
    labels = [("person", int(code)) for code in codes]
    recognizer = FaceRecognizer("fisher", SIZE).fit(images, labels)
    assert recognizer.predict(others[:1])[0][0] == "person"
    assert recognizer.people() == []


# ── a gallery of its own ──────────────────────────────────────────────────────────────────────────


def test_people_in_a_file_outlive_the_recognizer(parts, tmp_path):
    images, codes, others, _ = parts
    first = FaceRecognizer("fisher", SIZE, gallery=tmp_path / "g").fit(images, PEOPLE[codes])
    assert first.people() == [], "a file holds those who were enrolled, not those of the training"
    first.enrol("p1", images[codes == 0])
    again = FaceRecognizer("fisher", SIZE, gallery=tmp_path / "g").fit(images, PEOPLE[codes])
    assert again.fingerprint() == first.fingerprint(), "the same training gives the same model"
    assert again.identify(others[0])[0].candidate == "p1"
    first.save(tmp_path / "m")
    loaded = FaceRecognizer.load(tmp_path / "m", gallery=Gallery(tmp_path / "g"))
    assert loaded.people() == ["p1"]
    assert loaded.identify(others[0]) == first.identify(others[0])
    assert FaceRecognizer.load(tmp_path / "m").people() == [], "the file's people are not in the model"


def test_a_gallery_of_another_model_is_refused_in_one_sentence(parts, tmp_path):
    images, codes, _, _ = parts
    FaceRecognizer("fisher", SIZE, gallery=tmp_path / "g").fit(images, PEOPLE[codes]).enrol("ann", images[:2])
    for other in (
        FaceRecognizer("eigen", SIZE, gallery=tmp_path / "g").fit(images, PEOPLE[codes]),
        FaceRecognizer("fisher", SIZE, gallery=tmp_path / "g").fit(images[1:], PEOPLE[codes][1:]),
    ):
        for ask in (lambda r=other: r.identify(images[0]), lambda r=other: r.enrol("bob", images[:1])):
            with pytest.raises(BadGallery, match="enrolled with another model"):
                ask()
    with Gallery(tmp_path / "g") as gallery:
        assert gallery.people() == ["ann"]


def test_known_people_and_the_calibration_are_saved_with_the_model(recognizer, parts, tmp_path):
    unknown = strangers()
    recognizer.enrol("Zoë", unknown.images[:2])
    recognizer.forget("p2")
    recognizer.calibrate(unknown.images[8:], unknown.labels[8:], far=0.1)
    recognizer.save(tmp_path / "m")
    loaded = FaceRecognizer.load(tmp_path / "m")
    assert loaded.people() == [name for name in recognizer.people() if name != "p2"]
    assert "Zoë" in loaded.people()
    assert loaded.calibration == recognizer.calibration
    assert loaded.identify(parts[2][0]) == recognizer.identify(parts[2][0])


@pytest.mark.parametrize("model", ["eigen", "lbp", "cnn"])
def test_every_model_can_be_asked(model):
    recognizer = fitted(model)
    images, _ = faces()
    assert recognizer.identify(images[0])[0].candidate in NAMES
    assert recognizer.enrol("Zoë", images[:2]) in (0, 2)
    assert 0 <= recognizer.verify(images[0], images[1]).probability <= 1


# ── verify ────────────────────────────────────────────────────────────────────────────────────────


def test_two_pictures_of_one_person_and_of_two(recognizer, parts):
    _, _, others, codes = parts
    unknown = strangers()
    recognizer.calibrate(unknown.images, unknown.labels, far=0.05)
    pairs = [(i, j) for i in range(len(others)) for j in range(i)]
    answers = [recognizer.verify(others[i], others[j]) for i, j in pairs]
    same = np.array([codes[i] == codes[j] for i, j in pairs])
    said = np.array([answer.same for answer in answers])
    assert said[same].mean() > 0.8
    assert said[~same].mean() < 0.15
    for answer in answers:
        assert answer.same == (answer.similarity >= answer.threshold)
        assert answer.threshold == recognizer.calibration.pair_threshold
    assert recognizer.verify(others[0], others[0]).similarity == pytest.approx(1, abs=1e-5)


# ── calibrate ─────────────────────────────────────────────────────────────────────────────────────


def test_without_calibration_there_is_a_rule_and_it_says_so(recognizer):
    made = recognizer.calibration
    assert "rule of thumb" in made.source
    assert "rule of thumb" in made.table()
    assert -1 <= made.threshold <= 1.001


def test_the_rule_works_with_one_image_a_person_and_with_two_people():
    images, codes = faces()
    first = np.arange(0, 48, 8)
    one_each = FaceRecognizer("eigen", SIZE).fit(images[first], NAMES[codes[first]])
    assert one_each.identify(images[0])[0].name == "ann"
    two = FaceRecognizer("eigen", SIZE).fit(images[:16], NAMES[codes[:16]])
    assert two.identify(images[0])[0].candidate == "ann"


def test_calibrating_with_pictures_of_the_training_is_said(recognizer, parts):
    recognizer.calibrate(parts[0], PEOPLE[parts[1]], far=0.1)
    assert "100% of them were in the training" in recognizer.calibration.source
    unknown = strangers()
    recognizer.calibrate(unknown.images, unknown.labels, far=0.1)
    assert recognizer.calibration.source == "given images"


def test_the_number_of_known_people_counts(recognizer):
    unknown = strangers()
    few = recognizer.calibrate(unknown.images, unknown.labels, far=0.2)
    for k in range(40):
        recognizer.enrol(f"person {k}", generated_faces(people=1, per_person=1, size=SIZE, seed=500 + k).images)
    assert recognizer.calibrate(unknown.images, unknown.labels, far=0.2) > few
    assert recognizer.calibration.people == 56
    assert recognizer.calibrate(unknown.images, unknown.labels, far=0.2, people=16) == few


def test_a_failed_calibration_changes_nothing(recognizer):
    before = recognizer.calibration
    with pytest.raises(BadDataset):
        recognizer.calibrate(strangers().images[:4], [1, 1, 1, 1])
    assert recognizer.calibration is before


def test_the_report_has_open_set_figures_and_precision_where_strangers_are_shown(recognizer, parts):
    images, codes, others, shown = parts
    unknown = strangers().images
    plain = recognizer.evaluate(others, PEOPLE[shown])
    report = recognizer.evaluate(others, PEOPLE[shown], unknown)
    assert plain.open_set is None
    assert "FNIR" not in plain.table()
    assert report.accuracy == plain.accuracy
    assert (report.open_set.strangers, report.open_set.known) == (len(unknown), len(others))
    scores = np.concatenate([recognizer.represent(x) for x in (others, unknown)]) @ recognizer.represent(images).T
    direct = metrics.open_set(scores, np.r_[shown, np.full(len(unknown), 99)], codes)
    assert report.open_set.fnir_at_fpir(0.01) == direct.fnir_at_fpir(0.01)
    assert "FNIR at FPIR 0.01" in report.table()
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["open_set"]["strangers"] == len(unknown)
    assert set(report.precision) == set(report.recall) == set(PEOPLE.tolist())


# ── what cannot be used ───────────────────────────────────────────────────────────────────────────


def test_before_fit_nothing_is_known(parts):
    blank = FaceRecognizer("fisher", SIZE)
    for ask in (
        lambda: blank.identify(parts[0][0]),
        lambda: blank.enrol("a", parts[0]),
        lambda: blank.verify(parts[0][0], parts[0][1]),
        lambda: blank.calibrate(parts[0], parts[1]),
    ):
        with pytest.raises(NotFitted):
            ask()
    assert blank.people() == []


def test_a_photograph_without_a_face(recognizer):
    pytest.importorskip("cv2", reason="finding faces needs OpenCV")
    with pytest.raises(NoFaceFound):
        recognizer.identify(np.full((200, 300), 127, np.uint8))
    with pytest.raises(NoFaceFound):
        recognizer.enrol("a", [np.full((200, 300, 3), 127, np.uint8)])


@pytest.mark.parametrize("images", [[], np.zeros((0, *SIZE), np.uint8), ["no such file.png"]])
def test_what_is_no_picture(recognizer, images):
    with pytest.raises(BadImage):
        recognizer.enrol("a", images)


def test_a_failed_enrolment_adds_nothing(recognizer, parts):
    with pytest.raises(BadImage):
        recognizer.enrol("Zoë", [parts[0][0], "no such file.png"])
    assert "Zoë" not in recognizer.people()


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "3"])
def test_k_is_a_number_of_people(recognizer, parts, k):
    with pytest.raises(BadDataset, match="k must be"):
        recognizer.identify(parts[0][0], k=k)


def test_the_answers_can_be_written_as_json(recognizer, parts):
    from dataclasses import asdict

    text = json.dumps([asdict(m) for m in recognizer.identify(parts[0][0])])
    assert json.loads(text)[0]["candidate"] in PEOPLE
