"""The benchmark of serving: a real server under load, beside the bare computation of the same feeds, stage by stage.

The parts that run in this process use one thread, as a worker does. They come before the server starts, so that only
the load generator shares the machine with it.
"""

import json
import os
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.bare_computation import BareComputation, bare_computation, prepared
from benchmarks.fixed_reference import DEFAULT_SIZE, FixedReference, ReferenceSize, fixed_reference
from benchmarks.list_costs import ListCosts, list_costs
from benchmarks.load_generator import LoadPlan, LoadResult, find_tool, load
from benchmarks.profiling import machine, versions
from benchmarks.server_process import MB, served
from benchmarks.stage_times import stage_times
from contracts import Settings, SubjectType
from contracts.atomic_files import replace_file
from contracts.errors import UntrainableInput
from contracts.opt_out_flags import UNREADABLE
from pipeline.stage_progress import StageProgress
from ranking.feature_arrays import Rows
from serving.bulk_feed import BulkFeed
from serving.cursor import CursorSigner
from serving.feed import HomeFeed
from serving.feed_request import FeedParts
from serving.http.light_imports import import_lightgbm
from serving.privacy.consent import ConsentGate
from serving.privacy.opt_out_service import OptOutService
from serving.releases.loaded_release import Release
from serving.releases.release_loader import ReloadingRelease

METRICS, KIND, LOG = "metrics.json", "serving", "server.log"
PAGE_SIZE = 50
CLIENTS = (1, 2, 8)
BARE_USERS, STAGE_USERS, MOST_USERS = 400, 300, 5000
SEED = 7


@dataclass(frozen=True)
class ServingPlan:
    """What is measured."""

    out: Path
    command: str
    seconds: float = 10
    """Duration of each load."""
    rates: tuple[float, ...] = (10, 50, 100)
    """Requests a second of the open loops."""
    workers: int = 0
    """Server processes; 0: one for each core."""
    price_per_core_hour: float = 0.05
    reference: ReferenceSize = DEFAULT_SIZE

    @property
    def server_workers(self) -> int:
        """As many as asked for."""
        return self.workers or os.cpu_count() or 1


@dataclass(frozen=True)
class InProcess:
    """What is measured without a server."""

    release: str
    counts: dict[str, int]
    users: list[str]
    """A sample of users who may be profiled."""
    bare: BareComputation
    reference: FixedReference
    stages: dict[str, float]
    lists: ListCosts


def measure(settings: Settings, plan: ServingPlan, progress: StageProgress) -> dict[str, Any]:
    """Measure everything; write `metrics.json`, the server's log and the lists to `plan.out`. Raises `ToolMissing`."""
    find_tool()
    load_before = round(os.getloadavg()[0], 1)
    progress.report("without a server")
    inside = measured_in_process(settings, plan.out, plan.reference)
    with served(settings, workers=plan.server_workers, log=plan.out / LOG) as server:
        load(
            server, inside.users, LoadPlan(max(CLIENTS), min(3, plan.seconds), PAGE_SIZE)
        )  # each worker has served before it is measured
        loads = [load(server, inside.users, each) for each in progress.each(_load_plans(plan), "loads")]
        figures = {"ready_s": round(server.ready_s, 2), "worker_private_mb": server.private_mb()}
        figures["shared_release_mb"] = server.shared_release_mb()
    figures |= {"release_mb": _size_mb(settings.release_root / inside.release), "load_before": load_before}
    result = summary(plan, inside, loads, figures)
    replace_file(plan.out / METRICS, json.dumps(result, indent=1).encode() + b"\n")
    return result


def _load_plans(plan: ServingPlan) -> list[LoadPlan]:
    closed = [LoadPlan(clients, plan.seconds, PAGE_SIZE) for clients in CLIENTS]
    return [*closed, *(LoadPlan.at_rate(rate, plan.seconds, PAGE_SIZE) for rate in plan.rates)]


def measured_in_process(settings: Settings, out: Path, size: ReferenceSize) -> InProcess:
    """Everything that needs no server, on one thread."""
    import_lightgbm()
    faiss.omp_set_num_threads(1)
    loader = ReloadingRelease(settings.release_root)
    stores = OptOutService.of(settings, wait_s=settings.store_timeout_s)  # keeps its connections, as in a server
    loader.load_first()
    release, gate = loader.get(), ConsentGate(stores.opt_outs, stores.events)
    parts = FeedParts(loader, gate, CursorSigner.temporary())
    home, bulk = HomeFeed(parts), BulkFeed(parts)
    rows = profiled_rows(release, stores)
    users = release.users.ids[rows].tolist()
    with threadpool_limits(1):
        bare = bare_computation(release, prepared(release, rows[:BARE_USERS]), PAGE_SIZE)
        stages = stage_times(home, users[:STAGE_USERS], PAGE_SIZE)
        reference = fixed_reference(size)
        lists = list_costs(release, stores, home, bulk, users, out, PAGE_SIZE)
    stores.close()
    counts = {"items": len(release.items.ids), "users": len(release.users.ids)}
    return InProcess(release.version, counts, users, bare, reference, stages, lists)


def profiled_rows(release: Release, stores: OptOutService) -> Rows:
    """A sample of the users, without those that opted out of being profiled. Raises `UntrainableInput` without any."""
    opted_out = stores.opt_outs.subjects(SubjectType.USER, UNREADABLE)
    rows = list(range(len(release.users.ids)))
    random.Random(SEED).shuffle(rows)
    allowed = [row for row in rows[: MOST_USERS + len(opted_out)] if release.users.ids[row] not in opted_out]
    if not allowed:
        raise UntrainableInput(f"release {release.version} has no user who may be profiled; give a lake with users")
    return np.array(allowed[:MOST_USERS], np.int32)


def summary(
    plan: ServingPlan, inside: InProcess, loads: Sequence[LoadResult], figures: dict[str, float]
) -> dict[str, Any]:
    """Everything that a page is made of; it contains no user id."""
    single, best = loads[0], max(loads, key=lambda each: each.throughput)
    cores = machine()["cores"]
    return {
        "kind": KIND,
        "command": plan.command,
        "release": inside.release,
        "counts": inside.counts,
        "page": PAGE_SIZE,
        "workers": plan.server_workers,
        "loads": [asdict(each) for each in loads],
        "bare": asdict(inside.bare),
        "reference": asdict(inside.reference),
        "stages_ms": inside.stages,
        "lists": asdict(inside.lists),
        **{name: round(value, 2) for name, value in figures.items()},
        "cpu_ms": single.cpu_ms,
        "throughput": best.throughput,
        "p50_over_bare": round(single.p50_ms / inside.bare.p50_ms, 2),
        "p50_over_reference": round(single.p50_ms / inside.reference.p50_ms, 2),
        "cpu_over_bare": round(single.cpu_ms / inside.bare.cpu_ms, 2),
        "throughput_over_bare": round(best.throughput * inside.bare.cpu_ms / 1000 / cores, 2),
        "price_per_core_hour": plan.price_per_core_hour,
        "price_per_1000_feeds": best.cpu_ms / 3600 * plan.price_per_core_hour,
        "machine": machine(),
        "versions": versions(),
    }


def _size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / MB
