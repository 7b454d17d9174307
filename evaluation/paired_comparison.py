"""Two experiments on the same evaluation data, user by user: differences, their intervals, and what is detectable."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import polars as pl

from contracts.errors import BadEvaluationInput
from evaluation.anonymized_metrics import (
    MIN_USERS,
    PERSON,
    WEEK,
    item_group_columns,
    metric_columns,
    user_group_columns,
)
from evaluation.bootstrap import Interval, paired_interval
from evaluation.metrics_tables import HIGHER_IS_BETTER, heading

CONFIDENCE, POWER = 0.95, 0.8
ALL_USERS = ""


@dataclass(frozen=True)
class Difference:
    """B minus A. `interval` is at 95 %; `corrected` holds together with all others of its table (Bonferroni).

    `minimum_detectable_effect` is the difference that a test on so many users detects four times in five.
    """

    metric: str
    group: str
    users: int
    a: float
    b: float
    interval: Interval
    corrected: Interval
    minimum_detectable_effect: float


@dataclass(frozen=True)
class Comparison:
    """All differences. The verdict reads `metric` alone; it was chosen beforehand, so it needs no correction."""

    metric: str
    metrics: tuple[Difference, ...]
    groups: tuple[Difference, ...]
    """`metric` by groups of users, recall by groups of items."""

    @property
    def main(self) -> Difference:
        """The difference that the verdict reads."""
        return next(each for each in self.metrics if each.metric == self.metric)

    @property
    def verdict(self) -> str:
        """One sentence."""
        main, name = self.main, heading(self.metric)
        gain = f"{main.interval.mean:+.4f} [{main.interval.low:+.4f}, {main.interval.high:+.4f}]"
        if main.interval.excludes_zero:
            words = ("better", "worse") if self.metric.startswith(HIGHER_IS_BETTER) else ("higher", "lower")
            word = words[main.interval.mean < 0]
            return f"B is {word} than A by {gain} {name} over {main.users:,} users: the interval excludes zero."
        if main.minimum_detectable_effect == 0:
            return f"A and B do not differ: all {main.users:,} users have the same {name} in both."
        limit = f"with {main.users:,} users a difference below about {main.minimum_detectable_effect:.4f}"
        return f"A and B do not differ significantly in {name}: {gain} contains zero, and {limit} is mostly missed."


def compared(table_a: pl.DataFrame, table_b: pl.DataFrame, metric: str, *, seed: int = 7) -> Comparison:
    """Pair two anonymized tables by user. Raises `BadEvaluationInput` where their rows do not line up."""
    keys = [WEEK, PERSON, *user_group_columns(table_a)]
    if not set(keys) <= set(table_b.columns) or not table_a.select(keys).equals(table_b.select(keys)):
        raise BadEvaluationInput("the users of A and B do not line up; run both again on the same data")
    shared = [name for name in metric_columns(table_a) if name in table_b.columns]
    if metric not in shared:
        raise BadEvaluationInput(f"{metric} is not measured in both; choose one of {', '.join(shared)}")
    metrics = _differences({(name, ALL_USERS): _pairs(table_a, table_b, name) for name in shared}, seed)
    if metric not in {each.metric for each in metrics}:
        raise BadEvaluationInput(f"fewer than {MIN_USERS} users have {metric} in both; measure on more of them")
    return Comparison(metric, metrics, _differences(_by_group(table_a, table_b, metric), seed))


def _by_group(table_a: pl.DataFrame, table_b: pl.DataFrame, metric: str) -> dict[tuple[str, str], pl.DataFrame]:
    """The metric by groups of users, and recall by groups of items."""
    pairs = _pairs(table_a, table_b, metric)
    of_users = {
        (metric, f"{name}: {word}"): pairs.filter(table_a[name] == word)
        for name in user_group_columns(table_a)
        if table_a[name].n_unique() > 1  # one group is all users
        for word in table_a[name].unique().sort()
    }
    shared = [name for name in item_group_columns(table_a) if name in table_b.columns]
    return of_users | {("recall", name): _pairs(table_a, table_b, name) for name in shared}


def _pairs(table_a: pl.DataFrame, table_b: pl.DataFrame, name: str) -> pl.DataFrame:
    return table_a.select(WEEK, PERSON, pl.col(name).alias("a").fill_nan(None), table_b[name].alias("b").fill_nan(None))


def _differences(pairs: dict[tuple[str, str], pl.DataFrame], seed: int) -> tuple[Difference, ...]:
    weighted = {key: _weighted(rows) for key, rows in pairs.items()}
    large = {key: rows for key, rows in weighted.items() if rows[PERSON].n_unique() >= MIN_USERS}
    return tuple(_difference(*key, rows, seed, tests=len(large)) for key, rows in large.items())


def _weighted(pairs: pl.DataFrame) -> pl.DataFrame:
    """The users with both numbers; every week has the same weight."""
    return pairs.drop_nulls().with_columns(weight=1 / pl.len().over(WEEK))


def _difference(metric: str, group: str, rows: pl.DataFrame, seed: int, *, tests: int) -> Difference:
    a, b, users, weights = (rows[name].to_numpy() for name in ("a", "b", PERSON, "weight"))
    alone, together = (
        paired_interval(b, a, users=users, weights=weights, confidence=confidence, seed=seed)
        for confidence in (CONFIDENCE, 1 - (1 - CONFIDENCE) / tests)
    )
    mean_a, mean_b = (float(np.average(values, weights=weights)) for values in (a, b))
    return Difference(
        metric, group, rows[PERSON].n_unique(), mean_a, mean_b, alone, together, minimum_detectable_effect(rows)
    )


def minimum_detectable_effect(rows: pl.DataFrame) -> float:
    """The smallest difference that a test at 95 % finds with a power of 80 % (Cohen 1988), from the spread of
    `b - a` over users; the weeks of a user go together."""
    worth = (pl.col("b") - pl.col("a")) * pl.col("weight")
    by_user = rows.group_by(PERSON).agg(worth.sum().alias("sum"), pl.col("weight").sum())
    sums, weights = by_user["sum"].to_numpy(), by_user["weight"].to_numpy()
    spread = float(np.linalg.norm(sums - sums.sum() / weights.sum() * weights) / weights.sum())
    normal = NormalDist()
    return (normal.inv_cdf((1 + CONFIDENCE) / 2) + normal.inv_cdf(POWER)) * spread
