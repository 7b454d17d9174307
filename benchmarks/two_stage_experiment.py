"""The night's two stages at past cutoffs: its features, two-tower, candidates, re-ranker and lists."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from benchmarks.experiment_context import FINAL, NIGHT, RETRIEVAL, ExperimentContext, ExperimentJob, open_lake
from benchmarks.profiling import Fit, peak_rss_mb
from contracts import columns as c
from evaluation.top_k import TopK
from pipeline.feature_assembly import FeatureSnapshot
from pipeline.feature_selection import FeatureSelection
from pipeline.stage_runner import run_stage
from pipeline.stages.candidates import training_users
from ranking.feature_names import FEATURE_NAMES
from ranking.training_pairs import LabelledPairs

STAGES = (
    "events",
    "sessions",
    "interactions",
    "user_features",
    "item_features",
    "retrieval_examples",
    "ranking_examples",
)
"""What the night computes before anything is trained."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class StageLists:
    """Retrieval alone, or with a re-ranker behind it: its lists, costs and settings."""

    fit: Fit
    validation: float  # NDCG@k of the validation window's training users
    config: dict[str, Any]


def two_stages(lake: Path, job: ExperimentJob) -> dict[str, StageLists]:
    """Compute the tables and the two-towers, train re-rankers, and list for the users of the test."""
    start_rss_mb = peak_rss_mb()
    context = ExperimentContext(job, open_lake(lake, job))
    _, tables_s = timed(lambda: [run_stage(context.night, stage) for stage in STAGES])
    with context.night.progress.shown("two_tower"):
        _, towers_s = timed(lambda: context.towers)
    with context.night.progress.shown("reranker"):
        (pairs, selections), pairs_s = timed(lambda: training_data(context))
        validation = validated(context, pairs, selections)
        fits = listed(context, pairs, selections, (tables_s + pairs_s, towers_s))
    peak = peak_rss_mb()
    return {
        name: StageLists(
            replace(fit, peak_rss_mb=peak, start_rss_mb=start_rss_mb), validation[name], config_of(context, name)
        )
        for name, fit in fits.items()
    }


def training_data(
    context: ExperimentContext,
) -> tuple[dict[datetime, LabelledPairs], dict[str, FeatureSelection]]:
    """The labelled pairs of each cutoff up to the validation, and the features of each re-ranker."""
    splits = context.job.plan
    cutoffs = [cutoff for cutoff in splits.label_cutoffs if cutoff <= splits.eval_cutoffs[0]]
    weeks = context.night.progress.each(cutoffs, "label windows")
    pairs = {cutoff: context.labelled_pairs(context.view(cutoff)) for cutoff in weeks}
    return pairs, {NIGHT: FeatureSelection(FEATURE_NAMES), FINAL: context.select_features(pairs)}


def validated(
    context: ExperimentContext, pairs: dict[datetime, LabelledPairs], selections: dict[str, FeatureSelection]
) -> dict[str, float]:
    """NDCG@k on the validation window, of retrieval alone and of re-rankers that the earlier windows trained."""
    view = context.view(context.job.plan.eval_cutoffs[0])
    snapshot, user_rows = context.snapshot(view), training_users(context.night, view)
    tops = {RETRIEVAL: context.lists_by_retrieval(snapshot, user_rows)}
    for name, selection in selections.items():
        tops[name] = context.lists(snapshot, context.train(selection, pairs, view.cutoff), user_rows)
    held_out = context.job.split.validation
    return {name: context.ndcg(top, view, user_rows, held_out) for name, top in tops.items()}


def listed(
    context: ExperimentContext,
    pairs: dict[datetime, LabelledPairs],
    selections: dict[str, FeatureSelection],
    before_s: tuple[float, float],
) -> dict[str, Fit]:
    """The lists of the test's users. `before_s` are the seconds of tables and training pairs, and of the two-towers."""
    view, view_s = timed(lambda: context.view(context.job.plan.eval_cutoffs[-1]))
    snapshot, snapshot_s = timed(lambda: context.snapshot(view))
    user_rows, retrieval_s = context.test_rows(view), before_s[1] + view_s + snapshot_s
    top, seconds = timed(lambda: context.lists_by_retrieval(snapshot, user_rows))
    tower = context.towers[view.cutoff]
    chosen = {"encoder": tower.encoder_name, "selection": tower.selection and tower.selection.as_json()}
    fits = {RETRIEVAL: fit_of(top, view, retrieval_s, seconds, chosen)}
    for name, selection in selections.items():
        reranker, train_s = timed(partial(context.train, selection, pairs, view.cutoff))
        top, seconds = timed(partial(context.lists, snapshot, reranker, user_rows))
        fits[name] = fit_of(top, view, before_s[0] + retrieval_s + train_s, seconds, selection.summary)
    return fits


def fit_of(top: TopK, view: FeatureSnapshot, fit_s: float, list_s: float, chosen: dict[str, Any]) -> Fit:
    """Lists in the items of a view; memory is filled in later."""
    item_ids = pl.Series(c.ITEM_ID, view.items.ids, dtype=pl.String)
    return Fit(top, item_ids, fit_s, list_s, 0, 0, chosen=chosen)


def config_of(context: ExperimentContext, name: str) -> dict[str, Any]:
    """The settings of retrieval, or of ranking."""
    config: Any = context.night.config.two_tower if name == RETRIEVAL else context.night.config.ranking
    dumped: dict[str, Any] = config.model_dump(mode="json")
    return dumped


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """The result of some work, and its seconds."""
    started = time.perf_counter()
    return work(), time.perf_counter() - started
