"""The one masked top-k."""

import numpy as np
import pytest

from evaluation import item_sets
from evaluation.top_k import BLOCK, best_unseen


@pytest.mark.parametrize("items", [5, BLOCK, 10 * BLOCK, 10 * BLOCK + 7])
def test_the_best_unseen_items_are_those_of_a_whole_sort(items: int) -> None:
    """Also where only the blocks of the greatest maxima are looked at, and in the columns behind the last block."""
    random = np.random.default_rng(items)
    scores = random.permutation(30 * items).reshape(30, items).astype(np.float32)
    seen = item_sets(np.arange(30, dtype=np.int32), scores.argmax(axis=1).astype(np.int32), 30)
    rankable = random.random(items) < 0.9
    ranked = best_unseen(lambda rows: scores[rows], np.arange(30, dtype=np.int32), 4, rankable=rankable, seen=seen)
    allowed = np.where(rankable, scores, -np.inf)
    allowed[np.arange(30), scores.argmax(axis=1)] = -np.inf
    best = np.argsort(-allowed, axis=1)[:, :4]
    values = np.take_along_axis(allowed, best, axis=1)
    assert ranked.rows.tolist() == np.where(np.isfinite(values), best, -1).tolist()
    assert ranked.scores.tolist() == values.tolist()


def test_a_list_beyond_the_catalogue_is_padded() -> None:
    seen = item_sets(np.zeros(1, np.int32), np.array([1], np.int32), 1)
    scores = np.array([[1, 9, 2]], np.float32)
    ranked = best_unseen(
        lambda rows: scores[rows], np.zeros(1, np.int32), 4, rankable=np.ones(3, dtype=bool), seen=seen
    )
    assert ranked.rows.tolist() == [[2, 0, -1, -1]]
    assert ranked.scores.tolist() == [[2, 1, -np.inf, -np.inf]]
