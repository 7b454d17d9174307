"""The held-out questions of a run, in rows of the landed catalogue, and what baselines answer."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from contracts import Flag, SubjectType
from contracts import columns as c
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
from models.baselines import night_baselines
from pipeline.feature_assembly import CatalogSnapshot, FeatureSnapshot, rows_of
from pipeline.ingestion.landed import opted_out
from pipeline.run_context import RunContext
from ranking.feature_arrays import Ids, Rows, ids_of

K = 20
DEEP = 200
"""Depth at which retrieval is measured: what it hands to the re-ranker."""


@dataclass(frozen=True)
class EvaluationData:
    """Everything that methods of one run are measured on."""

    events: Events
    catalogue: Catalogue
    user_ids: Ids
    text_vectors: NDArray[np.float32]  # [I, T]; the distances of all methods are taken in this space


def read_evaluation_data(
    night: RunContext, landed: CatalogSnapshot, text_vectors: NDArray[np.float32]
) -> EvaluationData:
    """The events of everyone who may be learned from."""
    silent = list(opted_out(night.opt_outs, SubjectType.USER, (Flag.TRAINING,)))
    wanted = [c.USER_ID, c.ITEM_ID, c.ACTION, c.TIMESTAMP]
    events = (
        night.lake.scan("events", night.splits.as_of).select(wanted).filter(~pl.col(c.USER_ID).is_in(silent)).collect()
    )
    user_ids, item_ids = ids_of(events[c.USER_ID].unique().sort()), ids_of(landed.items[c.ITEM_ID])
    return EvaluationData(events_from(events, user_ids, item_ids), catalogue_from(landed.items), user_ids, text_vectors)


def holdout_at(night: RunContext, questions: EvaluationData, cut: datetime) -> Holdout:
    """What known people took up in the days after `cut`."""
    return hold_out(questions.events, questions.catalogue, cut, days=night.splits.label_days)


def baseline_predictions(night: RunContext, questions: EvaluationData, holdout: Holdout) -> dict[str, RankedLists]:
    """What the six baselines answer, by name."""
    found = {}
    for baseline in night_baselines(night.settings.seed):
        fitted = baseline.fit(holdout.history, questions.catalogue, holdout.cut)
        found[baseline.name] = fitted.recommend(
            holdout.user_rows, DEEP, rankable=holdout.rankable, seen=holdout.history.touched
        )
    return found


def measure_method(name: str, lists: RankedLists, questions: EvaluationData, holdout: Holdout) -> MethodMetrics:
    """One method on a holdout."""
    deep = (DEEP,) if lists.rows.shape[1] >= DEEP else ()
    return measure(name, lists, holdout, questions.catalogue, k=K, recall_ks=deep, item_vectors=questions.text_vectors)


def user_rows_in(view: FeatureSnapshot, questions: EvaluationData, holdout: Holdout) -> Rows:
    """The rows of the holdout's users in a view; -1 for who has no vector there."""
    ids = pl.Series(questions.user_ids[holdout.user_rows], dtype=pl.String)
    rows: Rows = rows_of(ids, view.users.ids).fill_null(-1).to_numpy()
    return rows


def catalogue_lists(view: FeatureSnapshot, rows: Rows) -> RankedLists:
    """Lists in rows of a view `[U, K]`, as rows of the landed catalogue; -1 stays -1."""
    return RankedLists(np.where(rows >= 0, np.append(view.catalogue_rows, -1)[rows], -1).astype(np.int32))
