"""Load on a server from `h2load` (nghttp2), with one generator process for each client.

In a closed loop, a client sends its next request when it has the answer. In an open loop, requests are due at a fixed
rate, whatever the answers take, up to `OPEN_CLIENTS` at once. `h2load` sends a request late if its connection waits for
an answer when it is due, and counts its time from then on. Here the time counts from when it was due.

Each client has the users in an order of its own, because `h2load` gives all clients of one process the same order: they
would request the same user at the same time.
"""

import math
import random
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from benchmarks.server_process import ServerProcess
from contracts.errors import LoadFailed, ToolMissing

TOOL = "h2load"
HOW_TO_INSTALL = "install nghttp2 (Debian and Ubuntu: apt-get install nghttp2-client; macOS: brew install nghttp2)"
OPEN_CLIENTS = 32
FAILED = re.compile(r"(\d+) failed, (\d+) errored, (\d+) timeout")
QUANTILES = (50, 95, 99)


@dataclass(frozen=True)
class LoadPlan:
    """What is sent: without a `rate`, a closed loop."""

    clients: int
    seconds: float
    limit: int
    rate: float | None = None

    @classmethod
    def at_rate(cls, rate: float, seconds: float, limit: int) -> "LoadPlan":
        """An open loop."""
        return cls(min(OPEN_CLIENTS, max(1, math.ceil(rate))), seconds, limit, rate)


@dataclass(frozen=True)
class LoadResult:
    """What came of it. `cpu_ms` is the server's processor time for each request, `busiest_share` the part of the worker
    that works most: connections stay with the worker that accepted them."""

    clients: int
    rate: float | None
    requests: int
    throughput: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    cpu_ms: float
    busiest_share: float

    @property
    def is_open(self) -> bool:
        """Whether requests were sent at a fixed rate."""
        return self.rate is not None


def find_tool() -> str:
    """The path of the load generator. Raises `ToolMissing`."""
    path = shutil.which(TOOL)
    if path is None:
        raise ToolMissing(f"{TOOL} is not on the PATH; {HOW_TO_INSTALL}")
    return path


def load(server: ServerProcess, users: Sequence[str], plan: LoadPlan) -> LoadResult:
    """Request feeds of many users. Raises `ToolMissing`, and `LoadFailed` where an answer is not 200."""
    tool, workers, cpu_s, before = find_tool(), server.workers(), server.cpu_seconds(), server.worker_seconds()
    with TemporaryDirectory() as folder:  # the lists of addresses contain user ids
        logs = _run_clients(tool, server, users, plan, Path(folder))
    rows = np.concatenate([_from_due_times(_log_rows(log), plan) for log in logs])
    _require_success(rows[:, 1])
    if server.workers() != workers:
        raise LoadFailed("a worker of the server ended under load; read the server's log")
    by_worker = server.worker_seconds() - before
    return _result(plan, rows, server.cpu_seconds() - cpu_s, float(by_worker.max() / max(by_worker.sum(), 1e-9)))


def _run_clients(tool: str, server: ServerProcess, users: Sequence[str], plan: LoadPlan, folder: Path) -> Sequence[str]:
    """The log of each client."""
    with ExitStack() as stack:
        clients = []
        for number in range(plan.clients):
            files = folder / f"{number}.urls", folder / f"{number}.log"
            files[0].write_text("\n".join(_addresses(server, users, plan.limit, seed=number)))
            command = _command(tool, server, plan, *files)
            clients.append(stack.enter_context(_started(command)))
            if plan.rate:
                time.sleep(1 / plan.rate)  # evenly spaced requests, not bursts of all clients
        for client in clients:
            _require_no_failure(client)
    return [(folder / f"{number}.log").read_text() for number in range(plan.clients)]


def _started(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603


def _addresses(server: ServerProcess, users: Sequence[str], limit: int, *, seed: int) -> Sequence[str]:
    shuffled = random.Random(seed).sample(users, len(users))
    return [f"{server.url}/v1/users/{quote(user, safe='')}/home-feed?limit={limit}" for user in shuffled]


def _command(tool: str, server: ServerProcess, plan: LoadPlan, urls: Path, log: Path) -> Sequence[str]:
    header = f"Authorization: Bearer {server.feed_key}"
    paced = ["--rps", f"{plan.rate / plan.clients:.6f}"] if plan.rate else []
    command = [tool, "--h1", "-c", "1", "-i", str(urls), "-D", f"{round(1000 * plan.seconds)}ms", "-H", header, *paced]
    return [*command, "--log-file", str(log)]


def _require_no_failure(client: subprocess.Popen[str]) -> None:
    output, _ = client.communicate()
    counts = FAILED.search(output)
    if client.returncode or counts is None:
        last = output.strip().splitlines()[-1:] or ["no output"]
        raise LoadFailed(f"{TOOL} ended with status {client.returncode}: {last[0]}; {HOW_TO_INSTALL}")
    if int(counts[2]) or int(counts[3]):
        raise LoadFailed(f"{counts[2]} requests broke off and {counts[3]} timed out; read the server's log")


def _log_rows(log: str) -> NDArray[np.float64]:
    """[R, 3] start in microseconds, status, microseconds until the end of the answer."""
    rows = [line.split("\t")[:3] for line in log.splitlines()]
    return np.array(rows, np.float64).reshape(-1, 3)


def _from_due_times(rows: NDArray[np.float64], plan: LoadPlan) -> NDArray[np.float64]:
    """The rows of one client, with the start of a request that had to wait for the answer before it set back to when it
    was due (Tene's coordinated omission)."""
    if plan.rate is None or not len(rows):
        return rows
    starts, ends = rows[:, 0], rows[:, 0] + rows[:, 2]
    due = starts[0] + np.arange(len(rows)) * 1e6 * plan.clients / plan.rate
    waited = np.append(False, due[1:] < ends[:-1])
    begun = np.where(waited, np.minimum(due, starts), starts)
    return np.stack([begun, rows[:, 1], ends - begun], axis=1)


def _require_success(statuses: NDArray[np.float64]) -> None:
    others, counts = np.unique(statuses[statuses != 200], return_counts=True)
    if len(others) or not len(statuses):
        found = ", ".join(f"{count} with status {status:.0f}" for status, count in zip(others, counts, strict=True))
        raise LoadFailed(f"of {len(statuses)} answers, {found or 'none came'}; all must be 200; read the server's log")


def _result(plan: LoadPlan, rows: NDArray[np.float64], cpu_s: float, busiest_share: float) -> LoadResult:
    times_ms = rows[:, 2] / 1000
    seconds = (np.max(rows[:, 0] + rows[:, 2]) - np.min(rows[:, 0])) / 1e6
    p50, p95, p99 = (float(np.percentile(times_ms, share)) for share in QUANTILES)
    return LoadResult(
        clients=plan.clients,
        rate=plan.rate,
        requests=len(rows),
        throughput=round(len(rows) / seconds, 1),
        p50_ms=round(p50, 2),
        p95_ms=round(p95, 2),
        p99_ms=round(p99, 2),
        max_ms=round(float(times_ms.max()), 2),
        cpu_ms=round(1000 * cpu_s / len(rows), 2),
        busiest_share=round(busiest_share, 2),
    )
