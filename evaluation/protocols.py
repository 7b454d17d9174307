"""The published protocols of bare pairs of user and item: how they are cut, and how full lists are marked.

Shapes: U measured users, K places, I items that may be listed.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from contracts import columns as c
from contracts.errors import BadEvaluationInput
from evaluation import ranking_metrics
from evaluation.rankings import Labels, RankedLists
from evaluation.results import MethodMetrics

LEAST_ROWS = 3
"""A user with fewer rows has nothing left to learn from once a test and a validation row are gone."""


@dataclass(frozen=True)
class Cut:
    """Rows to learn from, and rows to be asked for. They keep the order they came in."""

    train: pl.DataFrame
    held_out: pl.DataFrame


def leave_one_out(ordered: pl.DataFrame) -> tuple[Cut, Cut]:
    """The cut of the test, and inside its train the cut of the validation: last and second last row of each user
    (He et al. 2017, doi:10.1145/3038912.3052569).

    `ordered` has each user's rows oldest first. Users with fewer than three rows are in neither held-out part.
    """
    askable = pl.len().over(c.USER_ID) >= LEAST_ROWS
    from_end = pl.int_range(pl.len(), 0, -1).over(c.USER_ID)
    test, validation = askable & (from_end == 1), askable & (from_end == 2)
    return (
        Cut(ordered.filter(~test), ordered.filter(test)),
        Cut(ordered.filter(~test & ~validation), ordered.filter(validation)),
    )


def random_out(pairs: pl.DataFrame, *, share: float, seed: int) -> Cut:
    """A seeded random `share` of the rows held out: the validation of data without any time."""
    if not 0 < share < 1:
        raise BadEvaluationInput(f"a share of {share} was asked for; give one between 0 and 1")
    held_out = np.zeros(pairs.height, dtype=bool)
    chosen = np.random.default_rng(seed).permutation(pairs.height)[: round(share * pairs.height)]
    held_out[chosen] = True
    return Cut(pairs.filter(~held_out), pairs.filter(held_out))


def full_ranking(name: str, lists: RankedLists, labels: Labels, k: int, *, item_count: int) -> MethodMetrics:
    """Binary metrics of lists [U, K] that were ranked out of every item (Krichene & Rendle 2020,
    doi:10.1145/3394486.3403226), means over users with a label. A label outside the catalogue counts as missed.
    """
    per_user = {
        f"recall_at_{k}": ranking_metrics.recall_at_k(lists, labels, k),
        f"ndcg_at_{k}": ranking_metrics.ndcg_at_k(lists, labels, k),
        f"hit_rate_at_{k}": ranking_metrics.hit_rate_at_k(lists, labels, k),
        f"mrr_at_{k}": ranking_metrics.mrr_at_k(lists, labels, k),
    }
    means = {metric: ranking_metrics.mean(values) for metric, values in per_user.items()}
    rankable = np.ones(item_count, dtype=bool)
    means[f"coverage_at_{k}"] = ranking_metrics.catalogue_coverage_at_k(lists, rankable, k)
    return MethodMetrics(name, len(lists.rows), per_user, means)
