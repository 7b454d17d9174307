"""The metrics of one method on one holdout: the input of tables, gates and intervals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.errors import BadEvaluationInput
from evaluation import ranking_metrics
from evaluation.rankings import Floats, Labels, RankedLists, Rows
from evaluation.splits import Catalogue, Holdout

RETRIEVAL, RERANKED, FINAL = "two_tower", "reranked", "final"
"""The steps of a night by name: retrieval alone, its candidates re-ranked, and the list that is served."""
CHAMPION = "champion"
"""The final list of the release that serves."""
NEWEST_FIRST = "newest_first"
COVERAGE = "coverage_at_20"
OVERLAP_K, FIRST_ITEMS = 10, 4
OVERLAP, FIRST_SHARE = f"inter_user_overlap_at_{OVERLAP_K}", f"top{FIRST_ITEMS}_first_share"
"""How alike the lists of two users are, and the share of first places that the most frequent items hold."""
ACCURACY: dict[str, Callable[[RankedLists, Labels, int], Floats]] = {
    "ndcg": ranking_metrics.ndcg_at_k,
    "recall": ranking_metrics.recall_at_k,
    "hit_rate": ranking_metrics.hit_rate_at_k,
    "mrr": ranking_metrics.mrr_at_k,
}
"""The metrics of a list against a user's labels."""


@dataclass(frozen=True)
class MethodMetrics:
    """A method's metrics. `means` holds every number of a table: the means over users, and those of all lists."""

    name: str
    users: int
    per_user: Mapping[str, Floats]  # each [U], NaN for a user without labels
    means: Mapping[str, float]

    def values(self, metric: str) -> Floats:
        """[U] one metric of each user. Raises `BadEvaluationInput` where it was not measured."""
        if metric not in self.per_user:
            there = ", ".join(self.per_user)
            raise BadEvaluationInput(f"{self.name} has no metric {metric}; measure it, or compare one of {there}")
        return self.per_user[metric]


@dataclass(frozen=True)
class WeekMetrics:
    """Methods on one week. `users` number the users within a run: a user has one number in all weeks."""

    users: Rows  # [U]
    methods: Sequence[MethodMetrics]

    @property
    def named(self) -> dict[str, MethodMetrics]:
        """The methods by name."""
        return {method.name: method for method in self.methods}


def measure(
    name: str,
    lists: RankedLists,
    holdout: Holdout,
    catalogue: Catalogue,
    *,
    k: int = 20,
    recall_ks: Sequence[int] = (),
    item_vectors: NDArray[np.float32] | None = None,
) -> MethodMetrics:
    """Measure `lists` [U, K] of the holdout's users at `k`, and recall at each of `recall_ks` too.

    Every method of one table needs the same `item_vectors` [I, D], or its distances are not comparable.
    Creator metrics need a catalogue with creators, and distances need items with vectors.
    """
    labels, creators = holdout.labels, catalogue.creators
    per_user = {f"{name}_at_{k}": ACCURACY[name](lists, labels, k) for name in ("ndcg", "recall", "hit_rate", "mrr")}
    per_user |= {f"recall_at_{deep}": ranking_metrics.recall_at_k(lists, labels, deep) for deep in recall_ks}
    of_all = {f"coverage_at_{k}": ranking_metrics.catalogue_coverage_at_k(lists, holdout.rankable, k)}
    of_all |= overlap_metrics(lists)
    if (creators >= 0).any():
        per_user[f"top_creator_share_at_{k}"] = ranking_metrics.top_creator_share_at_k(lists, creators, k)
        of_all[f"creator_coverage_at_{k}"] = ranking_metrics.creator_coverage_at_k(lists, creators, holdout.rankable, k)
    if item_vectors is not None and item_vectors.any():
        per_user[f"intra_list_distance_at_{k}"] = ranking_metrics.intra_list_distance_at_k(lists, item_vectors, k)
    means = {metric: ranking_metrics.mean(values) for metric, values in per_user.items()}
    return MethodMetrics(name, len(lists.rows), per_user, {**means, **of_all})


def overlap_metrics(lists: RankedLists) -> dict[str, float]:
    """How much the lists of different users are alike; empty where fewer than two users have one."""
    overlap = ranking_metrics.inter_user_overlap_at_k(lists, OVERLAP_K)
    if np.isnan(overlap):
        return {}
    return {OVERLAP: overlap, FIRST_SHARE: ranking_metrics.top_first_share(lists, FIRST_ITEMS)}


def macro_average(weeks: Sequence[MethodMetrics]) -> MethodMetrics:
    """One method over several holdouts: each week counts the same, however many users it had."""
    if not weeks:
        raise BadEvaluationInput("no week was measured; give at least one")
    names = {week.name for week in weeks}
    if len(names) > 1:
        raise BadEvaluationInput(f"weeks of different methods ({', '.join(sorted(names))}); average one at a time")
    per_user = {metric: np.concatenate([week.per_user[metric] for week in weeks]) for metric in weeks[0].per_user}
    metrics = dict.fromkeys(metric for week in weeks for metric in week.means)  # a small week may lack some
    by_week = {metric: np.array([week.means.get(metric, np.nan) for week in weeks]) for metric in metrics}
    means = {metric: ranking_metrics.mean(values) for metric, values in by_week.items()}
    return MethodMetrics(weeks[0].name, sum(week.users for week in weeks), per_user, means)


def full_ranking(name: str, lists: RankedLists, labels: Labels, k: int, *, item_count: int) -> MethodMetrics:
    """Binary metrics of lists [U, K] that were ranked out of every item (Krichene & Rendle 2020,
    doi:10.1145/3394486.3403226), means over users with a label. A label outside the catalogue counts as missed.
    """
    per_user = {f"{name}_at_{k}": ACCURACY[name](lists, labels, k) for name in ("recall", "ndcg", "hit_rate", "mrr")}
    means = {metric: ranking_metrics.mean(values) for metric, values in per_user.items()}
    rankable = np.ones(item_count, dtype=bool)
    means[f"coverage_at_{k}"] = ranking_metrics.catalogue_coverage_at_k(lists, rankable, k)
    return MethodMetrics(name, len(lists.rows), per_user, means)
