"""Pages of a list: what was not shown yet, the explored places, and the cursor of the next page."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.csr import Longs
from ranking.feature_arrays import Rows
from ranking.feature_names import ITEM_FEATURE_NAMES
from ranking.rank_users import RankedUsers
from serving.cursor import Cursor
from serving.exploration import ExplorationConfig, Explored, drawn, places_of, seed_of
from serving.releases.loaded_release import Release
from serving.releases.ranked_list import RankedList


@dataclass(frozen=True)
class Page(RankedList):
    """A part of a list, and the cursor of the next one."""

    cursor: Cursor | None
    propensities: NDArray[np.float64] | None = None
    """[L] the probability of each explored item at its place, NaN for the others; `None` without exploration."""
    source_bits: NDArray[np.uint8] | None = None
    """[L] every source that proposed each item, a bit for each; `None` for the non-profiled list."""

    @property
    def chances(self) -> list[float | None]:
        """[L] the propensities, `None` where an item was not explored."""
        if self.propensities is None:
            return [None] * len(self.rows)
        return [None if np.isnan(chance) else float(chance) for chance in self.propensities]


def page_places(
    release: Release, rows: Rows, excluded: NDArray[np.bool_], position: Cursor, limit: int, *, personalized: bool
) -> tuple[NDArray[np.int64], Cursor | None]:
    """The places of a list that make one page, and the cursor of the next page."""
    remaining = _not_shown_yet(release, rows, excluded, position, limit)
    page = remaining[:limit]
    if len(remaining) <= limit:
        return page, None
    hashes, offset = release.item_hashes[rows[page]], int(page[-1]) + 1
    return page, position.after(hashes, release=release.version, personalized=personalized, offset=offset)


def _not_shown_yet(
    release: Release, rows: Rows, excluded: NDArray[np.bool_], cursor: Cursor, limit: int
) -> NDArray[np.int64]:
    """The first places that may be shown and that no page has shown, more than `limit` where there are more."""
    if not cursor.complete:
        return _allowed_places(rows, excluded, cursor.offset, limit + 1)
    enough = _allowed_places(rows, excluded, 0, 2 * (limit + len(cursor.hashes)))  # whatever was shown
    return enough[~np.isin(release.item_hashes[rows[enough]], cursor.hashes)] if cursor.rank else enough


def _allowed_places(rows: Rows, excluded: NDArray[np.bool_], start: int, count: int) -> NDArray[np.int64]:
    """The first `count` places from `start` on. The list may be as long as the catalogue, so its end is not read."""
    size = max(1, count)
    while True:
        places = start + np.flatnonzero(~excluded[rows[start : start + size]])
        if len(places) >= count or start + size >= len(rows):
            return places[:count]
        size *= 2


def rows_of_last(release: Release, position: Cursor) -> Rows:
    """The rows of the last items that the pages before have shown, oldest first, as far as the release has them."""
    last = position.hashes[len(position.hashes) - min(len(position.hashes), release.ranking.slate.window - 1) :]
    return release.rows_of_hashes(last)


def personalized_page(
    release: Release,
    ranked: RankedUsers,
    pairs: Longs,
    left_out: NDArray[np.bool_],
    position: Cursor,
    limit: int,
    exploration: ExplorationConfig,
) -> tuple[Longs, Page]:
    """The pairs of one page and the page itself. `pairs` are the list of one user, best first; items of `left_out` [I]
    are on no page, nor are they explored.

    The same user gets the same draws from a release all day. A list with explored places ends where a cursor no longer
    names all items shown, because the rest could repeat one.
    """
    rows, slots = ranked.candidates.item_rows[pairs], exploration.slots_of(limit) if position.complete else 0
    if not slots or not len(pairs):
        places, cursor = page_places(release, rows, left_out, position, limit, personalized=True)
        return pairs[places], _page_of(ranked, pairs[places], cursor)
    places, _ = page_places(release, rows, left_out, position, limit - slots, personalized=True)
    pool = _pool(release, ranked, pairs, pairs[places], left_out, position, exploration)
    explored = _drawn(release, ranked, pairs, pool, slots, position, exploration)
    chosen = pool[explored.chosen]
    without = left_out.copy()
    without[ranked.candidates.item_rows[chosen]] = True
    places, cursor = page_places(release, rows, without, position, limit - len(chosen), personalized=True)
    if cursor is not None:
        hashes = release.item_hashes[ranked.candidates.item_rows[chosen]]
        cursor = cursor.after(hashes, release=release.version, personalized=True, offset=cursor.offset)
    page, propensities = _merged(pairs[places], chosen, explored)
    return page, _page_of(ranked, page, cursor if cursor and cursor.complete else None, propensities)


def _page_of(
    ranked: RankedUsers, pairs: Longs, cursor: Cursor | None, propensities: NDArray[np.float64] | None = None
) -> Page:
    page = RankedList.of(ranked, pairs)
    return Page(page.rows, page.scores, page.sources, cursor, propensities, ranked.candidates.sources[pairs])


def _pool(
    release: Release,
    ranked: RankedUsers,
    pairs: Longs,
    page: Longs,
    left_out: NDArray[np.bool_],
    position: Cursor,
    config: ExplorationConfig,
) -> Longs:
    """The candidates of the user that may be explored: few users clicked them, no page showed them, and their creator
    is below its limit on this page."""
    candidates, items = ranked.candidates, release.items
    own = np.flatnonzero(candidates.user_rows == candidates.user_rows[pairs[0]])
    rows = candidates.item_rows[own]
    uncertain = np.nan_to_num(items.features[rows, USERS]) <= config.uncertain_users
    shown = np.isin(release.item_hashes[rows], position.hashes) | np.isin(own, page)
    if ranked.fatigue is not None:
        shown |= ranked.fatigue.recent[own]
    return np.asarray(own[uncertain & ~shown & ~left_out[rows] & _below_creator_limit(release, ranked, rows, page)])


USERS = ITEM_FEATURE_NAMES.index("users")


def _below_creator_limit(release: Release, ranked: RankedUsers, rows: Rows, page: Longs) -> NDArray[np.bool_]:
    creators, most = release.items.creator, release.ranking.slate.per_creator
    counts = np.bincount(creators[ranked.candidates.item_rows[page]] + 1, minlength=int(creators.max(initial=-1)) + 2)
    return np.asarray((creators[rows] < 0) | (most == 0) | (counts[creators[rows] + 1] < most))


def _drawn(
    release: Release,
    ranked: RankedUsers,
    pairs: Longs,
    pool: Longs,
    slots: int,
    position: Cursor,
    config: ExplorationConfig,
) -> Explored:
    user_row = ranked.candidates.user_rows[pairs[0]]
    scores = ranked.scores[ranked.candidates.user_rows == user_row]
    spread = max(float(scores.max() - scores.min()), np.finfo(np.float32).tiny)
    relevance = (ranked.scores[pool] - scores.min()) / spread
    if ranked.fatigue is not None:
        relevance *= ranked.fatigue.remaining[pool]
    seed = seed_of(release.users.ids[user_row], release.version, position.since.date(), position.rank)
    return drawn(relevance, slots, config, seed)


def _merged(regular: Longs, chosen: Longs, explored: Explored) -> tuple[Longs, NDArray[np.float64]]:
    """The pairs of a page with the explored ones at their places, and the propensities."""
    length = len(regular) + len(chosen)
    places = places_of(len(chosen), length)
    page, propensities = np.zeros(length, np.int64), np.full(length, np.nan)
    page[places], propensities[places] = chosen, explored.propensities
    page[np.setdiff1d(np.arange(length), places)] = regular
    return page, propensities
