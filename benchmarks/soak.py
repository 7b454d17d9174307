"""The soak: a server near its limit for minutes, while releases are swapped and rolled back, users opt out, and workers
are killed. It counts what must never happen.
"""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
from ranking.reranker import RerankerConfig
from serving.privacy.opt_out_store import OptOutStore
from serving.releases.publish import publish, rollback
from serving.releases.serialization import write_release

KIND, METRICS, LOG = "serving", "metrics.json", "server.log"
PREFIXES = ("a-", "b-", "c-")
CLIENTS, OPT_OUT_POOL, POOL_SHARE, OPTED_OUT = 16, 200, 0.1, 20
"""Connections that request feeds; users that opt out and in, the share of requests for them, and how many are out."""
LIMIT = 50
LONGEST_TRIAL_S = 5.0


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


def soak(size: Size, plan: SoakPlan, config: RerankerConfig | None = None) -> dict[str, Any]:
    """Run the soak on a lake of its own under `plan.out`; write `metrics.json` there and return it."""
    with TemporaryDirectory(dir=plan.out) as folder:
        settings = Settings(lake=str(Path(folder) / "lake"))
        builds = built_releases(size, Path(folder), config or RerankerConfig())
        prefixes = {publish(path, settings.release_root).manifest.version: name for name, path in builds.items()}
        OptOutStore.of(settings).create()
        with served(settings, workers=plan.workers, log=plan.out / LOG) as server:
            result = _soaked(server, SoakState(prefixes), plan, list(builds.values()), settings.release_root, size)
    replace_file(plan.out / METRICS, json.dumps(result, indent=1).encode() + b"\n")
    return result


def _soaked(
    server: ServerProcess, state: SoakState, plan: SoakPlan, builds: Sequence[Path], root: Path, size: Size
) -> dict[str, Any]:
    users = [f"u{number}" for number in range(size.users)]
    with _clients(server, SoakState(state.prefixes), users, rate=None) as trial:  # no opt-outs, no pauses
        time.sleep(min(LONGEST_TRIAL_S, plan.seconds / 4))
    most = trial.counts["feeds"] / min(LONGEST_TRIAL_S, plan.seconds / 4)
    rate = max(1.0, plan.share * most)
    with _clients(server, state, users, rate), _opt_outs(server, state, users[:OPT_OUT_POOL], plan.changes_per_s):
        _operate(server, state, plan, builds, root)
    time.sleep(1)  # a worker that was killed last is started again
    return _result(state, plan, rate, len(server.workers()))


@contextmanager
def _clients(server: ServerProcess, state: SoakState, users: Sequence[str], rate: float | None) -> Iterator[SoakState]:
    """Request feeds in the background, at a rate or as fast as the server answers."""
    interval_s = CLIENTS / rate if rate else 0.0

    def work(stop: threading.Event, number: int) -> None:
        client, draw = SoakClient(server, state), random.Random(number)
        for _ in _ticks(stop, interval_s, delay_s=interval_s * number / CLIENTS):
            pool = users[:OPT_OUT_POOL] if draw.random() < POOL_SHARE else users
            client.feed(draw.choice(pool), LIMIT)

    with _threads([lambda stop, number=number: work(stop, number) for number in range(CLIENTS)]):  # type: ignore[misc]
        yield state


@contextmanager
def _opt_outs(server: ServerProcess, state: SoakState, pool: Sequence[str], per_s: float) -> Iterator[None]:
    """Users opt out, request their feed at once, and opt in some changes later."""

    def work(stop: threading.Event) -> None:
        client = SoakClient(server, state)
        for turn, _ in enumerate(_ticks(stop, 1 / per_s)):
            place = turn // 2
            if turn % 2:
                client.opt_in(pool[(place - OPTED_OUT) % len(pool)])
            else:
                client.opt_out(pool[place % len(pool)])
                client.feed(pool[place % len(pool)], LIMIT)

    with _threads([work]):
        yield


@contextmanager
def _threads(works: Sequence[Callable[[threading.Event], None]]) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=work, args=(stop,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _ticks(stop: threading.Event, interval_s: float, *, delay_s: float = 0) -> Iterator[None]:
    """One tick each interval until the stop; a late tick comes at once, and the ones that it missed never."""
    at = time.monotonic() + delay_s
    while not stop.wait(max(0.0, at - time.monotonic())):
        yield
        at = max(at + interval_s, time.monotonic() - interval_s)


def _operate(server: ServerProcess, state: SoakState, plan: SoakPlan, builds: Sequence[Path], root: Path) -> None:
    """What an operator and accidents do, each at its time."""
    versions = list(state.prefixes)
    turns = {"swaps": 0, "rollbacks": 0, "killed_workers": 0}
    every_s = (plan.swap_every_s, plan.rollback_every_s, plan.kill_every_s)
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < plan.seconds:
        for name, interval_s in zip(turns, every_s, strict=True):
            if passed >= (turns[name] + 1) * interval_s:
                turns[name] += 1
                _act(
                    name,
                    server,
                    builds[turns["swaps"] % len(builds)],
                    root,
                    versions[(turns["swaps"] - 1) % len(versions)],
                )
                state.count(name)
        time.sleep(0.05)


def _act(name: str, server: ServerProcess, build: Path, root: Path, before: str) -> None:
    if name == "swaps":
        publish(build, root, keep=len(PREFIXES))
    elif name == "rollbacks":
        rollback(root, before)
    else:
        random.choice(server.workers()).kill()


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
    broken = (CLIENTS + 1) * counts["killed_workers"]
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
