"""Metrics of feeds: stages, candidates, items left out, empty pages and diversity. No label holds an id of a user or an
item, so each has a few values."""

from collections.abc import Iterable
from typing import get_args

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram

from contracts.request_stages import STAGE_NAMES, MeasuredStage
from ranking.candidates import BITS
from ranking.feature_arrays import SOURCES, Floats, Rows
from ranking.similarity import unit
from serving.feed import Feed, ServedFeed
from serving.item_filters import FilterName, filtered_counts
from serving.releases.loaded_release import Release

STAGE_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
SHARES = tuple(round(0.1 * step, 1) for step in range(1, 11))
DISTANCES = (*SHARES, 1.25, 1.5)
PERSONALIZED = "personalized"


class FeedMetrics:
    """The metrics of the feeds of one application."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers its metrics."""
        self._feeds = Counter("tastefeed_feeds", "feeds by why they are not profiled", ["reason"], registry=registry)
        self._empty = Counter("tastefeed_empty_feeds", "feeds without an item", ["reason"], registry=registry)
        stages = Histogram(
            "tastefeed_stage_seconds", "time of a stage", ["stage"], registry=registry, buckets=STAGE_BUCKETS_S
        )
        self._stages = {name: stages.labels(name) for name in STAGE_NAMES}
        candidates = Counter("tastefeed_candidates", "candidates of personalized feeds", ["source"], registry=registry)
        self._candidates = {source: candidates.labels(source) for source in SOURCES}
        filtered = Counter("tastefeed_filtered_items", "items left out of feeds", ["reason"], registry=registry)
        self._filtered = {reason: filtered.labels(reason) for reason in get_args(FilterName)}
        self._diversity = Histogram(
            "tastefeed_page_diversity", "mean distance of a page's items", registry=registry, buckets=DISTANCES
        )
        self._creators = Histogram(
            "tastefeed_page_creators", "distinct creators per item of a page", registry=registry, buckets=SHARES
        )

    def observe(self, served: ServedFeed) -> None:
        """Count one page."""
        self.observe_many([served.feed], served.stages)
        for reason, count in filtered_counts(served).items():
            self._filtered[reason].inc(count)
        if served.ranked is not None:
            sources = served.ranked.candidates.sources
            for source, counter in self._candidates.items():
                counter.inc(int(np.count_nonzero(sources & BITS[source])))
        if len(served.page.rows) > 1:
            self._diversity.observe(diversity(served.release.items.vectors[served.page.rows]))
            self._creators.observe(creators_per_item(served.release, served.page.rows))

    def observe_many(self, feeds: Iterable[Feed], stages: Iterable[MeasuredStage]) -> None:
        """Count the feeds of one request and its stages."""
        for feed in feeds:
            reason = feed.reason or PERSONALIZED
            self._feeds.labels(reason).inc()
            if not feed.items:
                self._empty.labels(reason).inc()
        for measured in stages:
            self._stages[measured.name].observe(measured.seconds)


def diversity(vectors: Floats) -> float:
    """The mean cosine distance of two of these vectors [N, D]. All cosines add up to the square of the vectors' sum."""
    directions = unit(vectors).astype(np.float64)
    total = directions.sum(axis=0)
    itself = float(np.einsum("nd,nd->", directions, directions))
    pairs = len(directions) * (len(directions) - 1)
    return 1 - (float(total @ total) - itself) / pairs


def creators_per_item(release: Release, rows: Rows) -> float:
    """Distinct creators over items; an item of an unknown creator counts as one of its own."""
    creators = release.items.creator[rows]
    known = creators[creators >= 0].tolist()
    return (len(set(known)) + len(rows) - len(known)) / len(rows)
