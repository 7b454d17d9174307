"""A release in memory, with the lookups that a request needs, and the non-profiled list."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts import columns as c
from contracts.errors import ReleaseNotProfiled
from contracts.ids import spellings
from ranking.candidates import taken
from ranking.cooccurrence_features import Transitions
from ranking.fatigue import UserImpressions
from ranking.feature_arrays import Candidates, Floats, Ids, Items, Rows, Users
from ranking.rank_users import ExplainedScorer, RankedUsers, RankingConfig, RankingSnapshot, first_sources
from ranking.slate import slates
from serving.ann_index import FaissIndex
from serving.cursor import item_hashes
from serving.releases.id_column import IdColumn, RowOfId
from serving.releases.item_display import ItemDisplays
from serving.releases.manifest import Manifest, ReducedTo
from serving.releases.ranking_changes import NO_CHANGES, RankingChanges
from serving.releases.shared_copies import SharedCopy

SECONDS_AN_HOUR = 3600
MAX_TAG_LENGTH = 35
"""Characters of a language tag that software must support (RFC 5646, section 4.4.1)."""
FRESH, POPULAR = "fresh", "popular"


@dataclass(frozen=True)
class RankedList:
    """One list, best first."""

    rows: Rows  # [L] rows of the release's items
    scores: Floats  # [L] comparable within the list only
    sources: NDArray[np.str_]  # [L] the candidate source of each item

    @classmethod
    def of(cls, ranked: RankedUsers, pairs: NDArray[np.int64]) -> "RankedList":
        """Some pairs of `rank_users`, of one user or of several."""
        candidates = taken(ranked.candidates, pairs)
        return RankedList(candidates.item_rows, ranked.scores[pairs], first_sources(candidates.sources))


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
    popular: Rows
    fresh: Rows
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
        return RowOfId(self.users.ids) if isinstance(self.users.ids, IdColumn) else _row_of(self.users.ids)

    @cached_property
    def item_row(self) -> dict[str, int]:
        """Row of each item, by either spelling of the id."""
        return _row_of(self.items.ids)

    @cached_property
    def creator_rows(self) -> dict[str, Rows]:
        """Rows of each creator's items."""
        creators = self.catalogue[c.CREATOR_ID].combine_chunks().dictionary_encode()
        codes = creators.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        order = np.argsort(codes, kind="stable").astype(np.int32)
        starts = np.searchsorted(codes[order], np.arange(len(creators.dictionary) + 1))
        names = creators.dictionary.to_pylist()
        return {name: order[starts[code] : starts[code + 1]] for code, name in enumerate(names)}

    @cached_property
    def removed_hours(self) -> NDArray[np.float64]:
        """[I] hours since 1970 when an item was or will be removed; infinite where no removal is known."""
        micros = self.catalogue[c.REMOVED_AT].cast(pa.int64()).cast(pa.float64())
        hours: NDArray[np.float64] = pc.fill_null(micros, np.inf).to_numpy() / (SECONDS_AN_HOUR * 1e6)
        return hours

    @cached_property
    def removals(self) -> NDArray[np.float64]:
        """The known `removed_hours`, the first one first."""
        hours: NDArray[np.float64] = np.sort(self.removed_hours[np.isfinite(self.removed_hours)])
        return hours

    @cached_property
    def languages(self) -> NDArray[np.str_]:
        """[I] primary language of each item, as in `pt`; empty where it is unknown.

        A text longer than a language tag counts as unknown: one long text would make the whole array as wide.
        """
        tags = [primary_language(language) for language in pc.fill_null(self.catalogue[c.LANGUAGE], "").to_pylist()]
        return np.array([tag if len(tag) <= MAX_TAG_LENGTH else "" for tag in tags], dtype=np.str_)

    @cached_property
    def displays(self) -> ItemDisplays:
        """What a client shows of each item."""
        return ItemDisplays(self.catalogue)

    @cached_property
    def item_hashes(self) -> NDArray[np.uint32]:
        """[I] the hash that stands for each item in a cursor."""
        return item_hashes(self.items.ids)

    @cached_property
    def _hash_order(self) -> Rows:
        return np.argsort(self.item_hashes, kind="stable").astype(np.int32)

    def rows_of_hashes(self, hashes: NDArray[np.uint32]) -> Rows:
        """The rows of the items that these hashes stand for, as far as the release has them."""
        if not len(self.item_hashes):
            return self._hash_order
        places = np.searchsorted(self.item_hashes, hashes, sorter=self._hash_order)
        rows: Rows = self._hash_order[np.minimum(places, len(self._hash_order) - 1)]
        found: Rows = rows[self.item_hashes[rows] == hashes]
        return found

    @cached_property
    def fallback(self) -> RankedList:
        """The non-profiled list, before opt-outs."""
        return fallback_list(self.fresh, self.popular)

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

    def fallback_without(self, sources: frozenset[str]) -> RankedList:
        """The non-profiled list with these sources off."""
        if not sources & {FRESH, POPULAR}:
            return self.fallback
        fresh, popular = self.fresh, self.popular
        return fallback_list(fresh[:0] if FRESH in sources else fresh, popular[:0] if POPULAR in sources else popular)

    def replaced(self) -> None:
        """Another release serves from now on: what requests in progress read stays, but the copy gets no new users."""
        if self.copy is not None:
            self.copy.release()

    def warmed(self) -> "Release":
        """The release itself, with every lookup computed before the first request."""
        _ = (self.user_row, self.item_row, self.creator_rows, self.removals, self.languages, self.item_hashes)
        _ = (self.fallback, self.displays)
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


def fallback_list(fresh: Rows, popular: Rows) -> RankedList:
    """The non-profiled list: fresh and popular items in alternation, each item once, at its first place."""
    rows = np.concatenate([fresh, popular]).astype(np.int32)
    turns = np.concatenate([2 * np.arange(len(fresh)), 2 * np.arange(len(popular)) + 1])
    sources = np.array([FRESH] * len(fresh) + [POPULAR] * len(popular), dtype=np.str_)
    order = np.argsort(turns, kind="stable")
    _, first = np.unique(rows[order], return_index=True)
    order = order[np.sort(first)]
    return RankedList(rows[order], (1 / np.arange(1, len(order) + 1)).astype(np.float32), sources[order])


def primary_language(tag: str) -> str:
    """The primary language of a tag: `pt` of `pt-BR`, `pt_BR` and `PT`; empty where it names none (`und`)."""
    language = tag.strip().lower().replace("_", "-").split("-")[0]
    return "" if language == "und" else language


def _row_of(ids: Ids) -> dict[str, int]:
    rows: dict[str, int] = dict(zip(ids.tolist(), range(len(ids)), strict=True))
    for id_ in [id_ for id_ in ids.tolist() if id_.endswith(".0")]:
        rows.setdefault(spellings(id_)[-1], rows[id_])  # an id in a request is read to the spelling without it
    return rows
