"""Ranking metrics: arrays [U] with one number a user, and numbers of all lists together.

A user without labels has NaN, and `mean` leaves the user out.
Shapes: U users, K places, I items, D size of an item vector.
"""

import numpy as np
from numpy.typing import ArrayLike

from contracts.csr import Longs
from evaluation.rankings import PADDING, Floats, ItemSets, Labels, Mask, RankedLists, Rows

CHUNK_USERS = 4096


def mean(per_user: Floats) -> float:
    """The mean over users that have a number; NaN where none has."""
    values = per_user[~np.isnan(per_user)]
    return float(values.mean()) if len(values) else float("nan")


def _discounts(places: int) -> Floats:
    return np.asarray(1 / np.log2(np.arange(places) + 2), dtype=np.float64)


def _ideal_dcg(labels: Labels, k: int, *, graded: bool) -> Floats:
    """[U] the discounted gain of a user's `k` best labels in the best order."""
    gains = labels.gains if graded else np.ones_like(labels.gains)
    order = np.lexsort((-gains, labels.owners))
    places = np.arange(len(gains)) - np.repeat(labels.offsets[:-1], labels.counts)
    worth = np.where(places < k, gains[order] / np.log2(places + 2), 0)
    return np.bincount(labels.owners, weights=worth, minlength=len(labels.counts)).astype(np.float64)


def _share(part: ArrayLike, whole: ArrayLike) -> Floats:
    """`part / whole`, NaN where there is no whole."""
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    share: Floats = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return share


def ndcg_at_k(lists: RankedLists, labels: Labels, k: int, *, graded: bool = False) -> Floats:
    """[U] normalized discounted cumulative gain (Järvelin & Kekäläinen 2002, doi:10.1145/582415.582418).

    A label is worth 1, or its gain where `graded`; place i counts 1 / log2(i + 2); 1 is the best list of `k`.
    """
    gains = labels.found(lists.top(k))
    worth = gains.astype(np.float64) if graded else (gains > 0).astype(np.float64)
    return _share(worth @ _discounts(worth.shape[1]), _ideal_dcg(labels, k, graded=graded))


def recall_at_k(lists: RankedLists, labels: Labels, k: int) -> Floats:
    """[U] share of a user's labels among the first `k`, over all of them (not over at most `k`)."""
    return _share((labels.found(lists.top(k)) > 0).sum(axis=1), labels.counts)


def recall_of_sets(sets: ItemSets, labels: Labels) -> Floats:
    """[U] share of a user's labels in the user's set: recall where there is no order."""
    found = np.isin(labels.keys, sets.keys, assume_unique=True)
    return _share(np.bincount(labels.owners, weights=found, minlength=len(labels.counts)), labels.counts)


def hit_rate_at_k(lists: RankedLists, labels: Labels, k: int) -> Floats:
    """[U] 1 where at least one of the first `k` is a label, else 0."""
    hits = (labels.found(lists.top(k)) > 0).any(axis=1)
    return np.where(labels.counts > 0, hits.astype(np.float64), np.nan)


def mrr_at_k(lists: RankedLists, labels: Labels, k: int) -> Floats:
    """[U] 1 over the place (from 1) of the first label among the first `k`, 0 without one (Voorhees, TREC-8 1999)."""
    hits = labels.found(lists.top(k)) > 0
    reciprocal = np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0.0)
    return np.where(labels.counts > 0, reciprocal, np.nan)


def catalogue_coverage_at_k(lists: RankedLists, rankable: Mask, k: int) -> float:
    """Share of the rankable items [I] that at least one user is shown (Ge et al. 2010, doi:10.1145/1864708.1864761)."""
    shown = np.unique(lists.top(k).rows)
    return _of((shown != PADDING).sum(), rankable.sum())


def creator_coverage_at_k(lists: RankedLists, creators: Rows, rankable: Mask, k: int) -> float:
    """Share of creators with a rankable item whose work at least one user is shown. `creators` [I], -1 unknown."""
    rows = lists.top(k).rows
    shown = np.unique(creators[rows[rows != PADDING]])
    there = np.unique(creators[rankable])
    return _of((shown >= 0).sum(), (there >= 0).sum())


def inter_user_overlap_at_k(lists: RankedLists, k: int) -> float:
    """Mean share of the first `k` that two users have in common; 1 minus this is the inter-user diversity of Zhou et
    al. 2010 (doi:10.1073/pnas.1000488107).

    Empty lists are left out, and NaN stands for fewer than two others. Where all lists are shorter than `k`, the
    longest is the whole.
    """
    listed = lists.top(k).filled.sum(axis=1)
    users, longest = int((listed > 0).sum()), int(listed.max(initial=0))
    # an item on n lists is shared by n(n - 1) ordered pairs of users
    counts = _counts(lists.top(k).rows)
    return _of((counts * (counts - 1)).sum(), users * (users - 1) * longest)


def top_first_share(lists: RankedLists, items: int) -> float:
    """Share of the first places that the `items` most frequent items there hold; NaN without any list."""
    counts = _counts(lists.top(1).rows)
    return _of(np.sort(counts)[::-1][:items].sum(), counts.sum())


def _counts(rows: Rows) -> Longs:
    """How often each listed item is listed, in no order."""
    return np.unique(rows[rows != PADDING], return_counts=True)[1]


def top_creator_share_at_k(lists: RankedLists, creators: Rows, k: int) -> Floats:
    """[U] share of a list's places that its most frequent creator holds; an unknown creator stands alone."""
    rows = lists.top(k).rows
    users, places = np.nonzero(rows != PADDING)
    makers = creators[rows[users, places]].astype(np.int64)
    makers = np.where(makers >= 0, makers, -1 - rows[users, places])  # a name of their own
    pairs, counts = np.unique((users << 32) + (makers + (1 << 31)), return_counts=True)
    most = np.zeros(len(rows))
    np.maximum.at(most, pairs >> 32, counts)
    return _share(most, (rows != PADDING).sum(axis=1))


def intra_list_distance_at_k(lists: RankedLists, item_vectors: np.ndarray, k: int) -> Floats:
    """[U] mean cosine distance over the pairs of a list (Ziegler et al. 2005, doi:10.1145/1060745.1060754).

    `item_vectors` [I, D]. Items with a zero vector are left out; a list of fewer than two others has NaN.
    """
    rows = lists.top(k).rows
    chunks = [rows[start : start + CHUNK_USERS] for start in range(0, len(rows), CHUNK_USERS)]
    return np.concatenate([_mean_pair_distance(chunk, item_vectors) for chunk in chunks] or [np.zeros(0)])


def _mean_pair_distance(rows: Rows, item_vectors: np.ndarray) -> Floats:
    vectors = item_vectors[rows].astype(np.float64)  # [U, K, D]; -1 reads some item, and is silenced below
    lengths = np.linalg.norm(vectors, axis=2, keepdims=True)
    there = (lengths > 0) & (rows != PADDING)[:, :, None]
    unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=there)
    n = there.sum(axis=(1, 2))
    # |sum of v|^2 counts every ordered pair and each vector with itself
    similarity = (unit.sum(axis=1) ** 2).sum(axis=1) - n
    return 1 - _share(similarity, n * (n - 1.0))


def _of(part: int, whole: int) -> float:
    return float(part / whole) if whole else float("nan")
