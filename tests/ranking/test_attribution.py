from dataclasses import replace

import numpy as np
import pytest

from ranking.attribution import nearest_to, reasons
from ranking.feature_arrays import Candidates
from ranking.feature_names import FEATURE_NAMES
from ranking.history import history_of
from ranking.pair_features import pair_features
from ranking.reranker import RerankerConfig, train
from ranking.signals import Signal, signal_of
from ranking.training_pairs import LabelledPairs
from tests.ranking.worlds import ANN, HIDER, NEWCOMER, NOW, items, pairs, random_world, users


def moved_by(feature):
    """A re-ranker that looks at one feature alone."""
    rng = np.random.default_rng(0)
    features = np.zeros((600, len(FEATURE_NAMES)), np.float32)
    features[:, FEATURE_NAMES.index(feature)] = rng.normal(size=600)
    labels = (features.sum(axis=1) > 0.3).astype(np.int32)
    pairs_of_week = LabelledPairs(features, labels, np.arange(30, dtype=np.int32).repeat(20))
    return train(
        [pairs_of_week], RerankerConfig(rounds=10, min_leaf_pairs=5, negative_share=1, feature_share=1.0)
    ).reranker


def nearest_of(some_users, things, candidates):
    """The nearest of all items that each pair's user liked."""
    asked, owners = np.unique(candidates.user_rows, return_inverse=True)
    return nearest_to(things, history_of(some_users, things, asked), owners, candidates.item_rows)


def explained(feature, candidates, value=2.0, min_similarity=0.5):
    features = np.zeros((len(candidates.user_rows), len(FEATURE_NAMES)), np.float32)
    features[:, FEATURE_NAMES.index(feature)] = value
    return reasons(users(), items(), candidates, features, moved_by(feature), min_similarity=min_similarity)


@pytest.mark.parametrize(
    ("feature", "signal"),
    [
        ("text_nearest", Signal.SIMILAR),
        ("retrieval_score", Signal.SIMILAR),
        ("creator_share", Signal.CREATOR),
        ("category_share", Signal.CATEGORY),
        ("language_share", Signal.LANGUAGE),
        ("newness_rank", Signal.FRESH),
        ("popularity_rank_1d", Signal.TRENDING),
        ("item_users", Signal.POPULAR),
    ],
)
def test_the_signal_is_what_moved_the_score(feature, signal):
    explanation = explained(feature, pairs((ANN, 1)))
    assert explanation.signals.tolist() == [signal]
    assert explanation.strengths[0] > 0
    assert (explanation.evidence[0] >= 0) == (signal is Signal.SIMILAR)


def test_user_features_are_no_reason():
    assert signal_of("user_saves") is None
    assert signal_of("hours_away") is None


@pytest.mark.parametrize(
    ("sources", "signal"), [(0b001, Signal.SIMILAR), (0b110, Signal.FRESH), (0b100, Signal.TRENDING)]
)
def test_where_nothing_raised_the_score_the_source_is_the_reason(sources, signal):
    explanation = explained("creator_share", pairs((NEWCOMER, 1), sources=sources), value=-2.0)
    assert explanation.signals.tolist() == [signal]
    assert explanation.strengths.tolist() == [0]
    assert explanation.evidence.tolist() == [-1]


def test_below_the_least_similarity_the_source_is_the_reason():
    # "both" and "save" share titles by 0.8 and vectors by 1: their similarity is 0.9
    for least, signal, evidence in ((0.89, Signal.SIMILAR, 2), (0.91, Signal.TRENDING, -1)):
        explanation = explained("text_nearest", pairs((ANN, 1), sources=0b101), min_similarity=least)
        assert (explanation.signals.tolist(), explanation.evidence.tolist()) == ([signal], [evidence])


def test_of_two_sources_the_one_that_moved_the_score_more_is_the_reason():
    for feature, signal in (("newness_rank", Signal.FRESH), ("popularity_rank_1d", Signal.TRENDING)):
        candidates = pairs((NEWCOMER, 1), sources=0b111)
        features = np.zeros((1, len(FEATURE_NAMES)), np.float32)
        features[:, FEATURE_NAMES.index(feature)] = -2  # it lowered the score: no signal raised it
        moved = reasons(users(), items(), candidates, features, moved_by(feature), min_similarity=0.5)
        assert moved.signals.tolist() != [signal]


@pytest.mark.parametrize("feature", ["creator_interactions", "creator_reach"])
def test_a_creator_that_the_user_never_read_is_no_reason(feature):
    assert explained(feature, pairs((ANN, 1), sources=0b010)).signals.tolist() == [Signal.FRESH]


def test_the_evidence_is_the_liked_item_nearest_by_title_and_vector():
    explanation = explained("text_nearest", pairs((ANN, 1), (ANN, 4), (HIDER, 0)))
    # cosines with save and old, of titles and of vectors: both .8 1 and .6 0; undated .6 .71 and .8 .71
    assert explanation.evidence.tolist() == [2, 0, -1]
    assert explanation.similarities.tolist() == pytest.approx([0.9, (0.8 + 0.5**0.5) / 2, 0])


def test_without_any_title_the_towers_vectors_decide():
    # the vector (2, 1) of "unsigned" is nearer to old (1, 0) than to save (0, 2)
    untitled = replace(items(), text_vectors=np.zeros((5, 2), np.float32))
    nearest = nearest_of(users(), untitled, pairs((ANN, 3)))
    assert nearest.items.tolist() == [0]
    assert nearest.similarities[0] == pytest.approx(2 / 5**0.5)


def test_nearest_is_nearest_among_everything_liked():
    many_users, things = random_world(4)
    template = pairs(*[(0, 0)] * 60)
    lengths = np.linalg.norm(things.vectors, axis=1, keepdims=True)
    towers = things.vectors / lengths
    for user in range(12):
        mine = Candidates(
            np.full(60, user, np.int32), np.arange(60, dtype=np.int32), template.sources, np.zeros(60, np.float32)
        )
        liked = many_users.history_items[many_users.history_offsets[user] : many_users.history_offsets[user + 1]]
        nearest = nearest_of(many_users, things, mine)
        if not len(liked):
            assert (nearest.items == -1).all()
            continue
        cosines = (things.text_vectors @ things.text_vectors[liked].T + towers @ towers[liked].T) / 2
        assert nearest.items.tolist() == liked[cosines.argmax(axis=1)].tolist()
        assert nearest.similarities == pytest.approx(cosines.max(axis=1), abs=1e-6)


def test_the_same_for_one_as_for_all():
    model = moved_by("creator_share")
    candidates = pairs((ANN, 1), (ANN, 4), (NEWCOMER, 2))
    features = pair_features(users(), items(), candidates, NOW)
    batch = reasons(users(), items(), candidates, features, model, min_similarity=0.5)
    alone = pairs((NEWCOMER, 2))
    own = pair_features(users(), items(), alone, NOW)
    one = reasons(users(), items(), alone, own, model, min_similarity=0.5)
    assert one.signals.tolist() == batch.signals.tolist()[2:]


def test_nothing_to_explain():
    assert len(explained("creator_share", pairs()).signals) == 0
    undressed = replace(items(), text_vectors=np.zeros((5, 2), np.float32), vectors=np.zeros((5, 2), np.float32))
    nearest = nearest_of(users(), undressed, pairs((ANN, 1)))
    assert nearest.similarities.tolist() == [0]
