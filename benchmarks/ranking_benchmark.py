"""`tastefeed bench ranking`: the re-ranker beside retrieval alone and tuned peers, on a global split in time.

The split has windows of equal length: the last one is the test, the one before it the validation. Everything that is
used at a cutoff was learned from events strictly before it, the re-ranker too. Its labels are from windows that end at
or before the cutoff, with features and a retrieval as of each window's own start.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks import comparison
from benchmarks.benchmark_run import open_benchmark_run
from benchmarks.comparison import (
    Row,
    compared_methods,
    gains,
    records,
    refusals,
    summary,
    test_users,
    training_item_counts,
    write,
)
from benchmarks.datasets import INTERACTIONS, Split
from benchmarks.experiment_context import FINAL, ExperimentJob
from benchmarks.interaction_matrix import labels_of
from benchmarks.method_registry import METHODS, OURS, Params, parsed
from benchmarks.profiling import in_fresh_process
from benchmarks.tuning import Search, Tuned
from benchmarks.two_stage_experiment import StageLists, two_stages
from contracts import Settings
from contracts import columns as c
from contracts.errors import BadEvaluationInput, DataMissing, UnknownMethod
from evaluation import RankedLists
from evaluation.anonymized_metrics import anonymized, history_labels, week_metrics
from evaluation.results import full_ranking
from pipeline.ingestion import ImportRequest, convert, import_files
from pipeline.time_splits import TimeSplits, midnight
from ranking.rank_users import RankingConfig

K = 10
CLOCKS = {
    "ml-100k": "time is that of the data, in seconds",
    "ml-1m": (
        "only each user's own order is known, so the ratings of every user are spread evenly over the same 52 made-up "
        "weeks: a cutoff takes the same share of every user, no user's later ratings train the model, and the order "
        "of the ratings of different users is unknown"
    ),
}
"""The data sets, and what a cutoff in time means in each."""


class WindowsConfig(BaseModel):
    """How time is split, and how many windows train a re-ranker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float = Field(0.1, gt=0, lt=0.5, description="share of the events in the test window, about: whole days")
    label_windows: int = Field(4, ge=1, description="windows whose labels train a re-ranker")


def folder_of(data: Path, dataset: str) -> Path:
    """The folder of a data set. Raises `DataMissing`."""
    if dataset not in CLOCKS:
        raise DataMissing(f"{dataset}: no such data set for ranking; choose one of {', '.join(CLOCKS)}")
    if not (data / dataset / INTERACTIONS).exists():
        path = data / dataset / INTERACTIONS
        raise DataMissing(f"{path}: no such file; skipped, give the folder that holds {dataset}/ with --data")
    return data / dataset


def read_events(folder: Path) -> pl.DataFrame:
    """`user_id, item_id, timestamp` as an import ingests them, oldest first."""
    events = pl.concat(convert(ImportRequest("movielens", events=[folder])).frames("events"))
    return events.select(c.USER_ID, c.ITEM_ID, c.TIMESTAMP).sort(c.TIMESTAMP, c.USER_ID, c.ITEM_ID)


def plan_of(timestamps: pl.Series, config: WindowsConfig) -> TimeSplits:
    """The cutoffs of validation and test, at midnights. Raises `BadEvaluationInput` where the days do not suffice."""
    ordered = timestamps.sort()
    first, last, start = ordered[0], ordered[-1], ordered[int((1 - config.share) * len(ordered))]
    as_of: date = last.date() + timedelta(days=1)
    days = max(1, round((midnight(as_of) - start) / timedelta(days=1)))
    cutoffs = tuple(midnight(as_of) - timedelta(days=days) * back for back in (2, 1))
    plan = TimeSplits(as_of, days, config.label_windows, cutoffs, publishes=False)
    if plan.label_cutoffs[0] <= first:
        raise BadEvaluationInput(
            f"{config.label_windows} label windows of {days} days before the validation begin at "
            f"{plan.label_cutoffs[0]:%Y-%m-%d}, before any event; set a smaller windows.share or fewer "
            "windows.label_windows"
        )
    return plan


def split_of(events: pl.DataFrame, plan: TimeSplits, dataset: str) -> Split:
    """The training rows of the peers, and the rows that all methods are evaluated on."""
    validation, test = plan.eval_cutoffs
    return Split(
        dataset,
        train=_before(events, test),
        validation_train=_before(events, validation),
        validation=new_ratings(events, validation, plan.step),
        test=new_ratings(events, test, plan.step),
        ordered=True,
        k=K,
        protocol=_protocol(plan, dataset, _before(events, test).height / events.height),
    )


def new_ratings(events: pl.DataFrame, cutoff: datetime, span: timedelta) -> pl.DataFrame:
    """The items that users with a history rate in the window after a cutoff, if new to them; each pair once."""
    past = _before(events, cutoff)
    window = events.filter((pl.col(c.TIMESTAMP) >= cutoff) & (pl.col(c.TIMESTAMP) < cutoff + span))
    with_history = window.join(past.select(c.USER_ID).unique(), on=c.USER_ID, how="semi", maintain_order="left")
    new = with_history.join(past, on=[c.USER_ID, c.ITEM_ID], how="anti", maintain_order="left")
    return _pairs(new).unique(maintain_order=True)


def _before(events: pl.DataFrame, cutoff: datetime) -> pl.DataFrame:
    return events.filter(pl.col(c.TIMESTAMP) < cutoff)


def _pairs(events: pl.DataFrame) -> pl.DataFrame:
    return events.select(c.USER_ID, c.ITEM_ID)


def _protocol(plan: TimeSplits, dataset: str, share: float) -> str:
    validation, test = plan.eval_cutoffs
    return (
        f"global split in time, windows of {plan.label_days} days: test from {test:%Y-%m-%d} on (the last "
        f"{1 - share:.1%} of the events), validation the window from {validation:%Y-%m-%d}, and the re-ranker used at "
        f"a cutoff learns from the {plan.label_weeks} windows before it, each seen from its own start; "
        f"{CLOCKS[dataset]}. Evaluated are the users with a history before the cutoff, on every item they newly rate "
        "in the window, whatever the rating; full ranking with what they had rated masked"
    )


KIND, TARGET = "ranking", 1.1
PARTS = ("reranker", "candidates", "slate", "windows")
PEERS = ("most_popular", "item_knn", "ials", "ease")


class RankingBenchConfig(BaseModel):
    """What `--set` reaches beside the peers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    windows: WindowsConfig = WindowsConfig()
    ranking: RankingConfig = RankingConfig()


@dataclass(frozen=True)
class RankingPlan:
    """What is compared: `ours` is set by part (`reranker`, `candidates`, `slate`, `windows`), `fixed` by peer."""

    data: Path
    dataset: str
    peers: Sequence[str]
    trials: int
    ours: Mapping[str, Params]
    fixed: Mapping[str, Params]
    out: Path
    command: str


def parsed_parts(settings: Sequence[str]) -> tuple[dict[str, Params], dict[str, Params]]:
    """What `--set` holds fixed of ours by part, and of peers by method. Raises `UnknownMethod` for anything else."""
    settings_of = parsed(settings, (*PARTS, *METHODS), "PART")
    ours = {name: params for name, params in settings_of.items() if name in PARTS}
    return dict(ours), {name: params for name, params in settings_of.items() if name not in PARTS}


def configured(ours: Mapping[str, Params]) -> RankingBenchConfig:
    """The defaults, but for what was set. Raises `UnknownMethod` for a setting that there is not."""
    parts = {name: dict(params) for name, params in ours.items() if name != "windows"}
    try:
        return RankingBenchConfig.model_validate({"windows": dict(ours.get("windows", {})), "ranking": parts})
    except ValidationError as wrong:
        first = wrong.errors()[0]
        setting = ".".join(str(part) for part in first["loc"] if part != "ranking")
        raise UnknownMethod(f"--set {setting}: {first['msg']}; see the fields of that part's config") from wrong


def rank(plan: RankingPlan, settings: Settings) -> dict[str, Any]:
    """Run both stages and every peer; writes the raw outputs under `plan.out` and returns `metrics.json`.

    Raises `UnknownMethod` for a peer or a setting that there is not, before anything is computed.
    """
    config = configured(plan.ours)
    if OURS in plan.peers:
        raise UnknownMethod(f"{OURS} is retrieval alone, which has its row anyway; leave it out of --peers")
    folder = folder_of(plan.data, plan.dataset)
    events = read_events(folder)
    time_splits = plan_of(events[c.TIMESTAMP], config.windows)
    split = split_of(events, time_splits, plan.dataset)
    search = Search(split, plan.trials, settings.seed, settings.threads, plan.out)
    peer_plan = comparison.ComparisonPlan(
        plan.data, plan.dataset, plan.peers, plan.trials, plan.fixed, plan.out, plan.command
    )
    skipped = refusals(peer_plan, search)
    plan.out.mkdir(parents=True, exist_ok=True)
    with open_benchmark_run(f"{KIND} {plan.dataset}", settings, plan.out) as logged:
        stages = computed(ExperimentJob(plan.out, logged.run_id, time_splits, split, config.ranking, settings), folder)
        peers = compared_methods(peer_plan, search, skipped)
        ours = [row_of(name, stage, split, plan.ours) for name, stage in stages.items()]
        rows = [*peers, *ours]
        run = figures_of(peer_plan, search, rows, skipped, config)
        write(plan.out, run, rows, split)
        logged.log(run, records(rows, search))
    return run


def computed(job: ExperimentJob, folder: Path) -> dict[str, StageLists]:
    """Both stages, in a temporary lake into which the data set in `folder` is imported."""
    with TemporaryDirectory(prefix="lake-", dir=job.out) as lake:
        import_files(ImportRequest("movielens", events=[folder]), lake_root=Path(lake), landed_at=datetime.now(UTC))
        return in_fresh_process(partial(two_stages, Path(lake)), job)


def figures_of(
    plan: comparison.ComparisonPlan,
    search: Search,
    rows: Sequence[Row],
    skipped: Mapping[str, str],
    config: RankingBenchConfig,
) -> dict[str, Any]:
    """What `metrics.json` holds."""
    return summary(plan, search, rows, skipped) | {
        "kind": KIND,
        "ours": FINAL,
        "target": TARGET,
        "windows": config.windows.model_dump(mode="json"),
        "gains": gains(rows, search.seed, FINAL),
    }


def row_of(name: str, stage: StageLists, split: Split, params: Params) -> Row:
    """One of ours as a row of the table; `params` are what was set."""
    user_ids, item_ids = test_users(split), stage.fit.item_ids
    labels = labels_of(split.test, user_ids, item_ids)
    measured = full_ranking(name, RankedLists(stage.fit.top.rows), labels, split.k, item_count=len(item_ids))
    tuned = Tuned(dict(params), 0, stage.validation)
    users = {"history": history_labels(training_item_counts(split, user_ids))}
    per_user = anonymized([week_metrics(user_ids, measured.per_user, users=users, items={})])
    return Row(measured, stage.fit, tuned, stage.config, per_user)
