"""The figures of recognition, against numbers worked by hand and against brute force."""

import json

import numpy as np
import pytest

from minidl.faces import metrics
from minidl.faces.errors import BadScores, FaceError


def test_confusion_counts_truth_in_rows_and_answers_in_columns():
    people, counts = metrics.confusion(np.array(["a", "a", "b", "c"]), np.array(["a", "b", "b", "b"]))
    assert people == ["a", "b", "c"]
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 0]]
    assert counts.dtype == np.int64


def test_somebody_who_was_only_ever_answered_has_a_column_but_no_recall():
    labels, predicted = np.array([0, 0]), np.array([0, 7])
    assert metrics.confusion(labels, predicted)[0] == [0, 7]
    assert metrics.recall(labels, predicted) == {0: 0.5}


def test_accuracy_is_the_trace_of_the_confusion():
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 5, 100), rng.integers(0, 5, 100)
    _, counts = metrics.confusion(labels, predicted)
    assert metrics.accuracy(labels, predicted) == np.trace(counts) / 100
    assert counts.sum() == 100


def test_cmc_by_hand():
    scores = np.array([[0.9, 0.5, 0.1], [0.8, 0.7, 0.6], [0.3, 0.2, 0.1]])
    curve = metrics.cmc(scores, np.array([0, 1, 2]), np.array([0, 1, 2]))
    assert np.allclose(curve, [1 / 3, 2 / 3, 1])  # ranks 1, 2, 3
    assert metrics.rank1(scores, np.array([0, 1, 2]), np.array([0, 1, 2])) == curve[0]


def test_a_person_is_as_good_as_the_best_gallery_entry():
    scores = np.array([[0.1, 0.9, 0.5]])
    assert metrics.cmc(scores, np.array(["x"]), np.array(["x", "x", "y"])).tolist() == [1.0, 1.0]


def test_tied_scores_share_the_ranks_between_them():
    # A recognizer that gives everything the same score knows nothing: rank k is right k times in four.
    curve = metrics.cmc(np.zeros((3, 4)), np.array([0, 1, 2]), np.arange(4))
    assert np.allclose(curve, [0.25, 0.5, 0.75, 1])


def test_cmc_equals_the_mean_over_random_orders_of_ties():
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 3, (6, 8)) / 2.0
    probes, gallery = rng.integers(0, 4, 6), np.array([0, 1, 2, 3, 0, 1, 2, 3])
    best = np.stack([scores[:, gallery == p].max(1) for p in range(4)], 1)
    hits = np.zeros(4)
    draws = 4000
    for _ in range(draws):
        order = np.argsort(-(best + 1e-6 * rng.random(best.shape)), axis=1)
        rank = np.argmax(order == probes[:, None], axis=1)
        hits += [(rank <= k).mean() for k in range(4)]
    assert np.abs(metrics.cmc(scores, probes, gallery) - hits / draws).max() < 0.02


def test_roc_by_hand():
    curve = metrics.roc(np.array([0.9, 0.6]), np.array([0.6, 0.2]))
    assert curve.thresholds.tolist() == [np.inf, 0.9, 0.6, 0.2]
    assert curve.tar.tolist() == [0, 0.5, 1, 1]
    assert curve.far.tolist() == [0, 0, 0.5, 1]  # the tie at 0.6 enters together
    assert curve.auc() == 7 / 8  # three of four pairs in order and one tie
    assert curve.tar_at_far(0.49) == 0.5
    assert curve.tar_at_far(0.5) == 1.0
    assert curve.threshold_at_far(0.0) == 0.9
    assert curve.threshold_at_far(0.5) == 0.6
    assert curve.eer() == 0.25  # both thresholds around it are off by a half: (0 + 0.5) / 2


def test_every_curve_agrees_with_counting_pairs():
    rng = np.random.default_rng(2)
    for levels in (2, 5, 1000):  # many ties, some, hardly any
        genuine = rng.integers(0, levels, 37) / levels + 0.2
        impostor = rng.integers(0, levels, 53) / levels
        curve = metrics.roc(genuine, impostor)
        for far, tar, t in zip(curve.far, curve.tar, curve.thresholds, strict=True):
            assert tar == np.mean(genuine >= t)
            assert far == np.mean(impostor >= t)
        wins = (genuine[:, None] > impostor).mean() + 0.5 * (genuine[:, None] == impostor).mean()
        assert abs(metrics.auc(genuine, impostor) - wins) < 1e-12
        allowed = [t for t in curve.thresholds if np.mean(impostor >= t) <= 0.1]
        assert metrics.tar_at_far(genuine, impostor, 0.1) == max(np.mean(genuine >= t) for t in allowed)
        gaps = [abs(np.mean(impostor >= t) - np.mean(genuine < t)) for t in curve.thresholds[1:]]
        t = curve.thresholds[1:][int(np.argmin(gaps))]
        assert abs(metrics.eer(genuine, impostor) - (np.mean(impostor >= t) + np.mean(genuine < t)) / 2) < 1e-12


def test_separated_scores_are_perfect_and_reversed_scores_are_worst():
    low, high = np.array([0.1, 0.2]), np.array([0.8, 0.9])
    assert (metrics.auc(high, low), metrics.eer(high, low), metrics.tar_at_far(high, low, 0)) == (1, 0, 1)
    assert (metrics.auc(low, high), metrics.eer(low, high), metrics.tar_at_far(low, high, 0)) == (0, 1, 0)


def test_a_constant_score_is_chance():
    same = np.full(10, 0.5)
    assert (metrics.auc(same, same), metrics.eer(same, same), metrics.tar_at_far(same, same, 0.01)) == (
        0.5,
        0.5,
        0,
    )


def test_float32_scores_keep_their_ties():
    third = np.float32(1) / np.float32(3)
    assert metrics.auc(np.array([third]), np.array([third])) == 0.5


def _example():
    labels = np.array(["ann", "ann", "bob", "bob"])
    scores = np.array([[0.9, 0.1], [0.4, 0.5], [0.2, 0.8], [0.3, 0.7]])
    gallery = np.array(["ann", "bob"])
    return labels, gallery[scores.argmax(1)], scores, gallery


def test_the_report_holds_every_figure():
    report = metrics.report(*_example())
    assert report.accuracy == report.rank1 == 0.75
    assert report.recall == {"ann": 0.5, "bob": 1.0}
    assert report.cmc.tolist() == [0.75, 1.0]
    assert (report.images, report.genuine, report.impostor) == (4, 4, 4)
    assert report.auc == 15 / 16
    assert report.tar_at_far == {0.01: 0.75, 0.001: 0.75}
    assert report.confusion.tolist() == [[1, 1], [0, 2]]


def test_the_report_survives_strict_json():
    text = json.dumps(metrics.report(*_example()).to_dict(), allow_nan=False)
    figures = json.loads(text)
    assert figures["roc"]["thresholds"][0] is None
    assert figures["recall"] == {"ann": 0.5, "bob": 1.0}
    assert figures["tar_at_far"]["0.01"] == 0.75


def test_the_report_prints_its_figures():
    text = str(metrics.report(*_example()))
    assert "75.00%" in text
    assert "0.9375" in text
    assert "lowest recall" in text
    assert all(line == line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: metrics.accuracy(np.array([]), np.array([])), "no image to evaluate"),
        (lambda: metrics.accuracy(np.array([1]), np.array([1, 2])), r"\(1,\) and \(2,\)"),
        (lambda: metrics.roc(np.array([]), np.array([0.5])), "no genuine pair"),
        (lambda: metrics.roc(np.array([0.5]), np.array([])), "no impostor pair"),
        (lambda: metrics.roc(np.array([np.nan]), np.array([0.5])), "1 of the 1 genuine scores are not"),
        (lambda: metrics.cmc(np.array([[0.5]]), np.array(["eve"]), np.array(["ann"])), "eve is not in it"),
        (lambda: metrics.cmc(np.zeros((2, 2)), np.array([0]), np.array([0, 1])), r"shape \(1, 2\)"),
        (lambda: metrics.cmc(np.full((1, 1), np.inf), np.array([0]), np.array([0])), "must be finite"),
        (lambda: metrics.tar_at_far(np.array([1.0]), np.array([0.0]), 1.5), "between 0 and 1, but 1.5"),
    ],
)
def test_bad_input_gets_one_sentence(call, sentence):
    with pytest.raises(BadScores, match=sentence) as caught:
        call()
    assert isinstance(caught.value, FaceError)
    assert "\n" not in str(caught.value)
