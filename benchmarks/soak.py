"""The soak: a server near its limit for minutes, while releases are swapped and rolled back, users opt out, and workers
are killed. It counts what must never happen.
"""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.profiling import machine
from benchmarks.server_process import ServerProcess, served
from benchmarks.soak_client import SoakClient, SoakState
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
CLIENTS, CHANGERS = 16, 4
"""Connections that request feeds, and those that change opt-outs."""
OPT_OUT_POOL, POOL_SHARE = 200, 0.1
"""Users who opt out and in, and the share of requests for them."""
LIMIT = 50
TRIAL_S = 5.0


@dataclass(frozen=True)
class SoakPlan:
    """How long, and how often what happens."""

    out: Path
    command: str
    seconds: float = 600
    share: float = 0.7
    """Of the throughput that the server reaches."""
    swap_every_s: float = 20
    rollback_every_s: float = 60
    kill_every_s: float = 60
    changes_per_s: float = 20
    """Of opt-outs."""
    workers: int = 2


def built_releases(size: Size, folder: Path, config: RerankerConfig) -> dict[str, Path]:
    """Folders of releases that differ in the ids of all items, by the prefix of these ids."""
    tables = synthetic_tables(size, SEED)
    with TemporaryDirectory(dir=folder) as scratch:
        whole = contents(tables, Path(scratch), SEED, config)
        for prefix in PREFIXES:
            write_release(replace(renamed(whole, prefix), tower=f"{whole.tower}-{prefix}"), folder / f"built-{prefix}")
    return {prefix: folder / f"built-{prefix}" for prefix in PREFIXES}


def soak(size: Size, plan: SoakPlan, progress: StageProgress, config: RerankerConfig | None = None) -> dict[str, Any]:
    """Run the soak on a lake of its own under `plan.out`; write `metrics.json` there and return it."""
    with TemporaryDirectory(dir=plan.out) as folder:
        settings = Settings(lake=str(Path(folder) / "lake"))
        progress.report("building releases")
        builds = built_releases(size, Path(folder), config or RerankerConfig())
        prefixes = {publish(path, settings.release_root).manifest.version: name for name, path in builds.items()}
        OptOutStore.of(settings).create()
        with served(settings, workers=plan.workers, log=plan.out / LOG) as server:
            result = _soaked(server, SoakState(prefixes), plan, builds, settings.release_root, size, progress)
    replace_file(plan.out / METRICS, json.dumps(result, indent=1).encode() + b"\n")
    return result


def _soaked(
    server: ServerProcess,
    state: SoakState,
    plan: SoakPlan,
    builds: Mapping[str, Path],
    root: Path,
    size: Size,
    progress: StageProgress,
) -> dict[str, Any]:
    users = [f"u{number}" for number in range(size.users)]
    rate = max(1.0, plan.share * _throughput(server, SoakState(state.prefixes), users, min(TRIAL_S, plan.seconds / 4)))
    feeds = [
        partial(_request_feeds, SoakClient(server, state), users, CLIENTS / rate, number) for number in range(CLIENTS)
    ]
    pools = [users[:OPT_OUT_POOL][number::CHANGERS] for number in range(CHANGERS)]
    changes = [
        partial(_change_opt_outs, SoakClient(server, state), pool, CHANGERS / plan.changes_per_s) for pool in pools
    ]
    with _in_background([*feeds, *changes]):
        _operate(server, state, plan, list(builds.values()), root, progress)
    time.sleep(1)  # a worker that was killed last is started again
    return _result(state, plan, rate, len(server.workers()))


def _throughput(server: ServerProcess, trial: SoakState, users: Sequence[str], seconds: float) -> float:
    """Feeds a second without pauses and opt-outs."""
    clients = [partial(_request_feeds, SoakClient(server, trial), users, 0.0, number) for number in range(CLIENTS)]
    with _in_background(clients):
        time.sleep(seconds)
    return trial.counts["feeds"] / seconds


def _request_feeds(
    client: SoakClient, users: Sequence[str], interval_s: float, number: int, stop: threading.Event
) -> None:
    """One client of `CLIENTS`; its requests lie between those of the others."""
    draw = random.Random(number)
    with closing(client):
        for _ in _ticks(stop, interval_s, delay_s=interval_s * number / CLIENTS):
            some = users[:OPT_OUT_POOL] if draw.random() < POOL_SHARE else users
            client.feed(draw.choice(some), LIMIT)


def _change_opt_outs(client: SoakClient, pool: Sequence[str], interval_s: float, stop: threading.Event) -> None:
    """Users opt out and request their feed at once; half of the pool later, they opt in again."""
    with closing(client):
        for turn, _ in enumerate(_ticks(stop, interval_s)):
            place = turn // 2
            if turn % 2:
                client.opt_in(pool[(place - len(pool) // 2) % len(pool)])
            else:
                client.opt_out(pool[place % len(pool)])
                client.feed(pool[place % len(pool)], LIMIT)


@contextmanager
def _in_background(works: Sequence[Callable[[threading.Event], None]]) -> Iterator[None]:
    """Run all of it until the block ends; its errors are raised here."""
    stop = threading.Event()
    with ThreadPoolExecutor(len(works)) as threads:
        futures = [threads.submit(work, stop) for work in works]
        try:
            yield
        finally:
            stop.set()
        for future in futures:
            future.result()


def _ticks(stop: threading.Event, interval_s: float, *, delay_s: float = 0) -> Iterator[None]:
    """One tick each interval until the stop; a late tick comes at once, and the ones that it missed never."""
    at = time.monotonic() + delay_s
    while not stop.wait(max(0.0, at - time.monotonic())):
        yield
        at = max(at + interval_s, time.monotonic() - interval_s)


def _operate(
    server: ServerProcess, state: SoakState, plan: SoakPlan, builds: Sequence[Path], root: Path, progress: StageProgress
) -> None:
    """What an operator and accidents do, each at its time."""
    versions, begun = list(state.prefixes), time.monotonic()

    def is_due(name: str, every_s: float) -> bool:
        is_now = time.monotonic() - begun >= (state.counts[name] + 1) * every_s
        if is_now:
            state.count(name)
        return is_now

    while time.monotonic() - begun < plan.seconds:
        progress.report("seconds", round(time.monotonic() - begun), round(plan.seconds))
        turn = state.counts["swaps"] + 1
        if is_due("swaps", plan.swap_every_s):
            publish(builds[turn % len(builds)], root, keep=len(builds))
        if is_due("rollbacks", plan.rollback_every_s):
            rollback(root, versions[state.counts["swaps"] % len(versions) - 1])
        if is_due("killed_workers", plan.kill_every_s):
            random.choice(server.workers()).kill()
        time.sleep(0.05)


def _result(state: SoakState, plan: SoakPlan, rate: float, workers: int) -> dict[str, Any]:
    times_ms = [round(float(np.percentile(state.times_ms or [0.0], share)), 1) for share in (50, 95, 99)]
    return {
        "kind": KIND,
        "command": plan.command,
        "minutes": round(plan.seconds / 60, 2),
        "rate": round(rate, 1),
        "share": plan.share,
        "counts": {**dict.fromkeys(REPORTED, 0), **state.counts, "releases_served": len(state.versions)},
        "p50_ms": times_ms[0],
        "p95_ms": times_ms[1],
        "p99_ms": times_ms[2],
        "failures": failures(state, plan, workers),
        "machine": machine(),
    }


REPORTED = ("feeds", "feeds_without_a_profile", "opt_out_changes", "swaps", "rollbacks", "killed_workers", "shed",
            "broken_connections", "mixed_releases", "profiled_after_opt_out")  # fmt: skip


def failures(state: SoakState, plan: SoakPlan, workers: int) -> list[str]:
    """What happened that must not. A killed worker breaks each connection that it has, at most once."""
    counts = state.counts
    errors = {name: count for name, count in counts.items() if name.startswith("status_")}
    broken = (CLIENTS + CHANGERS) * counts["killed_workers"]
    found = [
        (errors, f"answers that are neither 200 nor shed load: {errors}"),
        (counts["mixed_releases"], f"{counts['mixed_releases']} answers mix two releases"),
        (counts["profiled_after_opt_out"], f"{counts['profiled_after_opt_out']} profiled feeds after an opt-out"),
        (
            counts["broken_connections"] > broken,
            f"{counts['broken_connections']} connections broke, {broken} explained",
        ),
        (len(state.versions) < 2, "only one release was served"),
        (workers < plan.workers, f"{workers} of {plan.workers} workers are left"),
    ]
    return [text for is_found, text in found if is_found]
