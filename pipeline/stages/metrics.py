"""The held-out days: retrieval, re-ranking, the final slate and the champion beside every baseline, on the same rows.

Nothing that is measured here was trained on them: features, retrieval and re-ranker are those of the cut.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from contracts.errors import ChampionAbsent
from evaluation import macro_average, metrics_table
from evaluation.results import CHAMPION, FINAL
from pipeline.champion import Champion, read_champion
from pipeline.evaluation_data import (
    EvaluationData,
    K,
    baseline_predictions,
    holdout_at,
    measure_method,
    read_evaluation_data,
)
from pipeline.feature_assembly import CatalogSnapshot, FeatureSnapshot, read_catalog, read_snapshot
from pipeline.metrics_store import REHEARSALS, WeekMetrics, write_weeks
from pipeline.night_marks import track_methods
from pipeline.offline_inference import ModelBundle, predict
from pipeline.run_context import RunContext, Summary
from pipeline.segments import user_segments
from pipeline.slice_tables import items_table, people_table
from pipeline.stages.reranker import file_name
from pipeline.stages.two_tower import has_tower, load_tower
from pipeline.telling import Tables, intervals_table, log_night
from ranking.reranker import Reranker
from serving.ann_index import ExactIndex, build, recall_against_exact

AGREEMENT_K, AGREEMENT_USERS = 100, 1000
REHEARSAL = "a champion is held to the nights' own week"


@dataclass(frozen=True)
class MeasuredCut:
    """What one cut gives: figures of each person, and what each method finds of which items."""

    week: WeekMetrics
    items: pl.DataFrame


def metrics(night: RunContext) -> Summary:
    """Measure every method at every measured cut, and how well the index agrees with exact search."""
    landed, last = read_catalog(night), night.splits.eval_cutoffs[-1]
    champion = champion_of(night)
    with night.lake.open_folder("two_tower", night.splits.as_of) as towers:
        newest = load_tower(towers, last)
        questions = read_evaluation_data(night, landed, newest.embed_text(landed.items))
        cuts = [measure_cut(night, landed, questions, towers, cut, champion) for cut in night.splits.eval_cutoffs]
        agreement = index_agreement(night, read_snapshot(night, landed, last, newest))
        before = [measure_cut(night, landed, questions, towers, cut, REHEARSAL) for cut in rehearsed(night, towers)]
    weeks = [cut.week for cut in cuts]
    keep(night, weeks, [cut.week for cut in before])
    means = [macro_average(method) for method in zip(*(week.methods for week in weeks), strict=True)]
    tables = Tables(metrics_table(means), intervals_table(weeks, night), people_table(weeks[-1]), cuts[-1].items)
    summary = {
        "users": means[0].users,
        "held_out": f"{night.splits.eval_cutoffs[0]:%Y-%m-%d} to {night.splits.as_of}",
        "ndcg_at_20": round(means[-1].means[f"ndcg_at_{K}"], 4),
        "candidate_recall": round(float(np.mean([week.candidate_recall for week in weeks])), 4),
        "index_recall_at_100": round(agreement, 4),
        "champion": told(champion),
        "table": tables.means.to_dicts(),
        "intervals": tables.intervals.to_dicts(),
        "people": of_lists_served(tables.people),
        "items": of_lists_served(tables.items),
    }
    log_night(night, tables, summary)
    track_methods(night, questions, weeks)
    return summary


def champion_of(night: RunContext) -> Champion | str:
    """The serving release as of the first measured cut, or why it cannot be measured."""
    if not night.splits.publishes:
        return "nothing is published, so nothing is compared with a champion"
    try:
        return read_champion(night, night.splits.eval_cutoffs[0])
    except ChampionAbsent as absent:
        return str(absent)


def told(champion: Champion | str) -> dict[str, str]:
    """The champion in a summary: `version` and `cut`, or `absent` with the reason."""
    if isinstance(champion, str):
        return {"absent": champion}
    return {"version": champion.version, "cut": f"{champion.cut:%Y-%m-%d}"}


def measure_cut(
    night: RunContext,
    landed: CatalogSnapshot,
    questions: EvaluationData,
    towers: Path,
    cut: datetime,
    champion: Champion | str,
) -> MeasuredCut:
    """Every method on the days after one cut."""
    holdout, config = holdout_at(night, questions, cut), night.config
    models = ModelBundle(load_tower(towers, cut), reranker_at(night, cut), config.ranking, config.index)
    ours = predict(night, landed, questions, holdout, models)
    lists = baseline_predictions(night, questions, holdout)
    if isinstance(champion, Champion):
        lists[CHAMPION] = predict(night, landed, questions, holdout, champion.models).lists[FINAL]
    lists |= ours.lists
    methods = [measure_method(name, answer, questions, holdout) for name, answer in lists.items()]
    groups = user_segments(landed, questions, holdout)
    week = WeekMetrics(cut, holdout.user_rows, methods, ours.candidate_recall, groups)
    return MeasuredCut(week, items_table(lists, holdout, questions.catalogue))


def rehearsed(night: RunContext, towers: Path) -> list[datetime]:
    """The weeks before the holdout whose re-ranker had something to learn from."""
    with night.lake.open_folder("reranker", night.splits.as_of) as rerankers:
        return [
            cut
            for cut in night.splits.validation_cutoffs
            if has_tower(towers, cut) and (rerankers / file_name(cut)).exists()
        ]


def reranker_at(night: RunContext, cut: datetime) -> Reranker:
    """The re-ranker that is used at a cut."""
    with night.lake.open_folder("reranker", night.splits.as_of) as folder:
        return Reranker.load(folder / file_name(cut))


def index_agreement(night: RunContext, view: FeatureSnapshot) -> float:
    """Recall@100 of the index that would serve, against exact search."""
    items, queries = view.items, view.users.vectors[:AGREEMENT_USERS]
    exact = ExactIndex(items.vectors, items.ids, night.config.index.metric)
    served = build(items.vectors, items.ids, night.config.index)
    return recall_against_exact(served.search(queries, AGREEMENT_K), exact.search(queries, AGREEMENT_K))


def keep(night: RunContext, weeks: list[WeekMetrics], before: list[WeekMetrics]) -> None:
    """Per-user figures, without ids, for the gates and for whoever compares nights."""
    with night.lake.new_folder("metrics", night.splits.as_of) as folder:
        write_weeks(weeks, folder)
        if before:
            write_weeks(before, folder / REHEARSALS)


def of_lists_served(table: pl.DataFrame) -> list[dict[str, object]]:
    """The rows of the final list and of the champion's."""
    return table.filter(pl.col("method").is_in([FINAL, CHAMPION])).to_dicts()
