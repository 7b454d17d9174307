"""The held-out weeks: retrieval, re-ranking, the final list and the champion beside every baseline, on the same rows.

No model that is measured here was trained on them: features, retrieval and re-ranker are those of the cutoff. The flow:
`evaluation_lists` reads what methods are measured on and gives each method's lists; here they are measured, also by
segment (`evaluation_segments`); `metrics_store` keeps the metrics, which `experiments` logs to MLflow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from contracts.errors import ChampionAbsent, SchemaMismatch
from evaluation import Holdout, macro_average, metrics_table
from evaluation.ranking_metrics import mean
from evaluation.results import CHAMPION, FINAL, RERANKED, RETRIEVAL
from pipeline.champion import Champion, read_champion
from pipeline.evaluation_lists import (
    RETRIEVAL_K,
    EvaluationData,
    K,
    ModelBundle,
    baseline_lists,
    holdout_at,
    measure_method,
    predict,
    read_evaluation_data,
)
from pipeline.evaluation_segments import item_segments_table, user_segments, user_segments_table
from pipeline.experiments.night_run import log_results
from pipeline.experiments.registered_models import log_model_metrics
from pipeline.experiments.run_log import log_methods
from pipeline.feature_assembly import FeatureSnapshot, IngestedTables, read_ingested_tables, read_snapshot
from pipeline.metrics_store import REHEARSALS, EvaluatedWeek, MetricsTables, intervals_table, write_weeks
from pipeline.run_context import RunContext, Summary
from pipeline.stages.reranker import file_name
from pipeline.stages.two_tower import has_tower, load_tower
from ranking.reranker import Reranker
from serving.ann_index import ExactIndex, build, recall_against_exact

INTERVAL_METRICS = (f"ndcg_at_{K}", f"recall_at_{K}", f"recall_at_{RETRIEVAL_K}")
REGISTERED = {"two_tower": RETRIEVAL, "reranker": RERANKED}
"""The method that measures the model of a stage."""
AGREEMENT_K, AGREEMENT_USERS = 100, 1000
NO_CHAMPION = "a champion is compared on the held-out week alone"


@dataclass(frozen=True)
class CutoffMetrics:
    """The metrics of every method at one cutoff."""

    holdout: Holdout
    week: EvaluatedWeek
    items: pl.DataFrame
    """The metrics by segment of items."""


def metrics(night: RunContext) -> Summary:
    """Measure every method at every evaluation cutoff, and the agreement of the ANN index with exact search."""
    ingested, splits = read_ingested_tables(night), night.splits
    champion = champion_of(night, ingested)
    with night.lake.open_folder("two_tower", splits.as_of) as towers:
        newest = load_tower(towers, splits.eval_cutoffs[-1])
        data = read_evaluation_data(night, ingested, newest.embed_text(ingested.items))
        cutoffs = [
            measure_cutoff(night, ingested, data, towers, each, champion)
            for each in night.progress.each(splits.eval_cutoffs, "held-out weeks")
        ]
        agreement = index_agreement(night, read_snapshot(night, ingested, splits.eval_cutoffs[-1], newest))
        rehearsals = [
            measure_cutoff(night, ingested, data, towers, each, NO_CHAMPION).week
            for each in night.progress.each(trained_rehearsal_cutoffs(night, towers), "weeks before")
        ]
    weeks = [cutoff.week for cutoff in cutoffs]
    store(night, weeks, rehearsals)
    tables = tables_of(night, weeks, cutoffs[-1].items)
    measured = {"index_recall_at_100": round(agreement, 4), "champion": champion_summary(champion)}
    summary = {**headline(night, weeks, tables), **measured, **served_tables(tables)}
    log_metrics(night, data, cutoffs, tables, summary)
    return summary


def served_tables(tables: MetricsTables) -> Summary:
    """The tables in a summary: all methods, and the segments of the final list and the champion's."""
    return {
        "table": tables.means.to_dicts(),
        "intervals": tables.intervals.to_dicts(),
        "people": served_lists(tables.people),
        "items": served_lists(tables.items),
    }


def log_metrics(
    night: RunContext, data: EvaluationData, cutoffs: Sequence[CutoffMetrics], tables: MetricsTables, summary: Summary
) -> None:
    """Log the night's metrics, those of its models, and each method with its metrics of each user."""
    fingerprint = log_methods(night, data, [(cutoff.week, cutoff.holdout) for cutoff in cutoffs], tables.intervals, k=K)
    log_results(night, tables, summary, fingerprint.test)
    means = {row["method"]: row for row in summary["table"]}
    for stage, method in REGISTERED.items():
        if registered := night.summary(stage).get("registered"):
            known = {name: means[method][name] for name in INTERVAL_METRICS if means[method].get(name) is not None}
            log_model_metrics(night.mlflow, night.mlflow_run, registered, known)


def champion_of(night: RunContext, ingested: IngestedTables) -> Champion | str:
    """The serving release as of the first evaluation cutoff, or the reason why it cannot be measured."""
    if not night.splits.publishes:
        return "nothing is published, so nothing is compared with a champion"
    try:
        champion = read_champion(night, night.splits.eval_cutoffs[0])
        champion.models.tower.embed_text(ingested.items)
    except ChampionAbsent as absent:
        return str(absent)
    except SchemaMismatch:
        return "the serving release was trained on embeddings of another length"
    return champion


def champion_summary(champion: Champion | str) -> dict[str, str]:
    """The champion in a summary: `version` and `cut`, or `absent` with the reason."""
    if isinstance(champion, str):
        return {"absent": champion}
    return {"version": champion.version, "cut": f"{champion.cutoff:%Y-%m-%d}"}


def measure_cutoff(
    night: RunContext,
    ingested: IngestedTables,
    data: EvaluationData,
    towers: Path,
    cutoff: datetime,
    champion: Champion | str,
) -> CutoffMetrics:
    """Every method on the label window of one cutoff."""
    holdout, config = holdout_at(night, data, cutoff), night.config
    models = ModelBundle(load_tower(towers, cutoff), reranker_at(night, cutoff), config.ranking, config.index)
    ours = predict(night, ingested, data, holdout, models)
    lists = baseline_lists(night, data, holdout)
    if isinstance(champion, Champion):
        lists[CHAMPION] = predict(night, ingested, data, holdout, champion.models).lists[FINAL]
    lists |= ours.lists
    methods = [measure_method(name, ranked, data, holdout) for name, ranked in lists.items()]
    segments = user_segments(ingested, data, holdout)
    week = EvaluatedWeek(holdout.user_rows, methods, cutoff, ours.candidate_recall, segments)
    return CutoffMetrics(holdout, week, item_segments_table(lists, holdout, data.catalogue))


def trained_rehearsal_cutoffs(night: RunContext, towers: Path) -> list[datetime]:
    """The rehearsal cutoffs that have a re-ranker: those with examples to train on."""
    with night.lake.open_folder("reranker", night.splits.as_of) as rerankers:
        return [
            cutoff
            for cutoff in night.splits.rehearsal_cutoffs
            if has_tower(towers, cutoff) and (rerankers / file_name(cutoff)).exists()
        ]


def reranker_at(night: RunContext, cutoff: datetime) -> Reranker:
    """The re-ranker that is used at a cutoff."""
    with night.lake.open_folder("reranker", night.splits.as_of) as folder:
        return Reranker.load(folder / file_name(cutoff))


def index_agreement(night: RunContext, snapshot: FeatureSnapshot) -> float:
    """Recall@100 of the ANN index that would serve, against exact search."""
    items, queries = snapshot.items, snapshot.users.vectors[:AGREEMENT_USERS]
    exact = ExactIndex(items.vectors, items.ids, night.config.index.metric)
    served = build(items.vectors, items.ids, night.config.index)
    return recall_against_exact(served.search(queries, AGREEMENT_K), exact.search(queries, AGREEMENT_K))


def store(night: RunContext, weeks: list[EvaluatedWeek], rehearsals: list[EvaluatedWeek]) -> None:
    """Store per-user metrics, without ids, for the gates and for comparisons of nights."""
    with night.lake.new_folder("metrics", night.splits.as_of) as folder:
        write_weeks(weeks, folder)
        if rehearsals:
            write_weeks(rehearsals, folder / REHEARSALS)


def tables_of(night: RunContext, weeks: list[EvaluatedWeek], items: pl.DataFrame) -> MetricsTables:
    """The means, intervals and segments of all methods; segments describe the last week."""
    gates = night.config.gates
    intervals = intervals_table(weeks, INTERVAL_METRICS, confidence=gates.confidence, seed=gates.seed)
    means = [macro_average(methods) for methods in zip(*(week.methods for week in weeks), strict=True)]
    return MetricsTables(metrics_table(means), intervals, user_segments_table(weeks[-1]), items)


def headline(night: RunContext, weeks: list[EvaluatedWeek], tables: MetricsTables) -> Summary:
    """The figures of the night that the console prints in one line."""
    final = tables.means.row(-1, named=True)
    return {
        "users": tables.means["users"][0],
        "held_out": f"{night.splits.eval_cutoffs[0]:%Y-%m-%d} to {night.splits.as_of}",
        "ndcg_at_20": round(final[f"ndcg_at_{K}"], 4),
        "candidate_recall": round(mean(np.array([week.candidate_recall for week in weeks])), 4),
    }


def served_lists(table: pl.DataFrame) -> list[dict[str, object]]:
    """The rows of the final list and of the champion's."""
    return table.filter(pl.col("method").is_in([FINAL, CHAMPION])).to_dicts()
