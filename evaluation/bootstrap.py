"""Bootstrap intervals of differences: paired, over users, with the weeks of a user kept together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from contracts.errors import BadEvaluationInput
from evaluation.rankings import Floats, Rows

Method = Literal["percentile", "basic", "BCa"]


@dataclass(frozen=True)
class Interval:
    """A mean difference and its confidence interval; from -inf to inf for a single user."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval is on one side of zero."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        """`+0.068 [+0.041, +0.095]`."""
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def paired_interval(
    ours: Floats,
    theirs: Floats,
    *,
    users: Rows | None = None,
    weights: Floats | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 7,
    method: Method = "percentile",
) -> Interval:
    """The interval of the mean of `ours - theirs`, two metrics [N] of the same users in the same order.

    Users are resampled, not rows: rows that share a number in `users` [N] come and go together (the cluster
    bootstrap, Field & Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x). `weights` [N] are the weights of the rows (see
    `week_weights`). Rows with NaN are left out. Raises `BadEvaluationInput` for unlike lengths or nothing to compare.
    """
    sums, counts = _of_users(ours, theirs, users, weights)
    mean = float(sums.sum() / counts.sum())
    if len(sums) < 2:
        return Interval(mean, -np.inf, np.inf)
    if np.allclose(sums, mean * counts, rtol=0, atol=1e-12):  # every resample is the same; BCa would divide by zero
        return Interval(mean, mean, mean)
    how = {"confidence_level": confidence, "n_resamples": resamples, "method": method}
    return Interval(mean, *_bounds(sums, counts, np.random.default_rng(seed), how))


def interval_over_weeks(
    ours: Sequence[Floats], theirs: Sequence[Floats], users: Sequence[Rows], *, confidence: float = 0.95, seed: int = 7
) -> Interval:
    """The interval of the mean over weeks of the weekly mean differences; one array [U of that week] a week."""
    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    return paired_interval(
        np.concatenate(differences),
        np.zeros(sum(len(week) for week in differences)),
        users=np.concatenate(users),
        weights=week_weights(differences),
        confidence=confidence,
        seed=seed,
    )


def mean_interval(
    weeks: Sequence[Floats], users: Sequence[Rows], *, confidence: float = 0.95, seed: int = 7
) -> Interval:
    """The interval of the mean over weeks of a metric's weekly means; arrays as in `interval_over_weeks`."""
    nothing = [np.zeros(len(week)) for week in weeks]
    return interval_over_weeks(weeks, nothing, users, confidence=confidence, seed=seed)


def week_weights(weeks: Sequence[Floats]) -> Floats:
    """What each row counts so that every week counts the same: 1 over the week's number of measured users."""
    counts = [max(1, int((~np.isnan(week)).sum())) for week in weeks]
    return np.concatenate([np.full(len(week), 1 / count) for week, count in zip(weeks, counts, strict=True)])


def _of_users(ours: Floats, theirs: Floats, users: Rows | None, weights: Floats | None) -> tuple[Floats, Floats]:
    """Weighted sums of differences and of weights, one a user."""
    owners = np.arange(len(ours)) if users is None else users
    shares = np.ones(len(ours)) if weights is None else weights
    lengths = [len(column) for column in (ours, theirs, owners, shares)]
    if len(set(lengths)) > 1:
        raise BadEvaluationInput(f"lengths {lengths} of ours, theirs, users and weights; give one of each a row")
    both = ~np.isnan(ours - theirs)
    if not both.any():
        raise BadEvaluationInput(f"none of {len(ours)} rows has both metrics; there is nothing to compare")
    _, places = np.unique(owners[both], return_inverse=True)
    sums, counts = (np.bincount(places, weights=each[both]) for each in ((ours - theirs) * shares, shares))
    return sums.astype(np.float64), counts.astype(np.float64)


def _bounds(sums: Floats, counts: Floats, rng: np.random.Generator, how: dict[str, Any]) -> tuple[float, float]:
    from scipy.stats import bootstrap  # noqa: PLC0415  takes two seconds that a command without figures need not wait

    batch = max(1, 4_000_000 // len(sums))
    result = bootstrap((sums, counts), _ratio, paired=True, vectorized=True, batch=batch, rng=rng, **how)
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _ratio(sums: Floats, counts: Floats, axis: int = -1) -> Floats:
    ratio: Floats = sums.sum(axis=axis) / counts.sum(axis=axis)
    return ratio
