"""Atomic writes and checksums of local files: a reader sees the old content or the new one, never a part of either.

New content is written beside its target, synced to disk and renamed. What a killed writer leaves has a name that begins
with a dot.
"""

import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from contracts.errors import full_disk_as_os_error

PROBE_BYTES = 1 << 20


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it replaces `path` durably once the block ends without an error."""
    fresh = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with naming(path):
            yield fresh
            sync(fresh)
        fresh.replace(path)
    finally:
        remove_leftover(fresh)
    sync(path.parent)  # the rename itself, so that a power failure does not undo it


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file as a whole, durably."""
    with replacing(path) as fresh:
        fresh.write_bytes(content)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it becomes `path` durably once the block ends without an error. Raises
    `FileExistsError` where another writer was first, except on a file system without hard links."""
    fresh = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with naming(path):
            yield fresh
            sync(fresh)
        try:
            os.link(fresh, path)
        except FileExistsError:
            raise
        except OSError:
            fresh.replace(path)
    finally:
        remove_leftover(fresh)
    sync(path.parent)


def replace_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Replace a folder by one that holds these files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
        fresh = Path(scratch) / "new"
        fresh.mkdir()
        with naming(path):
            for name, content in files.items():
                (fresh / name).write_bytes(content)
        move_folder(fresh, path, aside=Path(scratch) / "old")


def read_regular(path: Path, *, max_bytes: int) -> bytes:
    """The content of a regular file of at most `max_bytes`. Raises `OSError` for a larger file, and for one that a read
    may wait for: a FIFO, a device."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        if status.st_size > max_bytes:
            raise OSError(errno.EFBIG, f"has {status.st_size:,} bytes, at most {max_bytes:,} are read", str(path))
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(status.st_size)
    finally:
        os.close(handle)


def move_folder(fresh: Path, path: Path, *, aside: Path) -> None:
    """Give a filled folder the name `path`, durably. A folder of that name is first renamed to `aside`."""
    sync(*fresh.iterdir(), fresh)
    if path.exists():
        path.rename(aside)
    fresh.rename(path)
    sync(path.parent)


def sync(*paths: Path) -> None:
    """Write files or folders through to the disk."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_leftover(path: Path) -> None:
    """Remove what a failed write may have left; where nothing can be removed (a read-only disk), nothing was left."""
    with suppress(OSError):
        path.unlink()


def remove(path: Path) -> None:
    """Remove a folder or a file."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sha256_of(content: bytes) -> str:
    """The sha256 of some bytes, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_files(*paths: Path) -> str:
    """The sha256 of the content of files, one after the other, in hexadecimal digits."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Add the path to an `OSError` that has none: a failed write does not name its file. The error of a library that
    finds a full disk becomes such an `OSError`."""
    try:
        with full_disk_as_os_error():
            yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def require_fillable(folder: Path) -> None:
    """Check that a folder can be filled, or made and filled, without making it. Raises `OSError` with the path."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(existing))
    require_writable(existing)


def require_writable(folder: Path) -> None:
    """Write and remove a file of a mebibyte. Raises `OSError` with the folder where that cannot be done."""
    probe = folder / f".probe-{os.getpid()}"
    try:
        probe.write_bytes(bytes(PROBE_BYTES))
        sync(probe)
    except OSError as error:
        error.filename = str(folder)
        raise
    finally:
        remove_leftover(probe)


Signature = tuple[int, int, int]


def signature_of(path: Path) -> Signature | None:
    """What differs once a file was replaced or written; `None` where it cannot be read."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino
