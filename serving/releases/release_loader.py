"""The release that this process serves. A new release is loaded in the background while the old one answers."""

import logging
import threading
from pathlib import Path

from contracts.errors import ReleaseMissing, TastefeedError
from serving.releases.loaded_release import Release
from serving.releases.publish import POINTER, current, how_to_publish, load

LOG = logging.getLogger("tastefeed.release_loader")
Stamp = tuple[int, int]


class ReloadingRelease:
    """Call `get` at each request: it costs one `stat` of the pointer."""

    def __init__(self, root: Path) -> None:
        """`root` is the folder of releases; nothing is read yet."""
        self._root = root
        self._release: Release | None = None
        self._last_stamp: Stamp | None = None
        self._loading = threading.Lock()

    def get(self) -> Release:
        """The release to answer from. Raises `ReleaseMissing` until the first one is loaded."""
        stamp = self._stamp()
        if stamp != self._last_stamp and self._loading.acquire(blocking=False):
            threading.Thread(target=self._reload, args=(stamp,), daemon=True).start()
        if self._release is None:
            raise ReleaseMissing(f"{self._root}: no release could be read yet; {how_to_publish(self._root)}")
        return self._release

    def load_first(self) -> None:
        """Load the current release before the first request; where that fails, `get` tries again."""
        self._loading.acquire()
        self._reload(self._stamp())

    def _reload(self, stamp: Stamp | None) -> None:
        try:
            if stamp is not None and (self._release is None or current(self._root) != self._release.version):
                self._release = load(self._root)
                LOG.info("serving release %s", self._release.version)
        except (TastefeedError, OSError) as error:
            served = self._release.version if self._release else "none"
            LOG.error("a new release is refused, %s keeps serving: %s", served, error)
        finally:
            self._last_stamp = stamp  # a refused release is not tried again until the pointer changes
            self._loading.release()

    def _stamp(self) -> Stamp | None:
        try:
            status = (self._root / POINTER).stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns
