"""Copies the current release to shared memory while the application is imported: a server is ready a second earlier."""

from contextlib import suppress
from importlib import import_module
from threading import Event, Thread
from types import TracebackType
from typing import Self

from contracts import Settings
from contracts.errors import TastefeedError
from serving.releases.publish import prepare_copy
from serving.releases.shared_copies import shared_copies


class EarlyCopy:
    """A copy that is made in the background of a block. What it cannot read, a worker reports when it loads it."""

    def __init__(self, settings: Settings) -> None:
        """Starts nothing yet."""
        self._root, self._copies = settings.release_root, shared_copies(settings)
        self._imported, self._thread = Event(), Thread(target=self._make, name="early-copy", daemon=True)

    def __enter__(self) -> Self:
        """Begin to copy, and import what reads a copy: no other thread imports, because packages import in circles."""
        self._thread.start()
        import_module("serving.releases.serialization")
        self._imported.set()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Remove the copies that no process uses: this one where no worker took it, and those of killed workers."""
        self.wait()
        if self._copies is not None:
            self._copies.remove_unused()

    def wait(self) -> None:
        """Wait for the end of the copy: no other thread may run while workers are forked."""
        self._thread.join()

    def _make(self) -> None:
        if self._copies is not None:
            with suppress(TastefeedError, OSError):
                prepare_copy(self._root, self._copies, once_verified=self._imported.wait)
