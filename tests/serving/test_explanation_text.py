"""The sentences of explanations; which signal an item gets is tested with the ranking."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from ranking.candidates import BITS
from ranking.rank_users import RankingConfig, rank_users
from ranking.reason_calibration import ReasonConfig
from ranking.signals import Signal
from serving.explanation_text import explain_fallback, explain_personalized, newness, readership, sentences
from serving.releases import publish
from tests.serving.tiny import publish_tiny

AS_OF = datetime(2017, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("signal", list(Signal))
def test_every_signal_has_a_sentence(published, signal):
    assert sentences(publish.load(published), np.array([0], np.int32), [signal])[0]


def test_a_fresh_item_shows_its_day_and_is_new_for_four_weeks():
    assert newness(AS_OF, AS_OF) == "New, from 1 March 2017"
    assert newness(AS_OF - timedelta(days=28), AS_OF) == "New, from 1 February 2017"
    assert newness(AS_OF - timedelta(days=58), AS_OF) == "From 2 January 2017"
    assert newness(None, AS_OF) == "New"


@pytest.mark.parametrize(
    ("of_week", "of_month", "of_all", "text"),
    [
        (21, 30, 1267, "Read by 21 people in the last week"),
        (0, 30, 1267, "Read by 30 people in the last four weeks"),
        (0, 1, 1267, "Read by 1,267 people"),
        (np.nan, np.nan, np.nan, "Suggested by what others read"),
        (4, 4, 4, "Suggested by what others read"),  # a count so small could be about one user
    ],
)
def test_a_popular_item_shows_how_many_users_read_it_and_when(of_week, of_month, of_all, text):
    assert readership([of_week, of_month, of_all]) == text


def test_the_readers_are_those_of_the_item(published):
    # item `i<row>` had `row` users in the last week
    rows = np.array([39, 4, 5], np.int32)
    texts = sentences(publish.load(published), rows, [Signal.TRENDING, Signal.POPULAR, Signal.POPULAR])
    assert texts == [
        "Read by 39 people in the last week",
        "Suggested by what others read",
        "Read by 5 people in the last week",
    ]


@pytest.mark.parametrize(("least", "named"), [(0.3, True), (1.0, False)])
def test_below_the_similarity_of_the_release_the_reason_is_the_source(least, named, tmp_path):
    reasons = RankingConfig(reasons=ReasonConfig(min_similarity=least))
    publish_tiny(tmp_path / "releases", tmp_path / "builds", ranking=reasons)
    release = publish.load(tmp_path / "releases")
    ranked = rank_users(release.ranking_snapshot, release.reranker, np.array([1], np.int32), 10)
    hidden = np.zeros(len(release.items.ids), bool)
    explanations = explain_personalized(release, ranked, ranked.slates.pairs, hidden)
    assert any(explanation.item_id for explanation in explanations) is named
    if not named:
        near, fresh, popular = (BITS[source] for source in ("two_tower", "fresh", "popular"))
        sources = ranked.candidates.sources[ranked.slates.pairs]
        for explanation, bits in zip(explanations, sources, strict=True):
            assert {"similar": bits == near, "fresh": bits & fresh, "trending": bits & popular}[explanation.kind]


def test_the_fallback_list_explains_each_item_by_its_source(published):
    release = publish.load(published)
    listed = release.lookups.fallback  # fresh and popular items in alternation
    explanations = explain_fallback(release, listed.rows[:4], listed.sources[:4])
    assert [explanation.kind for explanation in explanations] == ["fresh", "trending", "fresh", "trending"]
    assert {explanation.item_id for explanation in explanations} == {None}
