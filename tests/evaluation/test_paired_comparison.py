"""Paired differences: a planted gain is detected, no gain is invented, and the smallest detectable loss is reported."""

import numpy as np
import polars as pl
import pytest

from contracts.errors import BadEvaluationInput
from evaluation import compared

USERS = 100


def per_user(ndcg: np.ndarray, **more: object) -> pl.DataFrame:
    """One week; odd users are heavy."""
    users = np.arange(len(ndcg), dtype=np.int32)
    words = pl.Series(np.where(users % 2 == 1, "heavy", "light"), dtype=pl.String)
    rows = {"week": np.zeros(len(ndcg), np.int32), "person": users, "ndcg_at_20": ndcg, "users/history": words}
    return pl.DataFrame({**rows, **more})


@pytest.fixture
def base() -> np.ndarray:
    return np.random.default_rng(7).random(USERS)


def test_a_planted_gain_is_better_and_its_loss_worse(base: np.ndarray) -> None:
    gain = 0.1 + np.random.default_rng(8).normal(0, 0.1, USERS)  # ten standard errors
    comparison = compared(per_user(base), per_user(base + gain), "ndcg_at_20")
    assert comparison.main.interval.mean == pytest.approx(gain.mean())
    assert comparison.verdict.startswith(f"B is better than A by {gain.mean():+.4f}")
    assert compared(per_user(base + gain), per_user(base), "ndcg_at_20").verdict.startswith("B is worse than A by -")


def test_equal_metrics_are_no_difference(base: np.ndarray) -> None:
    comparison = compared(per_user(base), per_user(base), "ndcg_at_20")
    assert comparison.verdict == "A and B do not differ: all 100 users have the same NDCG@20 in both."


def test_the_smallest_detectable_loss_is_reported(base: np.ndarray) -> None:
    half = np.where(np.arange(USERS) % 4 < 2, 0.5, -0.5)  # mean 0, and its standard error 0.5 / sqrt(100)
    comparison = compared(per_user(base), per_user(base + half), "ndcg_at_20")
    assert comparison.main.minimum_detectable_effect == pytest.approx((1.95996 + 0.84162) * 0.05, rel=1e-4)
    assert "do not differ significantly in NDCG@20" in comparison.verdict
    assert "with 100 users a difference below about 0.1401 is mostly missed" in comparison.verdict


def test_the_verdict_reads_its_metric_alone(base: np.ndarray) -> None:
    a, b = per_user(base, mrr_at_20=base), per_user(base, mrr_at_20=base + 0.3)
    assert "do not differ" in compared(a, b, "ndcg_at_20").verdict
    assert "B is better than A by +0.3000" in compared(a, b, "mrr_at_20").verdict


def test_corrected_intervals_are_wider(base: np.ndarray) -> None:
    noise = np.random.default_rng(9).normal(0.02, 0.1, USERS)
    comparison = compared(per_user(base, mrr_at_20=base), per_user(base + noise, mrr_at_20=base - noise), "ndcg_at_20")
    for each in comparison.metrics:
        assert each.corrected.low < each.interval.low < each.interval.mean < each.interval.high < each.corrected.high


def test_a_gain_of_one_group_shows_in_that_group(base: np.ndarray) -> None:
    heavy = np.arange(USERS) % 2 == 1
    noise = np.where(np.arange(USERS) % 4 < 2, 0.05, -0.05)  # mean 0 in both groups
    comparison = compared(per_user(base), per_user(base + noise + 0.1 * heavy), "ndcg_at_20")
    by_group = {each.group: each for each in comparison.groups}
    assert by_group["users/history: heavy"].users == 50
    assert by_group["users/history: heavy"].corrected.low > 0
    assert by_group["users/history: light"].interval.mean == pytest.approx(0)
    assert not by_group["users/history: light"].interval.excludes_zero


def test_recall_on_items_is_a_group_of_who_has_a_label_there(base: np.ndarray) -> None:
    tail = np.where(np.arange(USERS) < 20, 1.0, np.nan)
    comparison = compared(
        per_user(base, **{"items/tail": tail * 0}), per_user(base, **{"items/tail": tail}), "ndcg_at_20"
    )
    row = next(each for each in comparison.groups if each.group == "items/tail")
    assert (row.metric, row.users, row.a, row.b) == ("recall", 20, 0.0, 1.0)


def test_a_group_of_four_is_not_shown(base: np.ndarray) -> None:
    tail = np.where(np.arange(USERS) < 4, 1.0, np.nan)
    comparison = compared(per_user(base, **{"items/tail": tail}), per_user(base, **{"items/tail": tail}), "ndcg_at_20")
    assert "items/tail" not in {each.group for each in comparison.groups}


def test_weeks_count_alike_and_a_person_once() -> None:
    rows = {"week": [0] * 6 + [1] * 12, "person": [*range(6), *range(12)]}
    words = pl.Series(["light"] * 18, dtype=pl.String)
    a = pl.DataFrame({**rows, "ndcg_at_20": [0.0] * 18, "users/history": words})
    b = a.with_columns(pl.when(pl.col("week") == 0).then(1.0).otherwise(0.0).alias("ndcg_at_20"))
    main = compared(a, b, "ndcg_at_20").main
    assert main.interval.mean == pytest.approx(0.5)  # not 6 / 18
    assert main.users == 12


def test_users_that_do_not_line_up_are_refused(base: np.ndarray) -> None:
    with pytest.raises(BadEvaluationInput, match="do not line up; run both again on the same data"):
        compared(per_user(base), per_user(base[:-1]), "ndcg_at_20")


def test_a_metric_that_one_lacks_is_refused(base: np.ndarray) -> None:
    with pytest.raises(BadEvaluationInput, match="mrr_at_20 is not measured in both; choose one of ndcg_at_20"):
        compared(per_user(base), per_user(base), "mrr_at_20")


def test_four_users_are_too_few_to_compare(base: np.ndarray) -> None:
    with pytest.raises(BadEvaluationInput, match="fewer than 5 users have ndcg_at_20 in both; measure on more"):
        compared(per_user(base[:4]), per_user(base[:4]), "ndcg_at_20")
