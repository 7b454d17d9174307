"""The stages that compute one table each with Spark: read tables of the lake, call `features`, replace a partition."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import polars as pl

import features
from contracts import Action
from contracts import columns as c
from contracts.schemas import RANKING_IMPRESSIONS
from pipeline.ingestion.item_catalogue import read_catalogue
from pipeline.run_context import RunContext, Summary
from serving.exposure_files import FOLDER

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def sessions(night: RunContext) -> "DataFrame":
    """One row an event, with its session: the given one, else the events between two silences."""
    return features.sessions(night.read("events"), gap_minutes=night.settings.session_gap_minutes)


def interactions(night: RunContext) -> "DataFrame":
    """One row a cutoff, user and item, with strengths that decay up to the cutoff."""
    half_life_days = night.settings.half_life_days
    return features.interactions(night.read("sessions"), night.splits.cutoffs, half_life_days=half_life_days)


def user_features(night: RunContext) -> "DataFrame":
    """One row a cutoff and user."""
    return features.user_features(night.read("sessions"), ingested_items(night), night.splits.cutoffs)


def item_features(night: RunContext) -> "DataFrame":
    """One row a cutoff and item that exists by then."""
    return features.item_features(
        night.read("sessions"),
        ingested_items(night),
        night.splits.cutoffs,
        opted_out_of_training=night.untrainable_users(),
    )


def retrieval_examples(night: RunContext) -> "DataFrame":
    """One row a cutoff and user: the clicks and saves in order, which train the two-tower."""
    return features.retrieval_examples(
        night.read("sessions"), night.splits.cutoffs, opted_out_of_training=night.untrainable_users()
    )


def ranking_examples(night: RunContext) -> "DataFrame":
    """One row a cutoff, user and new item of the label window, which trains and measures the re-ranker."""
    return features.ranking_examples(
        night.read("sessions"),
        ingested_items(night),
        night.splits.label_cutoffs,
        label_days=night.splits.label_days,
        opted_out_of_training=night.untrainable_users(),
    )


def ranking_impressions(night: RunContext) -> "DataFrame | pl.DataFrame":
    """One row a cutoff, user and new item that was shown in the label window; Spark is idle where nothing was shown."""
    exposures = logged_exposures(night)
    if exposures is None and not has_impressions(night):
        return pl.DataFrame(schema=pl.Schema(RANKING_IMPRESSIONS))
    return features.ranking_impressions(
        night.read("sessions"),
        ingested_items(night),
        night.splits.label_cutoffs,
        label_days=night.splits.label_days,
        opted_out_of_training=night.untrainable_users(),
        exposures=exposures,
    )


def has_impressions(night: RunContext) -> bool:
    """Whether any event is an impression."""
    is_impression = pl.col(c.ACTION) == Action.IMPRESSION.value
    return not night.lake.scan("sessions", night.splits.as_of).filter(is_impression).head(1).collect().is_empty()


def logged_exposures(night: RunContext) -> "DataFrame | None":
    """The exposure log before the night's end; `None` without one."""
    paths = night.home.fs.glob(f"{night.home.root}/{FOLDER}/*/*.parquet")
    if not paths:
        return None
    logged = night.spark.read.parquet(*map(night.home.address, paths))
    return logged.where(logged["served_at"] < night.splits.end)


def ingested_items(night: RunContext) -> "DataFrame":
    """The catalogue as a Spark frame."""
    return read_catalogue(night.spark, night.home, night.opt_outs)


def count_rows(night: RunContext, name: str) -> Summary:
    """The number of rows of a table."""
    return {"rows": night.count(name)}


def count_rows_and_cutoffs(night: RunContext, name: str) -> Summary:
    """The number of rows of a table, and of the cutoffs that it was computed for."""
    return {"rows": night.count(name), "cutoffs": len(night.splits.cutoffs)}


def count_sessions(night: RunContext, name: str) -> Summary:
    """The number of sessions in the table of sessions."""
    return {"sessions": night.read(name).select(c.USER_ID, c.SESSION_ID).distinct().count()}


Count = Callable[[RunContext, str], Summary]
FEATURE_TABLES: "dict[str, tuple[Callable[[RunContext], DataFrame | pl.DataFrame], Count]]" = {
    "sessions": (sessions, count_sessions),
    "interactions": (interactions, count_rows_and_cutoffs),
    "user_features": (user_features, count_rows),
    "item_features": (item_features, count_rows),
    "retrieval_examples": (retrieval_examples, count_rows),
    "ranking_examples": (ranking_examples, count_rows),
    "ranking_impressions": (ranking_impressions, count_rows),
}
"""Each table by its name: the function that computes its rows, and the one that counts them for the summary."""


def write_feature_table(night: RunContext, name: str) -> Summary:
    """Compute one table, replace its partition, and count its rows."""
    compute, count = FEATURE_TABLES[name]
    night.overwrite(name, compute(night))
    return count(night, name)
