"""The first stage: remove users that opted out from the lake, from the tables of older nights and from every release.

For erased users it also removes the ingested rows, and their id as the creator of an item. The ingested rows of users
that opted out of personalization stay, but no table derived from them does. The stage runs before any other, so that a
night whose models are refused has removed them as well.
"""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from contracts import Flag, SubjectType
from contracts import columns as c
from contracts.opt_out_flags import UNREADABLE
from contracts.schemas import DERIVED
from pipeline.experiments.night_run import open_parent_run
from pipeline.experiments.open_runs import end_abandoned
from pipeline.ingestion import erase_rows, items_by_creator, remove_creator_names
from pipeline.privacy.exposure_erasure import erase_exposures, remove_unfinished
from pipeline.privacy.lake_erasure import forget_creators
from pipeline.privacy.opt_out_lake import OptOutLake
from pipeline.run_context import RunContext, Summary
from serving.ab_experiment import read_experiment
from serving.privacy.pseudonyms import pseudonyms
from serving.privacy.release_erasure import erase_users
from serving.privacy.switch_store import SwitchStore
from serving.releases.shared_copies import shared_copies

USER_TABLES = tuple(table for table, schema in DERIVED.items() if c.USER_ID in schema.names)
"""The derived tables that hold user ids."""


def forget(night: RunContext) -> Summary:
    """Remove opted-out users from all that exists, and open the night's run in MLflow."""
    read_experiment(night.settings.experiment)  # a wrong file ends the night before its work, not when it publishes
    night.clear_summaries()
    night.home.sweep_scratch()
    night.lake.sweep_unfinished()  # the night has locked the lake, and backtests write to lakes of their own
    remove_unfinished(night.home)
    end_abandoned(night)
    opt_outs = OptOutLake(night.home, night.settings, night.opt_out_service)
    opt_outs.create()
    opt_outs.back_up()
    unreadable = night.opt_outs.subjects(SubjectType.USER, UNREADABLE)
    erased = night.opt_outs.subjects(SubjectType.USER, (Flag.ERASURE,))
    night.opt_out_service.reconcile()
    removed = remove_everywhere(night, opt_outs, unreadable, erased)
    run = open_parent_run(night, f"night {night.splits.as_of}")
    return {"forgotten_users": len(unreadable), **removed, "mlflow_run": run}


def remove_everywhere(
    night: RunContext, opt_outs: OptOutLake, unreadable: frozenset[str], erased: frozenset[str]
) -> Summary:
    """Remove users from models, releases, the exposure log and tables; erased ones also from the landing zone."""
    made = items_by_creator(night.home.url) if unreadable else {}
    named = made.keys() & unreadable
    opt_outs.withhold({creator: made[creator] for creator in named & erased})
    models = forget_creators(night.lake, night.mlflow, named, unreadable)
    creators = night.opt_outs.subjects(SubjectType.CREATOR, (Flag.RECOMMENDATION,))
    revised = erase_users(night.releases, unreadable, creators, SwitchStore(night.opt_outs).follow)
    if revised and (copies := shared_copies(night.settings)):
        copies.remove_unused()  # those of servers that were killed
    erased_rows = erase_rows(night.home.url, erased) if erased else {}
    derived_rows = sum(remove_users(night, table, unreadable) for table in USER_TABLES)
    # a night that is killed before this line finds the names again
    unnamed = remove_creator_names(night.home.url, named & erased)
    # last, because it refuses a log that was written with another key
    exposures = erase_exposures(night.home, unreadable, pseudonyms(night.settings)) if unreadable else 0
    return {
        "erased_rows": sum(erased_rows.values()),
        "derived_rows": derived_rows,
        "exposure_rows": exposures,
        "revised_releases": len(revised),
        "revised_models": models,
        "unnamed_items": unnamed,
    }


def remove_users(night: RunContext, table: str, users: Iterable[str]) -> int:
    """Remove users from every partition of a derived table, and return the number of removed rows."""
    # earlier versions kept blanks around ids
    removed = pc.utf8_trim_whitespace(pc.field(c.USER_ID)).isin(pa.array(sorted(users), pa.string()))
    rows = 0
    for as_of in night.lake.partitions(table):
        partition = night.lake.dataset(table, as_of)
        count = partition.count_rows(filter=removed)
        if count:
            with night.lake.generation(table, as_of) as path:
                kept = partition.scanner(filter=~removed)
                ds.write_dataset(kept, path, filesystem=night.lake.fs, format="parquet", file_options=ZSTD)
                if not night.lake.fs.glob(f"{path}/*.parquet"):  # no row is left, and a partition has at least one file
                    with night.lake.fs.open(f"{path}/part-0.parquet", "wb") as file:
                        pq.write_table(partition.schema.empty_table(), file)
        rows += count
    return rows


ZSTD = ds.ParquetFileFormat().make_write_options(compression="zstd")
