"""Open-set figures, calibration error and precision, each against loops that read like the definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl.faces import metrics
from minidl.faces.errors import BadScores


def table(seed, n=12, g=9, people=4, strangers=2):
    """Scores with many ties; some probes show nobody of the gallery."""
    rng = np.random.default_rng(seed)
    gallery = np.r_[np.arange(people), rng.integers(0, people, g - people)]
    probes = np.r_[0, people, rng.integers(0, people + strangers, n - 2)]
    return rng.integers(0, 6, (n, g)) / 5, probes, gallery


def rates_by_loops(scores, probes, gallery, threshold):
    """FPIR and FNIR of one threshold."""
    named = missed = strangers = known = 0
    for row, person in zip(scores, probes, strict=True):
        best = {}
        for score, who in zip(row, gallery, strict=True):
            best[who] = max(score, best.get(who, -np.inf))
        if person not in best:
            strangers += 1
            named += max(best.values()) >= threshold
        else:
            known += 1
            others = [score for who, score in best.items() if who != person]
            missed += best[person] < threshold or any(score >= best[person] for score in others)
    return named / strangers, missed / known


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_the_open_set_curve_is_what_loops_count(seed):
    scores, probes, gallery = table(seed)
    curve = metrics.open_set(scores, probes, gallery)
    assert curve.thresholds[0] == np.inf
    assert (curve.fpir[0], curve.fnir[0]) == (0, 1)
    for threshold, fpir, fnir in zip(curve.thresholds, curve.fpir, curve.fnir, strict=True):
        assert (fpir, fnir) == pytest.approx(rates_by_loops(scores, probes, gallery, threshold))
    for wanted in (0.0, 0.1, 0.5, 1.0):
        threshold = curve.threshold_at_fpir(wanted)
        fpir, fnir = rates_by_loops(scores, probes, gallery, threshold)
        assert fpir <= wanted
        assert fnir == pytest.approx(curve.fnir_at_fpir(wanted))
        lower = [t for t in np.unique(scores) if t < threshold]
        for t in lower:
            other = rates_by_loops(scores, probes, gallery, t)
            assert other[0] > wanted or other[1] == pytest.approx(fnir), "no lower threshold would find more people"


def test_open_set_figures_need_strangers_and_known_people():
    for probes in ([0, 1], [7, 8]):
        with pytest.raises(BadScores, match="both kinds"):
            metrics.open_set(np.eye(2), np.array(probes), np.array([0, 1]))
    with pytest.raises(BadScores, match="finite"):
        metrics.open_set(np.array([[np.nan], [1]]), np.array([0, 1]), np.array([0]))


def calibration_error_by_loops(said, right, bins, weights):
    error = 0.0
    for k in range(bins):
        inside = [i for i, p in enumerate(said) if min(int(p * bins), bins - 1) == k]
        weight = sum(weights[i] for i in inside)
        if weight:
            mean = sum(weights[i] * said[i] for i in inside) / weight
            share = sum(weights[i] * right[i] for i in inside) / weight
            error += weight / sum(weights) * abs(mean - share)
    return error


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 5, 10]))
def test_the_calibration_error_is_what_loops_count(seed, bins):
    rng = np.random.default_rng(seed)
    said, right, weights = rng.random(40), rng.random(40) < 0.5, rng.random(40)
    said[:3] = 0, 1, 0.5
    found = metrics.expected_calibration_error(said, right, bins, weights)
    assert found == pytest.approx(calibration_error_by_loops(said.tolist(), right.tolist(), bins, weights.tolist()))


def test_a_coin_that_says_one_half_is_calibrated_and_a_boaster_is_not():
    rng = np.random.default_rng(0)
    right = rng.random(4000) < 0.5
    assert metrics.expected_calibration_error(np.full(4000, 0.5), right) < 0.03
    assert metrics.expected_calibration_error(np.full(4000, 0.99), right) > 0.45


@pytest.mark.parametrize("said", [[1.2], [-0.1], [np.nan], []])
def test_what_is_no_probability_is_refused(said):
    with pytest.raises(BadScores):
        metrics.expected_calibration_error(np.array(said), np.ones(len(said), bool))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_precision_and_recall_are_what_loops_count(seed):
    rng = np.random.default_rng(seed)
    labels, said = rng.integers(0, 5, (2, 30))
    precision, recall = metrics.precision(labels, said), metrics.recall(labels, said)
    assert list(precision) == list(recall) == sorted(set(labels.tolist()))
    for person in precision:
        both = sum(1 for a, b in zip(labels, said, strict=True) if a == b == person)
        called = sum(1 for b in said if b == person)
        assert recall[person] == pytest.approx(both / sum(1 for a in labels if a == person))
        if called:
            assert precision[person] == pytest.approx(both / called)
        else:
            assert np.isnan(precision[person])
