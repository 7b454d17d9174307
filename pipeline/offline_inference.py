"""The lists of every method for the users of a holdout, from what was available at its cutoff."""

from dataclasses import dataclass

import numpy as np

from evaluation import Holdout, RankedLists
from evaluation.ranking_metrics import mean, recall_at_k
from evaluation.results import FINAL, RERANKED, RETRIEVAL
from models.baselines import night_baselines
from models.two_tower import TrainedTwoTower
from pipeline.cooccurrence import transitions_at
from pipeline.evaluation_data import RETRIEVAL_K, EvaluationData, catalogue_lists, snapshot_user_rows
from pipeline.feature_assembly import CatalogSnapshot, FeatureSnapshot, read_snapshot
from pipeline.run_context import RunContext
from pipeline.stages.candidates import ranking_snapshot
from ranking.candidates import BITS, taken
from ranking.feature_arrays import Candidates, Floats, Rows
from ranking.rank_users import RankingConfig, rank_users
from ranking.reranker import Reranker
from ranking.slate import SlateConfig, Slates, slates
from serving.ann_index import IndexConfig

BY_SCORE = SlateConfig(per_creator=0, per_category=0, diversity=0)
"""Plain ranking: no limit, no diversity."""


@dataclass(frozen=True)
class ModelBundle:
    """Everything that decides a list."""

    tower: TrainedTwoTower
    reranker: Reranker
    ranking: RankingConfig
    index: IndexConfig


@dataclass(frozen=True)
class Predictions:
    """The lists [U, RETRIEVAL_K] of the holdout's users by step, in rows of the ingested catalogue."""

    lists: dict[str, RankedLists]
    candidate_recall: float
    """The share of labels that are among the candidates."""


def predict(
    night: RunContext, catalog: CatalogSnapshot, data: EvaluationData, holdout: Holdout, models: ModelBundle
) -> Predictions:
    """The lists of a bundle: retrieval alone, re-ranked, and as served."""
    snapshot = read_snapshot(night, catalog, holdout.cutoff, models.tower)
    user_rows = snapshot_user_rows(snapshot, data, holdout)
    transitions = transitions_at(night, snapshot, models.reranker)
    inputs = ranking_snapshot(snapshot, models.ranking, models.index, transitions)
    served = rank_users(inputs, models.reranker, user_rows[user_rows >= 0], RETRIEVAL_K)
    pairs, scores = served.candidates, served.scores
    retrieved = taken(pairs, (pairs.sources & BITS["two_tower"]) > 0)
    lists = {
        RETRIEVAL: ranked_by(retrieved.retrieval_scores, retrieved, snapshot, user_rows, RETRIEVAL_K),
        RERANKED: ranked_by(scores, pairs, snapshot, user_rows, RETRIEVAL_K),
        FINAL: lists_of(served.slates, pairs, snapshot, user_rows, RETRIEVAL_K),
    }
    items = len(snapshot.items.ids)
    everything = ranked_by(scores, pairs, snapshot, user_rows, items)
    return Predictions(lists, mean(recall_at_k(everything, holdout.labels, items)))


def ranked_by(scores: Floats, pairs: Candidates, snapshot: FeatureSnapshot, user_rows: Rows, k: int) -> RankedLists:
    """[U, k] the candidates of some users by score alone."""
    return lists_of(slates(snapshot.items, pairs, scores, BY_SCORE, k=k), pairs, snapshot, user_rows, k)


def lists_of(chosen: Slates, pairs: Candidates, snapshot: FeatureSnapshot, user_rows: Rows, k: int) -> RankedLists:
    """[U, k] slates in rows of the ingested catalogue; empty for a user without a vector."""
    positions = chosen.matrix(pairs, user_rows, k)
    return catalogue_lists(snapshot, np.append(pairs.item_rows, np.int32(-1))[positions])


def baseline_lists(night: RunContext, data: EvaluationData, holdout: Holdout) -> dict[str, RankedLists]:
    """The lists of the six baselines, by name."""
    lists = {}
    for baseline in night_baselines(night.settings.seed):
        fitted = baseline.fit(holdout.history, data.catalogue, holdout.cutoff)
        lists[baseline.name] = fitted.recommend(
            holdout.user_rows, RETRIEVAL_K, rankable=holdout.rankable, seen=holdout.history.interacted
        )
    return lists
