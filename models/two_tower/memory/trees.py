"""A second look at the best items of each person: LightGBM's trees over what a sum of touches cannot say alone.

Two items of one score differ in how near the nearest touched item is, in how popular they are, and in how popular
what the person touches is (Covington et al. 2016, "Deep neural networks for YouTube recommendations": candidates, then
ranking; Ke et al. 2017, "LightGBM").
"""

# U users, I items, V columns of the item vectors, C candidates, T touches, F features, b users at once

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from models.two_tower.memory.config import TreesConfig
from models.two_tower.memory.histories import Floats, Histories, Ints
from models.two_tower.memory.windows import NOTHING, latest_window

if TYPE_CHECKING:
    import lightgbm as lgb

FEATURES = ("score", "place", "popularity", "popularity_of_touched", "touches", "nearest_touched")
MOST_TOUCHES = 512
"""Of a person that candidates are held against: the last ones."""
PEOPLE_AT_ONCE = 32


@dataclass(frozen=True)
class ItemFacts:
    """What is known of the items. Shares and not counts: a tenth held out changes them little."""

    units_IV: Floats  # vectors of length 1
    popularity_I: Floats  # logarithm of the share of all touches
    mean_touches: float  # of a person


@dataclass(frozen=True)
class Look:
    """The best items that a person has not touched, best first, and what trees see of them."""

    items_UC: Ints
    features_UCF: Floats


@dataclass(frozen=True)
class Trees:
    """A fitted second look."""

    booster: "lgb.Booster"
    facts: ItemFacts
    config: TreesConfig

    def reordered(self, scores_UI: Floats, histories: Histories) -> Floats:
        """[U, I] with the candidates above all else, in the order of the trees; whoever touched nothing stays."""
        look = look_at(scores_UI, histories, self.facts, self.config.candidates)
        said = self.booster.predict(
            look.features_UCF.reshape(-1, len(FEATURES)), raw_score=True, num_threads=torch.get_num_threads()
        )
        said_UC = np.asarray(said).reshape(look.items_UC.shape)
        before_UC = np.take_along_axis(scores_UI, look.items_UC, axis=1)
        after_UC = scores_UI.max(axis=1, keepdims=True) + said_UC - said_UC.min(axis=1, keepdims=True)
        known_U1, new_UC = histories.counts[:, None] > 0, look.features_UCF[..., 0] > -np.inf
        reordered_UI = scores_UI.copy()
        np.put_along_axis(reordered_UI, look.items_UC, np.where(known_U1 & new_UC, after_UC, before_UC), axis=1)
        return reordered_UI

    def over(self, facts: ItemFacts) -> Self:
        """What was learned, over other vectors of the same kind."""
        return replace(self, facts=facts)


def facts_of(histories: Histories, items_IV: Floats) -> ItemFacts:
    """Of a tower's item vectors, whose last column is popularity, and of everybody's touches."""
    vectors_IV = items_IV[:, :-1]
    units_IV = vectors_IV / np.maximum(np.linalg.norm(vectors_IV, axis=1, keepdims=True), 1e-12)
    touches_I = np.bincount(histories.items, minlength=histories.item_count) + 1
    popularity_I = np.log(touches_I / touches_I.sum()).astype(np.float32)
    return ItemFacts(units_IV, popularity_I, max(float(histories.counts.mean()), 1e-12))


def look_at(scores_UI: Floats, histories: Histories, facts: ItemFacts, candidates: int) -> Look:
    """Scores of one spread for everybody; -inf is the score of a candidate where all unseen ones are among them."""
    unseen_UI = torch.from_numpy(scores_UI - scores_UI.mean(axis=1, keepdims=True))
    unseen_UI[histories.pairs().nonzero()] = -torch.inf
    best = unseen_UI.topk(min(candidates, unseen_UI.shape[1]))
    items_UC = best.indices.numpy()
    person_UF = np.stack([_popularity_of_touched(histories, facts), histories.counts / facts.mean_touches], 1)
    features = [
        best.values.numpy(),
        np.broadcast_to(np.arange(items_UC.shape[1]), items_UC.shape),
        facts.popularity_I[items_UC],
        *(np.broadcast_to(column_U[:, None], items_UC.shape) for column_U in person_UF.T),
        _nearest_touched(best.indices, histories, torch.from_numpy(facts.units_IV)),
    ]
    return Look(items_UC, np.stack(features, axis=2).astype(np.float32))


def _popularity_of_touched(histories: Histories, facts: ItemFacts) -> Floats:
    summed_U = np.bincount(histories.users, facts.popularity_I[histories.items], minlength=len(histories.counts))
    return np.asarray(summed_U / np.maximum(histories.counts, 1), np.float32)


def _nearest_touched(items_UC: torch.Tensor, histories: Histories, units_IV: torch.Tensor) -> Floats:
    """[U, C] cosine of each candidate and the nearest of what its person touched; people of like counts together."""
    touched_UT = latest_window(histories, MOST_TOUCHES)
    touches_U, nearest_UC = (touched_UT != NOTHING).sum(dim=1), torch.zeros(items_UC.shape)
    for some_b in torch.argsort(touches_U).split(PEOPLE_AT_ONCE):
        touched_bT = touched_UT[some_b, : max(1, int(touches_U[some_b].max()))]
        cosines_bCT = units_IV[items_UC[some_b]] @ units_IV[touched_bT].transpose(1, 2)
        nearest_UC[some_b] = cosines_bCT.masked_fill_((touched_bT == NOTHING)[:, None], -1).amax(dim=2)
    return nearest_UC.numpy()
