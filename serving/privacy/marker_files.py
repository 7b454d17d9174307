"""The marker of the opt-out store: a small file in the lake's folder and in the folder of releases.

It names the store's identity and how many changes were ever written. It is written after the store's commit and before
a write is acknowledged. A kill in between leaves a marker that is behind the store, never one that is ahead of it. So a
lost or older store is never mistaken for an empty one.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from pydantic import ValidationError

from contracts.atomic_files import read_regular, replace_file
from contracts.errors import OptOutStoreUnavailable
from serving.privacy.store_identity import Marker

MARKER_FILE = ".opt_out_store.json"
LOCK = ".opt_out_store.lock"
LOCK_TIMEOUT_S, LOCK_POLL_S = 10, 0.005
MAX_MARKER_BYTES = 1 << 16
Stamp = tuple[int, int, int] | None


class MarkerFiles:
    """The marker in each of some folders."""

    def __init__(self, folders: Sequence[Path], *, lock_timeout_s: float = LOCK_TIMEOUT_S) -> None:
        """Neither reads nor creates anything yet."""
        self._folders, self._lock_timeout_s = tuple(folders), lock_timeout_s
        self._read: dict[str, tuple[Stamp, Marker]] = {}
        self._paths = [str(folder / MARKER_FILE) for folder in folders]

    def read(self) -> Marker | None:
        """The latest recorded state; `None` where there was never a store. Raises `OptOutStoreUnavailable`."""
        markers = [marker for path in self._paths if (marker := self._marker(path))]
        if len({marker.identity for marker in markers}) > 1:
            raise OptOutStoreUnavailable(
                f"{' and '.join(self._paths)} name different opt-out stores; run `tastefeed opt-out restore`"
            )
        return max(markers, key=lambda marker: marker.changes, default=None)

    def advance(self, marker: Marker) -> None:
        """Record a newer state, durably; an older one changes nothing. Raises `OptOutStoreUnavailable`."""
        with self.locked():
            recorded = self.read()
            if recorded and recorded.identity != marker.identity:
                raise OptOutStoreUnavailable("the opt-out store was replaced in the meantime; ask again")
            if recorded and recorded.changes >= marker.changes:
                marker = recorded
            for folder in self._folders:
                if _read_marker(folder / MARKER_FILE) != marker:
                    replace_file(folder / MARKER_FILE, marker.model_dump_json().encode())

    def replace(self, marker: Marker) -> None:
        """Record another store than before."""
        with self.locked():
            for folder in self._folders:
                replace_file(folder / MARKER_FILE, marker.model_dump_json().encode())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only process that writes these files."""
        for folder in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folders[0] / LOCK, timeout=self._lock_timeout_s, poll_interval=LOCK_POLL_S):
            yield

    def _marker(self, path: str) -> Marker | None:
        """The marker of one file, which is read where it changed: each feed asks for it."""
        stamp, known = _stamp(path), self._read.get(path)
        if known is None or known[0] != stamp:
            if (marker := _read_marker(Path(path))) is None:
                return None
            if stamp is not None:
                self._read[path] = stamp, marker
            return marker
        return known[1]


def _stamp(path: str) -> Stamp:
    """What differs once a file was replaced, written to, or made unreadable."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_ctime_ns, status.st_size


def _read_marker(path: Path) -> Marker | None:
    try:
        return Marker.model_validate_json(read_regular(path, max_bytes=MAX_MARKER_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        raise OptOutStoreUnavailable(
            f"{path}: cannot be read, so it is unknown whether the opt-out store is whole; correct it, or run "
            "`tastefeed opt-out restore`"
        ) from None
