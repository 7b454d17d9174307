"""Copies a release to the memory that server processes share, and verifies the copy.

A start copies while it imports the application, so this module imports little.
"""

from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

from contracts.atomic_files import sha256_of
from serving.releases.manifest import read_manifest, verify_folder
from serving.releases.shared_copies import SharedCopies, SharedCopy

COPY_FORMAT = 2
"""Raised when the files that a shared copy has beside those of the release change their meaning."""


def shared_copy(
    folder: Path, copies: SharedCopies, *, once_verified: Callable[[], object] = lambda: None
) -> SharedCopy | None:
    """The copy of a folder, verified when it is made. None where processes cannot share one. Raises `ReleaseMissing`,
    `ReleaseCorrupt`.

    A new copy calls `once_verified` before it reads the verified tables.
    """
    manifest = read_manifest(folder)
    name = f"{folder.name}-{sha256_of(manifest.model_dump_json().encode())[:16]}-{COPY_FORMAT}"
    size = sum(file.size for file in manifest.files.values())
    return copies.take(name, size + size // 4, lambda copy: _fill(copy, folder, once_verified))


class _Copying(Thread):
    """Copies and verifies a folder. The end of the process does not wait for it, as it would for that of a pool."""

    def __init__(self, folder: Path, copy: Path) -> None:
        """Starts nothing yet."""
        super().__init__(name="release-copy", daemon=True)
        self._folder, self._copy = folder, copy
        self.tables = Event()
        """Set once the tables are verified, or at the end."""
        self._error: Exception | None = None

    def run(self) -> None:
        """Keep the error for the thread that waits."""
        try:
            verify_folder(self._folder, into=self._copy, on_tables=self.tables.set)
        except Exception as error:
            self._error = error
        finally:
            self.tables.set()

    def check(self) -> None:
        """Raise the error, if there is one by now."""
        if self._error is not None:
            raise self._error


def _fill(copy: Path, folder: Path, once_verified: Callable[[], object]) -> None:
    """Compute what the tables give while the large files are copied."""
    copying = _Copying(folder, copy)
    try:
        copying.start()
    except RuntimeError as error:
        raise OSError("the process has too many threads") from error
    try:
        copying.tables.wait()
        copying.check()
        once_verified()
        from serving.releases.serialization import derive  # noqa: PLC0415  it imports all that reads a release

        derive(copy, folder)
    finally:
        copying.join()
        copying.check()  # on a full disk, both fail
