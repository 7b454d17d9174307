"""What the two stages work on: the night's tables at each cut, candidates and features of some users, and lists.

Shapes: U asked users, P pairs, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.cooccurrence_features import NAMES, companions
from benchmarks.datasets import Split
from benchmarks.interaction_matrix import labels_of
from contracts import Settings
from evaluation import RankedLists
from evaluation.protocols import full_ranking
from evaluation.top_k import TopK
from models.two_tower import TrainedTwoTower
from pipeline.feature_assembly import CatalogSnapshot, FeatureSnapshot, read_catalog, read_snapshot, rows_of
from pipeline.lake import Lake
from pipeline.run_context import NightConfig, RunContext
from pipeline.stages.candidates import labelled_users, ranking_snapshot
from pipeline.stages.reranker import labels_of as pair_labels
from pipeline.stages.two_tower import use_threads, walk_forward
from pipeline.time_splits import TimeSplits
from ranking.candidates import BITS, taken
from ranking.feature_arrays import Candidates, Floats, Rows
from ranking.feature_names import FEATURE_NAMES
from ranking.pair_features import pair_features
from ranking.rank_users import RankingConfig
from ranking.reranker import LabelledPairs, Reranker, train
from ranking.slate import slates

STAGES = (
    "events",
    "sessions",
    "interactions",
    "user_features",
    "item_features",
    "retrieval_examples",
    "ranking_examples",
)
"""What the night computes before anything is trained."""


RETRIEVAL, NIGHT, FINAL = "two_tower", "night", "final"
KNOWN = {NIGHT: FEATURE_NAMES, FINAL: (*FEATURE_NAMES, *NAMES)}
"""What each re-ranker looks at: the night's features alone, or the companions as well."""


@dataclass(frozen=True)
class Job:
    """A lake into which the data has been imported, and what is asked of it."""

    lake: Path
    plan: TimeSplits
    split: Split
    ranking: RankingConfig
    teachers: int
    settings: Settings


@dataclass(frozen=True)
class Asked:
    """What the second stage looks at for some users of a view."""

    view: FeatureSnapshot
    pairs: Candidates
    features: Floats  # [P, F]


@dataclass(frozen=True)
class ExperimentContext:
    """The derived tables of all cuts, and what is the same at each."""

    job: Job
    night: RunContext

    @cached_property
    def landed(self) -> CatalogSnapshot:
        """Items and users."""
        return read_catalog(self.night)

    @cached_property
    def towers(self) -> dict[datetime, TrainedTwoTower]:
        """The night's two-tower as of each cutoff, trained as the night's stage trains it."""
        use_threads(self.night)
        return dict(walk_forward(self.night, self.landed))

    def view(self, cut: datetime) -> FeatureSnapshot:
        """Features and the night's retrieval as of a cut."""
        return read_snapshot(self.night, self.landed, cut, self.towers[cut])

    def candidates(self, view: FeatureSnapshot, user_rows: Rows) -> Candidates:
        """What the night would offer some users."""
        return ranking_snapshot(view, self.night.config.ranking, self.night.config.index).candidates(user_rows)

    def asked(self, view: FeatureSnapshot, user_rows: Rows) -> Asked:
        """The night's candidates of some users, and their features as of the view's cut."""
        pairs = self.candidates(view, user_rows)
        features = (
            pair_features(view.users, view.items, pairs, view.hours),
            companions(view.users, pairs, len(view.items.ids), threads=self.job.settings.threads),
        )
        return Asked(view, pairs, np.concatenate(features, axis=1))

    def teachers(self, view: FeatureSnapshot) -> Rows:
        """At most so many of the people who took up something new after the cut."""
        rows = labelled_users(self.night, view)
        chosen = np.random.default_rng(self.job.settings.seed).permutation(len(rows))[: self.job.teachers]
        return np.sort(rows[chosen])

    def lesson(self, asked: Asked) -> LabelledPairs:
        """What the people of a cut let teach: features as of the cut, labels from the window after it."""
        return LabelledPairs(asked.features, pair_labels(self.night, asked.view, asked.pairs), asked.pairs.user_rows)

    def train(self, name: str, lessons: Sequence[LabelledPairs]) -> Reranker:
        """One of the re-rankers, of these cuts."""
        config = self.job.ranking.reranker.model_copy(update={"threads": self.job.settings.threads})
        names = KNOWN[name]
        return train(
            [replace(each, features=each.features[:, : len(names)]) for each in lessons], config, names
        ).reranker

    def score(self, name: str, reranker: Reranker, asked: Asked) -> Floats:
        """[P] of what the re-ranker of this name looks at."""
        return reranker.score(asked.features[:, : len(KNOWN[name])], threads=self.job.settings.threads)

    def ndcg(self, top: TopK, view: FeatureSnapshot, user_ids: pl.Series, wanted: pl.DataFrame) -> float:
        """NDCG@k of lists for these users."""
        k, item_ids = self.job.split.k, pl.Series(view.items.ids, dtype=pl.String)
        measured = full_ranking(
            "", RankedLists(top.rows), labels_of(wanted, user_ids, item_ids), k, item_count=len(item_ids)
        )
        return measured.means[f"ndcg_at_{k}"]


def open_lake(job: Job) -> RunContext:
    """The run over the lake, with no store of opt-outs or posted events but the lake's own."""
    own = {"lake": str(job.lake), "opt_out_url": "", "events_url": ""}
    home = Lake(job.lake)
    night = RunContext(home, home, job.plan, job.settings.model_copy(update=own), NightConfig(ranking=job.ranking))
    night.opt_outs.create()  # this lake is new, and nobody has opted out of it
    return night


def retrieved(world: ExperimentContext, view: FeatureSnapshot, pairs: Candidates, user_rows: Rows) -> TopK:
    """The best of what retrieval brought, by its own score."""
    near = taken(pairs, (pairs.sources & BITS["two_tower"]) > 0)
    return top_of(world, Asked(view, near, np.zeros((0, 0), np.float32)), near.retrieval_scores, user_rows)


def top_of(world: ExperimentContext, asked: Asked, scores: Floats, user_rows: Rows) -> TopK:
    """The night's slates of these users, in this order."""
    k = world.job.split.k
    chosen = slates(asked.view.items, asked.pairs, scores, world.job.ranking.slate, k=k)
    place = np.zeros(len(asked.view.users.ids), np.int64)
    place[user_rows] = np.arange(len(user_rows))
    at = place[asked.pairs.user_rows[chosen.pairs]], chosen.places
    rows, kept = np.full((len(user_rows), k), -1, np.int32), np.full((len(user_rows), k), -np.inf, np.float32)
    rows[at], kept[at] = asked.pairs.item_rows[chosen.pairs], scores[chosen.pairs]
    return TopK(rows, kept)


def rows_in(view: FeatureSnapshot, user_ids: pl.Series) -> Rows:
    """The row of each user in a view; everyone with a history has one."""
    rows: Rows = rows_of(user_ids, view.users.ids).to_numpy()
    return rows
