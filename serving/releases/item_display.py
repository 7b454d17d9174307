"""What a client shows of an item. Many users see the same items, so those of the last requests are kept as objects."""

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from contracts import columns as c
from ranking.feature_arrays import Rows

COLUMNS = [c.ITEM_ID, c.TITLE, c.CREATOR_ID, c.URL, c.IMAGE_URL, c.CREATED_AT]
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
        self._table = catalogue.select(COLUMNS).combine_chunks()
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
            read = self._table.take(pa.array(list(missing), pa.int64())).to_pylist()
            kept.update(zip(missing, (ItemDisplay(**row) for row in read), strict=True))
        return [kept[row] for row in wanted]
