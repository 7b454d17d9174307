"""A release in memory, with the lookups that a request needs, and the non-profiled list."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.errors import ReleaseNotProfiled
from ranking.cooccurrence_features import Transitions
from ranking.fatigue import UserImpressions
from ranking.feature_arrays import Candidates, Floats, Items, Rows, Users
from ranking.rank_users import ExplainedScorer, RankingConfig, RankingSnapshot
from ranking.slate import slates
from serving.ann_index import FaissIndex
from serving.releases.id_column import RowOfId, by_hash, by_order
from serving.releases.item_display import ItemDisplays
from serving.releases.lookups import CreatorRows, Lookups
from serving.releases.manifest import Manifest, ReducedTo
from serving.releases.ranked_list import FRESH, POPULAR, RankedList, fallback_list
from serving.releases.ranking_changes import NO_CHANGES, RankingChanges
from serving.releases.shared_copies import SharedCopy

SECONDS_AN_HOUR = 3600


@dataclass(frozen=True)
class RankingModels:
    """The models of a personalized list."""

    index: FaissIndex
    reranker: ExplainedScorer
    ranking: RankingConfig
    transitions: Transitions | None
    """Where the re-ranker reads co-occurrence features."""
    exposure: Floats | None = None
    """[I] where the slate limits common items."""


@dataclass(frozen=True)
class Release:
    """A release in memory, verified. `index`, `reranker` and `ranking` raise `ReleaseNotProfiled` where it has none."""

    manifest: Manifest
    items: Items
    users: Users
    models: RankingModels | None
    catalogue: pa.Table
    lookups: Lookups
    metrics: dict[str, Any]
    impressions: UserImpressions | None = None
    """What users were shown before the release and left alone; `None` where it counts no impressions."""
    copy: SharedCopy | None = None
    """Where its arrays are, if processes share them."""

    @property
    def version(self) -> str:
        """The release's name."""
        return self.manifest.version

    @property
    def profiled(self) -> bool:
        """Whether the release ranks for single users; otherwise it holds only the non-profiled list."""
        return self.models is not None

    @property
    def reduced_to(self) -> ReducedTo | None:
        """What a reduced release serves; none for a whole one."""
        return self.manifest.reduced_to

    @property
    def index(self) -> FaissIndex:
        """Nearest items of a vector."""
        return self._models().index

    @property
    def reranker(self) -> ExplainedScorer:
        """Scores of candidates; those of retrieval where the release is reduced to it."""
        return self._models().reranker

    @property
    def ranking(self) -> RankingConfig:
        """The configuration of candidates, slate and attributions."""
        return self._models().ranking

    def _models(self) -> RankingModels:
        if self.models is None:
            raise ReleaseNotProfiled(f"release {self.version} holds no models; run a night that passes its gates")
        return self.models

    @property
    def as_of_hours(self) -> float:
        """The release's instant in hours since 1970."""
        return self.manifest.as_of.timestamp() / SECONDS_AN_HOUR

    @cached_property
    def user_row(self) -> Mapping[str, int]:
        """Row of each user who has a vector, by either spelling of the id."""
        ids = self.lookups.user_ids
        return RowOfId(ids, by_order(ids, self.lookups.users_by_id))

    @cached_property
    def item_row(self) -> Mapping[str, int]:
        """Row of each item, by either spelling of the id."""
        ids = self.lookups.item_ids
        return RowOfId(ids, by_hash(ids, self.lookups.sorted_hashes, self.lookups.items_by_hash))

    @cached_property
    def creator_rows(self) -> Mapping[str, Rows]:
        """Rows of each creator's items."""
        return CreatorRows(self.lookups)

    @cached_property
    def removed_hours(self) -> NDArray[np.float64]:
        """[I] hours since 1970 when an item was or will be removed; infinite where no removal is known."""
        return self.lookups.removed_hours

    @cached_property
    def removals(self) -> NDArray[np.float64]:
        """The known `removed_hours`, the first one first."""
        hours: NDArray[np.float64] = np.sort(self.removed_hours[np.isfinite(self.removed_hours)])
        return hours

    def in_languages(self, languages: Iterable[str]) -> NDArray[np.bool_]:
        """[I] items whose primary language is one of these; that of an item of unknown language is empty."""
        wanted = np.isin(self.lookups.languages, list(languages))
        return wanted[self.lookups.language_codes]

    @cached_property
    def displays(self) -> ItemDisplays:
        """What a client shows of each item."""
        return ItemDisplays(self.catalogue)

    @property
    def item_hashes(self) -> NDArray[np.uint32]:
        """[I] the hash that stands for each item in a cursor."""
        return self.lookups.hashes

    def rows_of_hashes(self, hashes: NDArray[np.uint32]) -> Rows:
        """The rows of the items that these hashes stand for, as far as the release has them."""
        known, rows = self.lookups.sorted_hashes, self.lookups.items_by_hash
        if not len(known):
            return rows
        places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
        found: Rows = rows[places[known[places] == hashes]]
        return found

    @cached_property
    def ranking_snapshot(self) -> RankingSnapshot:
        """The inputs of `rank_users`, as of the release: a list is the same all day."""
        return RankingSnapshot(
            self.users,
            self.items,
            self.index,
            self.ranking,
            self.as_of_hours,
            self._models().transitions,
            self._models().exposure,
            self.impressions,
        )

    def snapshot_with(self, changes: RankingChanges) -> RankingSnapshot:
        """The inputs of `rank_users` with changed settings; computed once for each kind of change."""
        if changes == NO_CHANGES:
            return self.ranking_snapshot
        if changes not in self._changed_snapshots:
            config = changes.applied(self.ranking)
            self._changed_snapshots[changes] = replace(self.ranking_snapshot, config=config)
        return self._changed_snapshots[changes]

    @cached_property
    def _changed_snapshots(self) -> dict[RankingChanges, RankingSnapshot]:
        return {}

    @cached_property
    def masks(self) -> dict[str, tuple[tuple[Hashable, ...], NDArray[np.bool_]]]:
        """[I] the masks of items that were computed last, by name, each with what it depends on."""
        return {}

    def fallback_without(self, sources: frozenset[str]) -> RankedList:
        """The non-profiled list with these sources off."""
        if not sources & {FRESH, POPULAR}:
            return self.lookups.fallback
        fresh, popular = self.lookups.fresh, self.lookups.popular
        return fallback_list(fresh[:0] if FRESH in sources else fresh, popular[:0] if POPULAR in sources else popular)

    def replaced(self) -> None:
        """Another release serves from now on: what requests in progress read stays, but the copy gets no new users."""
        if self.copy is not None:
            self.copy.release()

    def warmed(self) -> "Release":
        """The release itself, with every lookup computed before the first request."""
        _ = (self.user_row, self.item_row, self.creator_rows, self.removals, self.displays)
        if self.profiled:
            _ = (self.ranking_snapshot.fresh, self.ranking_snapshot.popular)
            self._load_compiled_code()
        return self

    def _load_compiled_code(self) -> None:
        one = np.zeros(1, np.int32)
        nothing = np.zeros((1, len(self.reranker.names)), np.float32)
        scores, _ = self.reranker.score(nothing), self.reranker.signal_contributions(nothing)
        if len(self.items.ids):
            pair = Candidates(one, one, one.astype(np.uint8), scores)
            if len(self.users.ids):
                self.ranking_snapshot.features(pair, cooccurrence=self.reranker.uses_cooccurrence)
            slates(self.items, pair, scores, self.ranking.slate, k=1, exposure=self.ranking_snapshot.exposure)
