"""The exposure log: what personalized pages showed, as parquet files in the lake, in the background.

`TASTEFEED_EXPOSURE_LOG` turns it on. Each worker writes a file about every half minute: `exposures/date=…/….parquet`. A
file appears as a whole. A killed worker loses what is in its queue, and a full queue drops pages. Users are pseudonyms.
Nothing is logged of users without a personalized page: who opted out, by a flag or by `Sec-GPC`. The opt-outs are read
again before a file is written.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts import Settings, SubjectType
from contracts import columns as c
from contracts.atomic_files import replace_file
from contracts.errors import OptOutStoreUnavailable, one_line
from contracts.opt_out_flags import UNREADABLE
from contracts.schemas import EXPOSURES
from ranking.candidates import BITS
from ranking.feature_arrays import SOURCES
from serving.background_queue import BackgroundQueue
from serving.feed import Feed, ServedFeed
from serving.privacy.opt_out_store import OptOutStore
from serving.privacy.pseudonyms import Pseudonym, pseudonyms

LOG = logging.getLogger("tastefeed.exposure_log")
FOLDER = "exposures"
MAX_WAITING_PAGES = 5000
GATHER_S = 30.0
HEAVY_HISTORY = 10
"""Items of a history from which a user is in the segment `heavy`, as in the evaluation."""


@dataclass(frozen=True)
class Exposure:
    """One personalized page, without the arrays that it was made of."""

    feed: Feed
    served_at: datetime
    segment: str
    sources: tuple[tuple[str, ...], ...]
    arm: str | None

    @classmethod
    def of(cls, served: ServedFeed) -> "Exposure | None":
        """The page of a user who may be profiled; none of others."""
        if served.ranked is None or served.context.user_row is None or not served.feed.items:
            return None
        start, stop = served.release.users.history_offsets[served.context.user_row : served.context.user_row + 2]
        candidates = served.ranked.candidates
        bits = candidates.sources[np.searchsorted(candidates.item_rows, served.page.rows)]  # by item row, of one user
        sources = tuple(tuple(source for source in SOURCES if each & BITS[source]) for each in bits)
        segment = "heavy" if stop - start >= HEAVY_HISTORY else "light"
        arm = served.choice.arm.name if served.choice.arm else None
        return cls(served.feed, datetime.now(UTC), segment, sources, arm)


class ExposureLog:
    """The queue of one worker."""

    def __init__(
        self,
        settings: Settings,
        opt_outs: OptOutStore,
        on_result: Callable[[str, int], object],
        *,
        experiment: str = "",
    ) -> None:
        """`on_result` counts pages as `written` or `dropped`; `experiment` is the name of the running one."""
        self._experiment = experiment
        self._lake, self._opt_outs, self._pseudonym = settings.lake, opt_outs, pseudonyms(settings)
        self._on_result, self._is_on = on_result, settings.exposure_log
        self._queue: BackgroundQueue[Exposure] = BackgroundQueue(
            "exposures",
            self._write,
            lambda count: on_result("dropped", count),
            size=MAX_WAITING_PAGES,
            gather_s=GATHER_S,
        )

    def start(self) -> None:
        """Start the thread, if the log is on."""
        if self._is_on:
            self._queue.start()

    def record(self, served: ServedFeed) -> None:
        """Have a page logged; never waits."""
        if self._is_on and (exposure := Exposure.of(served)) is not None:
            self._queue.add(exposure)

    def close(self) -> None:
        """Write what is in the queue."""
        self._queue.close()

    def _write(self, exposures: Sequence[Exposure]) -> None:
        users = {exposure.feed.user_id for exposure in exposures if exposure.feed.user_id is not None}
        try:
            refused = self._opt_outs.among(SubjectType.USER, users, UNREADABLE)
            allowed = [exposure for exposure in exposures if exposure.feed.user_id not in refused]
            write_exposures(self._lake, allowed, self._pseudonym, self._experiment)
        except (OSError, OptOutStoreUnavailable) as error:
            problem = one_line(error) if isinstance(error, OSError) else str(error)
            LOG.error("%d pages are not in the exposure log: %s", len(exposures), problem)
            self._on_result("dropped", len(exposures))
        else:
            self._on_result("written", len(exposures))


def write_exposures(lake: str, exposures: Iterable[Exposure], pseudonym: Pseudonym, experiment: str) -> None:
    """Write one file for each day. Raises `OSError`."""
    rows: dict[date, list[dict[str, Any]]] = defaultdict(list)
    for exposure in exposures:
        rows[exposure.served_at.date()].extend(rows_of(exposure, pseudonym, experiment))
    for day, of_day in rows.items():
        content = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(of_day, EXPOSURES), content, compression="zstd")
        write_file(lake, f"{FOLDER}/date={day}/{uuid4().hex}.parquet", content.getvalue().to_pybytes())


def rows_of(exposure: Exposure, pseudonym: Pseudonym, experiment: str) -> list[dict[str, Any]]:
    """The rows of one page."""
    feed = exposure.feed
    user = pseudonym(feed.user_id or "")
    return [
        {
            "served_at": exposure.served_at,
            c.REQUEST_ID: feed.request_id,
            "release": feed.release,
            "user": user,
            "segment": exposure.segment,
            "experiment": experiment if exposure.arm else None,
            "arm": exposure.arm,
            c.ITEM_ID: item.item_id,
            "rank": item.rank,
            "score": item.score,
            "sources": list(sources),
            c.PROPENSITY: item.propensity,
        }
        for item, sources in zip(feed.items, exposure.sources, strict=True)
    ]


def write_file(lake: str, path: str, content: bytes) -> None:
    """Write a file of the lake as a whole."""
    if "://" not in lake or lake.startswith("file://"):
        local = Path(lake.removeprefix("file://")) / path
        local.parent.mkdir(parents=True, exist_ok=True)
        replace_file(local, content)
        return
    import fsspec  # noqa: PLC0415  only a remote lake needs it

    fs, root = fsspec.core.url_to_fs(lake)
    fs.pipe_file(f"{root}/{path}", content)  # object stores show a file once it is complete
