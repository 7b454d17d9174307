"""Histories small enough to know what comes next."""

from itertools import chain

import numpy as np

from models.two_tower.memory import Histories, MemoryTwoTower, histories_of


def of(*histories: list[int], items: int = 3) -> Histories:
    users = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    return histories_of(users, np.fromiter(chain(*histories), np.int64), users=len(histories), items=items)


def unseen_scores(tower: MemoryTwoTower, histories: Histories) -> np.ndarray:
    scores = tower.scores(histories)
    scores[histories.pairs().nonzero()] = -np.inf
    return scores


def wanderers(people: int = 60, items: int = 12, length: int = 8) -> Histories:
    """Everybody walks the items' circle from a place of their own: the next item is certain, if one knows the last."""
    return of(*([(person * 5 + step) % items for step in range(length)] for person in range(people)), items=items)


def blocks() -> Histories:
    """Sixty people who like four of their block's six items, even or odd ones, in an order that tells nothing."""
    random = np.random.default_rng(3)
    return of(*((2 * random.permutation(6)[:4] + person % 2).tolist() for person in range(60)), items=12)
