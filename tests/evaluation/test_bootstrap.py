import numpy as np
import pytest

from contracts.errors import BadEvaluationInput
from evaluation import Interval, interval_over_weeks, paired_interval
from evaluation.bootstrap import week_weights

ZERO_TO_ONE = np.array([0.0, 1.0] * 50)


def test_the_mean_is_the_mean_difference():
    interval = paired_interval(np.array([1.0, 0.5, 0.0]), np.array([0.0, 0.5, 0.25]))
    assert interval.mean == pytest.approx(0.25)
    assert interval.low <= interval.mean <= interval.high


def test_the_interval_agrees_with_the_normal_one():
    # 100 users, differences of 0 and 1: standard error 0.05, so 0.5 -+ 0.098
    interval = paired_interval(ZERO_TO_ONE, np.zeros(100))
    assert (interval.low, interval.high) == pytest.approx((0.402, 0.598), abs=0.015)
    assert interval.excludes_zero


@pytest.mark.parametrize("method", ["percentile", "basic", "BCa"])
def test_methods_agree_on_symmetric_differences(method):
    interval = paired_interval(ZERO_TO_ONE, np.zeros(100), method=method)
    assert (interval.low, interval.high) == pytest.approx((0.402, 0.598), abs=0.03)


def test_an_equal_gain_of_every_user_has_no_spread():
    # the metric varies a lot between users and not at all within a pair: the gain is certain
    theirs = np.random.default_rng(0).random(50)
    interval = paired_interval(theirs + 0.01, theirs)
    assert (interval.mean, interval.low, interval.high) == pytest.approx((0.01, 0.01, 0.01))


def test_rows_of_a_user_come_and_go_together():
    # two users seen fifty times each carry no more evidence than two users: the user drawn twice decides
    users = np.repeat([0, 1], 50).astype(np.int32)
    ours = np.repeat([0.0, 1.0], 50)
    clustered = paired_interval(ours, np.zeros(100), users=users)
    assert (clustered.mean, clustered.low, clustered.high) == (0.5, 0.0, 1.0)
    assert paired_interval(ours, np.zeros(100)).low > 0.3


def test_a_row_a_user_is_the_plain_bootstrap():
    own = np.arange(100, dtype=np.int32)
    assert paired_interval(ZERO_TO_ONE, np.zeros(100), users=own) == paired_interval(ZERO_TO_ONE, np.zeros(100))


def test_weeks_count_the_same_however_many_users_they_had():
    # means 1 and 0: their mean is 1/2, though three of four rows are 0
    weeks = [np.array([1.0]), np.array([0.0, 0.0, 0.0])]
    assert week_weights(weeks) == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3])
    users = [np.array([0]), np.array([0, 1, 2])]
    assert interval_over_weeks(weeks, [np.zeros(1), np.zeros(3)], users).mean == pytest.approx(0.5)


def test_same_seed_same_interval():
    noise = np.random.default_rng(0).random(99)
    one, again, other = (paired_interval(noise, np.zeros(99), seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one.low != other.low or one.high != other.high


def test_one_user_is_no_evidence():
    assert paired_interval(np.array([0.75]), np.array([0.25])) == Interval(0.5, -np.inf, np.inf)


def test_rows_with_nan_are_left_out():
    assert paired_interval(np.array([1.0, np.nan, 1.0]), np.array([0.0, 0.0, 0.0])) == Interval(1, 1, 1)


def test_nothing_to_compare_and_unlike_lengths_are_errors():
    with pytest.raises(BadEvaluationInput, match="none of 1 rows has both metrics"):
        paired_interval(np.array([np.nan]), np.array([1.0]))
    with pytest.raises(BadEvaluationInput, match=r"lengths \[2, 3, 2, 2\] of ours, theirs, users and weights"):
        paired_interval(np.zeros(2), np.zeros(3))


def test_an_interval_reads_well():
    assert str(Interval(0.068, 0.0412, 0.0951)) == "+0.068 [+0.041, +0.095]"
    assert not Interval(0.1, -0.1, 0.3).excludes_zero
    assert Interval(-0.2, -0.3, -0.1).excludes_zero
