"""Load on a server from `h2load` (nghttp2), with one generator process for each client.

In a closed loop, a client sends its next request when it has the answer. In an open loop, requests are sent at a fixed
rate, whatever the answers take (Tene's coordinated omission): a client that waits for an answer sends the next one on
the same connection, up to `IN_FLIGHT`. A new connection starts with a request that is not due, which adds to the rate.

Each client has the users in an order of its own, because `h2load` gives all clients of one process the same order: they
would request the same user at the same time.
"""

import math
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
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
OPEN_CLIENTS, IN_FLIGHT = 32, 32
"""Connections of an open loop, and requests at once on each. With one, `h2load` counts no time that requests wait, and
sends nothing more once the server has ended a connection."""
LATE_S = 0.25
"""After its time a client is stopped: `h2load` does not end if it had to connect anew, and sends on."""
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
    """What came of it. `throughput` counts the requests of an open loop that were due. `cpu_ms` is the server's
    processor time for each request, `busiest_share` the part of the worker that works most."""

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
    rows = np.concatenate([_log_rows(log) for log in logs])
    _require_success(rows[:, 1])
    if server.workers() != workers:
        raise LoadFailed("a worker of the server ended under load; read the server's log")
    by_worker = server.worker_seconds() - before
    return _result(plan, rows, server.cpu_seconds() - cpu_s, float(by_worker.max() / max(by_worker.sum(), 1e-9)))


def _run_clients(tool: str, server: ServerProcess, users: Sequence[str], plan: LoadPlan, folder: Path) -> Sequence[str]:
    """The log of each client."""
    files = [(folder / f"{number}.urls", folder / f"{number}.log") for number in range(plan.clients)]
    for number, (urls, _) in enumerate(files):
        urls.write_text("\n".join(_addresses(server, users, plan, seed=number)))
    with ExitStack() as stack:
        clients = []
        for urls, log in files:
            client = stack.enter_context(_started(_command(tool, server, plan, urls, log)))
            clients.append((client, time.monotonic() + plan.seconds + LATE_S))
            if plan.rate:
                time.sleep(1 / plan.rate)  # evenly spaced requests, not bursts of all clients
        for client, end in clients:
            _require_no_failure(client, end)
    return [log.read_text() for _, log in files]


@contextmanager
def _started(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A client that ends with the block, whatever happens."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as client:  # noqa: S603
        try:
            yield client
        finally:
            client.kill()


def _addresses(server: ServerProcess, users: Sequence[str], plan: LoadPlan, *, seed: int) -> Sequence[str]:
    """In an open loop as many as are requested, since a client that reads more of them starts late."""
    wanted = math.ceil(plan.seconds * plan.rate / plan.clients) + 1 if plan.rate else len(users)
    drawn = random.Random(seed).sample(users, min(wanted, len(users)))
    return [f"{server.url}/v1/users/{quote(user, safe='')}/home-feed?limit={plan.limit}" for user in drawn]


def _command(tool: str, server: ServerProcess, plan: LoadPlan, urls: Path, log: Path) -> Sequence[str]:
    header = f"Authorization: Bearer {server.feed_key}"
    paced = ["--rps", f"{plan.rate / plan.clients:.6f}", "-m", str(IN_FLIGHT)] if plan.rate else []
    command = [tool, "--h1", "-c", "1", "-i", str(urls), "-D", f"{round(1000 * plan.seconds)}ms", "-H", header, *paced]
    return [*command, "--log-file", str(log)]


def _require_no_failure(client: subprocess.Popen[str], end: float) -> None:
    try:
        output, _ = client.communicate(timeout=max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        client.kill()
        return
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


def _require_success(statuses: NDArray[np.float64]) -> None:
    others, counts = np.unique(statuses[statuses != 200], return_counts=True)
    if len(others) or not len(statuses):
        found = ", ".join(f"{count} with status {status:.0f}" for status, count in zip(others, counts, strict=True))
        raise LoadFailed(f"of {len(statuses)} answers, {found or 'none came'}; all must be 200; read the server's log")


def _result(plan: LoadPlan, rows: NDArray[np.float64], cpu_s: float, busiest_share: float) -> LoadResult:
    times_ms = rows[:, 2] / 1000
    span = float(np.max(rows[:, 0] + rows[:, 2]) - np.min(rows[:, 0])) / 1e6
    not_due, apart = (plan.clients, (plan.clients - 1) / plan.rate) if plan.rate else (0, 0.0)
    throughput = (len(rows) - not_due) / max(plan.seconds, span - apart)
    p50, p95, p99 = (float(np.percentile(times_ms, share)) for share in QUANTILES)
    return LoadResult(
        clients=plan.clients,
        rate=plan.rate,
        requests=len(rows),
        throughput=round(throughput, 1),
        p50_ms=round(p50, 2),
        p95_ms=round(p95, 2),
        p99_ms=round(p99, 2),
        max_ms=round(float(times_ms.max()), 2),
        cpu_ms=round(1000 * cpu_s / len(rows), 2),
        busiest_share=round(busiest_share, 2),
    )
