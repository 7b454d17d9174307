"""The sentences of explanations; which signal an item gets is tested with the ranking."""

from datetime import UTC, datetime

import numpy as np
import pytest

from ranking.candidates import BITS
from ranking.rank_users import RankingConfig, rank_users
from ranking.reason_calibration import ReasonConfig
from ranking.signals import Signal
from serving.explanation_text import SENTENCES, explain_fallback, explain_personalized, sentence
from serving.releases import publish
from tests.serving.tiny import publish_tiny


@pytest.mark.parametrize("signal", [signal for signal in Signal if signal is not Signal.FRESH])
def test_every_signal_has_a_sentence(signal):
    assert sentence(signal, None) == SENTENCES[signal]


def test_a_fresh_item_shows_its_day():
    assert sentence(Signal.FRESH, datetime(2017, 3, 1, tzinfo=UTC)) == "New, from 1 March 2017"
    assert sentence(Signal.FRESH, None) == "New"


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
    listed = release.fallback  # fresh and popular items in alternation
    explanations = explain_fallback(release, listed.rows[:4], listed.sources[:4])
    assert [explanation.kind for explanation in explanations] == ["fresh", "trending", "fresh", "trending"]
    assert {explanation.item_id for explanation in explanations} == {None}
