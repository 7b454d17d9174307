"""The Open Bandit logs: clicks by position, and one policy's click rate estimated from the log of the other.

ZOZO's small data set (Saito et al. 2021) has impressions of three positions under a uniformly random policy and under
Bernoulli Thompson sampling (`bts`), with the propensity of each shown item. It names no user, so it has no fatigue.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from contracts.csr import Doubles
from contracts.errors import UnreadableInput
from evaluation.bootstrap import Interval, paired_interval

CAMPAIGNS = ("men", "women")
RANDOM, BTS = "random", "bts"


@dataclass(frozen=True)
class Estimate:
    """A click rate in clicks per thousand impressions, with its 95 % interval."""

    campaign: str
    name: str
    impressions: int
    clicks: int
    rate: Interval


def estimates(folder: Path) -> list[Estimate]:
    """The click rate of each campaign by position, and that of the random policy, seen and estimated."""
    return [estimate for campaign in CAMPAIGNS for estimate in _of_campaign(folder, campaign)]


def read_log(folder: Path, campaign: str) -> pl.DataFrame:
    """The log of a campaign. Raises `UnreadableInput`."""
    path = folder / f"{campaign}.parquet"
    if not path.is_file():
        raise UnreadableInput(f"{path}: no such file; give the folder that has men.parquet and women.parquet")
    return pl.read_parquet(path, columns=["policy", "timestamp_us", "item_id", "position", "click", "propensity_score"])


def _of_campaign(folder: Path, campaign: str) -> list[Estimate]:
    log = read_log(folder, campaign)
    random, bts = (log.filter(pl.col("policy") == policy) for policy in (RANDOM, BTS))
    by_position = [
        _estimate(campaign, f"position {position}, random policy", random.filter(pl.col("position") == position))
        for position in sorted(random["position"].unique())
    ]
    weights = (1 / random["item_id"].n_unique()) / bts["propensity_score"].to_numpy()
    return [
        *by_position,
        _estimate(campaign, "random policy, its own log", random),
        _estimate(campaign, "random policy, from the log of bts without weights", bts),
        _estimate(campaign, "random policy, from the log of bts by inverse propensity", bts, weights),
    ]


def _estimate(campaign: str, name: str, log: pl.DataFrame, weights: Doubles | None = None) -> Estimate:
    clicks = log["click"].to_numpy().astype(float)
    return Estimate(campaign, name, len(log), int(clicks.sum()), clicks_per_thousand(clicks, weights=weights))


def clicks_per_thousand(clicks: Doubles, other: Doubles | None = None, *, weights: Doubles | None = None) -> Interval:
    """The mean of 1,000 impressions, or its difference to another mean of them. With weights it is normalized by the
    mean weight of each resample, because that varies as the clicks do."""
    against = np.zeros(len(clicks)) if other is None else 1000 * other
    return paired_interval(1000 * clicks, against, weights=weights, resamples=1000)
