"""Which items are left out of a feed and why, from the same masks and rows that the feed is made with."""

from typing import Literal

import numpy as np

from ranking.feature_arrays import Rows
from serving.feed import ServedFeed, in_other_languages
from serving.posted_interactions import left_out, unhidden_items
from serving.privacy.consent import opted_out_items

FilterName = Literal["opted_out", "removed", "language", "history", "recent", "fatigue", "shown"]
"""Opted out; removed from the catalogue; in another language, of a non-profiled list; in the user's history;
clicked, saved or hidden since; shown too often; shown on an earlier page."""


def filtered_counts(served: ServedFeed) -> dict[FilterName, int]:
    """How many items each filter leaves out of this feed. An item that opted out is not counted as removed."""
    opted_out = int(np.count_nonzero(opted_out_items(served.release, served.context.opt_outs)))
    personalized, languages = served.context.user_row is not None, served.languages
    in_others = languages is not None and not personalized
    return {
        "opted_out": opted_out,
        "removed": int(np.count_nonzero(served.excluded)) - opted_out,
        "language": int(np.count_nonzero(in_other_languages(served.release, languages))) if in_others else 0,
        "history": len(_history(served)),
        "recent": len(left_out(served.release, served.context.recent_interactions)),
        "fatigue": len(_tired(served)),
        "shown": served.position.rank,
    }


def filters_of(served: ServedFeed, row: int) -> list[FilterName]:
    """The filters that leave one item out of this feed."""
    release, personalized = served.release, served.context.user_row is not None
    opted_out = opted_out_items(release, served.context.opt_outs)[row]
    applies: dict[FilterName, bool] = {
        "opted_out": bool(opted_out),
        "removed": bool(served.excluded[row] and not opted_out),
        "language": not personalized and bool(in_other_languages(release, served.languages)[row]),
        "history": row in _history(served) and not _is_unhidden(served, row),
        "recent": row in left_out(release, served.context.recent_interactions),
        "fatigue": row in _tired(served),
        "shown": release.item_hashes[row] in served.position.hashes,
    }
    return [name for name, does_apply in applies.items() if does_apply]


def _history(served: ServedFeed) -> Rows:
    if (user_row := served.context.user_row) is None:
        return np.zeros(0, np.int32)
    users = served.release.users
    return users.history_items[slice(*users.history_offsets[user_row : user_row + 2])]


def _tired(served: ServedFeed) -> Rows:
    """The items that the user was shown so often that no relevance is left."""
    shown = served.ranked.shown if served.ranked else None
    return np.zeros(0, np.int32) if shown is None else shown.items[shown.remaining == 0]


def _is_unhidden(served: ServedFeed, row: int) -> bool:
    users = np.array([served.context.user_row], np.int32)
    unhidden = unhidden_items(served.release, users, [served.context.recent_interactions])
    return unhidden is not None and bool(unhidden[0, row])
