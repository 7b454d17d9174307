"""The files of the exposure log in a lake, and the check of the key of its pseudonyms.

The key is in a setting, or in a file that another machine or user may lack. A night with another key would erase no
user from the log, and a report would find no user's clicks. So a small file beside the log has a pseudonym that only
the right key gives. Earlier versions did not write it: their log takes the key of the lake's file, and no other.
"""

import logging
import stat
from contextlib import suppress
from pathlib import Path

from contracts.atomic_files import new_file, replace_file
from contracts.errors import BadSetting
from contracts.lake_path import file_system_of
from serving.privacy.pseudonyms import KEY_FILE, Pseudonym, pseudonyms_of
from serving.shared_keys import read_key, share_with_group

LOG = logging.getLogger("tastefeed.exposure_files")
FOLDER = "exposures"
FILES = f"{FOLDER}/*/*.parquet"
KEY_CHECK = f"{FOLDER}/key_check"
NO_USER = "no\x01user"
"""No id contains a control character."""
RECORD_IT = "log a page with its servers, which records their key"
"""A key file of a remote lake is local: it proves nothing to a night on another machine."""
WRITABLE_BY_GROUP = 0o070 | stat.S_ISGID
"""Bits of the log's folders: a night that runs as another user replaces files in them."""


def record_key(lake: str, pseudonym: Pseudonym, key_file: Path) -> None:
    """Record the key of a log, before its first file. Where an earlier version began the log, `key_file` must have this
    key. Raises `OSError`, and `BadSetting` where the log has, or may have, another."""
    if _is_recorded(lake, pseudonym):
        return
    if _has_files(lake) and (remedy := _remedy(key_file, pseudonym)) is not None:
        raise BadSetting(_doubt(lake, remedy))
    _create_file(lake, KEY_CHECK, _check(pseudonym))
    _is_recorded(lake, pseudonym)  # another server may have been the first


def require_key(lake: str, pseudonym: Pseudonym) -> None:
    """Check the key of a log before reading it; warn where nothing proves that it is the right one. Raises `OSError`
    and `BadSetting`."""
    if _is_recorded(lake, pseudonym) or not _has_files(lake):
        return
    remedy = RECORD_IT if (folder := _local(lake)) is None else _remedy(folder / KEY_FILE, pseudonym)
    if remedy is not None:
        LOG.warning("%s; until then, its users may not be found", _doubt(lake, remedy))


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


def _remedy(key_file: Path, pseudonym: Pseudonym) -> str | None:
    """How to prove the key of a log without a check; None where the key file proves it. The file may be younger than
    the log and have another key: any command without the setting makes one."""
    try:
        key = read_key(key_file)
    except (FileNotFoundError, NotADirectoryError):
        return f"write the key of its servers to {key_file}, if you have it"
    except (OSError, UnicodeDecodeError):
        return f"make {key_file} readable for this user, with the key of its servers"
    if _check(pseudonyms_of(key)) == _check(pseudonym):
        return None
    return (
        f"if its servers had their key in TASTEFEED_PSEUDONYM_KEY, write that key to {key_file}; if they had no such "
        f"setting, remove it here, so that the key in {key_file} is used"
    )


def _doubt(lake: str, remedy: str) -> str:
    return (
        f"{lake}/{FOLDER} is of an earlier version, which recorded no key, and this key may not be its own; {remedy}; "
        f"or delete the old folders {FOLDER}/date=…"
    )


def write_file(lake: str, path: str, content: bytes) -> None:
    """Write a file of the lake as a whole."""
    if (folder := _local(lake)) is not None:
        _make_parents(folder, path)
        replace_file(folder / path, content)
        return
    fs, root = file_system_of(lake)
    fs.pipe_file(f"{root}/{path}", content)  # object stores show a file once it is complete


def _create_file(lake: str, path: str, content: bytes) -> None:
    """Write a file as a whole unless it exists. In a remote lake, the last of two writers at one instant wins: not
    every file system can refuse to replace a file."""
    if (folder := _local(lake)) is None:
        if _read_file(lake, path) is None:
            write_file(lake, path, content)
        return
    _make_parents(folder, path)
    with suppress(FileExistsError), new_file(folder / path) as fresh:
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
        fs, root = file_system_of(lake)
        return bytes(fs.cat_file(f"{root}/{path}"))
    except FileNotFoundError:
        return None


def _has_files(lake: str) -> bool:
    if (folder := _local(lake)) is not None:
        return any(folder.glob(FILES))
    fs, root = file_system_of(lake)
    return bool(fs.glob(f"{root}/{FILES}"))


def _local(lake: str) -> Path | None:
    is_local = "://" not in lake or lake.startswith("file://")
    return Path(lake.removeprefix("file://")) if is_local else None
