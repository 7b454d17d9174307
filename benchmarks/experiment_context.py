"""What the ranking benchmark works on: the night's tables and models at each cutoff, and lists of some users.

Shapes: U users, P pairs, K places.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.datasets import Split
from benchmarks.interaction_matrix import labels_of
from contracts import Settings
from contracts import columns as c
from evaluation import RankedLists
from evaluation.results import full_ranking
from evaluation.top_k import TopK
from models.two_tower import TrainedTwoTower
from pipeline.feature_assembly import FeatureSnapshot, IngestedTables, read_ingested_tables, read_snapshot, rows_of
from pipeline.feature_selection import FeatureSelection, select_features
from pipeline.item_transitions import night_transitions
from pipeline.lake import Lake
from pipeline.run_context import NightConfig, RunContext
from pipeline.stages.candidates import ranking_snapshot, training_users
from pipeline.stages.reranker import labels_of as pair_labels
from pipeline.stages.two_tower import use_threads, walk_forward
from pipeline.time_splits import TimeSplits
from ranking.candidates import BITS, taken
from ranking.feature_arrays import Candidates, Floats, Rows
from ranking.item_exposure import with_exposure
from ranking.rank_users import RankingConfig, RankingSnapshot, rank_users
from ranking.reranker import Reranker, train
from ranking.slate import Slates, slates
from ranking.training_pairs import LabelledPairs

RETRIEVAL, NIGHT, FINAL = "two_tower", "night", "final"
"""Retrieval alone; a re-ranker without co-occurrence features; and what the night ships, which may read them."""


@dataclass(frozen=True)
class ExperimentJob:
    """Where the benchmark writes, its run in MLflow there, and how the data are split."""

    out: Path
    mlflow_run: str
    plan: TimeSplits
    split: Split
    ranking: RankingConfig
    settings: Settings


@dataclass(frozen=True)
class ExperimentContext:
    """The derived tables of all cutoffs, and what is computed once."""

    job: ExperimentJob
    night: RunContext

    @cached_property
    def ingested(self) -> IngestedTables:
        """Items and users."""
        return read_ingested_tables(self.night)

    @cached_property
    def towers(self) -> dict[datetime, TrainedTwoTower]:
        """The night's two-tower as of each cutoff, trained as the night's stage trains it."""
        use_threads(self.night)
        return dict(walk_forward(self.night, self.ingested))

    def view(self, cutoff: datetime) -> FeatureSnapshot:
        """Features and the night's retrieval as of a cutoff."""
        return read_snapshot(self.night, self.ingested, cutoff, self.towers[cutoff])

    def snapshot(self, view: FeatureSnapshot) -> RankingSnapshot:
        """The inputs of `rank_users` as of the view's cutoff."""
        config = self.night.config
        return ranking_snapshot(view, config.ranking, config.index, night_transitions(self.night, view))

    def labelled_pairs(self, view: FeatureSnapshot) -> LabelledPairs:
        """Training pairs of a cutoff with all features; the labels are from the window after it."""
        snapshot = self.snapshot(view)
        pairs = snapshot.candidates(training_users(self.night, view))
        features = snapshot.features(pairs, cooccurrence=True)
        return LabelledPairs(features, pair_labels(self.night, view, pairs), pairs.user_rows)

    def select_features(self, pairs: dict[datetime, LabelledPairs]) -> FeatureSelection:
        """The selection of the night's re-ranker stage."""
        splits, config = self.night.splits, self.night.config.ranking.reranker
        return select_features(pairs, splits.training_cutoffs(splits.eval_cutoffs[0]), config)

    def train(self, selection: FeatureSelection, pairs: dict[datetime, LabelledPairs], cutoff: datetime) -> Reranker:
        """The re-ranker that is used at a cutoff."""
        config = self.night.config.ranking.reranker.model_copy(update={"threads": self.job.settings.threads})
        training = [selection.restrict(pairs[label]) for label in self.night.splits.training_cutoffs(cutoff)]
        return train(training, config, selection.names).reranker

    def lists(self, snapshot: RankingSnapshot, reranker: Reranker, user_rows: Rows) -> TopK:
        """The night's slates of these users, in this order."""
        k, everyone = self.job.split.k, np.arange(len(snapshot.users.ids), dtype=np.int32)
        ranked = rank_users(with_exposure(snapshot, reranker, everyone), reranker, user_rows, k)
        return as_top_k(ranked.candidates, ranked.scores, ranked.slates, user_rows, k)

    def lists_by_retrieval(self, snapshot: RankingSnapshot, user_rows: Rows) -> TopK:
        """Slates of the two-tower's candidates by its own score."""
        pairs, k = snapshot.candidates(user_rows), self.job.split.k
        near = taken(pairs, (pairs.sources & BITS["two_tower"]) > 0)
        chosen = slates(snapshot.items, near, near.retrieval_scores, snapshot.config.slate, k=k)
        return as_top_k(near, near.retrieval_scores, chosen, user_rows, k)

    def ndcg(self, top: TopK, view: FeatureSnapshot, user_rows: Rows, held_out: pl.DataFrame) -> float:
        """NDCG@k of lists of these users on held-out rows."""
        k, item_ids = self.job.split.k, pl.Series(view.items.ids, dtype=pl.String)
        labels = labels_of(held_out, pl.Series(view.users.ids[user_rows], dtype=pl.String), item_ids)
        result = full_ranking("", RankedLists(top.rows), labels, k, item_count=len(item_ids))
        return result.means[f"ndcg_at_{k}"]

    def test_rows(self, view: FeatureSnapshot) -> Rows:
        """The rows of the test's users in a view; each of them has a history."""
        rows: Rows = rows_of(self.job.split.test[c.USER_ID].unique().sort(), view.users.ids).to_numpy()
        return rows


def open_lake(lake: Path, job: ExperimentJob) -> RunContext:
    """The run over a lake, with no store of opt-outs or posted events but the lake's own, in the benchmark's run in
    MLflow."""
    settings = job.settings.model_copy(update={"lake": str(lake), "opt_out_url": "", "events_url": ""})
    config, home = NightConfig(ranking=job.ranking).seeded(settings.seed), Lake(lake)
    night = RunContext(home, home, job.plan, settings, config, tracked_in=Lake(job.out))
    night.opt_outs.create()  # this lake is new and holds no opt-out
    night.write_summary("forget", {"mlflow_run": job.mlflow_run})
    return night


def as_top_k(pairs: Candidates, scores: Floats, chosen: Slates, user_rows: Rows, k: int) -> TopK:
    """[U, K] slates as item rows and scores."""
    positions = chosen.matrix(pairs, user_rows, k)
    rows = np.append(pairs.item_rows, np.int32(-1))[positions]
    return TopK(rows, np.append(scores, np.float32(-np.inf))[positions])
