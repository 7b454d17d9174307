"""Processor time of each stage of a feed, in this process: the functions of a request, in its order."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
from pydantic import TypeAdapter

from ranking.rank_users import RankedUsers
from ranking.slate import slates
from serving.explanation_text import explain_personalized
from serving.feed import Feed, HomeFeed, feed_items
from serving.privacy.consent import ConsentGate, excluded_items
from serving.releases.loaded_release import RankedList, Release

JSON = TypeAdapter(Feed)
WHOLE = "whole feed"
WARM_UP = 20


class StageClock:
    """Processor time by stage, one figure for each request."""

    def __init__(self) -> None:
        """Nothing is measured yet."""
        self._times_ms: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a block."""
        started = time.thread_time()
        yield
        self._times_ms[name].append(1000 * (time.thread_time() - started))

    def means_ms(self) -> dict[str, float]:
        """The mean of each stage, in the order of the request. A mean adds up; a median does not."""
        return {name: round(float(np.mean(times)), 3) for name, times in self._times_ms.items()}


def stage_times(
    release: Release, gate: ConsentGate, home: HomeFeed, users: Sequence[str], limit: int
) -> dict[str, float]:
    """Milliseconds of each stage, and of `HomeFeed.feed` as a whole."""
    clock = StageClock()
    for user in users[:WARM_UP]:
        _staged(StageClock(), release, gate, user, limit)
    for user in users:
        _staged(clock, release, gate, user, limit)
        with clock.stage(WHOLE):
            home.feed(user, limit=limit)
    return clock.means_ms()


def _staged(clock: StageClock, release: Release, gate: ConsentGate, user: str, limit: int) -> None:
    """One request of a user who may be profiled."""
    snapshot = release.ranking_snapshot
    with clock.stage("consent"):
        context = gate.user_context(release, user, gpc=False)
        excluded = excluded_items(release, context.opt_outs, datetime.now(UTC))
    if context.user_row is None:
        return
    row = np.array([context.user_row], np.int32)
    with clock.stage("candidates"):
        candidates = snapshot.candidates(row, excluded)
    with clock.stage("features"):
        features = snapshot.features(candidates, cooccurrence=release.reranker.uses_cooccurrence)
    with clock.stage("scores"):
        scores = release.reranker.score(features, candidates.item_rows)
    with clock.stage("slate"):
        exposure, config = snapshot.exposure, snapshot.config.slate
        chosen = slates(snapshot.items, candidates, scores, config, k=limit + 1, exposure=exposure)
    ranked = RankedUsers(candidates, features, scores, chosen)
    pairs = chosen.pairs[:limit]
    with clock.stage("explanations"):
        explanations = explain_personalized(release, ranked, pairs, excluded)
    with clock.stage("display"):
        items = feed_items(release, RankedList.of(ranked, pairs), explanations, 0)
    with clock.stage("JSON"):
        JSON.dump_json(Feed(user, "", release.version, release.reduced_to, True, None, items, None))
