"""The bare computation of a feed, the lower bound of a request: index search, tree scoring and slate in a plain loop.

The release and the candidates are those of the requests. Candidates and features are computed before the clock starts.
"""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.feature_arrays import Candidates, Floats, Rows
from ranking.rank_users import RankingSnapshot
from ranking.slate import TIMES_CHANCE, SlateConfig
from serving.releases.loaded_release import Release

WARM_UP = 20
PASSES = ((True, True), (True, False), (False, True), (False, False))
"""Which limits hold, of creators and of common items, until an item is found: the second one gives way first."""


@dataclass(frozen=True)
class BareComputation:
    """Times of one feed, in milliseconds: medians, and the mean processor time."""

    requests: int
    candidates: float
    """Candidates of a user, on average."""
    p50_ms: float
    cpu_ms: float
    search_ms: float
    score_ms: float
    slate_ms: float


@dataclass(frozen=True)
class PreparedUser:
    """What is computed before the clock starts."""

    vector: Floats  # [1, D]
    neighbours: int
    candidates: Candidates
    features: Floats  # [P, F]


def prepared(release: Release, user_rows: Rows) -> Sequence[PreparedUser]:
    """The candidates and features of each user."""
    snapshot = release.ranking_snapshot
    found = []
    for row in user_rows:
        one = np.array([row], np.int32)
        candidates = snapshot.candidates(one)
        neighbours = snapshot.config.candidates.neighbours + int(snapshot.users.history.counts[row])
        features = snapshot.features_of(release.reranker, candidates, one)
        found.append(PreparedUser(snapshot.users.vectors[one], neighbours, candidates, features))
    return found


def bare_computation(release: Release, users: Sequence[PreparedUser], k: int) -> BareComputation:
    """The clock of each part, over all users."""
    _parts_ms(release, users[:WARM_UP], k)
    started = time.process_time()
    parts_ms = _parts_ms(release, users, k)
    cpu_ms = 1000 * (time.process_time() - started) / len(users)
    search, score, slate = np.median(parts_ms, axis=0).round(3).tolist()
    mean = float(np.mean([len(user.candidates.item_rows) for user in users]))
    p50_ms = round(float(np.median(parts_ms.sum(axis=1))), 3)
    return BareComputation(len(users), round(mean), p50_ms, round(cpu_ms, 3), search, score, slate)


def _parts_ms(release: Release, users: Sequence[PreparedUser], k: int) -> NDArray[np.float64]:
    """[users, 3] search, score and slate."""
    parts_ms = np.zeros((len(users), 3))
    snapshot, scorer = release.ranking_snapshot, release.reranker
    for place, user in enumerate(users):
        instants = [time.perf_counter()]
        snapshot.index.search(user.vector, user.neighbours)
        instants.append(time.perf_counter())
        scores = scorer.score(user.features, user.candidates.item_rows)
        instants.append(time.perf_counter())
        plain_slate(snapshot, user.candidates.item_rows, scores, k)
        instants.append(time.perf_counter())
        parts_ms[place] = 1000 * np.diff(instants)
    return parts_ms


def plain_slate(snapshot: RankingSnapshot, item_rows: Rows, scores: Floats, k: int) -> list[int]:
    """The places of `ranking.slate` for one user, as a loop; limits of categories and diversity are not read."""
    config, exposure = snapshot.config.slate, snapshot.exposure
    spread = max(float(np.ptp(scores)), 1e-12)
    relevance = (scores.astype(np.float64) - scores.min()) / spread
    common = [False] * len(item_rows)
    if exposure is not None:
        relevance -= config.common_discount * exposure[item_rows]
        common = (exposure >= max(config.common_share, TIMES_CHANCE * float(exposure.mean())))[item_rows].tolist()
    order = np.argsort(-relevance, kind="stable").tolist()
    return _walk(order, snapshot.items.creator[item_rows].tolist(), common, config, k)


def _walk(order: list[int], creators: list[int], common: list[bool], config: SlateConfig, k: int) -> list[int]:
    chosen: list[int] = []
    window: deque[int] = deque(maxlen=config.window - 1)
    for _ in range(min(k, len(order))):
        shown = [creators[place] for place in window]
        commons = sum(common[place] for place in window)
        full = {each for each in shown if config.per_creator and each >= 0 and shown.count(each) >= config.per_creator}
        commons_full = bool(config.per_common) and commons >= config.per_common
        best = next(
            place
            for by_creator, by_common in PASSES
            for place in order
            if not (by_creator and creators[place] in full) and not (by_common and commons_full and common[place])
        )
        order.remove(best)
        chosen.append(best)
        window.append(best)
    return chosen
