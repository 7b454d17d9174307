"""What users did and were shown that the release which answers does not include, read from the event store for each
feed.

The statements are made once. A feed of one user takes point reads; feeds of many users take one query for all.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, literal, select

from contracts import Action
from contracts import columns as c
from serving.stores.event_tables import PENDING
from serving.stores.point_reads import PointConnection, PointRead
from serving.stores.sql_instants import EPOCH, Instant

INTERACTIONS = (Action.CLICK, Action.SAVE, Action.HIDE, Action.UNHIDE)
"""The actions of a user on an item; an impression is none."""
LONGEST_NIGHT = timedelta(days=1)
"""What was posted longer ago when a release was built is in it, if it happened before its `as_of`."""


@dataclass(frozen=True, slots=True)
class ReleaseTimes:
    """Until when events had to happen and to be posted, so that a release includes them; by default, it has none."""

    as_of: datetime = EPOCH
    built_at: datetime = EPOCH


@dataclass(frozen=True, slots=True)
class RecentInteraction:
    """What the user did with an item, when, and when the event was posted. Impressions of one item are one, the last,
    with their `count`; posted by the instant that they were requested for."""

    item_id: str
    action: Action
    timestamp: datetime
    landed_at: datetime
    count: int = 1


def _recent_interactions(users: ColumnElement[bool]) -> Select[Any]:
    columns = (PENDING.c[name] for name in (c.USER_ID, c.ITEM_ID, c.ACTION, c.TIMESTAMP, c.LANDED_AT))
    actions = PENDING.c.action.in_([literal(str(action)) for action in INTERACTIONS])
    may_be_late = PENDING.c.landed_at >= bindparam("posted_from", type_=Instant)
    return select(*columns).where(users, actions, _later_than_release() | may_be_late)


def _later_than_release() -> ColumnElement[bool]:
    # those before that are in no landing zone came too late for the release
    return (PENDING.c.timestamp >= bindparam("as_of", type_=Instant)) | ~PENDING.c.in_landing_zone


def _impressions(users: ColumnElement[bool]) -> Select[Any]:
    by_item, landed_at = (PENDING.c.user_id, PENDING.c.item_id), PENDING.c.landed_at
    impressions = (PENDING.c.action == str(Action.IMPRESSION), landed_at <= bindparam("by", type_=Instant))
    counts = select(*by_item, func.max(PENDING.c.timestamp), func.count())
    return counts.where(users, *impressions, _later_than_release()).group_by(*by_item)


OF_USERS = PENDING.c.user_id.in_(bindparam("users", expanding=True))
OF_USER = PENDING.c.user_id.in_([bindparam("user"), bindparam("other_spelling")])
INTERACTIONS_OF_USERS, IMPRESSIONS_OF_USERS = _recent_interactions(OF_USERS), _impressions(OF_USERS)
INTERACTIONS_OF_USER, IMPRESSIONS_OF_USER = PointRead(_recent_interactions(OF_USER)), PointRead(_impressions(OF_USER))
OfUser = tuple[str, RecentInteraction]
"""The spelling of the user's id in the event, and the interaction."""


def of_one_user(
    connection: PointConnection, ids: Sequence[str], release: ReleaseTimes, by: datetime | None
) -> Iterator[OfUser]:
    """Those of the user with this id, in one or two spellings, that the release does not include. Impressions by `by`,
    if it is given."""
    user = {"user": ids[0], "other_spelling": ids[-1]}
    yield from _interactions(INTERACTIONS_OF_USER.rows(connection, {**user, **_bounds(release)}))
    if by is not None:
        yield from _shown(IMPRESSIONS_OF_USER.rows(connection, {**user, "as_of": release.as_of, "by": by}), by)


def of_users(
    connection: Connection, ids: Sequence[str], release: ReleaseTimes, by: datetime | None
) -> Iterator[OfUser]:
    """The same of many users."""
    users = {"users": ids}
    yield from _interactions(connection.execute(INTERACTIONS_OF_USERS, {**users, **_bounds(release)}))
    if by is not None:
        yield from _shown(connection.execute(IMPRESSIONS_OF_USERS, {**users, "as_of": release.as_of, "by": by}), by)


def _bounds(release: ReleaseTimes) -> dict[str, datetime]:
    return {"as_of": release.as_of, "posted_from": release.built_at - LONGEST_NIGHT}


def _interactions(rows: Iterable[Any]) -> Iterator[OfUser]:
    for user_id, item_id, action, timestamp, landed_at in rows:
        yield user_id, RecentInteraction(item_id, Action(action), timestamp, landed_at)


def _shown(rows: Iterable[Any], by: datetime) -> Iterator[OfUser]:
    for user_id, item_id, last, count in rows:
        yield user_id, RecentInteraction(item_id, Action.IMPRESSION, last, by, count)
