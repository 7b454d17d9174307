"""Random keys in files of the lake's folder, which all servers and commands of a lake share."""

import os
from pathlib import Path
from secrets import token_urlsafe

from contracts import Settings
from contracts.atomic_files import read_regular, remove_leftover

KEY_BYTES, MAX_KEY_FILE_BYTES = 32, 1024


def shared_key(path: Path, fresh: str) -> str:
    """The key in the file; a new file gets the key `fresh`. Raises `OSError` and `UnicodeDecodeError`."""
    if not path.exists():
        scratch = path.with_name(f"{path.name}.{fresh[:8]}")
        try:
            with open(scratch, "x", opener=_private) as file:
                file.write(fresh)
            os.link(scratch, path)  # of two servers, one makes it, whole
        except FileExistsError:
            pass
        finally:
            remove_leftover(scratch)
    return read_regular(path, max_bytes=MAX_KEY_FILE_BYTES).decode().strip(" ,\n") or fresh


def key_in_lake(settings: Settings, name: str) -> str:
    """The key in a file of the lake's folder, made by the first process that needs it; where it cannot be written, a
    new one, which ends with the servers that share it."""
    fresh = token_urlsafe(KEY_BYTES)
    try:
        return shared_key(settings.lake_folder / name, fresh)
    except (OSError, UnicodeDecodeError):
        return fresh


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
