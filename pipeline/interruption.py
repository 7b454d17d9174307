"""Ctrl-C in a night that runs in this process: Airflow treats it as a failed task, which it would retry."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, current_thread, main_thread
from types import FrameType

_PRESSED = Event()


def interrupted() -> bool:
    """Whether Ctrl-C was pressed in the night that is running."""
    return _PRESSED.is_set()


@contextmanager
def ending_at_ctrl_c() -> Iterator[None]:
    """Record Ctrl-C within this block, even if other code catches it; then raise `KeyboardInterrupt` at the end."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or current_thread() is not main_thread():
        yield  # another handler is installed, or the signal is ignored, as in a background job
        return
    signal.signal(signal.SIGINT, _record)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        pressed = interrupted()
        _PRESSED.clear()
        if pressed:
            raise KeyboardInterrupt


def _record(_number: int, _frame: FrameType | None) -> None:
    _PRESSED.set()
    raise KeyboardInterrupt
