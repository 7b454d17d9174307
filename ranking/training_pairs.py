"""The pairs that train the re-ranker: features and labels, and where impressions showed them.

Shapes: P pairs, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from contracts.csr import Doubles, Longs
from ranking.feature_arrays import Floats, Rows
from ranking.position_bias import ShownPairs, examination


@dataclass(frozen=True)
class LabelledPairs:
    """The pairs of one label cutoff: features as of the cutoff, labels from the window after it."""

    features: Floats  # [P, F]
    labels: NDArray[np.int32]  # [P] 0, 1 or 2
    user_rows: Rows  # [P] those of a user side by side
    shown: ShownPairs | None = None
    """Where the pairs were shown, where that is known of any."""
    weights: Doubles | None = None
    """[P] what each pair counts for; 1 without."""

    @property
    def clicked(self) -> NDArray[np.bool_]:
        """[P] whether each pair has a label."""
        return self.labels > 0

    @property
    def with_labels(self) -> Self:
        """The pairs of users who have any label."""
        return self.taken(np.isin(self.user_rows, self.user_rows[self.clicked]))

    @property
    def group_sizes(self) -> Longs:
        """The number of pairs of each user."""
        starts = np.flatnonzero(np.diff(self.user_rows, prepend=-1))
        return np.diff(np.append(starts, len(self.user_rows)))

    def thinned(self, share: float, random: np.random.Generator) -> Self:
        """The labelled and the shown pairs, and a share of the others."""
        always = self.clicked if self.shown is None else self.clicked | self.shown.were_shown
        return self.taken(always | (random.random(len(self.labels)) < share))

    def taken(self, which: NDArray[np.bool_]) -> Self:
        """Some of the pairs."""
        return type(self)(
            self.features[which],
            self.labels[which],
            self.user_rows[which],
            None if self.shown is None else self.shown.taken(which),
            None if self.weights is None else self.weights[which],
        )


def with_places(pairs: Sequence[LabelledPairs]) -> list[LabelledPairs]:
    """The pairs of every cutoff with their places, where any cutoff has impressions."""
    if all(each.shown is None for each in pairs):
        return list(pairs)
    return [replace(each, shown=each.shown or ShownPairs.none(len(each.labels))) for each in pairs]


def with_inverse_propensities(pairs: Sequence[LabelledPairs], limit: float) -> list[LabelledPairs]:
    """The pairs with weights of at most `limit`, where any cutoff has impressions."""
    shown = [each.shown for each in pairs if each.shown is not None]
    if not shown:
        return list(pairs)
    looked_at = examination(
        np.concatenate([each.features for each in pairs]),
        np.concatenate([each.clicked for each in pairs]),
        np.concatenate([each.places for each in shown]),
    )
    return [
        replace(each, weights=places.inverse_propensities(each.clicked, looked_at, limit))
        for each, places in zip(pairs, shown, strict=True)
    ]
