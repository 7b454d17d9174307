"""The night's two stages at past cuts: its features, two-tower, candidates, re-ranker and lists.

Shapes: U asked users, P pairs.
"""

import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl

from benchmarks.experiment_context import (
    KNOWN,
    RETRIEVAL,
    STAGES,
    Asked,
    ExperimentContext,
    Job,
    open_lake,
    retrieved,
    rows_in,
    top_of,
)
from benchmarks.profiling import Fit, peak_rss_mb
from contracts import columns as c
from pipeline.feature_assembly import FeatureSnapshot
from pipeline.stage_runner import run_stage
from ranking.feature_arrays import Rows
from ranking.reranker import LabelledPairs


@dataclass(frozen=True)
class Stage:
    """Retrieval alone, or with a re-ranker behind it: what it lists, costs and is."""

    fit: Fit
    validation: float  # NDCG@k on the people of the validation window who teach
    config: dict[str, Any]


def two_stages(job: Job) -> dict[str, Stage]:
    """Compute the tables and the two-towers, train re-rankers, and list for the users of the test."""
    start_rss_mb, started = peak_rss_mb(), time.perf_counter()
    world = ExperimentContext(job, open_lake(job))
    for stage in STAGES:
        run_stage(world.night, stage)
    tables_seconds = time.perf_counter() - started
    started = time.perf_counter()
    towers = world.towers
    tower_seconds = time.perf_counter() - started
    started = time.perf_counter()
    lessons, validation = taught(world)
    lessons_seconds = tables_seconds + time.perf_counter() - started
    cut = job.plan.eval_cutoffs[-1]
    started = time.perf_counter()
    view = world.view(cut)
    retrieval_seconds = tower_seconds + time.perf_counter() - started
    tower = towers[cut]
    chosen = {"encoder": tower.encoder_name, "selection": tower.selection and tower.selection.as_json()}
    found = {RETRIEVAL: replace(listed_by_retrieval(world, view, retrieval_seconds), chosen=chosen)}
    started = time.perf_counter()
    asked = world.asked(view, asked_rows(world, view))
    asked_seconds = time.perf_counter() - started
    for name in KNOWN:
        found[name] = listed(world, asked, name, lessons, (lessons_seconds + retrieval_seconds, asked_seconds))
    peak = peak_rss_mb()
    configs = {RETRIEVAL: world.night.config.two_tower.model_dump(mode="json")} | dict.fromkeys(
        KNOWN, job.ranking.model_dump(mode="json")
    )
    return {
        name: Stage(replace(fit, peak_rss_mb=peak, start_rss_mb=start_rss_mb), validation[name], configs[name])
        for name, fit in found.items()
    }


def taught(world: ExperimentContext) -> tuple[dict[datetime, LabelledPairs], dict[str, float]]:
    """The lesson of each window before the test; and NDCG@k on the validation of retrieval alone and of re-rankers that
    the earlier windows taught."""
    plan, lessons = world.job.plan, {}
    for cut in (cut for cut in plan.label_cutoffs if cut <= plan.eval_cutoffs[0]):
        view = world.view(cut)
        asked = world.asked(view, world.teachers(view))
        lessons[cut] = world.lesson(asked)
    user_rows = world.teachers(view)
    tops = {RETRIEVAL: retrieved(world, view, asked.pairs, user_rows)}
    for name in KNOWN:
        reranker = world.train(name, [lessons[cut] for cut in plan.training_cutoffs(view.cutoff)])
        tops[name] = top_of(world, asked, world.score(name, reranker, asked), user_rows)
    user_ids = pl.Series(view.users.ids[user_rows], dtype=pl.String)
    return lessons, {name: world.ndcg(top, view, user_ids, world.job.split.validation) for name, top in tops.items()}


def listed_by_retrieval(world: ExperimentContext, view: FeatureSnapshot, fit_seconds: float) -> Fit:
    """The lists of the test's people without a re-ranker."""
    user_rows = asked_rows(world, view)
    started = time.perf_counter()
    top = retrieved(world, view, world.candidates(view, user_rows), user_rows)
    return Fit(top, ids_of(view), fit_seconds, time.perf_counter() - started, 0, 0)


def listed(
    world: ExperimentContext,
    asked: Asked,
    name: str,
    lessons: dict[datetime, LabelledPairs],
    before: tuple[float, float],
) -> Fit:
    """Train one of the re-rankers that is used at the test's cut; and its lists of the test's people. `before` are the
    seconds that fit and lists have taken already."""
    started = time.perf_counter()
    reranker = world.train(name, [lessons[cut] for cut in world.job.plan.training_cutoffs(asked.view.cutoff)])
    fit_seconds = before[0] + time.perf_counter() - started
    started = time.perf_counter()
    top = top_of(world, asked, world.score(name, reranker, asked), asked_rows(world, asked.view))
    return Fit(top, ids_of(asked.view), fit_seconds, before[1] + time.perf_counter() - started, 0, 0)


def asked_rows(world: ExperimentContext, view: FeatureSnapshot) -> Rows:
    """The people of the test in a view."""
    return rows_in(view, world.job.split.test[c.USER_ID].unique().sort())


def ids_of(view: FeatureSnapshot) -> pl.Series:
    """The items of a view."""
    return pl.Series(c.ITEM_ID, view.items.ids, dtype=pl.String)
