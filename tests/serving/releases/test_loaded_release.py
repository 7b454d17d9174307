import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

from serving.releases import publish as p
from serving.releases.lookups import primary_language
from serving.releases.ranked_list import fallback_list
from tests.serving.tiny import contents, publish_tiny


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


def test_lookups(root, shop):
    publish_tiny(root, shop)
    release = p.load(root)
    assert release.user_row["user-2"] == 2
    assert release.creator_rows["c3"].tolist() == [3, 8, 13, 18, 23, 28, 33, 38]
    assert [release.in_languages([tag])[:2].tolist() for tag in ("en", "pt")] == [[True, False], [False, True]]
    assert np.isinf(release.removed_hours).all()


def test_memory_of_a_release_does_not_grow_with_its_longest_texts(root, shop):
    def loaded(**changes):
        tracemalloc.start()
        version = publish_tiny(root, shop, **changes).version
        tracemalloc.clear_traces()
        release = p.load(root, version)
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return release, size

    shop.mkdir()
    made = contents(shop)
    texts = made.catalogue.to_pylist()
    longest = "x" * 100_000
    texts[-1] |= {"language": longest, "creator_id": longest}
    _, short = loaded()
    release, long = loaded(catalogue=pa.Table.from_pylist(texts, schema=made.catalogue.schema))
    # the text itself is there a few times; 40 items as wide as it would be 16 MB
    assert long - short < 10 * len(longest)
    assert release.in_languages([""])[0]
    assert longest in release.creator_rows
