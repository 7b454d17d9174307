"""What posted clicks, saves, hides and unhides change in a list, beside the history that the release contains.

Shapes: B users, I items of the release.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from contracts import POSITIVE, Action
from ranking.feature_arrays import Rows
from serving.privacy.consent import rows_of
from serving.recent_interactions import RecentInteraction
from serving.releases.loaded_release import SECONDS_AN_HOUR, Release


def left_out(release: Release, interactions: Iterable[RecentInteraction]) -> list[int]:
    """Rows of the items that were clicked or saved, or hidden and not unhidden."""
    posted = list(interactions)
    liked = {each.item_id for each in posted if each.action in POSITIVE}
    hidden = {item for item, last in _last_hides(posted).items() if last.action == Action.HIDE}
    return rows_of(release, liked | hidden)


def unhidden_items(
    release: Release, user_rows: Rows, of_users: Sequence[Sequence[RecentInteraction]]
) -> NDArray[np.bool_] | None:
    """[B, I] items that the release counts as hidden by a user who has unhidden them since; `None` without any."""
    rows = [_unhidden(release, int(row), posted) for row, posted in zip(user_rows, of_users, strict=True)]
    if not any(map(len, rows)):
        return None
    unhidden = np.zeros((len(rows), len(release.items.ids)), bool)
    for own, items in zip(unhidden, rows, strict=True):
        own[items] = True
    return unhidden


def _unhidden(release: Release, user_row: int, posted: Sequence[RecentInteraction]) -> Rows:
    last = [each for each in _last_hides(posted).values() if each.action == Action.UNHIDE]
    at = {
        row: each.timestamp.timestamp() / SECONDS_AN_HOUR for each in last for row in rows_of(release, [each.item_id])
    }
    users = release.users
    own = slice(*users.history_offsets[user_row : user_row + 2])
    items = users.history_items[own]
    # an item of the history without strength was hidden, and neither clicked nor saved
    hidden = (users.history_saves[own] == 0) & (users.history_clicks[own] == 0)
    unhidden_hours = np.array([at.get(row, -np.inf) for row in items.tolist()])
    return items[hidden & (unhidden_hours >= users.history_hours[own])] if at else items[:0]


def _last_hides(posted: Iterable[RecentInteraction]) -> dict[str, RecentInteraction]:
    """The last hide or unhide of each item. At one instant the hide was first: it is what an unhide undoes."""
    hides = [each for each in posted if each.action in (Action.HIDE, Action.UNHIDE)]
    hides.sort(key=lambda each: (each.timestamp, each.landed_at, each.action == Action.UNHIDE))
    return {each.item_id: each for each in hides}
