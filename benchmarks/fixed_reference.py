"""The fixed reference: one search among 100,000 vectors and one plain prediction of LightGBM, on one thread.

It depends on no release and on no code of a feed. So a ratio to it compares runs of different versions.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ranking.feature_arrays import Floats, ids_of
from serving.ann_index import build
from serving.index_config import IndexConfig

SEED, WARM_UP = 7, 10


@dataclass(frozen=True)
class ReferenceSize:
    """What the reference computes."""

    vectors: int = 100_000
    vector_size: int = 64
    neighbours: int = 300
    rows: int = 500
    features: int = 40
    trees: int = 200
    requests: int = 200


DEFAULT_SIZE = ReferenceSize()


@dataclass(frozen=True)
class FixedReference:
    """Times of one request, in milliseconds: medians, and the mean processor time."""

    p50_ms: float
    cpu_ms: float
    search_ms: float
    score_ms: float


def fixed_reference(size: ReferenceSize) -> FixedReference:
    """The clock of each part, over all requests."""
    random = np.random.default_rng(SEED)
    search, score = search_of(size, random), score_of(size, random)
    for _ in range(WARM_UP):
        search(), score()
    parts_ms, started = np.zeros((size.requests, 2)), time.process_time()
    for part_ms in parts_ms:
        instants = [time.perf_counter()]
        for work in (search, score):
            work()
            instants.append(time.perf_counter())
        part_ms[:] = 1000 * np.diff(instants)
    cpu_ms = 1000 * (time.process_time() - started) / size.requests
    of_search, of_score = np.median(parts_ms, axis=0).round(3).tolist()
    return FixedReference(round(float(np.median(parts_ms.sum(axis=1))), 3), round(cpu_ms, 3), of_search, of_score)


def search_of(size: ReferenceSize, random: np.random.Generator) -> Callable[[], object]:
    """Searches for the neighbours of a drawn vector."""
    vectors: Floats = random.normal(size=(size.vectors, size.vector_size)).astype(np.float32)
    index = build(vectors, ids_of(map(str, range(size.vectors))), IndexConfig(flat_up_to=0, hnsw_build_effort=40))
    return lambda: index.search(vectors[random.integers(size.vectors, size=1)], size.neighbours)


def score_of(size: ReferenceSize, random: np.random.Generator) -> Callable[[], object]:
    """Scores drawn rows with LightGBM itself."""
    import lightgbm as lgb  # noqa: PLC0415  the server decides what LightGBM imports

    rows = random.normal(size=(10 * size.rows, size.features))
    examples = lgb.Dataset(rows, rows[:, 0] * rows[:, 1] + random.normal(size=len(rows)))
    model = lgb.train({"num_threads": 1, "verbose": -1, "seed": SEED}, examples, size.trees)
    return lambda: model.predict(rows[random.integers(len(rows), size=size.rows)], num_threads=1)
