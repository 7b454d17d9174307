"""The soak: a server near its limit for minutes, while releases are swapped and rolled back, users opt out, and workers
are killed. It counts what must never happen.
"""

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.profiling import machine
from benchmarks.server_process import ServerProcess, served
from benchmarks.soak_client import SoakState
from benchmarks.soak_traffic import CHANGERS, CLIENTS, throughput, traffic
from benchmarks.synthetic_release import SEED, contents, renamed
from benchmarks.synthetic_tables import Size, synthetic_tables
from contracts import Settings
from contracts.atomic_files import replace_file
from pipeline.stage_progress import StageProgress
from ranking.reranker import RerankerConfig
from serving.privacy.opt_out_store import OptOutStore
from serving.releases.publish import publish, rollback
from serving.releases.serialization import write_release

KIND, METRICS, LOG = "serving", "metrics.json", "server.log"
PREFIXES = ("a-", "b-", "c-")
LONGEST_TRIAL_S, RESTARTED_WITHIN_S = 15.0, 40.0


@dataclass(frozen=True)
class SoakPlan:
    """How long, and how often what happens."""

    out: Path
    command: str
    seconds: float = 600
    share: float = 0.7
    """Share of the measured throughput at which feeds are requested. It is measured beside the changes of opt-outs."""
    rate: float | None = None
    """Feeds a second, instead of a share."""
    swap_every_s: float = 20
    rollback_every_s: float = 60
    kill_every_s: float = 60
    changes_per_s: float = 20
    """Changes of opt-outs."""
    workers: int = 2

    @property
    def trial_s(self) -> float:
        """How long the throughput is measured before the soak begins."""
        return min(LONGEST_TRIAL_S, self.seconds / 4)


def built_releases(size: Size, folder: Path, config: RerankerConfig) -> dict[str, Path]:
    """Folders of releases that differ in the ids of all items, by the prefix of these ids."""
    tables = synthetic_tables(size, SEED)
    with TemporaryDirectory(dir=folder) as scratch:
        whole = contents(tables, Path(scratch), SEED, config)
        for prefix in PREFIXES:
            write_release(replace(renamed(whole, prefix), tower=f"{whole.tower}-{prefix}"), folder / f"built-{prefix}")
    return {prefix: folder / f"built-{prefix}" for prefix in PREFIXES}


@dataclass(frozen=True)
class _Soak:
    """A server that runs, and what happens to it."""

    plan: SoakPlan
    server: ServerProcess
    state: SoakState
    builds: Sequence[Path]
    root: Path
    users: Sequence[str]
    progress: StageProgress


def soak(size: Size, plan: SoakPlan, progress: StageProgress, config: RerankerConfig | None = None) -> dict[str, Any]:
    """Run the soak on a lake of its own under `plan.out`; write `metrics.json` there and return it."""
    with TemporaryDirectory(dir=plan.out) as folder:
        settings = Settings(lake=str(Path(folder) / "lake"))
        progress.report("building releases")
        builds = built_releases(size, Path(folder), config or RerankerConfig())
        prefixes = {publish(path, settings.release_root).manifest.version: name for name, path in builds.items()}
        OptOutStore.of(settings).create()
        users = [f"u{number}" for number in range(size.users)]
        with served(settings, workers=plan.workers, log=plan.out / LOG) as server:
            folders = list(builds.values())
            run = _Soak(plan, server, SoakState(prefixes), folders, settings.release_root, users, progress)
            result = _soaked(run)
    replace_file(plan.out / METRICS, json.dumps(result, indent=1).encode() + b"\n")
    return result


def _soaked(run: _Soak) -> dict[str, Any]:
    rate = run.plan.rate or _share_of_throughput(run)
    with traffic(run.server, run.state, run.users, rate, run.plan.changes_per_s):
        _operate(run)
        reached = {name: round(count / run.plan.seconds, 1) for name, count in _reached(run.state)}
    end = time.monotonic() + RESTARTED_WITHIN_S
    while len(run.server.workers()) < run.plan.workers and time.monotonic() < end:
        time.sleep(0.1)  # a worker that was killed last is started again
    return _result(run.state, run.plan, rate, len(run.server.workers())) | reached


def _share_of_throughput(run: _Soak) -> float:
    plan = run.plan
    return plan.share * throughput(run.server, run.state.prefixes, run.users, plan.changes_per_s, plan.trial_s)


def _reached(state: SoakState) -> Sequence[tuple[str, int]]:
    return ("feeds_per_s", state.feeds), ("changes_per_s", state.counts["opt_out_changes"])


def _operate(run: _Soak) -> None:
    """What an operator and accidents do, each at its time."""
    counts, versions, begun = run.state.counts, list(run.state.prefixes), time.monotonic()

    def is_due(name: str, every_s: float) -> bool:
        is_now = time.monotonic() - begun >= (counts[name] + 1) * every_s
        if is_now:
            run.state.count(name)
        return is_now

    while (passed := time.monotonic() - begun) < run.plan.seconds:
        run.progress.report("seconds", round(passed), round(run.plan.seconds))
        if is_due("swaps", run.plan.swap_every_s):
            publish(run.builds[counts["swaps"] % len(run.builds)], run.root, keep=len(run.builds))
        if is_due("rollbacks", run.plan.rollback_every_s):
            rollback(run.root, versions[counts["swaps"] % len(versions) - 1])
        if is_due("killed_workers", run.plan.kill_every_s):
            random.choice(run.server.workers()).kill()
        time.sleep(0.05)


def _result(state: SoakState, plan: SoakPlan, rate: float, workers: int) -> dict[str, Any]:
    times_ms = [round(float(np.percentile(state.times_ms or [0.0], share)), 1) for share in (50, 95, 99)]
    return {
        "kind": KIND,
        "command": plan.command,
        "minutes": round(plan.seconds / 60, 2),
        "rate": round(rate, 1),
        "share": None if plan.rate else plan.share,
        "wanted_changes_per_s": plan.changes_per_s,
        "counts": {**dict.fromkeys(REPORTED, 0), **state.counts, "releases_served": len(state.versions)},
        "p50_ms": times_ms[0],
        "p95_ms": times_ms[1],
        "p99_ms": times_ms[2],
        "failures": failures(state, plan, workers),
        "machine": machine(),
    }


REPORTED = ("feeds", "feeds_without_a_profile", "opt_out_changes", "repeated_opt_out_changes",
            "opt_out_changes_not_acknowledged", "swaps", "rollbacks", "killed_workers", "refused_overloaded",
            "refused_opt_out_store_unavailable", "broken_connections", "mixed_releases",
            "profiled_after_opt_out")  # fmt: skip


def failures(state: SoakState, plan: SoakPlan, workers: int) -> list[str]:
    """What happened that must not. A killed worker breaks each connection that it has, at most once."""
    counts = state.counts
    errors = {name: count for name, count in counts.items() if name.startswith("status_")}
    broken = (CLIENTS + CHANGERS) * counts["killed_workers"]
    found = [
        (errors, f"answers that are neither 200 nor shed load: {errors}"),
        (counts["mixed_releases"], f"{counts['mixed_releases']} answers mix two releases"),
        (counts["profiled_after_opt_out"], f"{counts['profiled_after_opt_out']} profiled feeds after an opt-out"),
        (lost := counts["opt_out_changes_not_acknowledged"], f"{lost} changes of opt-outs were never acknowledged"),
        (
            counts["broken_connections"] > broken,
            f"{counts['broken_connections']} connections broke, {broken} explained",
        ),
        (len(state.versions) < 2, "only one release was served"),
        (workers < plan.workers, f"{workers} of {plan.workers} workers are left"),
    ]
    return [text for is_found, text in found if is_found]
