"""Policies learned from the Open Bandit logs without and with positions, and their click rates estimated from the logs.

A policy draws an item with a probability that grows with the click rate that it has learned. It learns from the first
half of the time in the log of `bts`; the next tenth of that log chooses its sharpness and smoothing. The log of the
random policy from then on estimates its click rate. Shapes: N impressions, I items.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.open_bandit import BTS, CAMPAIGNS, clicks_per_thousand, read_log
from contracts.csr import Doubles, Rows
from evaluation.bootstrap import Interval
from ranking.position_bias import ShownPairs, examination

SMOOTHINGS, SHARPNESSES = (5.0, 20.0), (0.5, 1.0, 2.0)
WEIGHT_LIMIT = 10.0
LEARNS = ("clicks", "positions", "positions and propensities")
UNIFORM = "nothing: every item alike"


@dataclass(frozen=True)
class Logged:
    """Impressions of one campaign."""

    items: Rows  # [N]
    places: Rows  # [N] from 0
    clicks: Doubles  # [N] 0 or 1
    propensities: Doubles  # [N]

    @classmethod
    def of(cls, log: pl.DataFrame) -> "Logged":
        """The rows of a log."""
        return cls(
            log["item_id"].to_numpy().astype(np.int32),
            log["position"].to_numpy().astype(np.int32) - 1,
            log["click"].to_numpy().astype(float),
            log["propensity_score"].to_numpy(),
        )


@dataclass(frozen=True)
class PolicyEstimate:
    """The clicks per thousand impressions of a learned policy, by three estimators."""

    campaign: str
    learns: str
    ips: Interval
    snips: Interval
    doubly_robust: Interval
    gain: Interval
    """Gain of the doubly robust estimate over the policy that learns from clicks."""


def policy_estimates(folder: Path) -> list[PolicyEstimate]:
    """Estimates of each campaign and each way to learn. Raises `UnreadableInput`."""
    return [estimate for campaign in CAMPAIGNS for estimate in _of_campaign(campaign, read_log(folder, campaign))]


def _of_campaign(campaign: str, log: pl.DataFrame) -> Iterator[PolicyEstimate]:
    half, later = (log["timestamp_us"].quantile(share, "nearest") for share in (0.5, 0.6))
    time, by_bts = pl.col("timestamp_us"), pl.col("policy") == BTS
    count = log["item_id"].n_unique()
    learned_from, validation, test = (
        Logged.of(log.filter(rows))
        for rows in (by_bts & (time < half), by_bts & (time >= half) & (time < later), ~by_bts & (time >= later))
    )
    rates = {learns: learned_rates(learned_from, learns, count) for learns in LEARNS}
    policies = {learns: _chosen(of_smoothing, validation) for learns, of_smoothing in rates.items()}
    policies[UNIFORM] = np.full(count, 1 / count)
    expected = rates["positions"](SMOOTHINGS[-1])
    baseline = doubly_robust(test, policies["clicks"], expected)
    for learns, policy in policies.items():
        weights = policy[test.items] / test.propensities
        robust = doubly_robust(test, policy, expected)
        yield PolicyEstimate(
            campaign,
            learns,
            ips=clicks_per_thousand(weights * test.clicks),
            snips=clicks_per_thousand(test.clicks, weights=weights),
            doubly_robust=clicks_per_thousand(robust),
            gain=clicks_per_thousand(robust, baseline),
        )


def learned_rates(log: Logged, learns: str, item_count: int) -> Callable[[float], Doubles]:
    """[I] the click rate of each item, as a function of the clicks as expected that each item begins with."""
    looked_at, weights = np.ones(1), np.ones(len(log.items))
    if learns != "clicks":
        one_hot = np.eye(item_count, dtype=np.float32)[log.items]
        looked_at = examination(one_hot, log.clicks > 0, log.places)
    if learns == LEARNS[-1]:
        shown = ShownPairs(log.places, log.propensities.astype(np.float32))
        weights = shown.inverse_propensities(np.zeros(len(log.items), bool), looked_at, WEIGHT_LIMIT)
    seen = weights * looked_at[np.minimum(log.places, len(looked_at) - 1)]
    clicks, impressions = (
        np.bincount(log.items, weights=each, minlength=item_count) for each in (weights * log.clicks, seen)
    )
    mean = clicks.sum() / impressions.sum()
    return lambda smoothing: (clicks + smoothing) / (impressions + smoothing / mean)


def _chosen(of_smoothing: Callable[[float], Doubles], validation: Logged) -> Doubles:
    """[I] the probabilities with the best normalized estimate on the validation part."""
    tried = [_drawn(of_smoothing(smoothing), sharpness) for smoothing, sharpness in product(SMOOTHINGS, SHARPNESSES)]
    return max(tried, key=lambda policy: normalized(validation, policy))


def _drawn(rates: Doubles, sharpness: float) -> Doubles:
    chances = rates**sharpness
    return np.asarray(chances / chances.sum())


def normalized(log: Logged, policy: Doubles) -> float:
    """The click rate of a policy by inverse propensity, divided by the mean weight (Swaminathan & Joachims 2015).
    Weights end at a limit."""
    weights = np.minimum(policy[log.items] / log.propensities, WEIGHT_LIMIT)
    return float((weights * log.clicks).sum() / max(weights.sum(), 1e-12))


def doubly_robust(log: Logged, policy: Doubles, expected: Doubles) -> Doubles:
    """[N] the expected clicks of a policy, corrected by what was seen (Dudik et al. 2011)."""
    weights = policy[log.items] / log.propensities
    return np.asarray((policy * expected).sum() + weights * (log.clicks - expected[log.items]))
