"""Whether the order of touches tells anything: of a file without times nobody says how its rows were sorted."""

import numpy as np

from models.two_tower.memory.histories import Histories, Ints

ONE_WAY, UPHILL = 0.95, 0.75
"""Shares of steps above which the items of each history were sorted, not its events."""
MORE_THAN_CHANCE = 1.1


def tells_order(histories: Histories, seed: int) -> bool:
    """Whether steps from item to item repeat more often than by chance, and not because the items are sorted."""
    steps = _steps(histories)
    chance = _repeats(_steps(_shuffled(histories, seed)))
    return _repeats(steps) > MORE_THAN_CHANCE * chance and not _sorted_by_item(histories, steps)


def _steps(histories: Histories) -> Ints:
    """Each pair of items that follow each other in a history, as one number."""
    next_is_own = histories.users[1:] == histories.users[:-1]
    steps = histories.items[:-1] * histories.item_count + histories.items[1:]
    return np.asarray(steps[next_is_own & (histories.items[1:] != histories.items[:-1])])


def _repeats(steps: Ints) -> int:
    _, counts = np.unique(steps, return_counts=True)
    return int((counts * (counts - 1)).sum())


def _sorted_by_item(histories: Histories, steps: Ints) -> bool:
    """A sorted file never steps back, and leads from items that stand early everywhere to items that stand late.

    A path that all people walk in one direction, each from a place of their own, does only the first.
    """
    places = histories.places / np.maximum(np.repeat(histories.counts, histories.counts) - 1, 1)
    touches = np.maximum(np.bincount(histories.items, minlength=histories.item_count), 1)
    place_I = np.bincount(histories.items, weights=places, minlength=histories.item_count) / touches
    before, after = np.divmod(steps, histories.item_count)
    return float((place_I[before] < place_I[after]).mean()) > UPHILL and _one_way_share(before, after) > ONE_WAY


def _one_way_share(before: Ints, after: Ints) -> float:
    """Of the steps between items that follow each other more than once, those in the more usual direction."""
    edge = np.minimum(before, after) * (int(np.maximum(before, after).max()) + 1) + np.maximum(before, after)
    _, edges, counts = np.unique(edge, return_inverse=True, return_counts=True)
    upward, often = np.bincount(edges, weights=before < after), counts > 1
    return float(np.maximum(upward, counts - upward)[often].sum() / max(counts[often].sum(), 1))


def _shuffled(histories: Histories, seed: int) -> Histories:
    order = np.lexsort((np.random.default_rng(seed).random(len(histories.items)), histories.users))
    return Histories(histories.offsets, histories.items[order], histories.item_count)
