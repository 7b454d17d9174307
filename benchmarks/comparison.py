"""`tastefeed bench retrieval --data …`: ours and the peers on one split, peers tuned alike, one evaluator.

The figures and the per-user metrics go to MLflow.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.benchmark_run import open_benchmark_run
from benchmarks.datasets import Split, load
from benchmarks.interaction_matrix import interaction_matrix, labels_of
from benchmarks.method_registry import OURS, Params, build
from benchmarks.profiling import Fit, FitJob, fit, in_fresh_process, machine, versions
from benchmarks.retrieval_benchmark import as_table, write_metrics
from benchmarks.tuning import Search, Tuned, search_log, tune
from contracts import Settings
from contracts import columns as c
from contracts.atomic_files import require_fillable
from contracts.errors import PeerFailed, UnknownMethod
from evaluation import Labels, MethodMetrics, RankedLists, paired_interval
from evaluation.anonymized_metrics import anonymized, history_labels, recall_by_item_group, week_metrics
from evaluation.fingerprint import EvaluationFingerprint, digest, digest_rows
from evaluation.rankings import Mask
from evaluation.results import full_ranking
from evaluation.segment_metrics import popular_items
from pipeline.console import console
from pipeline.experiments.run_log import MethodRecord
from pipeline.stage_progress import StageProgress

PER_USER, SEARCH_LOG, LISTS = "per_user.parquet", "search.parquet", "lists"


@dataclass(frozen=True)
class ComparisonPlan:
    """What is compared."""

    data: Path
    dataset: str
    methods: Sequence[str]
    trials: int
    fixed: Mapping[str, Params]
    out: Path
    command: str
    versions: Mapping[str, str] = field(default_factory=versions)
    """Versions of the code that began: a run can take hours, and the checkout may change meanwhile."""


@dataclass(frozen=True)
class Row:
    """One method of the table."""

    measured: MethodMetrics
    fit: Fit
    tuned: Tuned
    config: dict[str, Any]
    per_user: pl.DataFrame

    @property
    def curves(self) -> dict[str, Sequence[float]]:
        """What MLflow draws: the figures of the training, and what each trial of the search reached on validation."""
        searched = {"search_value": self.tuned.values} if self.tuned.values else {}
        return {**self.fit.curves, **searched}

    @property
    def figures(self) -> dict[str, float]:
        """Quality and costs."""
        return {**self.measured.means, **self.fit.costs}

    def record(self, fingerprint: EvaluationFingerprint, metric: str) -> MethodRecord:
        """What its run in MLflow keeps."""
        return MethodRecord(fingerprint, self.per_user, metric, self.curves)


def compare(plan: ComparisonPlan, settings: Settings) -> dict[str, Any]:
    """Tune, fit and measure every method; writes the raw outputs under `plan.out` and returns `metrics.json`.

    Raises `PeerFailed` where each method of the plan has its reason to be left out, and `OSError` before any training
    where `plan.out` cannot be written.
    """
    require_fillable(plan.out)
    split = load(plan.data, plan.dataset, seed=settings.seed)
    search = Search(split, plan.trials, settings.seed, settings.threads, plan.out)
    skipped = refusals(plan, search)
    if not set(plan.methods) - set(skipped):
        raise PeerFailed(f"no method is left: {'; '.join(f'{name}: {reason}' for name, reason in skipped.items())}")
    rows = compared_methods(plan, search, skipped)
    run = summary(plan, search, rows, skipped)
    write(plan.out, run, rows, split)
    with open_benchmark_run(f"retrieval {split.name}", settings, plan.out) as logged:
        logged.log(run, records(rows, search))
    return run


def records(rows: Sequence[Row], search: Search) -> dict[str, MethodRecord]:
    """What the run of each method keeps in MLflow."""
    compared_on = fingerprint(search.split, test_users(search.split))
    return {row.measured.name: row.record(compared_on, search.metric) for row in rows}


def refusals(plan: ComparisonPlan, search: Search) -> dict[str, str]:
    """The methods that cannot take part, and why; prints them. Raises `UnknownMethod` for a bad name or setting, and
    for a setting of a method that is not in the run."""
    if unused := sorted(set(plan.fixed) - set(plan.methods)):
        raise UnknownMethod(
            f"--set {unused[0]}: is not in this run of {', '.join(plan.methods)}; leave the setting out"
        )
    reasons: dict[str, str] = {}
    for name in plan.methods:
        retriever = build(name, plan.fixed.get(name, {}), seed=search.seed, threads=search.threads)
        if reason := retriever.refuses(search.split):
            console.print(f"{name}: skipped, {reason}", markup=False)  # rectools[torch] is none
            reasons[name] = reason
    return reasons


def compared_methods(plan: ComparisonPlan, search: Search, skipped: Collection[str]) -> list[Row]:
    """Every method that is not skipped, with the progress of all of them."""
    names, progress = [name for name in plan.methods if name not in skipped], StageProgress()

    def row(done: int, name: str) -> Row:
        return compared(name, plan, search, lambda step: progress.report(f"methods, {name} {step}", done, len(names)))

    with progress.shown(search.split.name):
        return [row(done, name) for done, name in enumerate(names)]


def compared(name: str, plan: ComparisonPlan, search: Search, report: Callable[[str], None]) -> Row:
    """One method, from its search to its per-user metrics on the test."""
    split, fixed = search.split, plan.fixed.get(name, {})
    tuned = tune(name, fixed, search, report)
    report("fit")
    user_ids = test_users(split)
    job = FitJob(name, tuned.params, split.train, user_ids, split.k, seed=search.seed, threads=search.threads)
    done = in_fresh_process(fit, job)
    labels = labels_of(split.test, user_ids, done.item_ids)
    lists = RankedLists(done.top.rows)
    measured = full_ranking(name, lists, labels, split.k, item_count=len(done.item_ids))
    config = build(name, tuned.params, seed=search.seed, threads=search.threads).config.model_dump(mode="json")
    console.print(f"{name}: {search.metric} {measured.means[search.metric]:.4f}, fit {done.fit_seconds:.1f} s")
    return Row(measured, done, tuned, config, per_user_metrics(split, user_ids, measured, lists, labels))


def test_users(split: Split) -> pl.Series:
    """The users of the test, sorted."""
    return split.test[c.USER_ID].unique().sort()


def summary(plan: ComparisonPlan, search: Search, rows: Sequence[Row], skipped: Mapping[str, str]) -> dict[str, Any]:
    """What `metrics.json` holds; nothing in it names a person."""
    split = search.split
    return {
        "dataset": split.name,
        "protocol": split.protocol,
        "k": split.k,
        "counts": split.counts,
        "seed": search.seed,
        "threads": search.threads,
        "trials": plan.trials,
        "tuned_on": search.metric,
        "command": plan.command,
        "versions": dict(plan.versions),
        "machine": machine(),
        "methods": {row.measured.name: _described(row) for row in rows},
        "skipped": dict(skipped),
        "gains": gains(rows, search.seed),
    }


def _described(row: Row) -> dict[str, Any]:
    return {
        "figures": row.figures,
        "users": row.measured.users,
        "config": row.config,
        "params": row.tuned.params,
        "trials": row.tuned.trials,
        "validation": row.tuned.value,
        "chosen": row.fit.chosen,
    }


def gains(rows: Sequence[Row], seed: int, our_name: str = OURS) -> dict[str, dict[str, dict[str, float]]]:
    """Ours minus each peer, each metric: the mean over users and its paired 95 % bootstrap interval."""
    ours = next((row.measured for row in rows if row.measured.name == our_name), None)
    if ours is None:
        return {}
    return {
        row.measured.name: {
            metric: asdict(paired_interval(values, row.measured.per_user[metric], seed=seed))
            for metric, values in ours.per_user.items()
        }
        for row in rows
        if row.measured is not ours
    }


def write(out: Path, run: Mapping[str, Any], rows: Sequence[Row], split: Split) -> None:
    """Every list, the metrics of every user, every trial of the search, and `metrics.json`."""
    (out / LISTS).mkdir(parents=True, exist_ok=True)
    for row in rows:
        table = as_table(row.fit.top, test_users(split), row.fit.item_ids)
        table.write_parquet(out / LISTS / f"{row.measured.name}.parquet")
    per_user(rows, test_users(split)).write_parquet(out / PER_USER)
    if run["trials"]:
        search_log(out).write_parquet(out / SEARCH_LOG)
    write_metrics(out, run)


def per_user(rows: Sequence[Row], user_ids: pl.Series) -> pl.DataFrame:
    """One row a method and user: `method, user_id` and each metric."""
    return pl.concat(
        pl.DataFrame({"method": [row.measured.name] * len(user_ids), c.USER_ID: user_ids, **row.measured.per_user})
        for row in rows
    )


def fingerprint(split: Split, user_ids: pl.Series) -> EvaluationFingerprint:
    """What every method of the benchmark is evaluated on: train and test rows in their order, users, and depth."""
    return EvaluationFingerprint(
        split.name, digest_rows(split.train), digest_rows(split.test), digest(user_ids), split.k
    )


def per_user_metrics(
    split: Split, user_ids: pl.Series, measured: MethodMetrics, lists: RankedLists, labels: Labels
) -> pl.DataFrame:
    """Per-user metrics without ids; groups are by training items of users, and by popularity of items."""
    users = {"history": history_labels(training_item_counts(split, user_ids))}
    items = recall_by_item_group(lists, labels, popularity_groups(split, labels), split.k)
    return anonymized([week_metrics(user_ids, measured.per_user, users=users, items=items)])


def training_item_counts(split: Split, user_ids: pl.Series) -> NDArray[np.int64]:
    """[U] distinct training items of each user."""
    counts = split.train.group_by(c.USER_ID).agg(pl.col(c.ITEM_ID).n_unique().cast(pl.Int64).alias("items"))
    users = pl.DataFrame({c.USER_ID: user_ids}).join(counts, on=c.USER_ID, how="left", maintain_order="left")
    items: NDArray[np.int64] = users["items"].fill_null(0).to_numpy()
    return items


def popularity_groups(split: Split, labels: Labels) -> dict[str, Mask]:
    """The fifth of the training items that most users liked, and the rest; what training lacks is in neither."""
    popular = popular_items(interaction_matrix(split.train).counts)
    beyond = np.zeros(max(0, int(labels.item_rows.max(initial=-1)) + 1 - len(popular)), dtype=bool)
    return {"popular": np.append(popular, beyond), "tail": np.append(~popular, beyond)}
