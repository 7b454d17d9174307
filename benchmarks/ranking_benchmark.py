"""`tastefeed bench ranking`: the re-ranker beside retrieval alone and tuned peers, on a global split in time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks import comparison
from benchmarks.benchmark_splits import WindowsConfig, folder_of, plan_of, read_events, split_of
from benchmarks.benchmark_tracking import track
from benchmarks.comparison import (
    Row,
    compared,
    fingerprint,
    gains,
    refusals,
    summary,
    test_users,
    training_item_counts,
    write,
)
from benchmarks.datasets import Split
from benchmarks.experiment_context import FINAL, Job
from benchmarks.interaction_matrix import labels_of
from benchmarks.method_registry import METHODS, OURS, Params, parsed
from benchmarks.profiling import in_fresh_process
from benchmarks.tuning import Search, Tuned
from benchmarks.two_stage_experiment import Stage, two_stages
from contracts import Settings
from contracts import columns as c
from contracts.errors import UnknownMethod
from evaluation import RankedLists
from evaluation.anonymized_metrics import anonymized, history_labels, week_metrics
from evaluation.results import full_ranking
from pipeline.ingestion import ImportRequest, import_files
from ranking.rank_users import RankingConfig

KIND, TARGET = "ranking", 1.1
PARTS = ("reranker", "candidates", "slate", "windows")
PEERS = ("most_popular", "item_knn", "ials", "ease")


class RankingBenchConfig(BaseModel):
    """What `--set` reaches beside the peers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    windows: WindowsConfig = WindowsConfig()
    ranking: RankingConfig = RankingConfig()


@dataclass(frozen=True)
class Plan:
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


def rank(plan: Plan, settings: Settings) -> dict[str, Any]:
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
    peer_plan = comparison.Plan(plan.data, plan.dataset, plan.peers, plan.trials, plan.fixed, plan.out, plan.command)
    skipped = refusals(peer_plan, search)
    plan.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="lake-", dir=plan.out) as lake:
        import_files(ImportRequest("movielens", events=[folder]), lake_root=Path(lake), landed_at=datetime.now(UTC))
        job = Job(Path(lake), time_splits, split, config.ranking, config.windows.max_training_users, settings)
        stages = in_fresh_process(two_stages, job)
    peers = [compared(name, peer_plan, search) for name in plan.peers if name not in skipped]
    ours = [row_of(name, stage, split, plan.ours) for name, stage in stages.items()]
    rows = [*peers, *ours]
    run = summary(peer_plan, search, rows, skipped) | {
        "kind": KIND,
        "ours": FINAL,
        "target": TARGET,
        "windows": config.windows.model_dump(mode="json"),
        "gains": gains(rows, search.seed, FINAL),
    }
    write(plan.out, run, rows, split)
    compared_on = fingerprint(split, test_users(split))
    track(run, {row.measured.name: row.record(compared_on, search.metric) for row in rows}, settings, plan.out, KIND)
    return run


def row_of(name: str, stage: Stage, split: Split, params: Params) -> Row:
    """One of ours as a row of the table; `params` are what was set."""
    user_ids, item_ids = test_users(split), stage.fit.item_ids
    labels = labels_of(split.test, user_ids, item_ids)
    measured = full_ranking(name, RankedLists(stage.fit.top.rows), labels, split.k, item_count=len(item_ids))
    tuned = Tuned(dict(params), 0, stage.validation)
    users = {"history": history_labels(training_item_counts(split, user_ids))}
    per_user = anonymized([week_metrics(user_ids, measured.per_user, users=users, items={})])
    return Row(measured, stage.fit, tuned, stage.config, per_user)
