"""The validation split of the training data: the task that the model will face, a step earlier."""

# U users, A evaluated users, I items, E interactions, V vector size

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from evaluation import Labels, RankedLists, item_sets
from evaluation.ranking_metrics import mean, ndcg_at_k, recall_at_k
from evaluation.rankings import ItemSets, Rows
from evaluation.top_k import Scores, best_unseen
from models.two_tower.catalogue import ItemCatalogue
from models.two_tower.csr_interactions import Floats, Hours, Interactions, Ints, Mask
from models.two_tower.two_tower_config import TwoTowerConfig

USERS_AT_MOST = 3000
RANDOM_SHARE = 0.1
"""Share of the interactions that is held out where there is no order."""


class Encoder(Protocol):
    """What maps items and histories to vectors whose inner product is the score."""

    @property
    def name(self) -> str:
        """`content`, `svd`, `ridge and sequence` and the like."""
        ...

    @property
    def vector_size(self) -> int:
        """V."""
        ...

    def item_vectors(self, catalogue: ItemCatalogue, hours: float) -> Floats:
        """[I, V] of a catalogue's items at an instant, in hours since 1970."""
        ...

    def user_vectors(self, catalogue: ItemCatalogue, interactions: Interactions, hours: float) -> Floats:
        """[U, V] of interactions with the items of a catalogue, as of an instant."""
        ...


@dataclass(frozen=True)
class HeldOut:
    """Interactions without what is held out, and what some users interacted with next, as of one instant."""

    past: Interactions
    users: Ints  # [A] rows of `past`
    wanted: Labels  # [A]
    rankable: Mask  # [I] items that exist at the instant
    hours: float

    @property
    def cold_share(self) -> float:
        """Share of the targets whose item `past` has no interaction with."""
        if not len(self.wanted.item_rows):
            return 0.0
        in_past = np.bincount(self.past.items, minlength=self.past.item_count) > 0
        return float(1 - in_past[self.wanted.item_rows].mean())

    @cached_property
    def seen(self) -> ItemSets:
        """[A] the items that are masked."""
        past = self.past.take(self.users)
        return item_sets(past.users.astype(np.int32), past.items.astype(np.int32), len(self.users))

    def measure(self, encoder: Encoder, catalogue: ItemCatalogue, k: int) -> tuple[float, float]:
        """Mean recall and NDCG at k over the evaluated users, binary gains, items of their past masked."""
        if not len(self.users):
            return float("nan"), float("nan")
        user_AV = encoder.user_vectors(catalogue, self.past.take(self.users), self.hours)
        item_VI = np.ascontiguousarray(encoder.item_vectors(catalogue, self.hours).T)
        return self.measure_scores(lambda rows: user_AV[rows] @ item_VI, k)

    def measure_scores(self, scores_of: Callable[[Rows], Scores], k: int) -> tuple[float, float]:
        """The same of any scores [A, I], for methods that are no encoders."""
        rows = np.arange(len(self.users), dtype=np.int32)
        lists = RankedLists(best_unseen(scores_of, rows, k, rankable=self.rankable, seen=self.seen).rows)
        return mean(recall_at_k(lists, self.wanted, k)), mean(ndcg_at_k(lists, self.wanted, k))


def hold_out(interactions: Interactions, created_hours: Hours, config: TwoTowerConfig, seed: int) -> HeldOut:
    """By the protocol that the config names. `created_hours` [I], NaN where unknown."""
    if config.validation == "last_days" and not config.validation_days:
        nothing = np.zeros(len(interactions.items), bool)
        return _held_out(interactions, nothing, nothing, float("inf"))
    if config.validation == "last_days":
        return last_days(interactions, created_hours, validation_cutoff(interactions, config))
    end = float(interactions.hours.max(initial=0)) + 1
    if config.validation == "last_interactions":
        return _held_out(interactions, *_last_interactions(interactions), end)
    return _held_out(interactions, *_random_interactions(interactions, seed), end)


def validation_cutoff(interactions: Interactions, config: TwoTowerConfig) -> float:
    """The instant from which interactions are held out, in hours since 1970."""
    if not len(interactions.hours):
        return float("inf")
    latest = float(interactions.hours.max()) - config.validation_days * 24
    return max(latest, float(np.quantile(interactions.hours, 1 - config.validation_share)))


def last_days(interactions: Interactions, created_hours: Hours, cutoff: float) -> HeldOut:
    """What known users first interacted with from the cutoff on, among items that were created before it.

    Some of these may have been removed by then: the catalogue has no time of removal.
    """
    after = interactions.hours >= cutoff
    rankable = ~(created_hours >= cutoff)
    new = after & ~np.isin(interactions.pair_keys, interactions.pair_keys[~after]) & rankable[interactions.items]
    return _held_out(interactions, new, after, cutoff, rankable)


def _last_interactions(interactions: Interactions) -> tuple[Mask, Mask]:
    """Each user's last first interaction with an item, and what comes after it, which would give it away."""
    first, last_U = interactions.is_first, np.full(len(interactions.counts), -1)
    np.maximum.at(last_U, interactions.users[first], interactions.places[first])
    last_E = last_U[interactions.users]
    return first & (interactions.places == last_E), interactions.places >= last_E


def _random_interactions(interactions: Interactions, seed: int) -> tuple[Mask, Mask]:
    """A random share of the pairs of user and item, and every interaction of these pairs."""
    chosen = interactions.is_first & (np.random.default_rng(seed).random(len(interactions.items)) < RANDOM_SHARE)
    return chosen, np.isin(interactions.pair_keys, interactions.pair_keys[chosen])


def _held_out(
    interactions: Interactions, wanted: Mask, gone: Mask, hours: float, rankable: Mask | None = None
) -> HeldOut:
    past, targets = interactions.where(~gone), interactions.where(wanted)
    able = np.flatnonzero((past.counts > 0) & (targets.counts > 0))
    users = able[:: -(-len(able) // USERS_AT_MOST) or 1]
    targets = targets.take(users)
    sets = item_sets(targets.users.astype(np.int32), targets.items.astype(np.int32), len(users))
    labels = Labels(sets.offsets, sets.item_rows, np.ones(len(sets.item_rows), np.float32))
    everything = np.ones(interactions.item_count, dtype=bool)
    return HeldOut(past, users, labels, everything if rankable is None else rankable, hours)
