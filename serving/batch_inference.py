"""Batch inference: lists for many users from a release, with the same ranking as the feed."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts import Flag, OptOutReader, SubjectType
from contracts import columns as c
from contracts.opt_out_flags import UNREADABLE
from ranking.feature_arrays import ids_of
from ranking.rank_users import rank_users
from serving.event_store import EventStore
from serving.privacy.consent import excluded_items, rows_of
from serving.privacy.opt_out_store import ActiveOptOuts
from serving.releases.loaded_release import RankedList, Release

RANK, SCORE, SOURCE = "rank", "score", "source"
LISTS = pa.schema(
    [
        pa.field(c.USER_ID, pa.string()),
        pa.field(c.ITEM_ID, pa.string()),
        pa.field(RANK, pa.int32()),
        pa.field(SCORE, pa.float32()),
        pa.field(SOURCE, pa.string()),
    ]
)
"""`rank` counts from 1; `score` compares within one user's list."""
USERS_PER_CHUNK = 256


def recommend(
    release: Release,
    user_ids: Iterable[str] | None,
    k: int,
    opt_outs: OptOutReader,
    *,
    events: EventStore | None = None,
) -> pa.Table:
    """The first `k` items of each user's list, in the order of `user_ids`, by default for all users of the release.

    Users who must not be profiled and unknown users get the non-personalized list. Raises `OptOutStoreUnavailable`,
    because no list may be computed without the opt-outs.
    """
    requested = list(dict.fromkeys(release.users.ids.tolist() if user_ids is None else user_ids))
    unreadable = opt_outs.subjects(SubjectType.USER, UNREADABLE)
    excluded = excluded_items(release, _exclusions(opt_outs), datetime.now(UTC))
    personalized = [user for user in requested if user in release.user_row and user not in unreadable]
    recent = events.recent_items_by_user() if events and personalized else {}
    parts = [
        _personalized_lists(release, users, k, _with_recent(release, excluded, users, recent))
        for users in _chunks(personalized)
    ]
    others = set(requested).difference(personalized)
    parts.append(_fallback_lists(release, [user for user in requested if user in others], k, excluded))
    return _in_order(pa.concat_tables(parts), requested)


def _personalized_lists(release: Release, users: Sequence[str], k: int, excluded: NDArray[np.bool_]) -> pa.Table:
    user_rows = np.array([release.user_row[user] for user in users], np.int32)
    ranked = rank_users(release.ranking_snapshot, release.reranker, user_rows, k, excluded=excluded)
    slates = ranked.slates
    lists = RankedList.of(ranked, slates.pairs)
    user_ids = release.users.ids[ranked.candidates.user_rows[slates.pairs]]
    return _table(user_ids, release.items.ids[lists.rows], slates.places + 1, lists.scores, lists.sources)


def _fallback_lists(release: Release, users: Sequence[str], k: int, excluded: NDArray[np.bool_]) -> pa.Table:
    ranked = release.fallback
    best = np.flatnonzero(~excluded[ranked.rows])[:k]
    columns = (
        release.items.ids[ranked.rows[best]],
        np.arange(1, len(best) + 1),
        ranked.scores[best],
        ranked.sources[best],
    )
    user_ids = np.repeat(ids_of(users), len(best))
    return _table(user_ids, *(np.tile(column, len(users)) for column in columns))


def _exclusions(opt_outs: OptOutReader) -> ActiveOptOuts:
    items = opt_outs.subjects(SubjectType.ITEM, (Flag.RECOMMENDATION,))
    return ActiveOptOuts(frozenset(), items, opt_outs.subjects(SubjectType.CREATOR, (Flag.RECOMMENDATION,)))


def _with_recent(
    release: Release, excluded: NDArray[np.bool_], users: Sequence[str], recent: dict[str, list[str]]
) -> NDArray[np.bool_]:
    """[I], or [B, I] where one of the users has interactions since the release."""
    items_at = {place: recent[user] for place, user in enumerate(users) if user in recent}
    if not items_at:
        return excluded
    own = np.tile(excluded, (len(users), 1))
    for place, items in items_at.items():
        own[place, rows_of(release, items)] = True
    return own


def _chunks(users: Sequence[str]) -> Iterator[Sequence[str]]:
    return (users[start : start + USERS_PER_CHUNK] for start in range(0, len(users), USERS_PER_CHUNK))


def _table(*columns: NDArray[np.generic]) -> pa.Table:
    return pa.table(
        [pa.array(column.tolist(), field.type) for column, field in zip(columns, LISTS, strict=True)], LISTS
    )


def _in_order(lists: pa.Table, users: Sequence[str]) -> pa.Table:
    place = pc.index_in(lists[c.USER_ID], pa.array(users, pa.string()))
    order = pc.sort_indices(
        pa.table({"place": place, RANK: lists[RANK]}), [("place", "ascending"), (RANK, "ascending")]
    )
    return lists.take(order)
