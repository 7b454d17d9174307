"""The files of the exposure log in a lake, and the check of the key of its pseudonyms.

The key is in a setting, or in a file that another machine or user may lack. A night with another key would erase no
user from the log, and a report would find no user's clicks. So a small file beside the log has a pseudonym that only
the right key gives.
"""

from pathlib import Path

from contracts.atomic_files import replace_file
from contracts.errors import BadSetting
from serving.privacy.pseudonyms import Pseudonym

FOLDER = "exposures"
KEY_CHECK = f"{FOLDER}/key_check"
NO_USER = "no\x01user"
"""No id contains a control character."""


def record_key(lake: str, pseudonym: Pseudonym) -> None:
    """Record the key of a log, before its first file. Raises `OSError`, and `BadSetting` where the log has another."""
    if not require_key(lake, pseudonym):
        write_file(lake, KEY_CHECK, pseudonym(NO_USER).encode())


def require_key(lake: str, pseudonym: Pseudonym) -> bool:
    """Check the key of a log; false where none is recorded, as by earlier versions. Raises `OSError` and
    `BadSetting`."""
    recorded = _read_file(lake, KEY_CHECK)
    if recorded not in (None, pseudonym(NO_USER).encode()):
        raise BadSetting(
            f"{lake}/{FOLDER} was written with another key; set TASTEFEED_PSEUDONYM_KEY to one key for all servers and "
            f"nights of the lake, the one of the log, or delete the folder {FOLDER}"
        )
    return recorded is not None


def write_file(lake: str, path: str, content: bytes) -> None:
    """Write a file of the lake as a whole."""
    if (folder := _local(lake)) is not None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        replace_file(folder / path, content)
        return
    import fsspec  # noqa: PLC0415  only a remote lake needs it

    fs, root = fsspec.core.url_to_fs(lake)
    fs.pipe_file(f"{root}/{path}", content)  # object stores show a file once it is complete


def _read_file(lake: str, path: str) -> bytes | None:
    try:
        if (folder := _local(lake)) is not None:
            return (folder / path).read_bytes()
        import fsspec  # noqa: PLC0415  only a remote lake needs it

        fs, root = fsspec.core.url_to_fs(lake)
        return bytes(fs.cat_file(f"{root}/{path}"))
    except FileNotFoundError:
        return None


def _local(lake: str) -> Path | None:
    is_local = "://" not in lake or lake.startswith("file://")
    return Path(lake.removeprefix("file://")) if is_local else None
