"""`tastefeed serve` as a process of its own, with what the system counts of it: start, processor time and memory."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from contracts import Settings
from contracts.errors import ServerNotReady
from contracts.stop_signals import called_if_stopped
from serving.releases.shared_copies import SharedCopies

HOST = "127.0.0.1"
COMMAND = "from cli import main; main()"
LEFT_OUT = ("TASTEFEED_TLS_CERT", "TASTEFEED_TLS_KEY", "TASTEFEED_RATE_LIMIT", "TASTEFEED_KEYS_FILE")
"""A benchmark measures neither TLS nor the limit of requests."""
READY_WITHIN_S, STOP_WITHIN_S, POLL_S = 120.0, 20.0, 0.02
MB = 1e6
STARTED = "Application startup complete"
"""The line that each worker writes."""


@dataclass(frozen=True)
class ServerProcess:
    """A server that is ready. Its keys are drawn at random and hold as long as it runs."""

    process: psutil.Process
    port: int
    ready_s: float
    """From the start of the process to the first 200 of `/readyz`."""
    feed_key: str
    admin_key: str

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://{HOST}:{self.port}"

    def workers(self) -> list[psutil.Process]:
        """The processes that answer requests: the children of a supervisor, or the server itself."""
        return self.process.children() or [self.process]

    def cpu_seconds(self) -> float:
        """Processor time of the server and its children so far."""
        times = [process.cpu_times() for process in (self.process, *self.process.children(recursive=True))]
        return float(sum(each.user + each.system for each in times))

    def worker_seconds(self) -> NDArray[np.float64]:
        """Processor time of each worker so far."""
        return np.array([sum(worker.cpu_times()[:2]) for worker in self.workers()])

    def private_mb(self) -> float:
        """Memory that only one worker has beside the shared copy of the release, the mean of all workers."""
        return sum(_private_bytes(worker) for worker in self.workers()) / len(self.workers()) / MB

    def shared_release_mb(self) -> float:
        """The copy of the release that all workers map."""
        files = {Path(each.path) for worker in self.workers() for each in worker.memory_maps() if _is_copy(each.path)}
        return sum(path.stat().st_size for path in files if path.exists()) / MB


def _private_bytes(worker: psutil.Process) -> int:
    maps = [each for each in worker.memory_maps(grouped=True) if not _is_copy(each.path)]
    return sum(each.private_clean + each.private_dirty for each in maps)


def _is_copy(path: str) -> bool:
    """Whether a file is one of a shared copy: a page that one worker alone has read counts as its own there too."""
    return SharedCopies().folder.name in Path(path).parts


@contextmanager
def served(settings: Settings, *, workers: int, log: Path) -> Iterator[ServerProcess]:
    """Serve a lake until the block ends. Raises `ServerNotReady`."""
    port, keys = _free_port(), [secrets.token_urlsafe(16) for _ in range(2)]
    command = [sys.executable, "-c", COMMAND, "serve", "--lake", settings.lake, "--port", str(port)]
    variables = {"TASTEFEED_FEED_KEYS": keys[0], "TASTEFEED_ADMIN_KEYS": keys[1]}
    started = time.perf_counter()
    with (
        log.open("w") as output,
        process_group([*command, "--workers", str(workers)], variables, output.fileno()) as run,
    ):
        _wait(run, lambda: _is_ready(port), log)
        ready_s = time.perf_counter() - started
        _wait(run, lambda: log.read_text().count(STARTED) >= workers, log)
        yield ServerProcess(psutil.Process(run.pid), port, ready_s, *keys)


@contextmanager
def process_group(command: list[str], variables: dict[str, str], output: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process group of its own, of which nothing is left at the end, also where a signal ends the benchmark."""
    kept = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    process = subprocess.Popen(  # noqa: S603
        command, env=kept | variables, stdout=output, stderr=output, start_new_session=True
    )
    with called_if_stopped(partial(_kill_group, process)):
        try:
            yield process
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to end; then kill what is left of it, such as workers that did not notice."""
    try:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_WITHIN_S)
    finally:
        _kill_group(process)
        process.wait()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], condition: Callable[[], bool], log: Path) -> None:
    end = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < end and process.poll() is None:
        if condition():
            return
        time.sleep(POLL_S)
    raise ServerNotReady(f"the server was not ready within {READY_WITHIN_S:.0f} s; its output is in {log}")


def _is_ready(port: int) -> bool:
    connection = HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
