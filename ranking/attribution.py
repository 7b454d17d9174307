"""Why an item is in a slate: the signal that moved its score most, and the user's own item that the signal rests on.

Shapes: P pairs, F features.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contracts.csr import Longs, distinct
from ranking.candidates import BITS
from ranking.feature_arrays import Candidates, Floats, Items, Rows, Users
from ranking.feature_names import FEATURE_NAMES
from ranking.history import History, history_of
from ranking.pair_features import RECENT
from ranking.signals import SHARES, SIGNALS, Signal
from ranking.similarity import Nearest, nearest_liked, unit


@dataclass(frozen=True)
class Reasons:
    """One row a pair. `evidence` is the liked item that is nearest, in the same embedding that moved the score."""

    signals: NDArray[np.object_]  # [P] a `Signal`
    strengths: Floats  # [P] what the signal added to the score, never negative
    evidence: Rows  # [P] row of Items, -1 where the user liked nothing or the signal is another
    similarities: Floats  # [P] cosine with the evidence, 0 without


class Attributor(Protocol):
    """A scorer that attributes its scores to features and signals."""

    def contributions(self, features: Floats) -> Floats:
        """[P, F] what each feature added to a pair's score."""
        ...

    def signal_contributions(self, features: Floats) -> Floats:
        """[P, S] what each of `SIGNALS` added: the sum over its features."""
        ...


def reasons(
    users: Users,
    items: Items,
    candidates: Candidates,
    features: Floats,
    reranker: Attributor,
    *,
    min_similarity: float,
) -> Reasons:
    """The strongest signal of each pair, from the model's own accounts (TreeSHAP summed over a signal's features).

    In three cases the reason is the source that brought the item. No signal raised the score. The user has liked
    nothing as similar as `min_similarity`. Or the user has no interaction with the creator, category or language.
    """
    moved = reranker.signal_contributions(features)
    strongest, strengths = moved.argmax(axis=1), moved.max(axis=1, initial=0)
    asked, owners = distinct(candidates.user_rows)
    history = history_of(users, items, asked).recent(RECENT)
    nearest = nearest_to(items, history, owners, candidates.item_rows)
    near = (nearest.items >= 0) & (nearest.similarities >= min_similarity)
    holds = (strengths > 0) & np.where(strongest == SIMILAR, near, _holds(strongest, features))
    places = np.where(holds, strongest, _by_source(candidates.sources, moved))
    rests = holds & (places == SIMILAR)
    return Reasons(
        ALL_SIGNALS[places], strengths, np.where(rests, nearest.items, -1), np.where(rests, nearest.similarities, 0)
    )


SIMILAR, FRESH, TRENDING = (SIGNALS.index(signal) for signal in (Signal.SIMILAR, Signal.FRESH, Signal.TRENDING))
ALL_SIGNALS = np.array(SIGNALS, dtype=object)
SHARE_COLUMNS = [(SIGNALS.index(signal), FEATURE_NAMES.index(feature)) for signal, feature in SHARES.items()]


def _holds(strongest: Longs, features: Floats) -> NDArray[np.bool_]:
    """[P] false where a signal is about something that the user has never liked; its absence can raise a score too."""
    holds = np.ones(len(strongest), bool)
    for place, column in SHARE_COLUMNS:
        holds &= (strongest != place) | (features[:, column] > 0)
    return holds


def nearest_to(items: Items, history: History, owners: Longs, item_rows: Rows) -> Nearest:
    """The liked item nearest to each pair's, by the mean of two cosines: of the titles, and of the towers' vectors.

    Titles alone are alike by chance, vectors alone because both items are new. Without any title, the vectors decide.
    """
    rows, inverse = np.unique(np.concatenate([history.items, item_rows]), return_inverse=True)
    compact = inverse.astype(np.int32)
    moved = replace(history, items=compact[: len(history.items)])
    nearest = nearest_liked(_titles_and_vectors(items, rows), moved, owners, compact[len(history.items) :])
    return Nearest(np.where(nearest.items >= 0, rows[nearest.items], -1), nearest.similarities)


def _titles_and_vectors(items: Items, rows: Rows) -> Floats:
    """[N, T + D] vectors whose inner product is the mean of both cosines."""
    vectors = unit(items.vectors[rows])
    if not items.has_titles:
        return vectors
    return np.concatenate([items.text_vectors[rows], vectors], axis=1) * np.float32(0.5**0.5)


def _by_source(sources: NDArray[np.uint8], moved: Floats) -> Longs:
    """[P] places in `SIGNALS`: fresh or popular; of both, what moved the score more."""
    fresh, popular = (sources & BITS["fresh"]) > 0, (sources & BITS["popular"]) > 0
    fresher = moved[:, FRESH] >= moved[:, TRENDING]
    fresh &= fresher | ~popular
    return np.where(fresh, FRESH, np.where(popular, TRENDING, SIMILAR))
