"""The stages of one request, and how long each took. Calculations name their stages; a server keeps the durations.

Outside `measured_stages`, a stage costs one look-up.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, get_args

StageName = Literal["consent", "queue", "candidates", "features", "scores", "slate", "explanations"]
STAGE_NAMES: tuple[StageName, ...] = get_args(StageName)


@dataclass(frozen=True)
class MeasuredStage:
    """One stage of one request."""

    name: StageName
    started_ns: int  # since 1970
    seconds: float


_MEASURED: ContextVar[list[MeasuredStage] | None] = ContextVar("tastefeed_measured_stages", default=None)


@contextmanager
def stage(name: StageName) -> Iterator[None]:
    """A stage of the request of this thread."""
    measured = _MEASURED.get()
    if measured is None:
        yield
        return
    started_ns, started = time.time_ns(), time.perf_counter()
    try:
        yield
    finally:
        measured.append(MeasuredStage(name, started_ns, time.perf_counter() - started))


@contextmanager
def measured_stages() -> Iterator[list[MeasuredStage]]:
    """Measure the stages of a block. The list is complete when the block ends."""
    measured: list[MeasuredStage] = []
    token = _MEASURED.set(measured)
    try:
        yield measured
    finally:
        _MEASURED.reset(token)
