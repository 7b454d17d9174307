"""Lists for many users at once, from a release: the feed's own arithmetic, without a server."""

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
from serving.event_store import PendingEvents
from serving.popularity_fallback import ranked
from serving.privacy.consent import not_shown, rows_of
from serving.privacy.opt_out_store import Standing
from serving.releases.loaded_release import Release

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
USERS_AT_ONCE = 256


def recommend(
    release: Release,
    user_ids: Iterable[str] | None,
    k: int,
    opt_outs: OptOutReader,
    *,
    pending: PendingEvents | None = None,
) -> pa.Table:
    """The first `k` items of each user's list, in the order of `user_ids`, by default everyone in the release.

    Opt-outs hold here too: whoever may not be profiled, or is not known, gets everyone's list. Raises
    `OptOutStoreUnavailable`: an offline list is better not made than made without asking.
    """
    asked = list(dict.fromkeys(release.users.ids.tolist() if user_ids is None else user_ids))
    unreadable = opt_outs.subjects(SubjectType.USER, UNREADABLE)
    hidden = not_shown(release, _standing(opt_outs), datetime.now(UTC))
    profiles = [user for user in asked if user in release.user_row and user not in unreadable]
    touches = pending.touches() if pending and profiles else {}
    parts = [_own(release, some, k, _hidden(release, hidden, some, touches)) for some in _chunks(profiles)]
    known = set(profiles)
    parts.append(_everyones(release, [user for user in asked if user not in known], k, hidden))
    return _in_order(pa.concat_tables(parts), asked)


def _own(release: Release, users: Sequence[str], k: int, hidden: NDArray[np.bool_]) -> pa.Table:
    user_rows = np.array([release.user_row[user] for user in users], np.int32)
    scored = rank_users(release.ranking_snapshot, release.reranker, user_rows, k, excluded=hidden)
    lists = ranked(scored, scored.slates.pairs)
    user_ids = release.users.ids[scored.candidates.user_rows[scored.slates.pairs]]
    return _table(user_ids, release.items.ids[lists.rows], scored.slates.places + 1, lists.scores, lists.sources)


def _everyones(release: Release, users: Sequence[str], k: int, hidden: NDArray[np.bool_]) -> pa.Table:
    shelf = release.everyones
    best = np.flatnonzero(~hidden[shelf.rows])[:k]
    columns = (
        release.items.ids[shelf.rows[best]],
        np.arange(1, len(best) + 1),
        shelf.scores[best],
        shelf.sources[best],
    )
    user_ids = np.repeat(ids_of(users), len(best))
    return _table(user_ids, *(np.tile(column, len(users)) for column in columns))


def _standing(opt_outs: OptOutReader) -> Standing:
    recommended = (Flag.RECOMMENDATION,)
    items = opt_outs.subjects(SubjectType.ITEM, recommended)
    return Standing(frozenset(), items, opt_outs.subjects(SubjectType.CREATOR, recommended))


def _hidden(
    release: Release, hidden: NDArray[np.bool_], users: Sequence[str], touches: dict[str, list[str]]
) -> NDArray[np.bool_]:
    """[I], or [B, I] where one of the users touched something since the release."""
    since = {place: touches[user] for place, user in enumerate(users) if user in touches}
    if not since:
        return hidden
    own = np.tile(hidden, (len(users), 1))
    for place, items in since.items():
        own[place, rows_of(release, items)] = True
    return own


def _chunks(users: Sequence[str]) -> Iterator[Sequence[str]]:
    return (users[start : start + USERS_AT_ONCE] for start in range(0, len(users), USERS_AT_ONCE))


def _table(*columns: NDArray[np.generic]) -> pa.Table:
    return pa.table(
        [pa.array(column.tolist(), field.type) for column, field in zip(columns, LISTS, strict=True)], LISTS
    )


def _in_order(lists: pa.Table, asked: Sequence[str]) -> pa.Table:
    place = pc.index_in(lists[c.USER_ID], pa.array(asked, pa.string()))
    order = pc.sort_indices(
        pa.table({"place": place, RANK: lists[RANK]}), [("place", "ascending"), (RANK, "ascending")]
    )
    return lists.take(order)
