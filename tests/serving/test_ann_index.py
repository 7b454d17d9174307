from pathlib import Path

import numpy as np
import pytest

from contracts.errors import ReleaseCorrupt
from serving import ann_index
from serving.ann_index import ExactIndex, FaissIndex, build, load, recall_against_exact
from serving.index_config import IndexConfig, IndexKind, Metric


def test_exact_search_in_parts_answers_the_same(monkeypatch: pytest.MonkeyPatch):
    vectors, ids = catalogue()
    whole = ExactIndex(vectors, ids, Metric.COSINE).search(vectors[:7], 10)
    monkeypatch.setattr(ann_index, "SCORES_AT_ONCE", 1000)
    parts = ExactIndex(vectors, ids, Metric.COSINE).search(vectors[:7], 10)
    np.testing.assert_array_equal(parts.rows, whole.rows)
    np.testing.assert_allclose(parts.scores, whole.scores, rtol=1e-6)


def catalogue(items: int = 400, size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    vectors = np.random.default_rng(3).normal(size=(items, size)).astype(np.float32)
    vectors *= np.linspace(0.5, 2, items, dtype=np.float32)[:, None]  # lengths differ, or cosine would prove nothing
    return vectors, np.array([f"i{row}" for row in range(items)])


@pytest.mark.parametrize("metric", list(Metric))
class IndexContract:
    config: IndexConfig
    kind: IndexKind

    def built(self, metric: Metric, vectors: np.ndarray, ids: np.ndarray) -> FaissIndex:
        return build(vectors, ids, self.config.model_copy(update={"metric": metric}))

    def test_agrees_with_exact_search_in_ids_and_scores(self, metric):
        vectors, ids = catalogue()
        queries = np.random.default_rng(4).normal(size=(20, 16)).astype(np.float32) * 3
        index = self.built(metric, vectors, ids)
        neighbors, exact = index.search(queries, 10), ExactIndex(vectors, ids, metric).search(queries, 10)
        assert index.kind is self.kind
        assert neighbors.ids.tolist() == exact.ids.tolist()
        np.testing.assert_allclose(neighbors.scores, exact.scores, rtol=1e-5)
        assert recall_against_exact(neighbors, exact) == 1

    def test_k_beyond_the_catalogue_gives_every_item_once(self, metric):
        vectors, ids = catalogue(items=50)
        neighbors = self.built(metric, vectors, ids).search(vectors[:3], 1000)
        assert neighbors.ids.shape == (3, 50)
        assert [sorted(row) for row in neighbors.rows.tolist()] == [list(range(50))] * 3

    def test_twins_and_zero_vectors_leave_no_hole(self, metric):
        vectors = np.zeros((300, 8), np.float32)
        neighbors = self.built(metric, vectors, catalogue(300)[1]).search(np.zeros((2, 8), np.float32), 250)
        assert (neighbors.rows >= 0).all()
        assert not neighbors.scores.any()

    def test_one_item_and_no_query(self, metric):
        vectors, ids = catalogue(items=1)
        index = self.built(metric, vectors, ids)
        assert index.search(vectors, 5).ids.tolist() == [["i0"]]
        assert index.search(vectors[:0], 5).rows.shape[0] == 0

    def test_saved_and_loaded_answers_the_same(self, metric, tmp_path):
        vectors, ids = catalogue()
        config = self.config.model_copy(update={"metric": metric})
        index = self.built(metric, vectors, ids)
        index.save(tmp_path / "index.faiss")
        again = load(tmp_path / "index.faiss", ids, config)
        assert again.kind is self.kind
        assert again.search(vectors[:5], 7).rows.tolist() == index.search(vectors[:5], 7).rows.tolist()
        np.testing.assert_allclose(again.vectors(0, 3), index.vectors(0, 3))

    def test_refuses_another_catalogue(self, metric, tmp_path):
        vectors, ids = catalogue()
        self.built(metric, vectors, ids).save(tmp_path / "index.faiss")
        with pytest.raises(ReleaseCorrupt, match="holds 400 vectors for 399 items; publish again or roll back"):
            load(tmp_path / "index.faiss", ids[1:], self.config)


class TestFlat(IndexContract):
    config, kind = IndexConfig(), IndexKind.FLAT


class TestHnsw(IndexContract):
    config, kind = IndexConfig(flat_up_to=0, large=IndexKind.HNSW), IndexKind.HNSW


class TestIvf(IndexContract):
    config, kind = IndexConfig(flat_up_to=0, large=IndexKind.IVF, ivf_probed_share=1), IndexKind.IVF


def test_ivf_that_looks_into_one_cell_still_fills_the_list():
    vectors, ids = catalogue()
    config = IndexConfig(flat_up_to=0, large=IndexKind.IVF, ivf_probed_share=0.01)
    neighbors = build(vectors, ids, config).search(vectors[:4], 300)
    assert (neighbors.rows >= 0).all()
    assert [len(set(row)) for row in neighbors.rows.tolist()] == [300] * 4


def test_cosine_by_hand():
    vectors, ids = np.array([[10, 0], [1, 1], [0, 0]], np.float32), np.array(["far", "diagonal", "nowhere"])
    neighbors = build(vectors, ids, IndexConfig(metric=Metric.COSINE)).search(np.array([[0, 2]], np.float32), 3)
    assert neighbors.ids[0, 0] == "diagonal"
    np.testing.assert_allclose(neighbors.scores[0], [0.5**0.5, 0, 0], rtol=1e-6)


def test_an_empty_catalogue_has_no_neighbours():
    neighbors = build(np.zeros((0, 4), np.float32), np.array([], dtype=str), IndexConfig()).search(
        np.ones((2, 4), np.float32), 3
    )
    assert neighbors.ids.shape == neighbors.scores.shape == (2, 0)


def test_not_an_index(tmp_path: Path):
    (tmp_path / "index.faiss").write_bytes(b"not an index at all")
    with pytest.raises(ReleaseCorrupt, match="FAISS cannot read it; publish again or roll back"):
        load(tmp_path / "index.faiss", np.array(["a"]), IndexConfig())
