"""The cost of lists: batch inference to files, requests for one user, and requests for many.

Each part runs in this process, on one thread, over the users of the current release. Processor time counts; the
wall-clock time of a busy machine would not.
"""

import json
import os
import resource
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from benchmarks.profiling import machine
from contracts import Settings
from contracts.atomic_files import replace_file
from evaluation import markdown
from serving.bulk_feed import BulkFeed
from serving.cursor import CursorSigner
from serving.feed import HomeFeed
from serving.light_imports import import_lightgbm
from serving.list_shards import ShardWriter
from serving.privacy.consent import ConsentGate
from serving.privacy.opt_out_service import OptOutService
from serving.releases.loaded_release import Release
from serving.releases.release_loader import ReloadingRelease

PAGE, METRICS, LISTS = "benchmarks-serving.md", "metrics.json", "lists"
K = 50
RUNS = 7
SINGLE, MANY = 200, 500
INTRODUCTION = """# Benchmark of serving

`tastefeed bench serving` makes this page. It measures processor time on one thread, in one process, after the release
was loaded. Batch inference includes reading opt-outs, ranking, and writing shards with checksums. Requests are measured
inside the process, without HTTP. Other work on the machine makes every figure larger; each is the least of seven runs,
but for the percentiles.
"""


@dataclass(frozen=True)
class ServingCosts:
    """Processor time on one thread."""

    command: str
    release: str
    users: int
    items: int
    load_cpu_s: float
    batch_cpu_s: float
    batch_users_per_cpu_s: float
    batch_rows: int
    one_user_p50_cpu_ms: float
    one_user_p95_cpu_ms: float
    many_users: int
    many_users_cpu_ms: float
    peak_rss_mb: float
    machine: dict[str, Any]


def measure(settings: Settings, out: Path, command: str) -> ServingCosts:
    """Measure all parts; write `metrics.json`, the page and the lists to `out`."""
    with threadpool_limits(1):
        costs = _measured(settings, out, command)
    replace_file(out / METRICS, json.dumps(asdict(costs), indent=1).encode() + b"\n")
    replace_file(out / PAGE, page(costs).encode())
    return costs


def _measured(settings: Settings, out: Path, command: str) -> ServingCosts:
    import_lightgbm()
    loader, stores = ReloadingRelease(settings.release_root), OptOutService.of(settings)
    load_s = _cpu_seconds(loader.load_first)
    release, gate = loader.get(), ConsentGate(stores.opt_outs, stores.events)
    cursors = CursorSigner.temporary()
    home, bulk = HomeFeed(loader, gate, cursors), BulkFeed(loader, gate, cursors)
    users = release.users.ids.tolist()
    batch_s, rows = _batch(release, stores, out / LISTS)
    singles = [_cpu_seconds(partial(home.feed, user, limit=K)) for user in users[:SINGLE]]
    many = users[:MANY]
    many_s = min(_cpu_seconds(lambda: bulk.feeds(many, limit=K)) for _ in range(RUNS))
    p50, p95 = (1000 * float(np.percentile(singles or [0.0], share)) for share in (50, 95))
    return ServingCosts(
        command=command,
        release=release.version,
        users=len(users),
        items=len(release.items.ids),
        load_cpu_s=round(load_s, 2),
        batch_cpu_s=round(batch_s, 3),
        batch_users_per_cpu_s=round(len(users) / batch_s),
        batch_rows=rows,
        one_user_p50_cpu_ms=round(p50, 1),
        one_user_p95_cpu_ms=round(p95, 1),
        many_users=len(many),
        many_users_cpu_ms=round(1000 * many_s),
        peak_rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        machine=machine(),
    )


def _batch(release: Release, stores: OptOutService, folder: Path) -> tuple[float, int]:
    """The least processor time of some runs, each into an empty folder, and the rows of one."""
    seconds, rows = [], 0
    for _ in range(RUNS):
        shutil.rmtree(folder, ignore_errors=True)
        started = time.process_time()
        rows = ShardWriter(release, stores.opt_outs, stores.events, folder).write(None, K).rows
        seconds.append(time.process_time() - started)
    return min(seconds), rows


def _cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def page(costs: ServingCosts) -> str:
    """The page."""
    rows: Sequence[tuple[str, str]] = [
        (f"lists of {K} for all users, as files: users per second", f"{costs.batch_users_per_cpu_s:,}"),
        ("the same: all users, seconds", f"{costs.batch_cpu_s:.2f}"),
        (f"feed of {K} for one user, with explanations: median, ms", f"{costs.one_user_p50_cpu_ms:.1f}"),
        ("the same: 95th percentile, ms", f"{costs.one_user_p95_cpu_ms:.1f}"),
        (f"feeds of {K} for {costs.many_users} users in one request, ms", f"{costs.many_users_cpu_ms:,}"),
        ("loading the release, s", f"{costs.load_cpu_s:.1f}"),
        ("largest memory of the process, MB", f"{costs.peak_rss_mb:,}"),
    ]
    table = pl.DataFrame(rows, schema=["what", "processor time, or memory"], orient="row")
    about = costs.machine
    conditions = (
        f"Release {costs.release}: {costs.users:,} users, {costs.items:,} items. Run on {about['cores']} cores, "
        f"{about['memory_gb']} GB of memory, {about['system']}, Python {about['python']}, at a load of "
        f"{os.getloadavg()[0]:.1f} from other work."
    )
    return "\n".join([INTRODUCTION, markdown(table), conditions, "", f"Run it again: `{costs.command}`", ""])
