"""Runs the application under uvicorn. Several workers are forked from one process that has imported everything.

Forked workers share the memory of what was imported, and start at once. uvicorn starts its workers anew (`spawn`); an
option to fork them is proposed there (Kludex/uvicorn, pull request 3031) and will replace `fork_workers`.
"""

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import uvicorn
from uvicorn import _subprocess
from uvicorn.supervisors import multiprocess

from contracts import Settings
from contracts.stop_signals import leave_signals
from serving.ab_experiment import read_experiment
from serving.cursor import signing_keys
from serving.http.auth import check_binding
from serving.http.compiled_code import load_compiled_code
from serving.http.connection_balance import BALANCE
from serving.http.middleware import origins_of
from serving.http.protocol import LimitedProtocol
from serving.http.rate_limits import COUNTS_FILE, RateLimits
from serving.http.request_tracing import tracing_endpoint
from serving.http.server_logging import logging_config
from serving.privacy.pseudonyms import pseudonym_key
from serving.releases.early_copy import EarlyCopy

WORKER_TIMEOUT_S = 30
"""How long a worker may give no sign of life, from the start of its process. With uvicorn's five seconds, workers on a
busy machine were killed while they started, again and again."""
PR_SET_PDEATHSIG = 1
"""The number of `prctl`'s option in Linux, which Python lacks."""
IMPORTED_FIRST = (
    "lightgbm",
    "pyarrow.dataset",
    "serving.http.app",
)
"""All that a worker needs. None of them starts a thread that must live on after a fork."""


def run(settings: Settings, *, host: str, port: int, workers: int, shared_folder: Path, copying: EarlyCopy) -> None:
    """Serve until stopped. Raises `UnsafeBinding` and `BadSetting` before the release is loaded."""
    check_binding(settings, host)
    origins_of(settings)
    RateLimits(settings)
    read_experiment(settings.experiment)
    tracing_endpoint(settings)
    leave_signals()  # uvicorn ends the requests in progress first
    os.environ["TASTEFEED_CURSOR_KEYS"] = signing_keys(settings)  # the same in all workers
    os.environ["TASTEFEED_PSEUDONYM_KEY"] = pseudonym_key(settings)
    os.environ[COUNTS_FILE] = str(shared_folder / "rate_counts")  # of several workers each opens it, this process never
    if workers > 1:
        fork_workers(copying)
    uvicorn.run(
        "serving.http.server:application",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        access_log=False,  # its lines contain paths, and paths contain user ids
        log_config=logging_config(settings.log_format),
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        http=LimitedProtocol,
        ws="none",  # the server has no WebSockets, and their protocol would bypass the limits
        server_header=False,
        timeout_worker_healthcheck=WORKER_TIMEOUT_S,
    )


class ForkedWorker(multiprocess.Process):
    """A worker whose end the supervisor notices at once.

    uvicorn keeps the worker's end of their pipe open. It waits `WORKER_TIMEOUT_S` for a worker that was killed while it
    was asked for a sign of life, and replaces no other worker meanwhile.
    """

    def start(self) -> None:
        """Fork, and leave the worker's end of the pipe to the worker."""
        BALANCE.assign(self.process)
        super().start()
        self.child_conn.close()


def fork_workers(copying: EarlyCopy) -> None:
    """Import the application and load its machine code, and let uvicorn fork its workers."""
    for name in IMPORTED_FIRST:
        import_module(name)
    load_compiled_code()
    copying.wait()
    multiprocess.Process = ForkedWorker  # type: ignore[misc]
    _subprocess.spawn = multiprocessing.get_context("fork")  # type: ignore[assignment]  # has the same `Process`
    os.register_at_fork(after_in_child=_default_signals)
    os.register_at_fork(after_in_child=partial(_end_with, os.getpid()))
    gc.collect()
    gc.freeze()  # a collection writes to the objects that it visits, and would copy their memory to each worker


def _default_signals() -> None:
    """The supervisor collects signals in a queue that a worker would never read."""
    for number in multiprocess.SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _end_with(supervisor: int) -> None:
    """Ask the kernel for a SIGTERM when the supervisor ends. The workers of a killed one would serve on, and keep the
    port and the copy of the release."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != supervisor:  # it ended a moment ago
            signal.raise_signal(signal.SIGTERM)
