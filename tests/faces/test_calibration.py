"""Thresholds keep the rate of false alarms they promise, and probabilities mean what they say."""

import json

import numpy as np
import pytest

from minidl.faces.calibration import Calibration, Logistic, calibrate
from minidl.faces.errors import BadDataset
from minidl.faces.trials import Scores, Trials, leave_one_out


def people_on_a_sphere(people, images, seed, spread=0.6, dimension=24):
    """Embeddings of people who do not exist: a direction each, and images scattered about it."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((people, 1, dimension))
    rows = centers + spread * rng.standard_normal((people, images, dimension))
    rows = rows.reshape(-1, dimension)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), np.repeat(np.arange(people), images)


# ── trials ────────────────────────────────────────────────────────────────────────────────────────


def test_each_image_is_searched_among_all_the_others():
    """Against loops, with a picture that is there twice, and somebody with one picture only."""
    rows, codes = people_on_a_sphere(5, 4, seed=1)
    rows, codes = np.concatenate([rows[:17], rows[:1]]), np.concatenate([codes[:17], codes[:1]])
    found = leave_one_out(rows, codes)
    own, rival, strangers, same, different = [], [], [], [], []
    for i in range(18):
        mine = [float(rows[i] @ rows[j]) for j in range(18) if {i, j} != {0, 17} and j != i and codes[j] == codes[i]]
        other = [float(rows[i] @ rows[j]) for j in range(18) if codes[j] != codes[i]]
        if mine:
            own.append(max(mine))
            rival.append(max(other))
        strangers.append(max(other))
        same += mine
        different += other
    for scores, expected in zip(
        (found.own, found.rival, found.strangers, found.same, found.different),
        (own, rival, strangers, same, different),
        strict=True,
    ):
        assert np.sort(scores.similarity) == pytest.approx(np.sort(expected), abs=1e-6)
    assert found.people == 4
    assert found.strangers.person.tolist() == codes.tolist()


def test_calibration_needs_two_people_and_somebody_twice():
    rows, codes = people_on_a_sphere(3, 2, seed=0)
    with pytest.raises(BadDataset, match="one person"):
        leave_one_out(rows[:2], codes[:2])
    with pytest.raises(BadDataset, match="at least two different images"):
        leave_one_out(rows[::2], codes[::2])


# ── thresholds ────────────────────────────────────────────────────────────────────────────────────


def test_the_rate_of_false_alarms_holds_for_strangers_never_seen():
    """Mean over 40 draws; the rule promises it on average, whatever the embeddings are."""
    kept, pairs = [], []
    for seed in range(40):
        rows, codes = people_on_a_sphere(31, 4, seed)
        known, others = codes < 21, codes >= 21
        made = calibrate(leave_one_out(rows[known], codes[known]), far=0.05, people=20, source="test")
        strangers = (rows[others] @ rows[known & (codes < 20)].T).max(1)
        kept.append(np.mean(strangers >= made.threshold))
        pairs.append(np.mean(rows[others] @ rows[known].T >= made.pair_threshold))
    assert 0.02 < np.mean(kept) < 0.07
    assert 0.03 < np.mean(pairs) < 0.07


def test_a_larger_gallery_needs_a_higher_threshold():
    trials = leave_one_out(*people_on_a_sphere(40, 5, seed=3))
    thresholds = [calibrate(trials, 0.1, people, "test").threshold for people in (5, 39, 400)]
    assert thresholds == sorted(thresholds)
    assert thresholds[0] < thresholds[2]
    assert calibrate(trials, 0.1, None, "test").threshold == thresholds[1]


def test_the_threshold_is_an_order_statistic_by_hand():
    """99 strangers at 0.01 … 0.99: at 5 % the fifth best, and nothing above the best can be promised at 0.5 %."""
    scores = Scores(np.arange(1, 100) / 100, np.arange(99))
    trials = Trials(scores, scores, scores, scores, scores, people=7)
    made = calibrate(trials, 0.05, None, "test")
    assert 0.95 < made.threshold < 0.9501
    assert made.enough
    assert np.sum(scores.similarity >= made.threshold) == 4
    made = calibrate(trials, 0.005, None, "test")
    assert 0.99 < made.threshold < 0.9901
    assert not made.enough
    assert "too few strangers" in made.table()


def test_the_table_says_what_the_thresholds_do():
    trials = leave_one_out(*people_on_a_sphere(30, 4, seed=5))
    for row in calibrate(trials, 0.01, None, "test").rows:
        assert row.named == pytest.approx(np.mean(trials.strangers.similarity >= row.threshold))
        lost = (trials.own.similarity < row.threshold) | (trials.own.similarity <= trials.rival.similarity)
        assert row.missed == pytest.approx(np.mean(lost))
        assert row.pair_far == pytest.approx(np.mean(trials.different.similarity >= row.pair_threshold))
        assert row.pair_frr == pytest.approx(np.mean(trials.same.similarity < row.pair_threshold))
        assert row.named <= row.far
        assert row.pair_far <= row.far


@pytest.mark.parametrize("far", [0, 1, -0.1, 2, float("nan"), "x", True, None])
def test_what_is_no_rate_is_refused(far):
    trials = leave_one_out(*people_on_a_sphere(5, 3, seed=0))
    with pytest.raises(BadDataset, match="rate of false alarms"):
        calibrate(trials, far, None, "test")


# ── probabilities ─────────────────────────────────────────────────────────────────────────────────


def test_the_curve_is_the_likeliest():
    """No curve on a grid around it makes the answers likelier (softened targets, both kinds alike)."""
    rng = np.random.default_rng(0)
    right, wrong = 0.7 + 0.1 * rng.standard_normal(80), 0.4 + 0.1 * rng.standard_normal(300)

    def loss(slope, offset):
        p = [1 / (1 + np.exp(-(slope * x + offset))) for x in (right, wrong)]
        high, low = 1 - 1 / 82, 1 / 302
        return -0.5 * np.mean(high * np.log(p[0]) + (1 - high) * np.log(1 - p[0])) - 0.5 * np.mean(
            low * np.log(p[1]) + (1 - low) * np.log(1 - p[1])
        )

    found = Logistic.fit(right, wrong)
    best = loss(found.slope, found.offset)
    for slope in np.linspace(0.8, 1.2, 9):
        for offset in np.linspace(0.8, 1.2, 9):
            assert loss(found.slope * slope, found.offset * offset) >= best - 1e-5


def test_probabilities_mean_what_they_say_and_rise_with_similarity():
    rng = np.random.default_rng(1)
    x = rng.random(20000)
    same = rng.random(20000) < 1 / (1 + np.exp(-(12 * x - 6)))
    found = Logistic.fit(x[same], x[~same])
    assert found.slope == pytest.approx(12, rel=0.1)
    assert found.offset == pytest.approx(-6, rel=0.1)


def test_similarities_that_say_nothing_give_one_half():
    x = np.linspace(0, 1, 50)
    assert Logistic.fit(x, x)(0.3) == pytest.approx(0.5, abs=0.01)
    assert Logistic.fit(x - 0.5, x)(0.9) == 0.5, "a similarity that speaks against itself is noise"


def test_perfectly_parted_similarities_do_not_break_it():
    found = Logistic.fit(np.full(5, 0.9), np.full(500, 0.1))
    assert 0.5 < found(0.9) < 1
    assert found(0.1) < 0.5
    assert found(-1) >= 0
    assert np.isfinite(Logistic.fit(np.full(3, 0.5), np.full(3, 0.5))(0.5))


def test_the_calibration_error_is_measured_on_other_people():
    made = calibrate(leave_one_out(*people_on_a_sphere(60, 4, seed=2)), 0.01, None, "test")
    assert made.match_error < 0.1
    assert made.pair_error < 0.05
    few = calibrate(leave_one_out(*people_on_a_sphere(3, 4, seed=2)), 0.01, None, "test")
    assert np.isnan(few.match_error), "three people are too few to be asked about others"


def test_it_survives_json():
    for people in (3, 20):
        made = calibrate(leave_one_out(*people_on_a_sphere(people, 3, seed=2)), 0.02, None, "test")
        again = Calibration.from_dict(json.loads(json.dumps(made.to_dict(), allow_nan=False)))
        assert again.to_dict() == made.to_dict()
        assert again.threshold == made.threshold
