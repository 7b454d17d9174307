"""The cost of lists in this process, on one thread: batch inference to files, requests for one user, and for many.

Processor time counts; the wall-clock time of a busy machine would not.
"""

import resource
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from serving.bulk_feed import BulkFeed
from serving.feed import HomeFeed
from serving.feed_request import FeedRequest
from serving.list_shards import ShardWriter
from serving.privacy.opt_out_service import OptOutService
from serving.releases.loaded_release import Release

LISTS = "lists"
RUNS = 3
SINGLE, MANY, MOST_USERS = 200, 500, 2000


@dataclass(frozen=True)
class ListCosts:
    """Processor time on one thread; the least of some runs, but for the percentiles."""

    batch_users: int
    batch_cpu_s: float
    batch_users_per_cpu_s: int
    batch_rows: int
    one_user_p50_cpu_ms: float
    one_user_p95_cpu_ms: float
    many_users: int
    many_users_cpu_ms: int
    peak_rss_mb: int


def list_costs(
    release: Release, stores: OptOutService, home: HomeFeed, bulk: BulkFeed, users: Sequence[str], out: Path, k: int
) -> ListCosts:
    """Measure all parts for at most `MOST_USERS` of these users; the lists are written to `out`."""
    some, many = list(users[:MOST_USERS]), list(users[:MANY])
    batch_s, rows = _batch(release, stores, some, out / LISTS, k)
    singles = [_cpu_seconds(partial(home.served, FeedRequest(user, k))) for user in users[:SINGLE]]
    many_s = min(_cpu_seconds(lambda: bulk.served(many, limit=k)) for _ in range(RUNS))
    p50, p95 = (1000 * float(np.percentile(singles or [0.0], share)) for share in (50, 95))
    return ListCosts(
        batch_users=len(some),
        batch_cpu_s=round(batch_s, 3),
        batch_users_per_cpu_s=round(len(some) / batch_s),
        batch_rows=rows,
        one_user_p50_cpu_ms=round(p50, 1),
        one_user_p95_cpu_ms=round(p95, 1),
        many_users=len(many),
        many_users_cpu_ms=round(1000 * many_s),
        peak_rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    )


def _batch(release: Release, stores: OptOutService, users: Sequence[str], folder: Path, k: int) -> tuple[float, int]:
    """The least processor time of some runs, each into an empty folder, and the rows of one."""
    seconds, rows = [], 0
    for _ in range(RUNS):
        shutil.rmtree(folder, ignore_errors=True)
        started = time.process_time()
        rows = ShardWriter(release, stores.opt_outs, stores.events, folder).write(list(users), k).rows
        seconds.append(time.process_time() - started)
    return min(seconds), rows


def _cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started
