"""The data that the methods of one run are measured on, in rows of the ingested catalogue, and their metrics."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from contracts import Flag, SubjectType
from contracts import columns as c
from contracts.opt_out_flags import opted_out
from evaluation import (
    Catalogue,
    Events,
    Holdout,
    MethodMetrics,
    RankedLists,
    catalogue_from,
    events_from,
    hold_out,
    measure,
)
from pipeline.feature_assembly import CatalogSnapshot, FeatureSnapshot, rows_of
from pipeline.run_context import RunContext
from ranking.feature_arrays import Ids, Rows, ids_of

K = 20
RETRIEVAL_K = 200
"""The depth at which retrieval is measured: the re-ranker receives that many items."""


@dataclass(frozen=True)
class EvaluationData:
    """The events and items that every method of one run is measured on."""

    events: Events
    catalogue: Catalogue
    user_ids: Ids
    text_vectors: NDArray[np.float32]  # [I, T]; the distances of all methods are taken in this space


def read_evaluation_data(
    night: RunContext, catalog: CatalogSnapshot, text_vectors: NDArray[np.float32]
) -> EvaluationData:
    """The events of all users who allow training."""
    excluded = list(opted_out(night.opt_outs, SubjectType.USER, (Flag.TRAINING,)))
    columns = [c.USER_ID, c.ITEM_ID, c.ACTION, c.TIMESTAMP]
    scan = night.lake.scan("events", night.splits.as_of).select(columns)
    events = scan.filter(~pl.col(c.USER_ID).is_in(excluded)).collect()
    user_ids, item_ids = ids_of(events[c.USER_ID].unique().sort()), ids_of(catalog.items[c.ITEM_ID])
    return EvaluationData(
        events_from(events, user_ids, item_ids), catalogue_from(catalog.items), user_ids, text_vectors
    )


def holdout_at(night: RunContext, data: EvaluationData, cutoff: datetime) -> Holdout:
    """The clicks and saves of users with a history, in the label window after `cutoff`."""
    return hold_out(data.events, data.catalogue, cutoff, days=night.splits.label_days)


def measure_method(name: str, lists: RankedLists, data: EvaluationData, holdout: Holdout) -> MethodMetrics:
    """The metrics of one method on a holdout."""
    deep = (RETRIEVAL_K,) if lists.rows.shape[1] >= RETRIEVAL_K else ()
    return measure(name, lists, holdout, data.catalogue, k=K, recall_ks=deep, item_vectors=data.text_vectors)


def snapshot_user_rows(snapshot: FeatureSnapshot, data: EvaluationData, holdout: Holdout) -> Rows:
    """[U] the rows of the holdout's users in a snapshot; -1 for a user without a vector there."""
    ids = pl.Series(data.user_ids[holdout.user_rows], dtype=pl.String)
    rows: Rows = rows_of(ids, snapshot.users.ids).fill_null(-1).to_numpy()
    return rows


def catalogue_lists(snapshot: FeatureSnapshot, rows: Rows) -> RankedLists:
    """Lists in item rows of a snapshot `[U, K]`, as rows of the ingested catalogue; -1 stays -1."""
    return RankedLists(np.where(rows >= 0, np.append(snapshot.catalogue_rows, -1)[rows], -1).astype(np.int32))
