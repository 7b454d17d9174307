"""Whether a night's re-rankers read the optional groups of features: item transitions, and impressions.

The choice is made once for a run, on the last label window that ends before anything is measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from contracts.errors import UntrainableInput
from evaluation import Interval, Labels, RankedLists, paired_interval
from evaluation.ranking_metrics import ndcg_at_k
from evaluation.rankings import Floats
from pipeline.run_context import Summary
from ranking.feature_names import ALL_FEATURE_NAMES, COOCCURRENCE_NAMES, FEATURE_NAMES, FEATURE_SETS, IMPRESSION_NAMES
from ranking.reranker import RerankerConfig, TrainedReranker, train
from ranking.training_pairs import LabelledPairs

K = 20
LEAST_USERS = 20
"""Users of the validation below which no gain is believed."""


@dataclass(frozen=True)
class FeatureSelection:
    """The features of a run's re-rankers; `gain` is the NDCG@20 that the co-occurrence features add on validation, and
    `impression_gain` what those of impressions add."""

    names: tuple[str, ...]
    gain: Interval | None = None
    impression_gain: Interval | None = None
    trained_on: tuple[datetime, ...] = field(default=(), compare=False)
    """The cutoffs that the validation trained on."""
    trained: TrainedReranker | None = field(default=None, compare=False, repr=False)
    """What they trained, with the selected features."""

    @property
    def uses_cooccurrence(self) -> bool:
        """Whether the co-occurrence features are read."""
        return set(COOCCURRENCE_NAMES) <= set(self.names)

    @property
    def uses_impressions(self) -> bool:
        """Whether the features of impressions are read."""
        return set(IMPRESSION_NAMES) <= set(self.names)

    def restrict(self, pairs: LabelledPairs) -> LabelledPairs:
        """The pairs with the selected features only."""
        given = names_of(pairs)
        if self.names[: len(given)] == given[: len(self.names)]:
            return replace(pairs, features=pairs.features[:, : len(self.names)])
        return replace(pairs, features=pairs.features[:, [given.index(name) for name in self.names]])

    @property
    def summary(self) -> Summary:
        """For the stage's summary and MLflow."""
        gains = {"cooccurrence_gain": self.gain, "impression_features_gain": self.impression_gain}
        shown = {"impression_features": self.uses_impressions} if self.uses_impressions or self.impression_gain else {}
        return {
            "cooccurrence": self.uses_cooccurrence,
            **shown,
            **{name: str(gain) for name, gain in gains.items() if gain},
        }


def names_of(pairs: LabelledPairs) -> tuple[str, ...]:
    """The features that pairs have; none of a cutoff without pairs."""
    return next((names for names in FEATURE_SETS if len(names) == pairs.features.shape[1]), ())


def select_features(
    pairs: Mapping[datetime, LabelledPairs], training_cutoffs: Sequence[datetime], config: RerankerConfig
) -> FeatureSelection:
    """Train with and without each optional group on all but the last of `training_cutoffs`, measure on the last.

    A group is selected where the 95 % interval of the gain, paired by user, is above zero. `pairs` have all features.
    """
    selection = FeatureSelection(ALL_FEATURE_NAMES if config.cooccurrence == "always" else FEATURE_NAMES)
    if config.cooccurrence == "auto":
        selection = validated(FEATURE_NAMES, ALL_FEATURE_NAMES, pairs, training_cutoffs, config) or selection
    if not any(set(IMPRESSION_NAMES) <= set(names_of(pairs[cutoff])) for cutoff in training_cutoffs):
        return selection
    wider = (*selection.names, *IMPRESSION_NAMES)
    if config.impression_features == "always":
        return FeatureSelection(wider, selection.gain)
    found = validated(selection.names, wider, pairs, training_cutoffs, config)
    return replace(found, gain=selection.gain, impression_gain=found.gain) if found else selection


def validated(
    fewer: tuple[str, ...],
    more: tuple[str, ...],
    pairs: Mapping[datetime, LabelledPairs],
    training_cutoffs: Sequence[datetime],
    config: RerankerConfig,
) -> FeatureSelection | None:
    """The selection of fewer or more features; `None` where there are too few labels."""
    *earlier, last_cutoff = training_cutoffs
    last = pairs[last_cutoff]
    if len(np.unique(last.user_rows[last.labels > 0])) < LEAST_USERS:
        return None
    trained, ndcg = {}, {}
    try:
        for names in (fewer, more):
            restrict = FeatureSelection(names).restrict
            trained[names] = train([restrict(pairs[cutoff]) for cutoff in earlier], config, names)
            ndcg[names] = candidate_ndcg(last, trained[names].reranker.score(restrict(last).features))
    except UntrainableInput:
        return None
    gain = paired_interval(ndcg[more], ndcg[fewer], seed=config.seed)
    selected = more if gain.low > 0 else fewer
    return FeatureSelection(selected, gain, trained_on=tuple(earlier), trained=trained[selected])


def candidate_ndcg(pairs: LabelledPairs, scores: NDArray[np.floating]) -> Floats:
    """[U] NDCG@20 of each user's candidates in the order of their scores, by the labels that candidates have."""
    users, owners = np.unique(pairs.user_rows, return_inverse=True)
    order = np.lexsort((-scores, owners))
    starts = np.searchsorted(owners[order], np.arange(len(users)))
    place = np.arange(len(order)) - starts[owners[order]]
    shown = place < K
    rows = np.full((len(users), K), -1, np.int32)
    rows[owners[order][shown], place[shown]] = order[shown]
    liked = np.flatnonzero(pairs.labels > 0)
    liked = liked[np.argsort(owners[liked], kind="stable")]
    offsets = np.searchsorted(owners[liked], np.arange(len(users) + 1))
    labels = Labels(offsets, liked.astype(np.int32), np.ones(len(liked), np.float32))
    return ndcg_at_k(RankedLists(rows), labels, K)
