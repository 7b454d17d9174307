"""Ctrl-C in a night that runs in this process: Airflow takes it for a failed task, and would try that again."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, current_thread, main_thread
from types import FrameType

_ASKED = Event()


def asked_to_end() -> bool:
    """Whether Ctrl-C was pressed in the night that is running."""
    return _ASKED.is_set()


@contextmanager
def ending_at_ctrl_c() -> Iterator[None]:
    """Within this block Ctrl-C is remembered, whoever catches it. Raises `KeyboardInterrupt` at the end if it came."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or current_thread() is not main_thread():
        yield  # somebody else's to handle, or ignored as in a job of the background
        return
    signal.signal(signal.SIGINT, _remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        asked = asked_to_end()
        _ASKED.clear()
        if asked:
            raise KeyboardInterrupt


def _remember(_number: int, _frame: FrameType | None) -> None:
    _ASKED.set()
    raise KeyboardInterrupt
