"""Forked workers, as the supervisor sees them."""

import multiprocessing
import os
import signal
import threading
import time

from uvicorn import Config, _subprocess

from serving.http.worker_processes import ForkedWorker


class Silent(ForkedWorker):
    """A worker that gives no sign of life."""

    def target(self, sockets=None):
        time.sleep(60)


def test_a_worker_that_is_killed_while_it_is_asked_for_a_sign_of_life_is_noticed_at_once(monkeypatch):
    monkeypatch.setattr(_subprocess, "spawn", multiprocessing.get_context("fork"))
    worker = Silent(Config("nothing:nothing"), [])
    worker.start()
    threading.Timer(0.2, os.kill, [worker.pid, signal.SIGKILL]).start()
    started = time.monotonic()
    assert not worker.is_alive(timeout=20)
    assert time.monotonic() - started < 10
    worker.kill()
    worker.join()
