"""Two experiments that answered one question, person by person: what differs, how surely, and what would go unseen."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import polars as pl

from contracts.errors import BadEvaluationInput
from evaluation.anonymized_metrics import MIN_USERS, PERSON, WEEK, items_in, metrics_in, words_in
from evaluation.bootstrap import Interval, paired_interval
from evaluation.metrics_tables import HIGHER_IS_BETTER, heading

CONFIDENCE, POWER = 0.95, 0.8
EVERYONE = ""


@dataclass(frozen=True)
class Difference:
    """B minus A. `interval` is alone, at 95 %; `corrected` holds together with all others of its table (Bonferroni).

    `unseen` is the difference that so many people would show four times in five; what is smaller mostly goes unseen.
    """

    metric: str
    group: str
    users: int
    a: float
    b: float
    interval: Interval
    corrected: Interval
    unseen: float


@dataclass(frozen=True)
class Comparison:
    """All differences. The verdict reads `metric` alone, chosen before anyone looks, which so needs no correction."""

    metric: str
    metrics: tuple[Difference, ...]
    groups: tuple[Difference, ...]
    """`metric` by groups of people, recall by groups of items."""

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
            return f"B is {word} than A by {gain} {name} over {main.users:,} people: the interval excludes zero."
        if main.unseen == 0:
            return f"A and B cannot be told apart: all {main.users:,} people have the same {name} in both."
        seen = f"with {main.users:,} people a difference below about {main.unseen:.4f} would mostly not be seen"
        return f"A and B cannot be told apart by {name}: {gain} holds zero, and {seen}."


def compared(marks_a: pl.DataFrame, marks_b: pl.DataFrame, metric: str, *, seed: int = 7) -> Comparison:
    """Pair two tables of marks of one question. Raises `BadEvaluationInput` where they do not line up."""
    keys = [WEEK, PERSON, *words_in(marks_a)]
    if not set(keys) <= set(marks_b.columns) or not marks_a.select(keys).equals(marks_b.select(keys)):
        raise BadEvaluationInput("the people of A and B do not line up; run both again on the same data")
    shared = [name for name in metrics_in(marks_a) if name in marks_b.columns]
    if metric not in shared:
        raise BadEvaluationInput(f"{metric} is not measured in both; choose one of {', '.join(shared)}")
    pairs = {name: _pairs(marks_a, marks_b, name) for name in (*shared, *items_in(marks_a)) if name in marks_b.columns}
    groups = {
        (metric, f"{name}: {word}"): pairs[metric].filter(marks_a[name] == word)
        for name in words_in(marks_a)
        if marks_a[name].n_unique() > 1  # one group is everyone
        for word in marks_a[name].unique().sort()
    } | {("recall", name): pairs[name] for name in pairs if name not in shared}
    metrics = _differences({(name, EVERYONE): pairs[name] for name in shared}, seed)
    if metric not in {each.metric for each in metrics}:
        raise BadEvaluationInput(f"fewer than {MIN_USERS} people have {metric} in both; measure on more of them")
    return Comparison(metric, metrics, _differences(groups, seed))


def _pairs(marks_a: pl.DataFrame, marks_b: pl.DataFrame, name: str) -> pl.DataFrame:
    return marks_a.select(WEEK, PERSON, pl.col(name).alias("a").fill_nan(None), marks_b[name].alias("b").fill_nan(None))


def _differences(pairs: dict[tuple[str, str], pl.DataFrame], seed: int) -> tuple[Difference, ...]:
    known = {key: _weighed(rows) for key, rows in pairs.items()}
    told = {key: rows for key, rows in known.items() if rows[PERSON].n_unique() >= MIN_USERS}
    return tuple(_difference(*key, rows, seed, tests=len(told)) for key, rows in told.items())


def _weighed(pairs: pl.DataFrame) -> pl.DataFrame:
    """Who has both numbers; every week weighs the same."""
    return pairs.drop_nulls().with_columns(weight=1 / pl.len().over(WEEK))


def _difference(metric: str, group: str, rows: pl.DataFrame, seed: int, *, tests: int) -> Difference:
    a, b, people, weights = (rows[name].to_numpy() for name in ("a", "b", PERSON, "weight"))
    alone, together = (
        paired_interval(b, a, users=people, weights=weights, confidence=confidence, seed=seed)
        for confidence in (CONFIDENCE, 1 - (1 - CONFIDENCE) / tests)
    )
    mean_a, mean_b = (float(np.average(values, weights=weights)) for values in (a, b))
    return Difference(metric, group, rows[PERSON].n_unique(), mean_a, mean_b, alone, together, unseen(rows))


def unseen(rows: pl.DataFrame) -> float:
    """The smallest difference that a test at 95 % finds with a power of 80 % (Cohen 1988), from the spread of
    `b - a` over people; a person's weeks go together."""
    worth = (pl.col("b") - pl.col("a")) * pl.col("weight")
    people = rows.group_by(PERSON).agg(worth.sum().alias("sum"), pl.col("weight").sum())
    sums, weights = people["sum"].to_numpy(), people["weight"].to_numpy()
    spread = float(np.linalg.norm(sums - sums.sum() / weights.sum() * weights) / weights.sum())
    normal = NormalDist()
    return (normal.inv_cdf((1 + CONFIDENCE) / 2) + normal.inv_cdf(POWER)) * spread
