"""What a client shows of an item. Many users see the same items, so those of the last requests are kept as objects."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from contracts import columns as c
from ranking.feature_arrays import Rows

TEXTS = [c.ITEM_ID, c.TITLE, c.CREATOR_ID, c.URL, c.IMAGE_URL]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_KEPT = 20_000
"""Items that are kept at once: some 20 MB."""


@dataclass(frozen=True)
class ItemDisplay:
    """One item of the catalogue."""

    item_id: str
    title: str | None
    creator_id: str | None
    url: str | None
    image_url: str | None
    created_at: datetime | None


class ItemDisplays:
    """The items of one release."""

    def __init__(self, catalogue: pa.Table) -> None:
        """`catalogue` is in the row order of the items."""
        texts = catalogue.select(TEXTS).combine_chunks()
        micros = catalogue[c.CREATED_AT].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        self._table = texts.append_column(c.CREATED_AT, micros)
        self._kept: dict[int, ItemDisplay] = {}

    def of(self, rows: Rows) -> list[ItemDisplay]:
        """The items of these rows, which may repeat."""
        wanted = rows.tolist()
        kept = self._kept  # another thread may begin a new one
        missing = {row for row in wanted if row not in kept}
        if missing and len(kept) + len(missing) > MOST_KEPT:
            kept, missing = {}, set(wanted)
            self._kept = kept
        if missing:
            kept.update(zip(missing, self._read(missing), strict=True))
        return [kept[row] for row in wanted]

    def _read(self, rows: Iterable[int]) -> Iterator[ItemDisplay]:
        read = self._table.take(pa.array(list(rows), pa.int64()))
        # Arrow takes ten times as long to make instants
        columns = (column.to_pylist() for column in read.columns)
        for item_id, title, creator_id, url, image_url, micros in zip(*columns, strict=True):
            created_at = None if micros is None else EPOCH + timedelta(microseconds=micros)
            yield ItemDisplay(item_id, title, creator_id, url, image_url, created_at)
