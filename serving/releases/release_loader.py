"""The release that this process serves. A new release is loaded in the background while the old one answers.

Where the current release cannot be read, this process keeps the release that it has, or starts with the latest whole
older one. That release is a *substitute*: it is marked, and the current one is tried again until it is repaired.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from contracts.errors import ReleaseMissing, TastefeedError
from serving.releases.loaded_release import Release
from serving.releases.publish import POINTER, current_or_none, how_to_publish, load, substitutes
from serving.releases.shared_copies import SharedCopies

LOG = logging.getLogger("tastefeed.release_loader")
UNREADABLE_POINTER = "an unreadable pointer"
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 30.0
Stamp = tuple[int, int]
SwapResult = Literal["served", "refused"]


class ReloadingRelease:
    """Call `get` at each request: it costs one `stat` of the pointer, or none while a release is pinned."""

    def __init__(self, root: Path, copies: SharedCopies | None = None) -> None:
        """`root` is the folder of releases; nothing is read yet. With `copies`, processes share what they load."""
        self._root, self._copies, self._pointer = root, copies, str(root / POINTER)
        self._release: Release | None = None
        self._last_stamp: Stamp | None = None
        self._retry_at, self._retry_s = math.inf, FIRST_RETRY_S
        self._last_error = ""
        self._loading = threading.Lock()
        self._pin: str | None = None
        self._pinned: Release | None = None
        self._pinning, self._pin_retry_at = threading.Lock(), -math.inf
        self._substitute_for: str | None = None
        self._pin_refused: str | None = None
        self.on_swap: Callable[[SwapResult], None] = lambda _: None
        """Called after a release was loaded to serve, or refused."""

    @property
    def substitute_for(self) -> str | None:
        """The version that cannot be read, while another one is served in its place."""
        return self._pin_refused or self._substitute_for

    def get(self) -> Release:
        """The release to answer from, under the pin that was last given. Raises `ReleaseMissing` until the first one is
        loaded."""
        return self.under_pin(self._pin)

    def follow(self) -> None:
        """Drop releases that an erasure replaced, or that are no longer pinned, also without a request."""
        pinned = self._pinned
        if pinned is not None and (pinned.version != self._pin or not (self._root / pinned.version).is_dir()):
            self._pinned = None
            pinned.replaced()
        with suppress(ReleaseMissing):
            self._current()

    def under_pin(self, version: str | None) -> Release:
        """The pinned release, or without a pin the current one. The first request after a release was pinned waits
        until it is loaded. Where it cannot be, the release in memory keeps serving. Raises `ReleaseMissing`."""
        if version != self._pin:
            self._pin, self._pin_refused, self._pin_retry_at = version, None, -math.inf
        if version is not None and (pinned := self._pinned_release(version)):
            return pinned
        if version is None:
            self._pinned = None
        return self._current()

    def _pinned_release(self, version: str) -> Release | None:
        held = next((held for held in (self._release, self._pinned) if held and held.version == version), None)
        if held is not None:
            return held
        with self._pinning:
            if self._pinned is not None and self._pinned.version == version:
                return self._pinned
            return self._load_pinned(version)

    def _load_pinned(self, version: str) -> Release | None:
        if time.monotonic() < self._pin_retry_at:
            return None
        try:
            self._pinned, self._pin_refused = load(self._root, version, self._copies), None
        except (TastefeedError, OSError) as error:
            LOG.error("the pinned release cannot be loaded: %s", error)
            if self._pin_refused != version:
                self.on_swap("refused")
            self._pin_retry_at, self._pin_refused = time.monotonic() + FIRST_RETRY_S, version
            return None
        self.on_swap("served")
        LOG.info("serving the pinned release %s", version)
        return self._pinned

    def _current(self) -> Release:
        stamp = self._stamp()
        if (stamp != self._last_stamp or time.monotonic() >= self._retry_at) and self._loading.acquire(blocking=False):
            self._start(stamp)
        if self._release is None:
            raise ReleaseMissing(f"{self._root}: no release could be read yet; {how_to_publish(self._root)}")
        return self._release

    def load_first(self) -> None:
        """Load the current release before the first request; where that fails, `get` tries again."""
        self._loading.acquire()
        self._reload(self._stamp())

    def _start(self, stamp: Stamp | None) -> None:
        try:
            threading.Thread(target=self._reload, args=(stamp,), daemon=True).start()
        except RuntimeError as error:  # the process has too many threads
            self._loading.release()
            LOG.error("the new release is loaded later: %s", error)

    def _reload(self, stamp: Stamp | None) -> None:
        version = None
        try:
            version = current_or_none(self._root)
            if version is not None and (self._release is None or version != self._release.version):
                self._swap(load(self._root, version, self._copies))
                self.on_swap("served")
                LOG.info("serving release %s", version)
            self._retry_at, self._retry_s, self._last_error, self._substitute_for = math.inf, FIRST_RETRY_S, "", None
        except (TastefeedError, OSError) as error:
            self._refuse(version, str(error))
        finally:
            self._last_stamp = stamp
            self._loading.release()

    def _swap(self, fresh: Release) -> None:
        """Serve a release. The one before stays in memory while it is pinned."""
        replaced = self._release
        is_pinned = replaced is not None and replaced.version == self._pin
        if is_pinned:
            self._pinned = replaced
        self._release = fresh
        if replaced is not None and not is_pinned:
            replaced.replaced()

    def _refuse(self, version: str | None, error: str) -> None:
        if self._release is None:
            self._release = self._newest_substitute(version)
        self._retry_at = time.monotonic() + self._retry_s
        self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)
        self._substitute_for = version or UNREADABLE_POINTER
        if error != self._last_error:
            served = self._release.version if self._release else "none"
            LOG.error("a new release is refused, %s keeps serving: %s", served, error)
            self.on_swap("refused")
        self._last_error = error

    def _newest_substitute(self, version: str | None) -> Release | None:
        for older in substitutes(self._root, version):
            try:
                return load(self._root, older, self._copies)
            except (TastefeedError, OSError) as error:
                LOG.error("nor can an older release serve: %s", error)
        return None

    def _stamp(self) -> Stamp | None:
        try:
            status = os.stat(self._pointer)
        except FileNotFoundError:
            return None
        except OSError as error:
            return -(error.errno or 1), 0
        return status.st_ino, status.st_mtime_ns
