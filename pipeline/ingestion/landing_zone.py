"""The landing zone: `<lake>/landing/{events,items,users}/<sha>.parquet`, one file a batch, never half-written.

A batch is named after its content, so the same content is stored once. Files are written atomically; what a killed
writer leaves has a name that begins with a dot and is never read.
"""

import hashlib
import io
import shlex
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from contracts import Action
from contracts import columns as c
from contracts.errors import UnreadableInput
from contracts.ids import BLANKS, CONTROL, MAX_ID_LENGTH
from contracts.instants import CLOCK_SKEW, EARLIEST
from contracts.lake_path import file_system_of
from contracts.schemas import INCOMING, INSTANT
from pipeline.ingestion.readers import to_arrow
from pipeline.lake import Lake, replace_in

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

USER_COLUMN = {"events": c.USER_ID, "items": c.CREATOR_ID, "users": c.USER_ID}
"""The column of each table that names a user."""
NAME_LENGTH = 16
PARQUET_END = b"PAR1"
LEFTOVER_AGE_S = 3600
"""A temporary file that is older than this belongs to a killed writer."""


@dataclass(frozen=True)
class Batch:
    """One stored file. `is_new` is false where the same content had been stored before; `erased` counts the rows of
    erased users that are left out or lose their creator's name."""

    table: str
    path: str
    rows: int
    is_new: bool
    erased: int = 0


def landing_schema(table: str) -> pa.Schema:
    """A contract table's schema with `landed_at`, as in the landing zone."""
    return INCOMING[table].append(pa.field(c.LANDED_AT, INSTANT))


def store_batch(
    table: str,
    frame: pl.DataFrame,
    lake_root: str | Path,
    landed_at: datetime,
    erased: Collection[str] = (),
) -> Batch:
    """Write one batch of a contract table. Content that had been stored before adds no file.

    Events keep the instant of their first import; items and users take the new one, because the newest row counts. No
    row of the users `erased` is written, nor their names as creators. The file is named after the content before that
    removal, so that a second import of the same content is recognised.
    """
    fs, folder = _folder(lake_root, table)
    path = f"{folder}/{_content_name(frame)}.parquet"
    is_new = not fs.exists(path)
    named = _naming(frame, table, erased)
    kept = _without(frame, table, named) if named.any() else frame
    if is_new or table != "events":
        stamped = kept.with_columns(pl.lit(landed_at, pl.Datetime("us", "UTC")).alias(c.LANDED_AT))
        _write_whole(fs, path, to_arrow(stamped, landing_schema(table)))
    return Batch(table, path, len(kept), is_new, int(named.sum()))


def ingested_files(lake_root: str | Path, table: str) -> list[str]:
    """The complete files of a table."""
    fs, folder = _folder(lake_root, table)
    return sorted(path for path in fs.glob(f"{folder}/*.parquet") if not _name(path).startswith("."))


def read_items(lake_root: str | Path) -> pl.DataFrame:
    """The catalogue: for each `item_id` its row in the newest batch. Columns of `schemas.ITEMS`."""
    return _newest(lake_root, "items", c.ITEM_ID)


def read_users(lake_root: str | Path) -> pl.DataFrame:
    """The users: for each `user_id` its row in the newest batch. Columns of `schemas.USERS`."""
    return _newest(lake_root, "users", c.USER_ID)


def event_files(home: Lake) -> list[str]:
    """The event files. Raises `UnreadableInput` on an empty landing zone."""
    files = ingested_files(home.url, "events")
    if not files:
        command = f"tastefeed import --events FILE --lake {shlex.quote(home.url)}"
        raise UnreadableInput(f"{home.url}: no events are ingested; run `{command}` first")
    return files


def read_ingested_events(spark: "SparkSession", home: Lake) -> "DataFrame":
    """Every ingested event, not validated."""
    return read_event_files(spark, [home.address(file) for file in event_files(home)])


def read_event_files(spark: "SparkSession", addresses: Iterable[str]) -> "DataFrame":
    """The rows of event files, each with its file (`schemas.EVENTS_WITH_FILE`)."""
    file = f"concat('landing/events/', _metadata.file_name) AS {c.FILE}"
    return spark.read.parquet(*addresses).selectExpr("*", file)


def usable_events(home: Lake) -> pl.LazyFrame:
    """The events that are valid on their own, as `features.events` checks it: ids stripped, an action of the contract,
    and a time neither before 1990 nor in the future. Raises `UnreadableInput` on an empty landing zone, and for a
    damaged file.
    """
    files = event_files(home)
    for file in files:
        _require_whole(home.fs, file)
    events = pl.scan_parquet([home.address(file) for file in files])
    valid = events.with_columns(
        valid_id(c.USER_ID), valid_id(c.ITEM_ID), pl.col(c.ACTION).str.strip_chars(BLANKS)
    ).drop_nulls([c.USER_ID, c.ITEM_ID])
    in_time = pl.col(c.TIMESTAMP).is_between(EARLIEST, pl.col(c.LANDED_AT) + CLOCK_SKEW)
    return valid.filter(pl.col(c.ACTION).is_in(list(map(str, Action))) & in_time)


def user_ids_of_events(home: Lake) -> list[str]:
    """Every user with a usable event."""
    users: pl.Series = usable_events(home).select(pl.col(c.USER_ID).unique().sort()).collect()[c.USER_ID]
    return users.to_list()


def digest_of_batches(lake_root: str | Path, table: str) -> str:
    """A digest of the names of a table's files, which follow from their content: 12 letters, empty without a file."""
    names = sorted(map(_name, ingested_files(lake_root, table)))
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:12] if names else ""


def erase_rows(lake_root: str | Path, user_ids: Iterable[str]) -> dict[str, int]:
    """Rewrite each file that holds rows of these users without them; rows removed, by table.

    A rewritten file keeps its name, so that a second import of the same file does not restore the users.
    """
    gone = sorted(set(user_ids))
    return {table: _erase_table(lake_root, table, gone) for table in ("events", "users")}


def remove_creator_names(lake_root: str | Path, user_ids: Iterable[str]) -> int:
    """Remove the names of these users from the items that they created. Returns the number of changed rows."""
    return _erase_table(lake_root, "items", sorted(set(user_ids)))


def items_by_creator(lake_root: str | Path) -> dict[str, set[str]]:
    """The items of each creator in any batch, including rows that a later batch replaces."""
    fs, _ = _folder(lake_root, "items")
    made: dict[str, set[str]] = {}
    for path in ingested_files(lake_root, "items"):
        for creator, items in items_of(pl.DataFrame(_read(fs, path, [c.ITEM_ID, c.CREATOR_ID]))).items():
            made.setdefault(creator, set()).update(items)
    return made


def items_of(items: pl.DataFrame, creators: Collection[str] | None = None) -> dict[str, list[str]]:
    """The items of each creator in a table, or of some creators."""
    named = items.select(valid_id(c.CREATOR_ID), valid_id(c.ITEM_ID)).drop_nulls()
    if creators is not None:
        named = named.filter(pl.col(c.CREATOR_ID).is_in(sorted(creators)))
    return dict(named.group_by(c.CREATOR_ID).agg(pl.col(c.ITEM_ID).unique()).iter_rows())


def _erase_table(lake_root: str | Path, table: str, gone: list[str]) -> int:
    fs, folder = _folder(lake_root, table)
    _sweep(fs, folder)
    return sum(_erase_file(fs, path, table, gone) for path in ingested_files(lake_root, table))


def _erase_file(fs: AbstractFileSystem, path: str, table: str, gone: list[str]) -> int:
    hits = _naming(pl.DataFrame(_read(fs, path, [USER_COLUMN[table]])), table, gone)
    if hits.any():
        kept = _without(pl.DataFrame(_read(fs, path)), table, hits)
        _write_whole(fs, path, to_arrow(kept, landing_schema(table)))
    return int(hits.sum())


def _naming(frame: pl.DataFrame, table: str, users: Collection[str]) -> pl.Series:
    """[N] whether each row names one of these users; blanks around ids are ignored."""
    return frame.select(valid_id(USER_COLUMN[table])).to_series().is_in(sorted(users)).fill_null(value=False)


def _without(frame: pl.DataFrame, table: str, named: pl.Series) -> pl.DataFrame:
    """The table without the users of `named` rows: rows are removed, but an item only loses its creator's name."""
    if table != "items":
        return frame.filter(~named)
    return frame.with_columns(pl.when(~named).then(c.CREATOR_ID).alias(c.CREATOR_ID))


def valid_id(name: str) -> pl.Expr:
    """A column's ids as the night reads them: stripped of blanks, null where the value is not an id. Old imports did
    not apply the rule of `contracts.ids`."""
    stripped = pl.col(name).str.strip_chars(BLANKS)
    whole = stripped.str.len_chars().is_between(1, MAX_ID_LENGTH) & ~stripped.str.contains(CONTROL)
    return pl.when(whole).then(stripped).alias(name)


def _newest(lake_root: str | Path, table: str, key: str) -> pl.DataFrame:
    """The newest row of each key. Files without one are not read whole: full exports may come daily."""
    fs, _ = _folder(lake_root, table)
    files = ingested_files(lake_root, table)
    newest = pl.DataFrame(schema={"file": pl.Int32})
    for number, path in enumerate(files):
        keys = pl.DataFrame(_read(fs, path, [key, c.LANDED_AT])).with_columns(file=pl.lit(number, pl.Int32))
        newest = _last(pl.concat([newest, keys.with_columns(valid_id(key))], how="diagonal"), key)
    kept = []
    for rows in newest.partition_by("file"):
        whole = pl.DataFrame(_read(fs, files[rows[0, "file"]])).with_columns(valid_id(key))
        kept.append(whole.join(rows, on=key, how="semi", maintain_order="left"))
    ingested = pl.concat([pl.DataFrame(schema=pl.Schema(landing_schema(table))), *kept])
    return _last(ingested, key).drop(c.LANDED_AT).sort(key)


def _last(rows: pl.DataFrame, key: str) -> pl.DataFrame:
    """The row of each key in the newest batch; of those of one instant, the last in order."""
    by_time = rows.drop_nulls(key).sort(c.LANDED_AT, maintain_order=True)
    return by_time.unique(key, keep="last", maintain_order=True)


def _folder(lake_root: str | Path, table: str) -> tuple[AbstractFileSystem, str]:
    fs, root = file_system_of(str(lake_root))
    return fs, f"{root}/landing/{table}"


def _content_name(frame: pl.DataFrame) -> str:
    # of the values, not of the file's bytes: those change with the version of the parquet writer
    return hashlib.sha256(frame.write_ndjson().encode()).hexdigest()[:NAME_LENGTH]


def _read(fs: AbstractFileSystem, path: str, columns: list[str] | None = None) -> pa.Table:
    _require_whole(fs, path)
    with fs.open(path) as file:
        return pq.read_table(file, columns=columns)


def _require_whole(fs: AbstractFileSystem, path: str) -> None:
    """Raise `UnreadableInput` for a file without the last bytes of parquet."""
    if fs.tail(path, len(PARQUET_END)) != PARQUET_END:
        raise UnreadableInput(
            f"{path}: is no whole parquet file; copy the lake again, or remove this file and import its rows again"
        )


def _write_whole(fs: AbstractFileSystem, path: str, rows: pa.Table) -> None:
    content = io.BytesIO()
    pq.write_table(rows, content, compression="zstd")
    folder = path.rsplit("/", 1)[0]
    fs.makedirs(folder, exist_ok=True)
    replace_in(fs, path, content.getvalue())


def _sweep(fs: AbstractFileSystem, folder: str) -> None:
    """Remove what killed writers left: it may contain rows to erase."""
    if "file" not in fs.protocol or not fs.exists(folder):
        return
    for aside in Path(folder).glob(".*"):
        if aside.is_file() and time.time() - aside.stat().st_mtime > LEFTOVER_AGE_S:
            aside.unlink(missing_ok=True)


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]
