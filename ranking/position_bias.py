"""Impressions in the training of the re-ranker: where pairs were shown, and the weights that undo it.

Shapes: P pairs, F features, K places of a page.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from contracts.csr import Doubles
from ranking.feature_arrays import Floats, Rows

UNKNOWN, NOT_SHOWN = -1, -2
"""In place of a position: of a pair that was shown somewhere, and of one that was not shown."""
LAST_PLACE = 99
"""Places from here on count as one."""
LEAST_CLICKS = 20
"""Clicks below which no difference between places is believed."""


@dataclass(frozen=True)
class ShownPairs:
    """Where pairs were shown in the label window."""

    positions: Rows  # [P] the best place, from 0; `UNKNOWN` or `NOT_SHOWN`
    propensities: Floats  # [P] the probability of having been shown; 1 where that was not left to chance

    @classmethod
    def none(cls, count: int) -> Self:
        """Pairs that were not shown."""
        return cls(np.full(count, NOT_SHOWN, np.int32), np.ones(count, np.float32))

    @property
    def were_shown(self) -> NDArray[np.bool_]:
        """[P] whether each pair was shown."""
        return np.asarray(self.positions != NOT_SHOWN)

    @property
    def places(self) -> Rows:
        """[P] the position up to `LAST_PLACE`."""
        return np.minimum(self.positions, LAST_PLACE)

    def taken(self, which: NDArray[np.bool_]) -> Self:
        """Some of the pairs."""
        return type(self)(self.positions[which], self.propensities[which])

    def inverse_propensities(self, clicked: NDArray[np.bool_], looked_at: Doubles, limit: float) -> Doubles:
        """[P] what each pair counts for: more if it was clicked at a place that few look at, or shown by chance.

        A place's weight is for clicks alone: an item that was not clicked may not have been seen (Joachims et al.
        2017). Weights end at `limit`. Of those that were shown, clicked pairs and others keep their mean of 1.
        """
        places = self.places
        placed = clicked & (places >= 0)
        weights = 1 / self.propensities.astype(float)
        weights[placed] /= looked_at[np.minimum(places[placed], len(looked_at) - 1)]
        weights = np.minimum(weights, limit)
        for group in (self.were_shown & clicked, self.were_shown & ~clicked):
            weights[group] /= weights[group].mean() if group.any() else 1.0
        return weights


def examination(features: Floats, clicked: NDArray[np.bool_], places: Rows) -> Doubles:
    """[K] how often each place is looked at, relative to the first one; no place more often than one above it.

    The model of clicks is the position-based one: a factor of the place times a factor of the pair's features
    (Richardson et al. 2007; Wang et al. 2018). It is fitted by trees, of which each has either the place or features.
    """
    known = places >= 0
    if clicked[known].sum() < LEAST_CLICKS:
        return np.ones(1)
    import lightgbm as lgb  # noqa: PLC0415  half of the callers of this package only want a config

    of_place = features.shape[1]
    table = np.column_stack([features[known], places[known]]).astype(np.float32)
    parameters = {
        "objective": "poisson",  # with a log link: factors multiply
        "interaction_constraints": [list(range(of_place)), [of_place]],
        "monotone_constraints": [0] * of_place + [-1],
        "learning_rate": 0.1,
        "num_leaves": 7,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "verbose": -1,
    }
    model = lgb.train(parameters, lgb.Dataset(table, clicked[known].astype(float)), num_boost_round=100)
    every_place = np.repeat(table[:1], places.max() + 1, axis=0)
    every_place[:, of_place] = np.arange(places.max() + 1)
    logs = np.asarray(model.predict(every_place, raw_score=True))
    return np.asarray(np.exp(logs - logs[0]))
