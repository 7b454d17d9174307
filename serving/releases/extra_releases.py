"""Releases that serve beside the current one: those of an experiment's arms, and the one in shadow mode."""

import logging
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import TastefeedError
from serving.releases.loaded_release import Release
from serving.releases.publish import load
from serving.releases.release_loader import FIRST_RETRY_S
from serving.releases.revised_names import present_name
from serving.releases.shared_copies import SharedCopies

LOG = logging.getLogger("tastefeed.extra_releases")
LAST_RETRY_S = 300.0
"""Each try may copy and hash a whole release."""


@dataclass(frozen=True, slots=True)
class FailedRead:
    """Why a release could not be read, and when it is tried again."""

    error: str
    wait_s: float
    again_at: float


class ExtraReleases:
    """Some versions, loaded when the server starts. An erasure gives a release another name: its revision answers."""

    def __init__(self, root: Path, versions: Iterable[str], copies: SharedCopies | None = None) -> None:
        """Reads nothing yet."""
        self._root, self._versions, self._copies = root, frozenset(versions), copies
        self._loaded: dict[str, Release] = {}
        self._failed: dict[str, FailedRead] = {}
        self._loading = threading.Lock()

    def load(self) -> None:
        """Load each version. One that cannot be read is logged and absent, until `follow` could read it."""
        for version in sorted(self._versions):
            self._read(version)

    def follow(self) -> None:
        """Replace each release that an erasure replaced, because it has the erased users. Try absent ones again. Both
        in the background. Raises `RuntimeError` where the process has too many threads."""
        due = [version for version in sorted(self._versions) if self._is_due(version)]
        if due and self._loading.acquire(blocking=False):
            try:
                threading.Thread(target=self._read_again, args=(due,), daemon=True).start()
            except RuntimeError:
                self._loading.release()
                raise

    def _is_due(self, version: str) -> bool:
        release, failed = self._loaded.get(version), self._failed.get(version)
        if release is not None:
            return not (self._root / release.version).is_dir()
        return failed is not None and time.monotonic() >= failed.again_at

    def _read_again(self, versions: Iterable[str]) -> None:
        try:
            for version in versions:
                replaced = self._loaded.get(version)
                self._read(version)
                if replaced is not None:
                    replaced.replaced()
        finally:
            self._loading.release()

    def get(self, version: str) -> Release | None:
        """The release, if it could be loaded."""
        return self._loaded.get(version)

    def _read(self, version: str) -> None:
        try:
            self._loaded[version] = load(self._root, present_name(self._root, version), self._copies)
        except (TastefeedError, OSError) as error:
            self._loaded.pop(version, None)
            self._refuse(version, str(error))
        else:
            self._failed.pop(version, None)

    def _refuse(self, version: str, error: str) -> None:
        before = self._failed.get(version)
        if before is None or before.error != error:
            LOG.error("a release of an experiment or of shadow mode cannot be loaded, and is tried again: %s", error)
        wait_s = min(2 * before.wait_s, LAST_RETRY_S) if before else FIRST_RETRY_S
        self._failed[version] = FailedRead(error, wait_s, time.monotonic() + wait_s)
