"""`tastefeed recommend` behind its door: lists of the current release, written as a whole."""

import errno
import os
from pathlib import Path
from uuid import uuid4

import polars as pl
import pyarrow.parquet as pq

from contracts import Settings
from contracts import columns as c
from contracts.ids import read_id
from pipeline.ingestion.landing_zone import usable_events
from pipeline.ingestion.opt_out_file import check_ids
from pipeline.ingestion.readers import read_table
from pipeline.lake import Lake
from pipeline.os_errors import naming, remove_leftover
from serving.batch_inference import recommend
from serving.privacy.opt_out_service import OptOutService
from serving.releases import publish


def recommend_to(lake: str, *, users: Path | None, k: int, out: Path) -> int:
    """Write `user_id, item_id, rank, score, source` for some users or everyone; returns the number of rows."""
    settings = Settings(lake=lake)
    settings.require_lake_folder()
    if out.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(out))
    release, stores = publish.load(settings.release_root), OptOutService.of(settings)
    if users is not None:
        asked: list[str] | None = user_ids(users)
    else:
        asked = None if release.profiled else landed_user_ids(lake)
    lists = recommend(
        release,
        asked,
        k,
        stores.opt_outs,
        events=stores.events,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.with_name(f".{out.name}.{uuid4().hex}")
    try:
        with naming(out):
            pq.write_table(lists, aside, compression="zstd")
            aside.replace(out)
    finally:
        remove_leftover(aside)
    return int(lists.num_rows)


def landed_user_ids(lake: str) -> list[str]:
    """Everyone who has landed a usable event: a release that is not profiled names nobody itself."""
    found: pl.Series = usable_events(Lake(lake)).select(pl.col(c.USER_ID).unique().sort()).collect()[c.USER_ID]
    return found.to_list()


def user_ids(path: Path) -> list[str]:
    """The users that a file asks for, each once. Raises `UnreadableInput`, `SchemaMismatch` and `BadId`."""
    read = read_table(path, "users")
    check_ids(path, read, c.USER_ID)
    found: pl.Series = read.frame[c.USER_ID]
    return list(dict.fromkeys(map(read_id, found)))
