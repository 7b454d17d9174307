"""Interactions small enough to predict by hand."""

from itertools import chain

import numpy as np

from contracts.csr import offsets_of
from models.two_tower.collaborative.id_encoder import CollaborativeEncoder
from models.two_tower.csr_interactions import CLICK, Interactions, Ints


def interactions_of(user_rows: Ints, item_rows: Ints, *, users: int, items: int) -> Interactions:
    """Clicks from pairs of rows, an hour apart in the order given; a user may have none."""
    order = np.argsort(user_rows, kind="stable")
    counts = np.bincount(user_rows, minlength=users)
    clicks, hours = np.full(len(order), CLICK, np.int64), order.astype(np.float64)
    item_rows = item_rows[order].astype(np.int64)
    return Interactions(offsets_of(counts), item_rows, items, clicks, hours, np.zeros(users, np.int64))


def of(*histories: list[int], items: int = 3) -> Interactions:
    users = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    return interactions_of(users, np.fromiter(chain(*histories), np.int64), users=len(histories), items=items)


def unseen_scores(tower: CollaborativeEncoder, histories: Interactions) -> np.ndarray:
    scores = tower.scores(histories)
    scores[histories.pairs().nonzero()] = -np.inf
    return scores


def wanderers(user_count: int = 60, items: int = 12, length: int = 8) -> Interactions:
    """Each user walks the items' circle from a place of their own: the last item decides the next."""
    return of(*([(user * 5 + step) % items for step in range(length)] for user in range(user_count)), items=items)


def blocks() -> Interactions:
    """Sixty users who like four of their block's six items, even or odd ones, in random order."""
    random = np.random.default_rng(3)
    return of(*((2 * random.permutation(6)[:4] + user % 2).tolist() for user in range(60)), items=12)
