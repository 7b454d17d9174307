"""The ids of a release's users as an Arrow column, with their rows in the order of the ids: found by bisection.

A million ids take 17 MB, which processes can share. As Python text in a dictionary they take 150 MB in each process.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.ids import spellings
from ranking.feature_arrays import Ids, ids_of

ID, BY_ID = "id", "by_id"


class IdColumn:
    """Ids as `numpy` arrays of text have them: by row, by rows, and as a list. Nothing can be changed."""

    def __init__(self, table: pa.Table) -> None:
        """`table` is one that `id_table` made."""
        self._ids = _one_chunk(table[ID])
        _, offsets, text = self._ids.buffers()
        self._offsets, self._text = memoryview(offsets or b"").cast("i"), memoryview(text or b"")
        self._by_id = memoryview(_one_chunk(table[BY_ID]).to_numpy())

    def __len__(self) -> int:
        """The number of ids."""
        return len(self._ids)

    def __getitem__(self, rows: Any) -> Any:
        """The id of a row, or [N] those of some rows."""
        if isinstance(rows, int | np.integer):
            return self._ids[int(rows)].as_py()
        chosen = pa.array(np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows, np.int64))
        return ids_of(self._ids.take(chosen).to_pylist())

    def __iter__(self) -> Iterator[str]:
        """The ids in the order of the rows."""
        return iter(self.tolist())

    def tolist(self) -> list[str]:
        """The ids in the order of the rows."""
        ids: list[str] = self._ids.to_pylist()
        return ids

    def __array__(self, *_: object) -> Ids:
        """For numpy, an array of text."""
        return ids_of(self.tolist())

    def row(self, id_: str) -> int | None:
        """The row of an id, which may be spelled in another way."""
        return next((row for row in map(self._row, spellings(id_)) if row is not None), None)

    def _row(self, id_: str) -> int | None:
        text = id_.encode("utf-8", "surrogatepass")
        place = bisect_left(self._by_id, text, key=self._bytes)
        if place == len(self) or self._bytes(row := self._by_id[place]) != text:
            return None
        return row

    def _bytes(self, row: int) -> bytes:
        return bytes(self._text[self._offsets[row] : self._offsets[row + 1]])


class RowOfId(Mapping[str, int]):
    """The row of each id, by either spelling."""

    def __init__(self, ids: IdColumn) -> None:
        """Looks nothing up yet."""
        self._ids = ids

    def __getitem__(self, id_: str) -> int:
        """The row of an id. Raises `KeyError` where there is none."""
        if (row := self._ids.row(id_)) is None:
            raise KeyError  # without the id, which must not reach a log
        return row

    def __len__(self) -> int:
        """The number of ids."""
        return len(self._ids)

    def __iter__(self) -> Iterator[str]:
        """The ids in the order of the rows."""
        return iter(self._ids)


def id_table(path: Path, column: str) -> pa.Table:
    """The ids of a Parquet file, and the rows in the order of the ids."""
    ids = pq.read_table(path, columns=[column])[column].combine_chunks()
    return pa.table({ID: ids, BY_ID: pc.sort_indices(ids).cast(pa.int32())})


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
