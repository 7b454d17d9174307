import numpy as np
import polars as pl
import pytest

from contracts.errors import SchemaMismatch
from models.two_tower import TextConfig, fit_text

TITLES = ["Machine learning at scale", "Deep machine learning", "Coffee and cake", "A cake without coffee", None, ""]


def test_titles_with_common_words_are_near_and_no_title_is_zero():
    items = pl.DataFrame({"title": TITLES})
    embedder = fit_text(items, TextConfig(size=4), seed=0)
    rows = embedder.embed(items)
    assert rows.shape == (6, 4)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, 1, 1, 1, 0, 0], atol=1e-5)
    assert rows[0] @ rows[1] > rows[0] @ rows[2]
    assert rows[2] @ rows[3] > rows[2] @ rows[0]


def test_a_given_embedding_is_used_as_it_is():
    items = pl.DataFrame({"title": TITLES[:3], "embedding": [[3.0, 4.0], None, [0.0, 2.0]]})
    embedder = fit_text(items, TextConfig(), seed=0)
    np.testing.assert_allclose(embedder.embed(items), [[0.6, 0.8], [0, 0], [0, 1]], atol=1e-6)


def test_no_titles_no_text():
    items = pl.DataFrame({"item_id": ["a", "b"]})
    assert fit_text(items, TextConfig(), seed=0).embed(items).shape == (2, 0)


def test_embeddings_of_another_size_are_refused():
    embedder = fit_text(pl.DataFrame({"embedding": [[3.0, 4.0]]}), TextConfig(), seed=0)
    with pytest.raises(SchemaMismatch, match="text vectors of 3 numbers, the model was trained on 2; train it again"):
        embedder.embed(pl.DataFrame({"embedding": [[1.0, 2.0, 3.0]]}))
    with pytest.raises(SchemaMismatch, match=r"rows of \[1, 2\] numbers"):
        embedder.embed(pl.DataFrame({"embedding": [[1.0, 2.0], [3.0]]}))


def test_embeddings_that_only_later_items_have_are_ignored():
    titles = pl.DataFrame({"title": TITLES[:4]})
    embedder = fit_text(titles, TextConfig(size=2), seed=0)
    later = titles.with_columns(embedding=pl.Series([None, None, None, [1.0, 2.0, 3.0]]))
    np.testing.assert_array_equal(embedder.embed(later), embedder.embed(titles))
    untitled = fit_text(titles.select(item_id="title"), TextConfig(), seed=0)
    assert untitled.embed(later).shape == (4, 0)


def test_items_that_lost_their_embeddings_have_no_text():
    embedder = fit_text(pl.DataFrame({"title": ["a"], "embedding": [[3.0, 4.0]]}), TextConfig(), seed=0)
    np.testing.assert_array_equal(embedder.embed(pl.DataFrame({"title": ["a", "b"]})), np.zeros((2, 2)))
