"""Backups of the opt-out store: one parquet file for each state, with the marker of the store in its metadata."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contracts import Flag, OptOut, SubjectType
from contracts import columns as c
from contracts.errors import OptOutStoreUnavailable
from contracts.schemas import OPT_OUTS
from pipeline.lake import Lake
from serving.privacy.opt_out_store import OptOutStore
from serving.privacy.store_identity import Marker
from serving.stores.sql_store import PRIVATE

FOLDER = "opt_out_backups"
KEPT = 7
"""The number of backups that are kept."""
MARKER = b"opt_out_store"
"""The key of the parquet metadata that holds the store's marker."""
NAMED = "%Y%m%dT%H%M%S%fZ"
OURS = re.compile(r"\.?\d{8}T\d{12}Z\.parquet")
"""How the name of a backup begins, also of one that a killed writer left. Other files in the folder stay."""


@dataclass(frozen=True)
class Backup:
    """A state of the store."""

    taken_at: datetime
    marker: Marker
    records: tuple[OptOut, ...]
    damaged: tuple[str, ...] = ()
    """The paths of newer backups, which cannot be read."""


def backups(home: Lake) -> list[str]:
    """The paths of all backups, oldest first."""
    paths = home.fs.glob(f"{home.root}/{FOLDER}/*.parquet")
    return sorted(path for path in paths if OURS.fullmatch(_name(path)))


def keep_backup(home: Lake, store: OptOutStore) -> str:
    """Write a snapshot of the store, and drop the oldest backups."""
    snapshot = store.snapshot()
    if snapshot.marker is None:
        raise OptOutStoreUnavailable("the opt-out store has no identity yet; run `tastefeed init`")
    schema = OPT_OUTS.with_metadata({MARKER: snapshot.marker.model_dump_json()})
    table = pa.Table.from_pylist([_row(record) for record in snapshot.records], schema)
    content = pa.BufferOutputStream()
    pq.write_table(table, content, compression="zstd")
    path = f"{home.root}/{FOLDER}/{datetime.now(UTC):{NAMED}}.parquet"
    home.fs.makedirs(f"{home.root}/{FOLDER}", exist_ok=True)
    home.replace_file(path, content.getvalue().to_pybytes())
    if not home.remote:
        Path(path).chmod(PRIVATE)
    _drop_oldest(home)
    return path


def _drop_oldest(home: Lake) -> None:
    """Keep the last whole backups; what a killed writer left goes too."""
    for old in set(home.fs.ls(f"{home.root}/{FOLDER}", detail=False)) - set(backups(home)[-KEPT:]):
        if OURS.match(_name(old)):
            home.fs.rm(old)


def last_backup(home: Lake) -> Backup | None:
    """The newest backup that can be read."""
    damaged: list[str] = []
    for path in reversed(backups(home)):
        try:
            return replace(_read_backup(home, path), damaged=tuple(damaged))
        except (OSError, ValueError, KeyError, OptOutStoreUnavailable):  # Arrow's errors are of the first three
            damaged.append(path)
    return None


def _read_backup(home: Lake, path: str) -> Backup:
    table = pq.read_table(pa.BufferReader(home.fs.cat_file(path)))
    taken_at = datetime.strptime(_name(path).removesuffix(".parquet"), NAMED).replace(tzinfo=UTC)
    marker = Marker.model_validate_json((table.schema.metadata or {})[MARKER])
    return Backup(taken_at, marker, tuple(_record(row) for row in table.to_pylist()))


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _row(record: OptOut) -> dict[str, object]:
    return {
        c.SUBJECT_TYPE: record.subject_type.value,
        c.SUBJECT_ID: record.subject_id,
        c.FLAG: record.flag.value,
        c.OPTED_OUT: record.opted_out,
        c.EFFECTIVE_AT: record.effective_at,
    }


def _record(row: dict[str, object]) -> OptOut:
    at = row[c.EFFECTIVE_AT]
    if not isinstance(at, datetime):
        raise OptOutStoreUnavailable(
            "a backup of the opt-out store holds a record without an instant; name another one"
        )
    kind, flag = SubjectType(str(row[c.SUBJECT_TYPE])), Flag(str(row[c.FLAG]))
    return OptOut(kind, str(row[c.SUBJECT_ID]), flag, bool(row[c.OPTED_OUT]), at.astimezone(UTC))
