"""What users were shown before and left alone: the release has the nights' counts, the event store what came since.

An impression is posted by a client, or recorded when a feed is served.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

import numpy as np

from contracts import Action, Settings
from ranking.fatigue import FatigueConfig, ShownItems, UserShown, shown_items
from ranking.feature_arrays import Rows
from serving.exploration import ExplorationConfig
from serving.recent_interactions import RecentInteraction
from serving.releases.loaded_release import Release

SECONDS_AN_HOUR = 3600
NOTHING_SHOWN = UserShown(np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, bool), np.zeros(0))


def fatigue_config(settings: Settings) -> FatigueConfig:
    """The fatigue that the settings describe."""
    return FatigueConfig(
        discount=settings.fatigue_discount, limit=settings.fatigue_limit, repeat_minutes=settings.repeat_minutes
    )


def exploration_config(settings: Settings) -> ExplorationConfig:
    """The exploration that the settings describe."""
    return ExplorationConfig(
        slots=settings.exploration_slots,
        temperature=settings.exploration_temperature,
        pool=settings.exploration_pool,
        uncertain_users=settings.exploration_users,
    )


def shown_before(
    release: Release,
    user_rows: Rows,
    of_users: Sequence[Iterable[RecentInteraction]],
    config: FatigueConfig,
    now: datetime,
) -> ShownItems | None:
    """What these users were shown by `now`, where any of them was shown anything."""
    moments_ago = now - timedelta(minutes=config.repeat_minutes)
    shown = [_shown(release, int(row), posted, moments_ago) for row, posted in zip(user_rows, of_users, strict=True)]
    return shown_items(shown, config)


def shown_last(
    release: Release,
    of_users: Sequence[Iterable[RecentInteraction]],
    config: FatigueConfig,
    now: datetime,
) -> list[Rows] | None:
    """The rows of what each user was shown moments ago, the last `window - 1` items, oldest first; `None` where none of
    them was shown anything."""
    moments_ago, most = now - timedelta(minutes=config.repeat_minutes), release.ranking.slate.window - 1
    lasts = (sorted(_recent_rows(release, posted, moments_ago)) for posted in of_users)
    rows = [[row for _, row in last] for last in lasts]
    return [np.array(each[len(each) - min(len(each), most) :], np.int32) for each in rows] if any(rows) else None


def _recent_rows(
    release: Release, posted: Iterable[RecentInteraction], moments_ago: datetime
) -> Iterator[tuple[datetime, int]]:
    recent = (each for each in posted if _is_recent(each, moments_ago))
    return ((each.timestamp, release.item_row[each.item_id]) for each in recent if each.item_id in release.item_row)


def _is_recent(event: RecentInteraction, moments_ago: datetime) -> bool:
    return event.action == Action.IMPRESSION and event.timestamp > moments_ago


def _shown(release: Release, user_row: int, posted: Iterable[RecentInteraction], moments_ago: datetime) -> UserShown:
    before = release.impressions
    counts = Counter(before.of(user_row) if before else {})
    hours = before.last_hours(user_row) if before else {}
    recent = set()
    for each in posted:
        row = release.item_row.get(each.item_id) if each.action == Action.IMPRESSION else None
        if row is None:
            continue
        counts[row] += each.count
        hours[row] = np.fmax(hours.get(row, np.nan), each.timestamp.timestamp() / SECONDS_AN_HOUR)
        if _is_recent(each, moments_ago):
            recent.add(row)
    if not counts:
        return NOTHING_SHOWN
    items = np.array(list(counts), np.int32)
    impressions, last = np.array(list(counts.values()), np.int64), np.array([hours[row] for row in counts], np.float64)
    return UserShown(items, impressions, np.isin(items, list(recent)), last)
