"""The ids of a release as an Arrow column, and two indexes of their rows. All of it can be mapped.

A million ids take 17 MB, which processes can share. As Python text in a dictionary they take 150 MB in each process.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.ids import spellings
from ranking.feature_arrays import Ids, Rows, ids_of
from serving.cursor import item_hash


class IdColumn:
    """Ids as `numpy` arrays of text have them: by row, by rows, and as a list. Nothing can be changed."""

    def __init__(self, ids: pa.ChunkedArray) -> None:
        """`ids` are text without nulls."""
        self._ids = ids.chunk(0) if ids.num_chunks == 1 else ids.combine_chunks()
        _, offsets, text = self._ids.buffers()
        self._offsets, self._text = memoryview(offsets or b"").cast("i"), memoryview(text or b"")

    def __len__(self) -> int:
        """The number of ids."""
        return len(self._ids)

    def __getitem__(self, rows: Any) -> Any:
        """The id of a row, or those of some rows in the shape of `rows`."""
        if isinstance(rows, int | np.integer):
            return self._ids[int(rows)].as_py()
        chosen = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        return ids_of(self._ids.take(pa.array(chosen.ravel())).to_pylist()).reshape(chosen.shape)

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

    def __arrow_array__(self, type: pa.DataType | None = None) -> pa.Array:  # noqa: A002  Arrow's name
        """For Arrow, the column itself."""
        return self._ids if type is None else self._ids.cast(type)

    def encoded(self, row: int) -> bytes:
        """The id of a row in UTF-8."""
        return bytes(self._text[self._offsets[row] : self._offsets[row + 1]])

    def order(self) -> Rows:
        """The rows in the order of their ids."""
        rows: Rows = pc.sort_indices(self._ids).to_numpy().astype(np.int32)
        return rows


Find = Callable[[str], int | None]
"""The row of an id in one spelling."""


def by_order(ids: IdColumn, order: Rows) -> Find:
    """Find by bisection; `order` are the rows in the order of their ids."""
    rows = order.data

    def find(id_: str) -> int | None:
        text = id_.encode("utf-8", "surrogatepass")
        place = bisect_left(rows, text, key=ids.encoded)
        return rows[place] if place < len(rows) and ids.encoded(rows[place]) == text else None

    return find


def by_hash(ids: IdColumn, hashes: NDArray[np.uint32], order: Rows) -> Find:
    """Find by the hash of a cursor, which takes a fifth of the time; `hashes` are sorted, `order` are their rows."""
    sorted_hashes, rows = hashes.data, order.data

    def find(id_: str) -> int | None:
        text = id_.encode("utf-8", "surrogatepass")
        wanted = item_hash(text)
        place = bisect_left(sorted_hashes, wanted)
        while place < len(rows) and sorted_hashes[place] == wanted:  # a few ids of a million share their hash
            if ids.encoded(rows[place]) == text:
                return rows[place]
            place += 1
        return None

    return find


class RowOfId(Mapping[str, int]):
    """The row of each id, by either spelling."""

    def __init__(self, ids: IdColumn, find: Find) -> None:
        """Looks nothing up yet."""
        self._ids, self._find = ids, find

    def __getitem__(self, id_: str) -> int:
        """The row of an id. Raises `KeyError` where there is none."""
        for spelling in spellings(id_):
            if (row := self._find(spelling)) is not None:
                return row
        raise KeyError  # without the id, which must not reach a log

    def __len__(self) -> int:
        """The number of ids."""
        return len(self._ids)

    def __iter__(self) -> Iterator[str]:
        """The ids in the order of the rows."""
        return iter(self._ids)
