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

HOST = "127.0.0.1"
COMMAND = "from cli import main; main()"
WORKER = "spawn_main"
"""In the command line of each process that uvicorn's supervisor starts."""
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
        return [child for child in self.process.children() if _is_worker(child)] or [self.process]

    def cpu_seconds(self) -> float:
        """Processor time of the server and its children so far."""
        times = [process.cpu_times() for process in (self.process, *self.process.children(recursive=True))]
        return float(sum(each.user + each.system for each in times))

    def worker_seconds(self) -> NDArray[np.float64]:
        """Processor time of each worker so far."""
        return np.array([sum(worker.cpu_times()[:2]) for worker in self.workers()])

    def private_mb(self, release_root: Path) -> float:
        """Memory that only one worker has, the mean of all workers; mapped files of a release are shared and not
        counted."""
        return sum(_private_bytes(worker, release_root) for worker in self.workers()) / len(self.workers()) / MB


def _is_worker(process: psutil.Process) -> bool:
    try:
        return WORKER in " ".join(process.cmdline())
    except psutil.Error:  # it ended a moment ago
        return False


def _private_bytes(worker: psutil.Process, release_root: Path) -> int:
    maps = worker.memory_maps(grouped=True)
    return sum(each.private_clean + each.private_dirty for each in maps if not each.path.startswith(str(release_root)))


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
