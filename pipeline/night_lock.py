"""One night at a time on a lake: a night in this process locks it as a whole, a task of Airflow for as long as it runs.

Airflow runs each task as a process of its own. Its limit of active runs counts scheduled runs and each backfill apart,
so the lock and not Airflow keeps the tasks of two nights apart.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from contracts.atomic_files import require_writable
from contracts.errors import NightRunning
from pipeline.console import console
from pipeline.lake import Lake

POLL_S = 1.0
_LOCKED_HERE: set[Path] = set()
"""The lakes that a night of this process has locked."""


@contextmanager
def locked(lake: Lake) -> Iterator[None]:
    """Lock the lake for one night.

    Raises `NightRunning` where another process holds the lock, `OSError` where the folder cannot be written to.
    """
    lock = _lock_of(lake)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise NightRunning(f"{lake.root}: another night is running on this lake; wait for it to end") from None
    _LOCKED_HERE.add(lake.folder.absolute())
    try:
        yield
    finally:
        _LOCKED_HERE.discard(lake.folder.absolute())
        lock.release()


@contextmanager
def locked_for_task(lake: Lake) -> Iterator[None]:
    """Lock the lake for one task, once no other night holds it; nothing to do where its own night has locked it."""
    if lake.folder.absolute() in _LOCKED_HERE:
        yield
        return
    lock = _lock_of(lake)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        console.print(f"{lake.root}: another night uses this lake; this task waits for it", markup=False)
        lock.acquire(poll_interval=POLL_S)
    try:
        yield
    finally:
        lock.release()


def _lock_of(lake: Lake) -> FileLock:
    lake.folder.mkdir(parents=True, exist_ok=True)
    require_writable(lake.folder)
    return FileLock(lake.folder / ".night.lock")
