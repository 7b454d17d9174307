"""Remove users from the exposure log of the lake, which names them by pseudonyms."""

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.ids import spellings
from pipeline.lake import Lake
from serving.exposure_files import FOLDER, require_key
from serving.privacy.pseudonyms import Pseudonym

UNFINISHED_AFTER_S = 3600.0
"""Age from which a file that is still being written was left by a killed writer: writing takes less than a second."""


def remove_unfinished(home: Lake) -> None:
    """Remove the files that killed writers left, which no reader sees. A remote lake has none: objects appear whole."""
    oldest = time.time() - UNFINISHED_AFTER_S
    for path in () if home.remote else Path(home.root, FOLDER).glob("date=*/.*"):
        with suppress(FileNotFoundError):  # its writer finished in this moment
            if path.stat().st_mtime < oldest:
                path.unlink()


def erase_exposures(home: Lake, user_ids: Iterable[str], pseudonym: Pseudonym) -> int:
    """Rewrite the files that have rows of these users, each as a whole. Returns the number of removed rows. Raises
    `BadSetting` where the log was written with another key, under which none of the users would be found."""
    require_key(home.url, pseudonym)
    users = pa.array(sorted({pseudonym(spelling) for user in user_ids for spelling in spellings(user)}), pa.string())
    return sum(_erase_rows(home, path, users) for path in home.fs.glob(f"{home.root}/{FOLDER}/*/*.parquet"))


def _erase_rows(home: Lake, path: str, users: pa.Array) -> int:
    with home.fs.open(path, "rb") as file:
        theirs = pc.is_in(pq.read_table(file, columns=["user"])["user"], users)
        removed = pc.sum(theirs).as_py() or 0
        if not removed:
            return 0
        kept = pq.read_table(file).filter(pc.invert(theirs))
    content = pa.BufferOutputStream()
    pq.write_table(kept, content, compression="zstd")
    home.replace_file(path, content.getvalue().to_pybytes())
    return int(removed)
