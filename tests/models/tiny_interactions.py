"""Interactions small enough to predict by hand."""

from itertools import chain

import numpy as np

from models.two_tower.collaborative.id_encoder import CollaborativeEncoder
from models.two_tower.csr_interactions import Interactions, interactions_of


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
