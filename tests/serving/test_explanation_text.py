"""The sentences of explanations; which signal an item gets is tested with the ranking."""

from datetime import UTC, datetime

import pytest

from ranking.attribution import Signal
from serving.explanation_text import SENTENCES, explain_fallback, sentence
from serving.releases import publish


@pytest.mark.parametrize("signal", [signal for signal in Signal if signal is not Signal.FRESH])
def test_every_signal_has_a_sentence(signal):
    assert sentence(signal, None) == SENTENCES[signal]


def test_a_fresh_item_shows_its_day():
    assert sentence(Signal.FRESH, datetime(2017, 3, 1, tzinfo=UTC)) == "New, from 1 March 2017"
    assert sentence(Signal.FRESH, None) == "New"


def test_the_fallback_list_explains_each_item_by_its_source(published):
    release = publish.load(published)
    listed = release.fallback  # fresh and popular items in alternation
    explanations = explain_fallback(release, listed.rows[:4], listed.sources[:4])
    assert [explanation.kind for explanation in explanations] == ["fresh", "trending", "fresh", "trending"]
    assert {explanation.item_id for explanation in explanations} == {None}
