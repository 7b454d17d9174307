"""What the operating system refuses, as one line: the path, its words, and what to do."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
LASTING = (*FULL, *FORBIDDEN, errno.ENOTDIR, errno.EISDIR)
"""What trying again does not mend."""
REMEDIES = {
    **dict.fromkeys(FULL, "free some space there, or choose another place (--lake, --out)"),
    **dict.fromkeys(FORBIDDEN, "let this user write there, or choose another place (--lake, --out)"),
    errno.ENOTDIR: "a part of the path is a file; name a folder",
    errno.EISDIR: "it is a folder; name a file",
    errno.EEXIST: "it is there already, as something else; name another path or move it away",
    errno.ENOENT: "check the path",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENOMEM: "give the process more memory",
}
PROBE_BYTES = 1 << 20


def one_line(error: OSError) -> str:
    """Path, cause and remedy; for an error of an unknown kind what it says itself."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        _, target, why = error.args[0][0]
        return f"{target}: {why}; {len(error.args[0])} files could not be copied"
    if error.errno is None:
        return str(error)
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    remedy = REMEDIES.get(error.errno, "")
    return f"{where}{os.strerror(error.errno)}{'; ' if remedy else ''}{remedy}"


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Add the path to an error that has none: a failed write does not say where."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def remove_leftover(path: Path) -> None:
    """Remove what a failed write may have left; on a read-only disk, where nothing can be removed, nothing was left."""
    with suppress(OSError):
        path.unlink()


def require_room(folder: Path) -> None:
    """Check that a folder can be filled, or made and filled, without making it. Raises `OSError` with the path."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    require_writable(there)


def require_writable(folder: Path) -> None:
    """Write and remove a file of a mebibyte. Raises `OSError` with the folder where that cannot be done."""
    probe = folder / f".probe-{os.getpid()}"
    try:
        with probe.open("wb") as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = str(folder)
        raise
    finally:
        remove_leftover(probe)
