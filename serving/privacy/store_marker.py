"""What is known of the opt-out store outside of it, so that a lost or older store is never taken for an empty one.

The marker is a small file in the lake's folder and in the folder of releases. It names the store's identity and how
many words were ever kept in it. It is written after the store's commit and before a write is acknowledged: a kill in
between leaves a marker that is behind the store, and never one that is ahead of it.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.errors import OptOutStoreUnavailable

NAME = ".opt_out_store.json"
LOCK = ".opt_out_store.lock"
LOCK_TIMEOUT_S = 10


class Marker(BaseModel):
    """One state of the store. `words` counts everything that was ever kept; it never decreases."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: str
    words: int
    at: datetime
    """When the last word was kept."""


class MarkerFiles:
    """The marker in each of some folders."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Nothing is read or made yet."""
        self._folders = tuple(folders)

    def read(self) -> Marker | None:
        """The furthest state that is known; `None` where there was never a store. Raises `OptOutStoreUnavailable`."""
        found = [marker for folder in self._folders if (marker := _read(folder / NAME))]
        if len({marker.identity for marker in found}) > 1:
            raise OptOutStoreUnavailable(
                f"{self._named()} speak of different opt-out stores; run `tastefeed opt-out restore`"
            )
        return max(found, key=lambda marker: marker.words, default=None)

    def advance(self, marker: Marker) -> None:
        """Note a newer state, durably; an older one changes nothing. Raises `OptOutStoreUnavailable`."""
        with self.locked():
            known = self.read()
            if known and known.identity != marker.identity:
                raise OptOutStoreUnavailable("the opt-out store was replaced in the meantime; ask again")
            if known and known.words >= marker.words:
                marker = known
            for folder in self._folders:
                if _read(folder / NAME) != marker:
                    replace_file(folder / NAME, marker.model_dump_json().encode())

    def replace(self, marker: Marker) -> None:
        """Note another store than before."""
        with self.locked():
            for folder in self._folders:
                replace_file(folder / NAME, marker.model_dump_json().encode())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only process that writes here."""
        for folder in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folders[0] / LOCK, timeout=LOCK_TIMEOUT_S):
            yield

    def _named(self) -> str:
        return " and ".join(str(folder / NAME) for folder in self._folders)


def _read(path: Path) -> Marker | None:
    try:
        return Marker.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        raise OptOutStoreUnavailable(
            f"{path}: cannot be read, so nobody knows whether the opt-out store is whole; correct it, or run "
            "`tastefeed opt-out restore`"
        ) from None


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file as a whole, durably."""
    fresh = path.with_name(f"{path.name}.{uuid4().hex}")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself
    finally:
        os.close(folder)
