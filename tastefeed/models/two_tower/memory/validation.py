"""What is held out of the training rows to choose by: the question that the test will ask, a step earlier."""

# U users, I items, B users at once, k places

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
class HeldOut:
    """Histories without what is to be found, of everyone; and the evenly picked users who are asked."""

    past: Histories
    asked: Histories
    wanted: csr_matrix  # [asked users, I]

    def ndcg_at_k(self, tower: MemoryTwoTower, k: int) -> float:
        """Mean over the asked users, binary gains, items of their past masked."""
        users = np.arange(len(self.asked.counts))
        parts = np.array_split(users, -(-len(users) * self.asked.item_count // SCORES_AT_ONCE) or 1)
        return float(np.concatenate([self._ndcg_of(part, tower, k) for part in parts]).mean())

    def _ndcg_of(self, part: Ints, tower: MemoryTwoTower, k: int) -> np.ndarray:
        asked = self.asked.take(part)
        return _ndcg(tower.scores(asked), asked.pairs(), self.wanted[part], k)


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
        gone = held
    return _asked(histories, held, gone)


def _asked(histories: Histories, held: Mask, gone: Mask) -> HeldOut:
    past, wanted = histories.where(~gone), histories.where(held).pairs()
    able = np.flatnonzero((past.counts > 0) & (np.diff(wanted.indptr) > 0))
    able = able[:: -(-len(able) // USERS_AT_MOST) or 1]
    return HeldOut(past, past.take(able), wanted[able])
