"""CI&T Deskdrop (`--from deskdrop`): `interactions.parquet` and `items.parquet` as contract tables.

A view is a click; a bookmark, like, comment or follow is a save, because each shows more interest than a click. Events
of authors on their own articles are left out; events on articles of unknown authors stay. A
row that repeats another one to the second (a view logged twice, a comment that also follows) is one event.
"""

from pathlib import Path

import polars as pl

from contracts import Action, Reason
from contracts import columns as c
from contracts.errors import UnreadableInput
from pipeline.ingestion.file_formats import read_file
from pipeline.ingestion.readers import ImportRequest, Incoming, conform, in_folder, require_columns

FILES = {"events": "interactions.parquet", "items": "items.parquet"}
EVENT_COLUMNS = (c.USER_ID, c.ITEM_ID, c.ACTION, c.TIMESTAMP, c.SESSION_ID, c.REGION)
ITEM_COLUMNS = (c.ITEM_ID, c.TITLE, "lang", "author_id", "shared_at", "url", "removed_after", "removed_before")
ACTIONS = {
    "VIEW": Action.CLICK,
    "BOOKMARK": Action.SAVE,
    "LIKE": Action.SAVE,
    "COMMENT CREATED": Action.SAVE,
    "FOLLOW": Action.SAVE,
}
HOST = r"^[a-z]+://(?:www\.)?([^/:?#]+)"
UNKNOWN_REGION = "?"
NOTES = (
    "categories are the host of each article's url: the source has no topics, and a host suggests some",
    "removals are known only as an interval: removed_at is its beginning, so nothing is shown that may be gone",
    "users: region is the most frequent of their events; language stays empty, the night finds their languages",
)


def from_deskdrop(request: ImportRequest) -> Incoming:
    """Events, items and users of Deskdrop, sorted. Raises `UnreadableInput` and `SchemaMismatch`."""
    files = _files(request)
    raw_events, raw_items = _read(files["events"], EVENT_COLUMNS), _read(files["items"], ITEM_COLUMNS)
    interest, items = _without_own_items(raw_events, raw_items), _items(raw_items)
    events = interest.unique(maintain_order=True)
    own, duplicates = len(raw_events) - len(interest), len(interest) - len(events)
    sources = {"items": files["items"], "users": files["events"], "events": files["events"]}
    frames = {"items": items, "users": _users(raw_events), "events": events}
    tables = tuple(conform(frame, table, str(sources[table])) for table, frame in frames.items())
    rows_read = {"items": len(raw_items), "users": len(tables[1].frame), "events": len(raw_events)}
    return Incoming(tables, rows_read, {Reason.OWN_ITEM: own, Reason.DUPLICATE_EVENT_ID: duplicates}, NOTES)


def _files(request: ImportRequest) -> dict[str, Path]:
    files = in_folder(request, FILES)
    for table in FILES:
        if table not in files:
            raise UnreadableInput(f"deskdrop: {FILES[table]} is not beside {request.events[0]}; name it with --{table}")
    return files


def _read(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    raw = read_file(path)
    require_columns(raw, columns, path, "Deskdrop")
    return raw.select(columns)


def _without_own_items(raw_events: pl.DataFrame, raw_items: pl.DataFrame) -> pl.DataFrame:
    own_items = raw_items.select(c.ITEM_ID, pl.col("author_id").alias(c.USER_ID)).drop_nulls()
    interest = raw_events.join(own_items, on=[c.ITEM_ID, c.USER_ID], how="anti")
    actions = pl.col(c.ACTION).replace(ACTIONS)
    return interest.drop(c.REGION).with_columns(actions).sort(c.TIMESTAMP, c.USER_ID, c.ITEM_ID, c.ACTION, c.SESSION_ID)


def _items(raw_items: pl.DataFrame) -> pl.DataFrame:
    return raw_items.select(
        c.ITEM_ID,
        c.TITLE,
        pl.col("author_id").alias(c.CREATOR_ID),
        pl.col("url").str.to_lowercase().str.extract(HOST).alias(c.CATEGORIES),
        pl.col("lang").alias(c.LANGUAGE),
        pl.col("shared_at").alias(c.CREATED_AT),
        pl.coalesce("removed_after", "removed_before").alias(c.REMOVED_AT),
        pl.col("url").alias(c.URL),
    ).sort(c.ITEM_ID)


def _users(raw_events: pl.DataFrame) -> pl.DataFrame:
    """Every user with an event; ties between regions are resolved in alphabetical order."""
    with_region = pl.col(c.REGION).is_not_null() & (pl.col(c.REGION) != UNKNOWN_REGION)
    per_region = raw_events.filter(with_region).group_by(c.USER_ID, c.REGION).len()
    most = per_region.sort("len", c.REGION, descending=[True, False]).unique(
        c.USER_ID, keep="first", maintain_order=True
    )
    return raw_events.select(c.USER_ID).unique().join(most.drop("len"), on=c.USER_ID, how="left").sort(c.USER_ID)
