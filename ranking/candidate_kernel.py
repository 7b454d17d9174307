"""The compiled loop of candidates: the nearest items of each user that are not in their history."""

from typing import Any

from numpy.typing import NDArray

from ranking.tree_kernel import compiled

Array = NDArray[Any]


@compiled
def keep_unseen(nearest: Array, offsets: Array, seen: Array, is_seen: Array, kept: Array) -> None:
    """Write to `kept` [B, N] the first rows of `nearest` [B, K] that are neither -1 nor among those that the user has
    seen, `offsets[b]:offsets[b + 1]` of `seen`. `is_seen` has a false value for each item, and has again at the end."""
    for user in range(len(nearest)):
        place, own = 0, seen[offsets[user] : offsets[user + 1]]
        for row in own:
            is_seen[row] = True
        for row in nearest[user]:
            if place < kept.shape[1] and row >= 0 and not is_seen[row]:
                kept[user, place] = row
                place += 1
        for row in own:
            is_seen[row] = False
