"""Time of each stage of a feed in this process, as the feed measures it for the metrics of a server."""

import time
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from pydantic import TypeAdapter

from serving.feed import Feed, HomeFeed
from serving.feed_request import FeedRequest

JSON, REST = "JSON", "page and cursor"
FEED = TypeAdapter(Feed)
WARM_UP = 20


def stage_times(home: HomeFeed, users: Sequence[str], limit: int) -> dict[str, float]:
    """The median milliseconds of each stage, in the order of a request."""
    for user in users[:WARM_UP]:
        home.served(FeedRequest(user, limit))
    times_ms: dict[str, list[float]] = defaultdict(list)
    for user in users:
        for name, milliseconds in _staged(home, user, limit).items():
            times_ms[name].append(milliseconds)
    return {name: round(float(np.median(times)), 3) for name, times in times_ms.items()}


def _staged(home: HomeFeed, user: str, limit: int) -> dict[str, float]:
    started = time.perf_counter()
    served = home.served(FeedRequest(user, limit))
    whole_ms = 1000 * (time.perf_counter() - started)
    stages: dict[str, float] = {each.name: 1000 * each.seconds for each in served.stages}
    started = time.perf_counter()
    FEED.dump_json(served.feed)
    json_ms = 1000 * (time.perf_counter() - started)
    return {**stages, REST: whole_ms - sum(stages.values()), JSON: json_ms}
