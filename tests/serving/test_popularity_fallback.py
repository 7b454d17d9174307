import numpy as np

from serving.popularity_fallback import everyones


def test_in_turns_and_each_once():
    ranked = everyones(np.array([1, 2, 3], np.int32), np.array([9, 1, 8, 7, 6], np.int32))
    assert ranked.rows.tolist() == [1, 9, 2, 3, 8, 7, 6]  # 1 is fresh first, so it is not popular as well
    assert ranked.sources.tolist() == ["fresh", "popular", "fresh", "fresh", "popular", "popular", "popular"]
    assert ranked.scores.tolist()[:2] == [1, 0.5]


def test_nothing_is_fresh_or_popular():
    assert everyones(np.zeros(0, np.int32), np.zeros(0, np.int32)).rows.tolist() == []
    assert everyones(np.array([4], np.int32), np.zeros(0, np.int32)).rows.tolist() == [4]
