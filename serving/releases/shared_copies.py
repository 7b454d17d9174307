"""Copies of releases in memory that the server processes of a machine map: one for all of them, not one for each.

    tastefeed-<uid>/             a private folder in /dev/shm, or in the folder of the setting
      <release>.lock             locked by each process that uses the copy, and alone by one that fills or removes it
      <release>/                 the verified files of the release, and what was derived from them
      <release>.partial/         a copy that is being made

A release in a lake may be truncated while it is mapped, which kills the process that reads it. No other user can write
to a copy, and no process changes one. The last user removes it; a killed one leaves it to the next `remove_unused`.
"""

import fcntl
import logging
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from weakref import WeakSet

from contracts import Settings

LOG = logging.getLogger("tastefeed.shared_copies")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  the folder in it is private
FOLDER = "tastefeed-{}"
LOCK, PARTIAL, SIZES = ".lock", ".partial", ".sizes"
SPARE_BYTES = 1 << 24
"""What stays free beside a copy, for the programs that need shared memory."""
TRIES = 5
Fill = Callable[[Path], None]


class SharedCopy:
    """A copy in use, until `release` is called."""

    def __init__(self, folder: Path, lock: int) -> None:
        """`lock` is the descriptor of its lock."""
        self.folder, self._lock = folder, [lock]

    def release(self) -> None:
        """Stop using the copy, and remove it if no other process uses it. What is mapped stays readable."""
        while self._lock:
            os.close(self._lock.pop())
            try:
                _remove_if_unused(self.folder)
            except OSError as error:
                LOG.warning("a copy of a release is left behind: %s", error.strerror)

    def leave(self) -> None:
        """Stop using the copy, which stays for the next process."""
        while self._lock:
            os.close(self._lock.pop())


class SharedCopies:
    """The copies of this user on this machine."""

    def __init__(self, parent: Path = SHARED_MEMORY) -> None:
        """Makes nothing yet."""
        self.parent = parent
        self._taken: WeakSet[SharedCopy] = WeakSet()

    def close(self) -> None:
        """Stop using every copy."""
        for copy in list(self._taken):
            copy.release()

    @property
    def folder(self) -> Path:
        """Where the copies are."""
        return self.parent / FOLDER.format(os.geteuid())

    def take(self, name: str, size: int, fill: Fill) -> SharedCopy | None:
        """Use a copy, made by `fill` where there is none. None where there is no space or no private folder: the log
        has the reason. What `fill` raises, except for `OSError`, is raised."""
        try:
            _make_private(self.folder)
            self.remove_unused(but=name)
            copy = self._take(name, size, fill)
        except OSError as error:
            why = error.strerror or str(error)
            LOG.warning("this process has its own copy of the release: %s in %s", why, self.folder)
            return None
        self._taken.add(copy)
        return copy

    def _take(self, name: str, size: int, fill: Fill) -> SharedCopy:
        copy = self.folder / name
        for _ in range(TRIES):
            lock = self._filled(copy, size, fill)
            if _is_named(copy, lock) and _is_complete(copy):
                return SharedCopy(copy, lock)
            os.close(lock)  # it was removed a moment ago, or the process that made it failed
        raise OSError("another process uses a damaged copy")

    def _filled(self, copy: Path, size: int, fill: Fill) -> int:
        """A lock to use a copy, after it was filled by this process or another one."""
        try:
            lock = _locked(copy, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _locked(copy, fcntl.LOCK_SH)
        try:
            if not _is_complete(copy):
                self._fill(copy, size, fill)
            fcntl.flock(lock, fcntl.LOCK_SH)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def _fill(self, copy: Path, size: int, fill: Fill) -> None:
        partial = copy.with_name(f"{copy.name}{PARTIAL}")
        _remove(copy, partial)
        disk = os.statvfs(self.folder)
        if (free := disk.f_bavail * disk.f_frsize) < size + SPARE_BYTES:
            raise OSError(f"{free / 1e6:,.0f} MB are free, {(size + SPARE_BYTES) / 1e6:,.0f} MB are needed")
        try:
            partial.mkdir(mode=0o700)
            fill(partial)
            files = sorted(partial.iterdir())
            (partial / SIZES).write_text(_sizes(files))
            partial.rename(copy)
        finally:
            _remove(partial)

    def remove_unused(self, *, but: str = "") -> None:
        """Remove the copies that no process uses: those of processes that were killed."""
        for lock in self.folder.glob(f"*{LOCK}"):
            if lock.name != f"{but}{LOCK}":
                _remove_if_unused(lock.with_name(lock.name.removesuffix(LOCK)))


def shared_copies(settings: Settings) -> SharedCopies | None:
    """Where the settings have the copies; None where each process is to have its own."""
    return SharedCopies(settings.shared_folder or SHARED_MEMORY) if settings.share_releases else None


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid() or state.st_mode & 0o077:
        raise OSError("another user can read or write the folder")


def _locked(copy: Path, kind: int) -> int:
    """Lock a copy. Raises `BlockingIOError` under `LOCK_NB` where another process has it."""
    while True:
        lock = os.open(_lock_of(copy), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, kind)
            if _is_named(copy, lock):
                return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)  # it was removed while this process waited


def _is_named(copy: Path, lock: int) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), _lock_of(copy).stat())
    except FileNotFoundError:
        return False


def _lock_of(copy: Path) -> Path:
    return copy.with_name(f"{copy.name}{LOCK}")


def _is_complete(copy: Path) -> bool:
    """Whether every file is there in its size: a shorter one would kill the process that maps it."""
    try:
        files = sorted(path for path in copy.iterdir() if path.name != SIZES)
        return (copy / SIZES).read_text() == _sizes(files)
    except FileNotFoundError:
        return False


def _sizes(files: list[Path]) -> str:
    return "".join(f"{path.name} {path.stat().st_size}\n" for path in files)


def _remove_if_unused(copy: Path) -> None:
    try:
        lock = _locked(copy, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    try:
        _remove(copy, copy.with_name(f"{copy.name}{PARTIAL}"))
        _lock_of(copy).unlink()
    finally:
        os.close(lock)


def _remove(*folders: Path) -> None:
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)
