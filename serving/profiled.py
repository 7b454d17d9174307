"""One person's list: candidates, features, scores, slate; the arithmetic is all `ranking`'s.

Shapes: B asked users, N neighbours of each, I items, P pairs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.candidates import BITS, taken, union_candidates
from ranking.feature_arrays import SOURCES, Candidates, Floats, Rows, Users
from ranking.pair_features import pair_features
from ranking.ragged import keys, spread
from ranking.slate import Slates, slates
from serving.ann_index import Index
from serving.popularity_fallback import Ranked
from serving.releases.loaded_release import Release


def candidates_of(release: Release, user_rows: Rows, hidden: NDArray[np.bool_]) -> Candidates:
    """What could be shown to some users, without what they touched or `hidden`, [I] or [B, I], marks."""
    return union_candidates(
        release.users,
        release.items,
        user_rows,
        neighbours=untouched_neighbours(release.index, release.users, user_rows, release.ranking.candidates.neighbours),
        fresh=release.fresh_candidates,
        popular=release.popular_candidates,
        hidden=hidden,
    )


def untouched_neighbours(index: Index, users: Users, user_rows: Rows, count: int) -> Rows:
    """[B, N] the `count` nearest items of each user outside their history, best first; -1 where there are fewer."""
    owners, history = spread(users.history_offsets, user_rows)
    most = int(np.bincount(owners, minlength=1).max())
    found = index.search(users.vectors[user_rows], count + most).rows
    owner_of = np.arange(len(user_rows)).repeat(found.shape[1])
    touched = np.isin(keys(owner_of, found.ravel()), keys(owners, users.history_items[history])).reshape(found.shape)
    order = np.argsort(touched, axis=1, kind="stable")[:, :count]
    untouched = np.where(touched, np.int32(-1), found)
    return np.take_along_axis(untouched, order, axis=1)


@dataclass(frozen=True)
class Scored:
    """Candidates of some users with what the re-ranker saw and said."""

    candidates: Candidates
    features: Floats  # [P, F]
    scores: Floats  # [P]


def score(release: Release, user_rows: Rows, hidden: NDArray[np.bool_]) -> Scored:
    """Everything that could be shown to some users, scored as of the release: a list is the same all day."""
    candidates = candidates_of(release, user_rows, hidden)
    features = pair_features(release.users, release.items, candidates, release.as_of_hours)
    return Scored(candidates, features, release.reranker.score(features))


def lists(release: Release, scored: Scored, k: int) -> Slates:
    """At most `k` places of each user's list. Greedy: a longer list begins with the shorter one."""
    return slates(release.items, scored.candidates, scored.scores, release.ranking.slate, k=k)


def ranked(scored: Scored, pairs: NDArray[np.int64]) -> Ranked:
    """Pairs as a list."""
    candidates = taken(scored.candidates, pairs)
    return Ranked(candidates.item_rows, scored.scores[pairs], sources_of(candidates.sources))


def sources_of(bits: NDArray[np.uint8]) -> NDArray[np.str_]:
    """The first source of each candidate."""
    return np.select([(bits & BITS[source]) > 0 for source in SOURCES], SOURCES, default="")
