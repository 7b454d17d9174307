"""The path of a lake: the characters it may have, its file system, and the remedy where there is no lake."""

import shlex
from typing import TYPE_CHECKING

from contracts.errors import BadSetting
from contracts.setting_variables import shown

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

NOT_IN_PATHS = "*?[]{}%\\"
"""Spark and fsspec match patterns with these characters of a path, or SQLAlchemy reads them as parts of a URL."""


def require_plain_path(lake: str) -> str:
    """The path of a lake. Raises `BadSetting` where tables or opt-outs of such a path would not be found."""
    if found := sorted(set(NOT_IN_PATHS) & set(lake)):
        raise BadSetting(f"{lake}: the path of a lake must not contain {' '.join(found)}; rename the folder")
    return lake


def file_system_of(lake: str) -> "tuple[AbstractFileSystem, str]":
    """The file system of a lake's folder or URL, and the path in it. Raises `BadSetting` for a URL of an unknown kind,
    or of one whose library is absent."""
    import fsspec  # noqa: PLC0415  a server of a local lake needs none

    try:
        fs, root = fsspec.core.url_to_fs(lake)
    except ImportError as error:
        library = getattr(error.__cause__ or error, "name", None) or "the library"
        raise BadSetting(f"{shown(lake)}: {error}; pip install {library}, or name a folder") from error
    except ValueError as error:
        kinds = "a URL of a kind that fsspec has, such as s3://, gs:// or abfs://"
        raise BadSetting(f"{shown(lake)}: {error}; name a folder, or {kinds}") from error
    return fs, root


def how_to_make_lake(lake: str) -> str:
    """The remedy where a lake does not exist."""
    return f"check --lake, or make one with `tastefeed import --events FILE --lake {shlex.quote(lake)}`"
