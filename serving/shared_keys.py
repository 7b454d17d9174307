"""Random keys in files of the lake's folder, which all servers and commands of a lake share."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from secrets import token_urlsafe

from contracts import Settings
from contracts.atomic_files import read_regular, remove_leftover
from contracts.errors import BadSetting, one_line

KEY_BYTES, MAX_KEY_FILE_BYTES = 32, 1024
PRIVATE, FOR_GROUP = 0o600, 0o640


def key_in_lake(settings: Settings, name: str, *, setting: str) -> str:
    """The key in a file of the lake's folder, made by the first process that needs it; where it cannot be written, a
    new one, which ends with the servers that share it. Raises `BadSetting` for a file that cannot be read: a process
    with a key of its own would not find what others wrote. `setting` has the key instead, if it is set."""
    path, fresh = settings.lake_folder / name, token_urlsafe(KEY_BYTES)
    with suppress(OSError):
        _make(path, fresh)
    try:
        key = read_key(path)
    except (FileNotFoundError, NotADirectoryError):
        return fresh
    except PermissionError:
        share = "let servers and nights of the lake read it (mode 640, a group of all of them)"
        raise BadSetting(
            f"{path}: this user may not read the key; {share}, or set {setting} to one key for all"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        cause = one_line(error) if isinstance(error, OSError) else "it is not UTF-8"
        raise BadSetting(f"{path}: the key cannot be read ({cause}); remove it, or set {setting}") from None
    if not key:
        raise BadSetting(f"{path}: the key is empty; remove it, or set {setting}")
    return key


def read_key(path: Path) -> str:
    """The key in a file. Raises `OSError`, and `UnicodeDecodeError`."""
    return read_regular(path, max_bytes=MAX_KEY_FILE_BYTES).decode().strip(" ,\n")


def _make(path: Path, key: str) -> None:
    if path.exists():
        _widen(path)
        return
    scratch = path.with_name(f"{path.name}.{key[:8]}")
    try:
        with open(scratch, "x", opener=_private) as file:
            file.write(key)
            share_with_group(file.fileno(), path.parent, FOR_GROUP)
        os.link(scratch, path)  # of two servers, one makes it, whole
    finally:
        remove_leftover(scratch)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, PRIVATE)


def _widen(path: Path) -> None:
    """Let the group read a key that an earlier version, which gave it mode 600, made as this user."""
    made = path.lstat()
    if stat.S_ISREG(made.st_mode) and stat.S_IMODE(made.st_mode) == PRIVATE and made.st_uid == os.geteuid():
        share_with_group(path, path.parent, FOR_GROUP)


def share_with_group(file: int | Path, folder: Path, mode: int) -> None:
    """Give a file or a folder this mode and the group of `folder`, as far as this user and the file system may: server
    and night may be different users."""
    with suppress(OSError):
        os.chown(file, -1, folder.stat().st_gid)
        os.chmod(file, mode)
