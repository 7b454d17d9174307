"""What is held out of the training rows to choose by: the question that the test will ask, a step earlier."""

# U users, I items, B users at once, k places

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix

from tastefeed.models.two_tower.memory.histories import Floats, Histories, Ints, Mask
from tastefeed.models.two_tower.memory.tower import MemoryTwoTower

USERS_AT_MOST = 3000
SCORES_AT_ONCE = 16_000_000
SHARE = 0.1
"""Of the touches, where there is no order."""


@dataclass(frozen=True)
class Questions:
    """Some users without what they are to find."""

    histories: Histories
    wanted: csr_matrix  # [U, I]

    def take(self, users: Ints) -> "Questions":
        """Of some of them."""
        return Questions(self.histories.take(users), self.wanted[users])

    def parts(self) -> Iterator["Questions"]:
        """All of them, as many at once as can be scored."""
        users = np.arange(len(self.histories.counts))
        for part in np.array_split(users, -(-len(users) * self.histories.item_count // SCORES_AT_ONCE) or 1):
            yield self.take(part)


@dataclass(frozen=True)
class HeldOut:
    """All histories without what is held out, and an evenly picked subset of users with what is to be found."""

    past: Histories
    asked: Questions

    def ndcg_at_k(self, tower: MemoryTwoTower, k: int) -> float:
        """Mean over the asked users, binary gains, items of their past masked."""
        return float(np.concatenate([_ndcg_of(tower, part, k) for part in self.asked.parts()]).mean())


def _ndcg_of(tower: MemoryTwoTower, asked: Questions, k: int) -> np.ndarray:
    return _ndcg(tower.scores(asked.histories), asked.histories.pairs(), asked.wanted, k)


def _ndcg(scores_BI: Floats, seen: csr_matrix, wanted: csr_matrix, k: int) -> np.ndarray:
    scores_BI[seen.nonzero()] = -np.inf
    best_Bk = torch.from_numpy(scores_BI).topk(min(k, scores_BI.shape[1])).indices.numpy()
    users_Bk = np.broadcast_to(np.arange(len(best_Bk))[:, None], best_Bk.shape)
    hits_Bk = np.asarray(wanted[users_Bk.ravel(), best_Bk.ravel()]).reshape(best_Bk.shape)
    discount_k = 1 / np.log2(np.arange(best_Bk.shape[1]) + 2)
    wanted_B = np.minimum(np.diff(wanted.indptr), len(discount_k))
    return np.asarray(hits_Bk @ discount_k / np.cumsum(discount_k)[wanted_B - 1])


def hold_out(histories: Histories, *, ordered: bool, seed: int) -> HeldOut:
    """The last first touch of each user and what comes after it; without an order, a random share of the touches."""
    first = histories.first_touches
    if ordered:
        last_U = np.full(len(histories.counts), -1)
        np.maximum.at(last_U, histories.users[first], histories.places[first])
        held, gone = first & (histories.places == last_U[histories.users]), histories.places >= last_U[histories.users]
    else:
        held = first & (np.random.default_rng(seed).random(len(first)) < SHARE)
        pairs = histories.users * histories.item_count + histories.items
        gone = np.isin(pairs, pairs[held])  # each time that the user touched the item
    return _questions(histories, held, gone)


def _questions(histories: Histories, held: Mask, gone: Mask) -> HeldOut:
    past, wanted = histories.where(~gone), histories.where(held).pairs()
    able = np.flatnonzero((past.counts > 0) & (np.diff(wanted.indptr) > 0))
    return HeldOut(past, Questions(past, wanted).take(evenly(able, USERS_AT_MOST)))


def evenly(users: Ints, most: int) -> Ints:
    """An evenly spaced subset of `users`, of `most` at most."""
    return users[:: -(-len(users) // max(most, 1)) or 1]
