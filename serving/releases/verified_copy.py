"""Copies a release to the memory that server processes share, and verifies the copy.

A start copies while it imports the application, so this module imports little.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

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


def _fill(copy: Path, folder: Path, once_verified: Callable[[], object]) -> None:
    """Compute what the tables give while the large files are copied."""
    tables = Event()
    with ThreadPoolExecutor(1) as thread:
        try:
            copied = thread.submit(verify_folder, folder, into=copy, on_tables=tables.set)
        except RuntimeError as error:
            raise OSError("the process has too many threads") from error
        copied.add_done_callback(lambda _: tables.set())
        tables.wait()
        if copied.done():
            copied.result()
        once_verified()
        from serving.releases.serialization import derive  # noqa: PLC0415  it imports all that reads a release

        derive(copy, folder)
        copied.result()
