"""The files of the exposure log in a lake, and the check of the key of its pseudonyms.

The key is in a setting, or in a file that another machine or user may lack. A night with another key would erase no
user from the log, and a report would find no user's clicks. So a small file beside the log has a pseudonym that only
the right key gives. Earlier versions did not write it: their log takes the key of the lake's file, and no other.
"""

import logging
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from contracts.atomic_files import new_file, replace_file
from contracts.errors import BadSetting
from serving.privacy.pseudonyms import KEY_FILE, Pseudonym, pseudonyms_of
from serving.shared_keys import share_with_group

LOG = logging.getLogger("tastefeed.exposure_files")
FOLDER = "exposures"
FILES = f"{FOLDER}/*/*.parquet"
KEY_CHECK = f"{FOLDER}/key_check"
NO_USER = "no\x01user"
"""No id contains a control character."""
WRITABLE_BY_GROUP = 0o070 | stat.S_ISGID
"""Bits of the log's folders: a night that runs as another user replaces files in them."""


def record_key(lake: str, pseudonym: Pseudonym) -> None:
    """Record the key of a log, before its first file. Raises `OSError`, and `BadSetting` where the log has, or may
    have, another."""
    if _is_recorded(lake, pseudonym):
        return
    if (problem := _doubt(lake, pseudonym)) is not None:
        raise BadSetting(problem)
    _create_file(lake, KEY_CHECK, _check(pseudonym))
    _is_recorded(lake, pseudonym)  # another server may have been the first


def require_key(lake: str, pseudonym: Pseudonym) -> None:
    """Check the key of a log before reading it; warn where nothing proves that it is the right one. Raises `OSError`
    and `BadSetting`."""
    if not _is_recorded(lake, pseudonym) and (problem := _doubt(lake, pseudonym)) is not None:
        LOG.warning("%s; until then, its users may not be found", problem)


def _check(pseudonym: Pseudonym) -> bytes:
    return pseudonym(NO_USER).encode()


def _is_recorded(lake: str, pseudonym: Pseudonym) -> bool:
    recorded = _read_file(lake, KEY_CHECK)
    if recorded not in (None, _check(pseudonym)):
        raise BadSetting(
            f"{lake}/{FOLDER} was written with another key; set TASTEFEED_PSEUDONYM_KEY to one key for all servers and "
            f"nights of the lake, the one of the log, or delete the folder {FOLDER}"
        )
    return recorded is not None


def _doubt(lake: str, pseudonym: Pseudonym) -> str | None:
    """Why the files of a log without a check may have another key."""
    if not _has_files(lake):
        return None
    try:
        key = _read_file(lake, KEY_FILE)
    except PermissionError:
        key = b""
    if key and _check(pseudonyms_of(key.decode(errors="replace").strip(" ,\n"))) == _check(pseudonym):
        return None
    with_key = f"set TASTEFEED_PSEUDONYM_KEY to the key in {lake}/{KEY_FILE}"
    without_key = f"write the key of its servers to {lake}/{KEY_FILE}, if you have it"
    return (
        f"{lake}/{FOLDER} is of an earlier version, which recorded no key, and this key may not be its own; "
        f"{without_key if key is None else with_key}, or delete the old folders {FOLDER}/date=…"
    )


def write_file(lake: str, path: str, content: bytes) -> None:
    """Write a file of the lake as a whole."""
    if (folder := _local(lake)) is not None:
        _make_parents(folder, path)
        replace_file(folder / path, content)
        return
    fs, root = _remote(lake)
    fs.pipe_file(f"{root}/{path}", content)  # object stores show a file once it is complete


def _create_file(lake: str, path: str, content: bytes) -> None:
    """Write a file as a whole unless it exists."""
    with suppress(FileExistsError):
        if (folder := _local(lake)) is None:
            fs, root = _remote(lake)
            fs.pipe_file(f"{root}/{path}", content, mode="create")
            return
        _make_parents(folder, path)
        with new_file(folder / path) as fresh:
            fresh.write_bytes(content)


def _make_parents(lake: Path, path: str) -> None:
    """Make the folders of a file, writable by the group of the lake."""
    (lake / path).parent.mkdir(parents=True, exist_ok=True)
    for folder in (lake / path).parents[: path.count("/")]:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if mode & WRITABLE_BY_GROUP != WRITABLE_BY_GROUP:
            share_with_group(folder, lake, mode | WRITABLE_BY_GROUP)


def _read_file(lake: str, path: str) -> bytes | None:
    try:
        if (folder := _local(lake)) is not None:
            return (folder / path).read_bytes()
        fs, root = _remote(lake)
        return bytes(fs.cat_file(f"{root}/{path}"))
    except FileNotFoundError:
        return None


def _has_files(lake: str) -> bool:
    if (folder := _local(lake)) is not None:
        return any(folder.glob(FILES))
    fs, root = _remote(lake)
    return bool(fs.glob(f"{root}/{FILES}"))


def _local(lake: str) -> Path | None:
    is_local = "://" not in lake or lake.startswith("file://")
    return Path(lake.removeprefix("file://")) if is_local else None


def _remote(lake: str) -> tuple[Any, str]:
    import fsspec  # noqa: PLC0415  only a remote lake needs it

    fs, root = fsspec.core.url_to_fs(lake)
    return fs, root
