"""Why an item is shown, in data first, and in one sentence that says the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from tastefeed.contracts import columns as c
from tastefeed.ranking.tables import Rows
from tastefeed.serving.release import Release
from tastefeed.serving.shelf import FRESH


@dataclass(frozen=True)
class Explanation:
    """`kind` names the signal; `item_id` and `title` the item of the user's own that it rests on, if any."""

    kind: str
    text: str
    item_id: str | None = None
    title: str | None = None
    similarity: float | None = None


def explain_everyones(release: Release, rows: Rows, sources: NDArray[np.str_]) -> list[Explanation]:
    """Reasons of items in everyone's list: they speak of the item alone."""
    created: Sequence[datetime | None] = release.catalogue[c.CREATED_AT].take(rows).to_pylist()
    return [by_source(source, at) for source, at in zip(sources.tolist(), created, strict=True)]


def by_source(source: str, created_at: datetime | None) -> Explanation:
    """The reason that an item's source alone gives."""
    if source != FRESH:
        return Explanation("popular", "Many people read this lately")
    since = f", since {created_at.day} {created_at:%B %Y}" if created_at else ""
    return Explanation("fresh", f"New here{since}")
