"""The tables of `ranking.feature_arrays` as files: arrays in safetensors, ids in parquet. No pickle anywhere."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from contracts import columns as c
from contracts.errors import ReleaseCorrupt
from ranking.feature_arrays import Ids, Items, Users, ids_of

TOWER = "tower"
"""The safetensors metadata key that names the towers which made the vectors."""
ID_COLUMN = {Items: c.ITEM_ID, Users: c.USER_ID}


def write_arrays(table: Items | Users, folder: Path, stem: str, *, tower: str) -> None:
    """Write `<stem>.safetensors` and `<stem>.parquet`."""
    arrays = {
        field.name: np.ascontiguousarray(getattr(table, field.name)) for field in fields(table) if field.name != "ids"
    }
    ids = pa.table({ID_COLUMN[type(table)]: pa.array(table.ids.tolist(), pa.string())})
    pq.write_table(ids, folder / f"{stem}.parquet", compression="zstd")
    save_file(arrays, folder / f"{stem}.safetensors", metadata={TOWER: tower})


def read_arrays(kind: type[Any], folder: Path, stem: str, *, tower: str) -> Any:
    """Read them back as `Items` or `Users`. Raises `ReleaseCorrupt` where another tower made the vectors, or where rows
    and arrays do not belong together."""
    path = folder / f"{stem}.safetensors"
    ids = read_ids(folder / f"{stem}.parquet", ID_COLUMN[kind])
    try:
        with safe_open(path, framework="numpy") as file:
            if (have := (file.metadata() or {}).get(TOWER)) != tower:
                raise ReleaseCorrupt(f"{path}: vectors of tower {have!r}, the release is of {tower!r}; publish again")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    except (SafetensorError, OSError) as error:
        raise ReleaseCorrupt(f"{path}: cannot be read ({type(error).__name__}); publish again or roll back") from None
    want = {field.name for field in fields(kind)} - {"ids"}
    if arrays.keys() != want:
        raise ReleaseCorrupt(f"{path}: arrays differ by {sorted(arrays.keys() ^ want)}; publish again with this code")
    if len(arrays["vectors"]) != len(ids):
        raise ReleaseCorrupt(f"{path}: {len(arrays['vectors'])} vectors for {len(ids)} ids; publish again")
    return kind(ids=ids, **arrays)


def read_ids(path: Path, column: str) -> Ids:
    """The ids of a table, in the order of its rows."""
    return ids_of(pq.read_table(path, columns=[column])[column].to_pylist())


def without_users(users: Users, gone: NDArray[np.bool_]) -> Users:
    """The users whose place in `gone` [U] is false, with their histories."""
    kept = np.flatnonzero(~gone)
    offsets, positions = users.history.select(kept)
    histories = {name: getattr(users, name)[positions] for name in _HISTORY}
    rows = {name: getattr(users, name)[kept] for name in _ROWS}
    return Users(**rows, **histories, history_offsets=offsets.astype(users.history_offsets.dtype))


_HISTORY = ("history_items", "history_saves", "history_clicks", "history_hours")
_ROWS = ("ids", "region", "vectors", "features")
