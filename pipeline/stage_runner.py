"""Run one stage of the night: time it, write and print its summary, and record a refusal.

A night in this process also needs to end at Ctrl-C: Airflow treats it as a failed task, which it would retry. So
`ending_at_ctrl_c` records it, and the tasks ask `interrupted`.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, current_thread, main_thread
from types import FrameType

from pipeline.console import print_stage
from pipeline.model_refusals import REFUSALS, keep_refusal, refused_before
from pipeline.model_refusals import SUMMARY as NOT_PROFILED
from pipeline.run_context import RunContext, Summary
from pipeline.stages import STAGES

_PRESSED = Event()


def run_stage(night: RunContext, name: str) -> Summary:
    """Run one stage by its name and return its summary.

    After an earlier stage refused the models of a night that goes on, only stages that need no models still run.
    """
    started = time.perf_counter()
    refused = refused_before(night, name)
    if refused and STAGES[name].needs_models:
        summary: Summary = {"skipped": f"{refused} refused"}
    else:
        summary = _summary_of(night, name)
    summary = {"seconds": round(time.perf_counter() - started, 2), **summary}
    night.write_summary(name, summary)
    print_stage(name, summary)
    return summary


def _summary_of(night: RunContext, name: str) -> Summary:
    stage = STAGES[name].load()
    try:
        return stage(night)
    except REFUSALS as refusal:
        keep_refusal(night, name, refusal)
        written = {figure: value for figure, value in night.summary(name).items() if figure != "seconds"}
        return {**written, "refused": night.summary(NOT_PROFILED)["message"]}


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
