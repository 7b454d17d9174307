"""The data that the methods of a run are measured on, and their lists, from what was available at the cutoff."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from contracts import Flag, SubjectType
from contracts import columns as c
from contracts.opt_out_flags import opted_out
from evaluation import (
    Catalogue,
    Events,
    Holdout,
    ItemSets,
    Labels,
    MethodMetrics,
    RankedLists,
    catalogue_from,
    events_from,
    hold_out,
    item_sets,
    measure,
)
from evaluation.ranking_metrics import mean, recall_of_sets
from evaluation.results import FINAL, RERANKED, RETRIEVAL
from models.baselines import night_baselines
from models.two_tower import TrainedTwoTower
from pipeline.feature_assembly import FeatureSnapshot, IngestedTables, read_snapshot, rows_of
from pipeline.item_transitions import trainable_users, transitions_at
from pipeline.run_context import RunContext
from pipeline.stages.candidates import ranking_snapshot
from pipeline.user_impressions import known_impressions
from ranking.candidates import BITS, taken
from ranking.feature_arrays import SOURCES, Candidates, Floats, Ids, Rows, ids_of
from ranking.item_exposure import with_exposure
from ranking.rank_users import RankedUsers, RankingConfig, RankingSnapshot, rank_users
from ranking.reranker import Reranker
from ranking.slate import SlateConfig, Slates, slates
from serving.index_config import IndexConfig

K = 20
RETRIEVAL_K = 200
"""The depth at which long lists are measured."""
USERS_AT_ONCE = 256
"""Users ranked together: about 50 MB of features for 800 candidates each."""


@dataclass(frozen=True)
class EvaluationData:
    """The events and items that every method of one run is measured on."""

    events: Events
    catalogue: Catalogue
    user_ids: Ids
    item_ids: Ids
    text_vectors: NDArray[np.float32]  # [I, T]; the distances of all methods are taken in this space


def read_evaluation_data(
    night: RunContext, ingested: IngestedTables, text_vectors: NDArray[np.float32]
) -> EvaluationData:
    """The events of all users who allow training, and the items that may be recommended."""
    excluded = list(opted_out(night.opt_outs, SubjectType.USER, (Flag.TRAINING,)))
    columns = [c.USER_ID, c.ITEM_ID, c.ACTION, c.TIMESTAMP]
    scan = night.lake.scan("events", night.splits.as_of).select(columns)
    events = scan.filter(~pl.col(c.USER_ID).is_in(excluded)).collect()
    user_ids, item_ids = ids_of(events[c.USER_ID].unique().sort()), ids_of(ingested.items[c.ITEM_ID])
    catalogue = catalogue_from(ingested.items, ingested.excluded)
    return EvaluationData(events_from(events, user_ids, item_ids), catalogue, user_ids, item_ids, text_vectors)


def holdout_at(night: RunContext, data: EvaluationData, cutoff: datetime) -> Holdout:
    """The clicks and saves of users with a history, in the label window after `cutoff`."""
    return hold_out(data.events, data.catalogue, cutoff, days=night.splits.label_days)


def measure_method(name: str, lists: RankedLists, data: EvaluationData, holdout: Holdout) -> MethodMetrics:
    """The metrics of one method on a holdout."""
    deep = (RETRIEVAL_K,) if lists.rows.shape[1] >= RETRIEVAL_K else ()
    return measure(name, lists, holdout, data.catalogue, k=K, recall_ks=deep, item_vectors=data.text_vectors)


def snapshot_user_rows(snapshot: FeatureSnapshot, data: EvaluationData, holdout: Holdout) -> Rows:
    """[U] the rows of the holdout's users in a snapshot; -1 for a user without a vector there."""
    ids = pl.Series(data.user_ids[holdout.user_rows], dtype=pl.String)
    rows: Rows = rows_of(ids, snapshot.users.ids).fill_null(-1).to_numpy()
    return rows


def catalogue_lists(snapshot: FeatureSnapshot, rows: Rows) -> RankedLists:
    """Lists in item rows of a snapshot `[U, K]`, as rows of the ingested catalogue; -1 stays -1."""
    return RankedLists(np.where(rows >= 0, np.append(snapshot.catalogue_rows, -1)[rows], -1).astype(np.int32))


BY_SCORE = SlateConfig(per_creator=0, per_category=0, per_common=0, diversity=0)
"""Plain ranking: no limit, no diversity."""


def retrieval_alone(ranking: RankingConfig) -> RankingConfig:
    """The configuration with which `rank_users` makes the lists that are measured as `two_tower`."""
    nearest = ranking.candidates.without(frozenset(SOURCES) - {"two_tower"})
    return ranking.model_copy(update={"candidates": nearest, "slate": BY_SCORE})


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
    recalls: NDArray[np.float64]
    """[U] the share of each user's labels that are among the candidates."""

    @property
    def candidate_recall(self) -> float:
        """The mean over users of the share of labels among the candidates."""
        return mean(self.recalls)


def predict(
    night: RunContext, ingested: IngestedTables, data: EvaluationData, holdout: Holdout, models: ModelBundle
) -> Predictions:
    """The lists of a bundle: retrieval alone, re-ranked, and as served."""
    snapshot = read_snapshot(night, ingested, holdout.cutoff, models.tower)
    user_rows = snapshot_user_rows(snapshot, data, holdout)
    inputs = ranking_inputs(night, snapshot, models.reranker, models.ranking, models.index)
    parts = [
        _predicted(snapshot, served, user_rows[some], holdout.labels.take(some))
        for some, served in ranked_in_parts(inputs, models.reranker, user_rows, RETRIEVAL_K)
    ]
    lists = {name: RankedLists(np.concatenate([part.lists[name].rows for part in parts])) for name in parts[0].lists}
    return Predictions(lists, np.concatenate([part.recalls for part in parts]))


def ranked_in_parts(
    inputs: RankingSnapshot, reranker: Reranker, user_rows: Rows, k: int
) -> Iterator[tuple[Rows, RankedUsers]]:
    """Rank some users at a time: their positions in `user_rows`, and what `rank_users` returns for those with a vector.

    A row of -1 is a user without one. Where there is no user, the one part is empty.
    """
    for start in range(0, max(len(user_rows), 1), USERS_AT_ONCE):
        some = np.arange(start, min(start + USERS_AT_ONCE, len(user_rows)), dtype=np.int32)
        rows = user_rows[some]
        yield some, rank_users(inputs, reranker, rows[rows >= 0], k)


def _predicted(snapshot: FeatureSnapshot, served: RankedUsers, user_rows: Rows, labels: Labels) -> Predictions:
    pairs, scores = served.candidates, served.scores
    retrieved = taken(pairs, (pairs.sources & BITS["two_tower"]) > 0)
    lists = {
        RETRIEVAL: ranked_by(retrieved.retrieval_scores, retrieved, snapshot, user_rows, RETRIEVAL_K),
        RERANKED: ranked_by(scores, pairs, snapshot, user_rows, RETRIEVAL_K),
        FINAL: lists_of(served.slates, pairs, snapshot, user_rows, RETRIEVAL_K),
    }
    return Predictions(lists, recall_of_sets(_candidate_sets(snapshot, pairs, user_rows), labels))


def _candidate_sets(snapshot: FeatureSnapshot, pairs: Candidates, user_rows: Rows) -> ItemSets:
    """The candidates of each of `user_rows`, in rows of the ingested catalogue."""
    place_of = np.zeros(len(snapshot.users.ids), np.int32)
    with_vector = np.flatnonzero(user_rows >= 0)
    place_of[user_rows[with_vector]] = with_vector
    return item_sets(place_of[pairs.user_rows], snapshot.catalogue_rows[pairs.item_rows], len(user_rows))


def ranking_inputs(
    night: RunContext, view: FeatureSnapshot, reranker: Reranker, config: RankingConfig, index: IndexConfig
) -> RankingSnapshot:
    """The inputs of `rank_users` as of a cutoff, with what is measured on the users who did not opt out of training."""
    inputs = ranking_snapshot(view, config, index, transitions_at(night, view, reranker))
    if reranker.uses_impressions:
        impressions = known_impressions(night, view.users.ids, view.items.ids, view.cutoff)
        inputs = replace(inputs, impressions=impressions)
    return with_exposure(inputs, reranker, trainable_users(night, view))


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
