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
from itertools import chain
from traceback import extract_tb
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contracts import Settings
from contracts import columns as c
from contracts.errors import TastefeedError, one_line
from contracts.schemas import EXPOSURES, STRINGS
from ranking.candidates import BITS
from ranking.feature_arrays import SOURCES, Floats
from serving.background_queue import BackgroundQueue
from serving.exposure_files import FOLDER, record_key, write_file
from serving.feed import Feed
from serving.list_pages import Page
from serving.privacy.consent import of_readable_users
from serving.privacy.opt_out_store import OptOutStore
from serving.privacy.pseudonyms import KEY_FILE, Pseudonym, pseudonyms
from serving.release_choice import Choice

LOG = logging.getLogger("tastefeed.exposure_log")
MAX_WAITING_PAGES = 5000
GATHER_S = 30.0
PAGES_AT_ONCE = 100
"""Pages whose rows are made in one step: requests wait for a step, since it keeps Python's lock."""
SOURCES_OF_BITS = [[source for source in SOURCES if bits & BITS[source]] for bits in range(1 << len(SOURCES))]
"""The names of the sources, by the bits of a candidate."""
HEAVY_HISTORY = 10
"""Items of a history from which a user is in the segment `heavy`, as in the evaluation."""


@dataclass(frozen=True)
class Exposure:
    """One personalized page of N items, small enough to wait in a queue."""

    user_id: str
    request_id: str
    release: str
    served_at: datetime
    segment: str
    arm: str | None
    first_rank: int
    item_ids: list[str]  # [N]
    scores: Floats  # [N]
    sources: NDArray[np.uint8]  # [N] a bit for each source
    propensities: list[float | None]  # [N]

    @classmethod
    def of(cls, feed: Feed, choice: Choice, page: Page) -> "Exposure | None":
        """The page of a user who may be profiled; none of others."""
        row = choice.context.user_row
        if page.source_bits is None or row is None or feed.user_id is None or not feed.items:
            return None
        start, stop = choice.release.users.history_offsets[row : row + 2]
        return cls(
            user_id=feed.user_id,
            request_id=feed.request_id,
            release=feed.release,
            served_at=datetime.now(UTC),
            segment="heavy" if stop - start >= HEAVY_HISTORY else "light",
            arm=choice.arm.name if choice.arm else None,
            first_rank=feed.items[0].rank,
            item_ids=[item.item_id for item in feed.items],
            scores=page.scores,
            sources=page.source_bits,
            propensities=[item.propensity for item in feed.items],
        )


class ExposureLog(BackgroundQueue[Exposure]):
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
        super().__init__("exposures", enabled=settings.exposure_log, size=MAX_WAITING_PAGES, gather_s=GATHER_S)
        self._lake, self._opt_outs, self._pseudonym = settings.lake, opt_outs, pseudonyms(settings)
        self._key_file = settings.lake_folder / KEY_FILE
        self._on_result, self._experiment = on_result, experiment

    def record(self, feed: Feed, choice: Choice, page: Page) -> None:
        """Have a page logged; never waits."""
        if self.enabled and (exposure := Exposure.of(feed, choice, page)) is not None:
            self.add(exposure)

    def handle(self, entries: Sequence[Exposure]) -> None:
        """Write the pages of users who have not opted out since."""
        try:
            if allowed := of_readable_users(self._opt_outs, entries):
                record_key(self._lake, self._pseudonym, self._key_file)
                write_exposures(self._lake, allowed, self._pseudonym, self._experiment)
        except Exception as error:  # a remote file system raises errors of its own, and one would end the thread
            LOG.error("%d pages are not in the exposure log: %s", len(entries), _problem(error))
            self.count_dropped(len(entries))
        else:
            self._on_result("written", len(entries))

    def count_dropped(self, entries: int) -> None:
        """Count pages that are not in the log."""
        self._on_result("dropped", entries)


def _problem(error: Exception) -> str:
    """Cause and remedy; of an unknown error its kind and place alone, because its text may quote a row."""
    if isinstance(error, OSError):
        return one_line(error)
    if isinstance(error, TastefeedError):
        return str(error)
    place = extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {place.filename}:{place.lineno}"


def write_exposures(lake: str, exposures: Iterable[Exposure], pseudonym: Pseudonym, experiment: str) -> None:
    """Write one file for each day. Raises `OSError`."""
    of_days: dict[date, list[Exposure]] = defaultdict(list)
    for exposure in exposures:
        of_days[exposure.served_at.date()].append(exposure)
    for day, of_day in of_days.items():
        content = pa.BufferOutputStream()
        with pq.ParquetWriter(content, EXPOSURES, compression="zstd") as writer:
            for start in range(0, len(of_day), PAGES_AT_ONCE):
                writer.write_table(table_of(of_day[start : start + PAGES_AT_ONCE], pseudonym, experiment))
        write_file(lake, f"{FOLDER}/date={day}/{uuid4().hex}.parquet", content.getvalue().to_pybytes())


def table_of(exposures: Sequence[Exposure], pseudonym: Pseudonym, experiment: str) -> pa.Table:
    """The rows of some pages, in `EXPOSURES`."""
    lengths = [len(exposure.item_ids) for exposure in exposures]
    page_of = np.repeat(np.arange(len(exposures)), lengths)
    of_pages = {
        "served_at": [exposure.served_at for exposure in exposures],
        c.REQUEST_ID: [exposure.request_id for exposure in exposures],
        "release": [exposure.release for exposure in exposures],
        "user": [pseudonym(exposure.user_id) for exposure in exposures],
        "segment": [exposure.segment for exposure in exposures],
        "experiment": [experiment if exposure.arm else None for exposure in exposures],
        "arm": [exposure.arm for exposure in exposures],
    }
    ranks = [exposure.first_rank + np.arange(length) for exposure, length in zip(exposures, lengths, strict=True)]
    columns = {
        **{name: pa.array(values, EXPOSURES.field(name).type).take(page_of) for name, values in of_pages.items()},
        c.ITEM_ID: list(chain.from_iterable(exposure.item_ids for exposure in exposures)),
        "rank": np.concatenate(ranks),
        "score": np.concatenate([exposure.scores for exposure in exposures]),
        "sources": pa.array(SOURCES_OF_BITS, STRINGS).take(
            np.concatenate([exposure.sources for exposure in exposures])
        ),
        c.PROPENSITY: list(chain.from_iterable(exposure.propensities for exposure in exposures)),
    }
    return pa.table([pa.array(columns[name], EXPOSURES.field(name).type) for name in EXPOSURES.names], EXPOSURES)
