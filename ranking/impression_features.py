"""Features of what a user was shown before and left alone, and of how often an item is clicked where it is shown.

The night and the server compute them by the same function. Shapes: P pairs.
"""

import numpy as np

from ranking.fatigue import ShownItems, UserImpressions
from ranking.feature_arrays import Candidates, Floats, Rows


def impression_features(
    known: UserImpressions, candidates: Candidates, user_rows: Rows, as_of_hours: float, shown: ShownItems | None = None
) -> Floats:
    """[P, number of names] in the order of `IMPRESSION_NAMES`. `shown` is what the users were shown, if that is more
    than what is known. What came after `as_of_hours` is 0 hours ago."""
    seen = shown if shown is not None else known.shown_to(user_rows)
    times = np.zeros(len(candidates.item_rows), np.float32)
    since, rates = np.full((2, len(times)), np.nan, np.float32)
    if len(seen.items):
        at, found = seen.where(candidates, user_rows)
        times[found] = seen.impressions[at[found]]
        since[found] = np.maximum(as_of_hours - seen.hours[at[found]], 0)
    if known.click_rates is not None:
        rates = known.click_rates[candidates.item_rows]
    return np.stack([times, since, rates], axis=1)
