"""Independent pieces of work on several threads, for libraries that release Python's lock."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from threading import Event
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
EndIfStopped = Callable[[], None]
"""Raises `CancelledError` once another piece failed or the command was stopped; long work calls it often."""


def side_by_side(work: Callable[[Job, EndIfStopped], Result], jobs: Sequence[Job], threads: int) -> list[Result]:
    """The result of each job, in order; `threads` 0 is every core. An error, or a signal, ends all of them."""
    stopped = Event()

    def end_if_stopped() -> None:
        if stopped.is_set():
            raise CancelledError

    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        futures = [pool.submit(work, job, end_if_stopped) for job in jobs]
        try:
            return [future.result() for future in futures]
        finally:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
