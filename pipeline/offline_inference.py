"""What the models of one release answer to a held-out question: retrieval alone, re-ranked, and as served."""

from dataclasses import dataclass

import numpy as np

from evaluation import Holdout, RankedLists
from evaluation.ranking_metrics import mean, recall_at_k
from evaluation.results import FINAL, RERANKED, RETRIEVAL
from models.two_tower import TrainedTwoTower
from pipeline.evaluation_data import DEEP, EvaluationData, catalogue_lists, user_rows_in
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
    """Lists [U, DEEP] of the holdout's users by step, in rows of the landed catalogue."""

    lists: dict[str, RankedLists]
    candidate_recall: float
    """The share of labels that the candidates hold."""


def predict(
    night: RunContext, landed: CatalogSnapshot, questions: EvaluationData, holdout: Holdout, models: ModelBundle
) -> Predictions:
    """Answer from what was known at the holdout's cut."""
    view = read_snapshot(night, landed, holdout.cut, models.tower)
    asked = user_rows_in(view, questions, holdout)
    snapshot = ranking_snapshot(view, models.ranking, models.index)
    served = rank_users(snapshot, models.reranker, asked[asked >= 0], DEEP)
    pairs, scores = served.candidates, served.scores
    near = taken(pairs, (pairs.sources & BITS["two_tower"]) > 0)
    lists = {
        RETRIEVAL: ranked(view, near, near.retrieval_scores, BY_SCORE, asked),
        RERANKED: ranked(view, pairs, scores, BY_SCORE, asked),
        FINAL: matrix(view, pairs, served.slates, asked, DEEP),
    }
    everything = ranked(view, pairs, scores, BY_SCORE, asked, k=len(view.items.ids))
    return Predictions(lists, mean(recall_at_k(everything, holdout.labels, len(view.items.ids))))


def ranked(
    view: FeatureSnapshot, pairs: Candidates, scores: Floats, config: SlateConfig, asked: Rows, k: int = DEEP
) -> RankedLists:
    """[U, k] the lists of the asked users, rows of the landed catalogue; empty for who has no vector."""
    return matrix(view, pairs, slates(view.items, pairs, scores, config, k=k), asked, k)


def matrix(view: FeatureSnapshot, pairs: Candidates, slate: Slates, asked: Rows, k: int) -> RankedLists:
    """[U, k] slates as rows of the landed catalogue."""
    positions = slate.matrix(pairs, asked, k)
    return catalogue_lists(view, np.append(pairs.item_rows, np.int32(-1))[positions])
