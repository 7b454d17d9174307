import numpy as np
import pytest

from serving.releases.loaded_release import fallback_list, primary_language


def test_in_turns_and_each_once():
    ranked = fallback_list(np.array([1, 2, 3], np.int32), np.array([9, 1, 8, 7, 6], np.int32))
    assert ranked.rows.tolist() == [1, 9, 2, 3, 8, 7, 6]  # 1 is fresh first, so it is not popular as well
    assert ranked.sources.tolist() == ["fresh", "popular", "fresh", "fresh", "popular", "popular", "popular"]
    assert ranked.scores.tolist()[:2] == [1, 0.5]


def test_nothing_is_fresh_or_popular():
    assert fallback_list(np.zeros(0, np.int32), np.zeros(0, np.int32)).rows.tolist() == []
    assert fallback_list(np.array([4], np.int32), np.zeros(0, np.int32)).rows.tolist() == [4]


@pytest.mark.parametrize(("tag", "language"), [
    ("pt-BR", "pt"), ("pt_BR", "pt"), (" PT ", "pt"), ("zh-Hant_TW", "zh"), ("", ""), ("und", ""), ("und-Latn", ""),
])  # fmt: skip
def test_primary_language(tag, language):
    assert primary_language(tag) == language
