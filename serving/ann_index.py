"""Approximate nearest neighbours: FAISS, and its exact twin in numpy behind the same protocol.

Shapes: N items, D embedding size, Q queries, K requested neighbours (at most N are returned).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import faiss
import numpy as np

from contracts.errors import ReleaseCorrupt
from ranking.feature_arrays import Floats, Ids, Rows
from ranking.similarity import unit
from serving.index_config import IndexConfig, IndexKind, Metric


@dataclass(frozen=True)
class Neighbors:
    """The best items of each query, best first."""

    index_ids: Ids  # [N] those of the index
    rows: Rows  # [Q, K]
    scores: Floats  # [Q, K]

    @property
    def ids(self) -> Ids:
        """[Q, K] the ids of the rows."""
        return np.asarray(self.index_ids[self.rows])


class Index(Protocol):
    """Search over the rows of one catalogue."""

    metric: Metric

    def search(self, queries: Floats, k: int) -> Neighbors:
        """The `min(k, N)` best items of each query; scores are of `metric`, whatever the kind."""
        ...


SCORES_AT_ONCE = 8_000_000
"""Scores that exact search holds at once: with their order, some 100 MB."""


class ExactIndex:
    """Computes every score; the reference for the approximate ones."""

    def __init__(self, vectors: Floats, ids: Ids, metric: Metric) -> None:
        """`vectors` [N, D], `ids` [N]."""
        self.metric, self._ids = metric, ids
        self._vectors = comparable(vectors, metric)

    def search(self, queries: Floats, k: int) -> Neighbors:
        """See `Index.search`; equal scores in the order of the rows."""
        queries = comparable(queries, self.metric)
        step = max(1, SCORES_AT_ONCE // max(1, len(self._ids)))
        parts = [self._best(queries[at : at + step], k) for at in range(0, max(1, len(queries)), step)]
        rows, scores = (np.concatenate(each) for each in zip(*parts, strict=True))
        return Neighbors(self._ids, rows, scores)

    def _best(self, queries: Floats, k: int) -> tuple[Rows, Floats]:
        scores = queries @ self._vectors.T
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int32)
        return rows, np.take_along_axis(scores, rows, axis=1)


class FaissIndex:
    """Flat, HNSW or IVF. Each stores the vectors uncompressed, so that the scores of found rows are exact."""

    def __init__(self, index: Any, ids: Ids, metric: Metric, config: IndexConfig) -> None:
        """`index` is a FAISS index over `comparable` vectors."""
        self.metric, self._index, self._ids, self._config = metric, index, ids, config

    def search(self, queries: Floats, k: int) -> Neighbors:
        """See `Index.search`. A query with fewer than k approximate results is answered exactly."""
        vectors = comparable(queries, self.metric)
        k = min(k, len(self._ids))
        if k == 0 or not len(vectors):
            return _no_neighbors(len(vectors), self._ids)
        scores, rows = self._index.search(vectors, k, params=self._effort(k))
        rows = rows.astype(np.int32)
        short = (rows < 0).any(axis=1)
        if short.any():
            exact = self._exact().search(queries[short], k)
            rows[short], scores[short] = exact.rows, exact.scores
        return Neighbors(self._ids, rows, scores)

    @property
    def kind(self) -> IndexKind:
        """The search method of this index."""
        return _KINDS[type(self._index)]

    def vectors(self, start: int, count: int) -> Floats:
        """Vectors as the index stores them."""
        vectors: Floats = self._index.reconstruct_n(start, count)
        return vectors

    def save(self, path: Path) -> None:
        """Write FAISS's own file."""
        faiss.write_index(self._index, str(path))

    def _exact(self) -> ExactIndex:
        return ExactIndex(self.vectors(0, len(self._ids)), self._ids, self.metric)

    def _effort(self, k: int) -> Any:
        if self.kind is IndexKind.HNSW:
            return faiss.SearchParametersHNSW(efSearch=max(self._config.hnsw_search_effort, 2 * k))
        if self.kind is IndexKind.IVF:
            probed = int(np.ceil(self._index.nlist * self._config.ivf_probed_share))
            return faiss.SearchParametersIVF(nprobe=probed)
        return None


_KINDS = {faiss.IndexFlat: IndexKind.FLAT, faiss.IndexFlatIP: IndexKind.FLAT, faiss.IndexHNSWFlat: IndexKind.HNSW,
          faiss.IndexIVFFlat: IndexKind.IVF}  # fmt: skip


def build(vectors: Floats, ids: Ids, config: IndexConfig) -> FaissIndex:
    """The index of a catalogue: `vectors` [N, D] with their `ids` [N]."""
    vectors = comparable(vectors, config.metric)
    index = _empty(config.kind(len(vectors)), vectors, config)
    if len(vectors):
        index.add(vectors)
    return FaissIndex(index, ids, config.metric, config)


def load(path: Path, ids: Ids, config: IndexConfig, *, mapped: bool = False) -> FaissIndex:
    """Read what `save` wrote, or map it. Raises `ReleaseCorrupt` for an unreadable file or another number of
    vectors."""
    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mapped else 0)
    except RuntimeError:
        raise ReleaseCorrupt(f"{path}: FAISS cannot read it; publish again or roll back") from None
    if index.ntotal != len(ids):
        raise ReleaseCorrupt(f"{path}: holds {index.ntotal} vectors for {len(ids)} items; publish again or roll back")
    return FaissIndex(index, ids, config.metric, config)


def comparable(vectors: Floats, metric: Metric) -> Floats:
    """Vectors whose inner product is `metric`: unit length for cosine, where a zero vector stays zero."""
    vectors = np.ascontiguousarray(vectors, np.float32)
    if metric is Metric.INNER_PRODUCT:
        return vectors
    return unit(vectors)


def recall_against_exact(approximate: Neighbors, exact: Neighbors) -> float:
    """The share of the exact neighbours that the approximate search found; 1 where there are none."""
    if not exact.rows.size:
        return 1.0
    pairs = zip(approximate.rows, exact.rows, strict=True)
    return float(np.mean([np.isin(best, rows).mean() for rows, best in pairs]))


def _empty(kind: IndexKind, vectors: Floats, config: IndexConfig) -> Any:
    size = vectors.shape[1]
    if kind is IndexKind.HNSW:
        index = faiss.IndexHNSWFlat(size, config.hnsw_links, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = config.hnsw_build_effort
        return index
    if kind is IndexKind.IVF:
        cells = max(1, min(len(vectors), int(config.ivf_cells_per_root * len(vectors) ** 0.5)))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(size), size, cells, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors)
        index.make_direct_map()
        return index
    return faiss.IndexFlatIP(size)


def _no_neighbors(queries: int, ids: Ids) -> Neighbors:
    return Neighbors(ids, np.empty((queries, 0), np.int32), np.empty((queries, 0), np.float32))
