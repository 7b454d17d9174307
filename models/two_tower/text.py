"""Titles as vectors: TF-IDF over hashed words, reduced by a truncated SVD (LSA, Deerwester et al. 1990).

Hashing keeps what is learned to two arrays, so an embedder is saved without a vocabulary and without pickle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.preprocessing import normalize

from contracts import columns as c
from contracts.errors import SchemaMismatch
from models.two_tower.two_tower_config import TextConfig

Floats = NDArray[np.float32]

WORD = r"\w+"
"""One letter is a word too: "C" and "R" are languages."""


@dataclass(frozen=True)
class TextEmbedder:
    """Fitted on a catalogue. `idf [2^hash_bits]` and `components [T, 2^hash_bits]` are empty unless tfidf-svd."""

    config: TextConfig
    size: int
    idf: Floats
    components: Floats

    def embed(self, items: pl.DataFrame) -> Floats:
        """`[I, T]` unit rows of the kind of text that the embedder was fitted to, zero where an item has none: an
        embedder of titles ignores embeddings that items got later. Raises `SchemaMismatch`."""
        if len(self.idf) and items.height:
            return _unit(np.asarray(_weighted(_titles(items), self.config, self.idf) @ self.components.T, np.float32))
        given = _given(items)
        fits = given is not None and given.shape[1] == self.size
        if self.config.kind == "sentence-transformers" and self.size and items.height and not fits:
            return _sized(_sentence_vectors(_titles(items), self.config.model), self.size)
        if given is None or not self.size:
            return np.zeros((items.height, self.size), np.float32)
        return _sized(given, self.size)


def fit_text(items: pl.DataFrame, config: TextConfig, seed: int) -> TextEmbedder:
    """The embedder for this catalogue; its size is 0 where the catalogue has neither titles nor embeddings."""
    given = _given(items)
    if given is not None:
        return _unfitted(config, given.shape[1])
    titles = _titles(items)
    if not any(titles):
        return _unfitted(config, 0)
    if config.kind == "sentence-transformers":
        return _unfitted(config, _sentence_vectors([titles[0]], config.model).shape[1])
    return _fitted_to(titles, config, seed)


def _unfitted(config: TextConfig, size: int) -> TextEmbedder:
    return TextEmbedder(config, size, np.zeros(0, np.float32), np.zeros((0, 0), np.float32))


def _fitted_to(titles: Sequence[str], config: TextConfig, seed: int) -> TextEmbedder:
    counts = _hashed(titles, config)
    idf = TfidfTransformer().fit(counts).idf_.astype(np.float32)
    size = min(config.size, len(titles) - 1, counts.shape[1] - 1)
    if size < 1:
        return _unfitted(config, 0)
    with np.errstate(divide="ignore", invalid="ignore"):  # titles that are all the same explain none of no variance
        svd = TruncatedSVD(size, random_state=seed).fit(_weighted(titles, config, idf))
    return TextEmbedder(config, size, idf, svd.components_.astype(np.float32))


def _hashed(titles: Sequence[str], config: TextConfig) -> csr_matrix:
    hasher = HashingVectorizer(
        n_features=2**config.hash_bits,
        ngram_range=(1, 2),
        strip_accents="unicode",
        token_pattern=WORD,
        alternate_sign=False,
        norm=None,
    )
    return hasher.transform(titles)


def _weighted(titles: Sequence[str], config: TextConfig, idf: Floats) -> csr_matrix:
    return normalize(_hashed(titles, config).multiply(idf).tocsr())


def _titles(items: pl.DataFrame) -> list[str]:
    return items[c.TITLE].fill_null("").to_list() if c.TITLE in items.columns else [""] * items.height


def _given(items: pl.DataFrame) -> Floats | None:
    """The `embedding` column as `[I, T]` unit rows, zero where null; None where the whole column is."""
    if c.EMBEDDING not in items.columns or items[c.EMBEDDING].null_count() == items.height:
        return None
    sizes = items[c.EMBEDDING].list.len().drop_nulls().unique().sort().to_list()
    if len(sizes) > 1:
        raise SchemaMismatch(f"items.embedding has rows of {sizes} numbers; give every item the same size, or null")
    rows = np.zeros((items.height, sizes[0]), np.float32)
    present = items[c.EMBEDDING].is_not_null().to_numpy()
    rows[present] = items[c.EMBEDDING].drop_nulls().list.explode().to_numpy().reshape(-1, sizes[0])
    return _unit(rows)


def _sized(rows: Floats, size: int) -> Floats:
    if rows.shape[1] != size:
        raise SchemaMismatch(
            f"items have text vectors of {rows.shape[1]} numbers, the model was trained on {size}; train it again"
        )
    return rows


def _sentence_vectors(titles: Sequence[str], model: str) -> Floats:
    library = import_module("sentence_transformers")  # heavy, and an optional install
    return _unit(np.asarray(library.SentenceTransformer(model).encode(list(titles)), np.float32))


def _unit(rows: Floats) -> Floats:
    lengths = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return np.asarray(rows / lengths, np.float32)
