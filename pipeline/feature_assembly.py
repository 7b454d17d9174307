"""Assemble the arrays that ranking and releases use from the tables of the lake.

A snapshot holds the items that may be recommended at its cutoff: they exist by then and no opt-out excludes them. Its
rows are numbered within the snapshot; `catalogue_rows` maps them to rows of the whole ingested catalogue.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from contracts import Flag, SubjectType
from contracts import columns as c
from contracts.opt_out_flags import opted_out
from pipeline.ingestion import read_users
from pipeline.ingestion.item_catalogue import known_items, without_opted_out_creators
from pipeline.run_context import RunContext
from ranking.feature_arrays import Floats, Hours, Ids, Items, Rows, Users, ids_of
from ranking.feature_names import ITEM_FEATURE_NAMES, USER_FEATURE_NAMES

SECONDS_AN_HOUR = 3600


class Tower(Protocol):
    """A retrieval model as of one cutoff, which embeds items, texts and users."""

    def embed_items(self, items: pl.DataFrame, as_of: datetime) -> Floats:
        """[I, D] one vector for each row of the items table."""
        ...

    def embed_text(self, items: pl.DataFrame) -> Floats:
        """[I, T] unit vectors, zero where an item has no text."""
        ...

    def embed_users(
        self, examples: pl.DataFrame, items: pl.DataFrame, as_of: datetime, users: pl.DataFrame | None = None
    ) -> Floats:
        """[U, D] one vector for each row of retrieval_examples."""
        ...


@dataclass(frozen=True)
class FeatureSnapshot:
    """The input of the re-ranker as of one cutoff."""

    cutoff: datetime
    items: Items
    users: Users
    catalogue_rows: Rows  # [I] rows of the ingested catalogue

    @property
    def hours(self) -> float:
        """The cutoff in hours since 1970."""
        return self.cutoff.timestamp() / SECONDS_AN_HOUR


@dataclass(frozen=True)
class IngestedTables:
    """The ingested items, ordered by id, the ingested users, and the vocabularies that codes refer to."""

    items: pl.DataFrame
    users: pl.DataFrame
    excluded: NDArray[np.bool_]  # rows of items that opted out of recommendation, themselves or through their creator
    creators: list[str]
    languages: list[str]
    categories: list[str]
    regions: list[str]


def read_ingested_tables(night: RunContext) -> IngestedTables:
    """The ingested items and users of a lake."""
    named, users = known_items(night.home, night.opt_outs), read_users(night.home.url)
    items = without_opted_out_creators(named, night.opt_outs)
    return IngestedTables(
        items,
        users,
        _excluded(night, named),
        _vocabulary(items[c.CREATOR_ID]),
        _vocabulary(items[c.LANGUAGE]),
        _vocabulary(items[c.CATEGORIES].explode()),
        _vocabulary(users[c.REGION]),
    )


def read_snapshot(night: RunContext, ingested: IngestedTables, cutoff: datetime, tower: Tower) -> FeatureSnapshot:
    """Features, vectors and histories as of `cutoff`."""
    items, rows = read_items(night, ingested, cutoff, tower)
    return FeatureSnapshot(cutoff, items, _users(night, ingested, items.ids, cutoff, tower), rows)


def read_items(
    night: RunContext, ingested: IngestedTables, cutoff: datetime, tower: Tower | None
) -> tuple[Items, Rows]:
    """The items that may be recommended as of `cutoff`, and their rows [I] of the ingested catalogue.

    Without a tower the vectors have no columns.
    """
    features = at_cutoff(night, "item_features", cutoff).collect()
    exists = ingested.items[c.ITEM_ID].is_in(features[c.ITEM_ID].implode()).to_numpy()
    rows = np.flatnonzero(exists & ~ingested.excluded).astype(np.int32)
    return _items(ingested, ingested.items[rows], features, cutoff, tower), rows


def _excluded(night: RunContext, named: pl.DataFrame) -> NDArray[np.bool_]:
    """[I] whether each item or its creator opted out; `named` still has the creators that opted out as users."""
    flag = (Flag.RECOMMENDATION,)
    items = list(opted_out(night.opt_outs, SubjectType.ITEM, flag))
    creators = list(opted_out(night.opt_outs, SubjectType.CREATOR, flag))
    out = pl.col(c.ITEM_ID).is_in(items) | pl.col(c.CREATOR_ID).is_in(creators).fill_null(value=False)
    return named.select(out).to_series().to_numpy()


def at_cutoff(night: RunContext, table: str, cutoff: datetime) -> pl.LazyFrame:
    """The rows of a derived table that were computed for one cutoff."""
    return night.lake.scan(table, night.splits.as_of).filter(pl.col(c.CUT) == cutoff)


_LATELY = pl.col(c.CUT) - pl.col("last_at") <= timedelta(days=28)
LACKING = {
    "impressions_28d": pl.when(_LATELY).then("impressions").otherwise(0),
    "last_impression_at": pl.col("last_at"),
    "last_interaction_at": pl.col("last_at"),
}
"""Columns that tables of earlier versions lack, and what stands in for them."""


def interactions_at(night: RunContext, cutoff: datetime) -> pl.LazyFrame:
    """The interactions as of one cutoff, with every column."""
    rows = at_cutoff(night, "interactions", cutoff)
    have = rows.collect_schema().names()
    return rows.with_columns(**{name: value for name, value in LACKING.items() if name not in have})


def rows_of(ids: pl.Series, row_ids: Ids) -> pl.Series:
    """The row of each id in `row_ids`; null for an id that is not among them."""
    lookup = pl.DataFrame(
        {"id": row_ids, "row": np.arange(len(row_ids), dtype=np.int32)}, schema_overrides={"id": pl.String}
    )
    return ids.to_frame("id").join(lookup, on="id", how="left", maintain_order="left")["row"]


def _items(
    ingested: IngestedTables, frame: pl.DataFrame, features: pl.DataFrame, cutoff: datetime, tower: Tower | None
) -> Items:
    none = np.zeros((len(frame), 0), np.float32)
    features = frame.select(c.ITEM_ID).join(features, on=c.ITEM_ID, how="left", maintain_order="left")
    categories = frame[c.CATEGORIES].list.drop_nulls()
    return Items(
        ids=ids_of(frame[c.ITEM_ID]),
        creator=_codes(frame[c.CREATOR_ID], ingested.creators),
        language=_codes(frame[c.LANGUAGE], ingested.languages),
        category_offsets=_offsets(categories.list.len()),
        category_codes=_codes(categories.explode().drop_nulls(), ingested.categories),
        created_hours=hours_of(frame[c.CREATED_AT]),
        vectors=tower.embed_items(frame, cutoff) if tower else none,
        text_vectors=tower.embed_text(frame) if tower else none,
        features=_matrix(features, ITEM_FEATURE_NAMES),
    )


def _users(night: RunContext, ingested: IngestedTables, item_ids: Ids, cutoff: datetime, tower: Tower) -> Users:
    examples = at_cutoff(night, "retrieval_examples", cutoff).sort(c.USER_ID).collect()
    ids = examples.select(c.USER_ID)
    features = ids.join(
        at_cutoff(night, "user_features", cutoff).collect(), on=c.USER_ID, how="left", maintain_order="left"
    )
    regions = ids.join(ingested.users, on=c.USER_ID, how="left", maintain_order="left")[c.REGION]
    user_ids = ids_of(ids[c.USER_ID])
    history = _history(night, cutoff, user_ids, item_ids)
    return Users(
        ids=user_ids,
        region=_codes(regions, ingested.regions),
        vectors=tower.embed_users(examples, ingested.items, cutoff, ingested.users),
        features=_matrix(features, USER_FEATURE_NAMES),
        history_offsets=np.searchsorted(history["user"].to_numpy(), np.arange(len(user_ids) + 1)),
        history_items=history["item"].to_numpy(),
        history_saves=history["save_strength"].cast(pl.Float32).to_numpy(),
        history_clicks=history["click_strength"].cast(pl.Float32).to_numpy(),
        history_hours=hours_of(history["last_interaction_at"]),
    )


def _history(night: RunContext, cutoff: datetime, user_ids: Ids, item_ids: Ids) -> pl.DataFrame:
    """Clicked, saved and hidden items of the users, by user row, oldest first."""
    is_history = (pl.sum_horizontal("clicks", "saves") > 0) | pl.col("hidden")
    rows = interactions_at(night, cutoff).filter(is_history).collect()
    return (
        rows.with_columns(user=rows_of(rows[c.USER_ID], user_ids), item=rows_of(rows[c.ITEM_ID], item_ids))
        .drop_nulls(["user", "item"])
        .sort("user", "last_interaction_at", "item")
    )


def _vocabulary(values: pl.Series) -> list[str]:
    return values.drop_nulls().unique().sort().to_list()


def _codes(values: pl.Series, vocabulary: Sequence[str]) -> Rows:
    return rows_of(values, ids_of(vocabulary)).fill_null(-1).to_numpy().astype(np.int32)


def _offsets(lengths: pl.Series) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths.fill_null(0).to_numpy())]).astype(np.int64)


def hours_of(instants: pl.Series) -> Hours:
    """Instants in hours since 1970, NaN where unknown."""
    return (instants.dt.epoch("s").cast(pl.Float64) / SECONDS_AN_HOUR).fill_null(np.nan).to_numpy()


def _matrix(features: pl.DataFrame, names: Sequence[str]) -> Floats:
    return features.select(pl.col(name).cast(pl.Float32) for name in names).fill_null(np.nan).to_numpy()
