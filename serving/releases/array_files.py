"""The arrays of a release: safetensors files beside the ids in Parquet, each with the name of its towers."""

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
from ranking.cooccurrence_features import Transitions
from ranking.fatigue import UserImpressions
from ranking.feature_arrays import Floats, Ids, Items, Users, ids_of
from serving.releases.mapped_files import mapped_tensors

TRANSITIONS = "transitions.safetensors"
EXPOSURE, EXPOSURE_FILE = "exposure", "exposure.safetensors"
IMPRESSIONS = "impressions.safetensors"
TOWER = "tower"
"""The safetensors metadata key with the name of the towers that computed the vectors."""
ID_COLUMN = {Items: c.ITEM_ID, Users: c.USER_ID}
USER_COLUMNS = ("ids", "region", "vectors", "features")
HISTORY_COLUMNS = ("history_items", "history_saves", "history_clicks", "history_hours")


def write_arrays(table: Items | Users, folder: Path, stem: str, *, tower: str) -> None:
    """Write `<stem>.safetensors` and `<stem>.parquet`."""
    arrays = {
        field.name: np.ascontiguousarray(getattr(table, field.name)) for field in fields(table) if field.name != "ids"
    }
    ids = pa.table({ID_COLUMN[type(table)]: pa.array(table.ids.tolist(), pa.string())})
    pq.write_table(ids, folder / f"{stem}.parquet", compression="zstd")
    save_file(arrays, folder / f"{stem}.safetensors", metadata={TOWER: tower})


def read_arrays(
    kind: type[Any], folder: Path, stem: str, *, tower: str, ids: Ids | None = None, mapped: bool = False
) -> Any:
    """Read what `write_arrays` wrote, as `Items` or `Users`; with `ids`, those that were read already. Raises
    `ReleaseCorrupt` where another tower computed the vectors, or where ids and arrays differ in length."""
    path = folder / f"{stem}.safetensors"
    ids = read_ids(folder / f"{stem}.parquet", ID_COLUMN[kind]) if ids is None else ids
    arrays = tensors_of(path, tower, mapped=mapped)
    want = {field.name for field in fields(kind)} - {"ids"}
    if arrays.keys() != want:
        raise ReleaseCorrupt(f"{path}: arrays differ by {sorted(arrays.keys() ^ want)}; publish again with this code")
    if len(arrays["vectors"]) != len(ids):
        raise ReleaseCorrupt(f"{path}: {len(arrays['vectors'])} vectors for {len(ids)} ids; publish again")
    return kind(ids=ids, **arrays)


def write_transitions(transitions: Transitions, folder: Path, *, tower: str) -> None:
    """Write `transitions.safetensors`."""
    arrays = {field.name: np.ascontiguousarray(getattr(transitions, field.name)) for field in fields(transitions)}
    save_file(arrays, folder / TRANSITIONS, metadata={TOWER: tower})


def read_transitions(folder: Path, *, tower: str, items: int, mapped: bool = False) -> Transitions:
    """Read what `write_transitions` wrote. Raises `ReleaseCorrupt` where it is of another tower or of other items."""
    path = folder / TRANSITIONS
    arrays = tensors_of(path, tower, mapped=mapped)
    if arrays.keys() != {field.name for field in fields(Transitions)}:
        raise ReleaseCorrupt(f"{path}: holds {sorted(arrays)}; publish again with this code")
    transitions = Transitions(**arrays)
    if not len(transitions.after_offsets) == len(transitions.together_offsets) == items + 1:
        have = len(transitions.after_offsets) - 1
        raise ReleaseCorrupt(f"{path}: {have} items, the release has {items}; publish again")
    return transitions


def write_exposure(exposure: Floats, folder: Path, *, tower: str) -> None:
    """Write `exposure.safetensors`."""
    save_file({EXPOSURE: exposure}, folder / EXPOSURE_FILE, metadata={TOWER: tower})


def read_exposure(folder: Path, *, tower: str, items: int, mapped: bool = False) -> Floats | None:
    """The exposure of each item [I]; None for a release without. Raises `ReleaseCorrupt` where it is of other items."""
    path = folder / EXPOSURE_FILE
    if not path.exists():
        return None
    exposure: Floats = tensors_of(path, tower, mapped=mapped)[EXPOSURE]
    if len(exposure) != items:
        raise ReleaseCorrupt(f"{path}: {len(exposure)} items, the release has {items}; publish again")
    return exposure


def write_impressions(impressions: UserImpressions, folder: Path, *, tower: str) -> None:
    """Write `impressions.safetensors`."""
    given = {field.name: getattr(impressions, field.name) for field in fields(impressions)}
    arrays = {name: np.ascontiguousarray(array) for name, array in given.items() if array is not None}
    save_file(arrays, folder / IMPRESSIONS, metadata={TOWER: tower})


def read_impressions(folder: Path, *, tower: str, users: int, mapped: bool = False) -> UserImpressions | None:
    """Read what `write_impressions` wrote; None for a release without. Raises `ReleaseCorrupt` where it is of other
    users."""
    path = folder / IMPRESSIONS
    if not path.exists():
        return None
    impressions = UserImpressions(**tensors_of(path, tower, mapped=mapped))
    if len(impressions.offsets) != users + 1:
        raise ReleaseCorrupt(f"{path}: {len(impressions.offsets) - 1} users, the release has {users}; publish again")
    return impressions


def tensors_of(path: Path, tower: str, *, mapped: bool = False) -> dict[str, Any]:
    """Every array of a file, by name; `mapped` ones are read when they are used. Raises `ReleaseCorrupt` where it is of
    another tower."""
    try:
        with safe_open(path, framework="numpy") as file:
            if (have := (file.metadata() or {}).get(TOWER)) != tower:
                raise ReleaseCorrupt(f"{path}: vectors of tower {have!r}, the release is of {tower!r}; publish again")
            if mapped:
                return mapped_tensors(path)
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    except (SafetensorError, OSError) as error:
        raise ReleaseCorrupt(f"{path}: cannot be read ({type(error).__name__}); publish again or roll back") from None


def read_ids(path: Path, column: str) -> Ids:
    """The ids of a table, in the order of its rows."""
    return ids_of(read_id_column(path, column).to_pylist())


def read_id_column(path: Path, column: str) -> pa.ChunkedArray:
    """The same as Arrow has them in memory."""
    return pq.read_table(path, columns=[column])[column]


def without_users(users: Users, excluded: NDArray[np.bool_]) -> Users:
    """The users whose place in `excluded` [U] is false, with their histories."""
    kept = np.flatnonzero(~excluded)
    offsets, positions = users.history.select(kept)
    histories = {name: getattr(users, name)[positions] for name in HISTORY_COLUMNS}
    columns = {name: getattr(users, name)[kept] for name in USER_COLUMNS}
    return Users(**columns, **histories, history_offsets=offsets.astype(users.history_offsets.dtype))
