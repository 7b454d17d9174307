import json
from dataclasses import replace

import numpy as np
import pytest

from contracts.errors import ReleaseCorrupt, UntrainableInput
from ranking import reranker
from ranking.feature_names import FEATURE_NAMES, IMPRESSION_NAMES
from ranking.position_bias import NOT_SHOWN, ShownPairs
from ranking.reranker import Reranker, RerankerConfig, train
from ranking.signals import by_signal
from ranking.training_pairs import LabelledPairs

LABEL_FEATURE = FEATURE_NAMES.index("creator_share")
CONFIG = RerankerConfig(rounds=20, models=2, negative_share=1, min_leaf_pairs=5)


def label_week(seed, user_count=30, each=20):
    """Labels follow one feature alone: the best of each user is saved, the next clicked."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(user_count * each, len(FEATURE_NAMES))).astype(np.float32)
    order = np.argsort(np.argsort(-features[:, LABEL_FEATURE].reshape(user_count, each), axis=1), axis=1).ravel()
    labels = np.where(order == 0, 2, np.where(order == 1, 1, 0)).astype(np.int32)
    return LabelledPairs(features, labels, np.arange(user_count, dtype=np.int32).repeat(each))


@pytest.fixture(scope="module")
def trained():
    return train([label_week(1), label_week(2), label_week(3)], CONFIG)


def test_the_feature_that_makes_the_labels_is_the_most_important(trained):
    importances = trained.reranker.importances()
    assert next(iter(importances)) == "creator_share"
    assert sum(importances.values()) == pytest.approx(1)
    unseen = label_week(9)
    scores = trained.reranker.score(unseen.features).reshape(-1, 20)
    top_labels = np.take_along_axis(unseen.labels.reshape(-1, 20), scores.argsort(axis=1)[:, -3:], axis=1)
    assert top_labels.max(axis=1).mean() > 1.8


def test_the_curve_has_every_round_and_rises(trained):
    assert len(trained.curve) == CONFIG.rounds
    assert trained.reranker.rounds == CONFIG.models * CONFIG.rounds
    assert trained.curve[-1] > trained.curve[0]


def test_training_uses_every_label_and_a_share_of_the_other_candidates(monkeypatch):
    trained_on = []
    whole = reranker._dataset
    monkeypatch.setattr(reranker, "_dataset", lambda weeks, *how: trained_on.extend(weeks) or whole(weeks, *how))
    train([label_week(1), label_week(2)], CONFIG.model_copy(update={"negative_share": 0.25}))
    labels = np.concatenate([pairs.labels for pairs in trained_on])
    assert [(labels == gain).sum() for gain in (2, 1)] == [120, 120]  # 60 for each of two models
    assert (labels == 0).sum() == pytest.approx(2 * 60 * 18 / 4, rel=0.2)


def test_models_that_train_at_once_are_those_that_train_one_after_the_other(trained, tmp_path):
    weeks = [label_week(1), label_week(2), label_week(3)]
    at_once = train(weeks, CONFIG.model_copy(update={"threads": 2}))
    for name, model in (("one", trained.reranker), ("two", at_once.reranker)):
        model.save(tmp_path / name)
    assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text()


def test_the_same_seed_gives_the_same_model(trained):
    again = train([label_week(1), label_week(2), label_week(3)], CONFIG)
    assert (
        again.reranker.score(label_week(4).features).tolist() == trained.reranker.score(label_week(4).features).tolist()
    )


def test_the_score_is_the_mean_of_models_of_different_seeds(trained):
    features = label_week(7).features
    alone = [
        train(
            [label_week(1), label_week(2), label_week(3)], CONFIG.model_copy(update={"models": 1, "seed": seed})
        ).reranker.score(features)
        for seed in (7, 8)
    ]
    assert alone[0].tolist() != alone[1].tolist()
    np.testing.assert_allclose(trained.reranker.score(features), np.mean(alone, axis=0), rtol=1e-5, atol=1e-6)


def test_contributions_add_up_to_the_score(trained):
    features = label_week(5).features[:40]
    rest = trained.reranker.score(features) - trained.reranker.contributions(features).sum(axis=1)
    np.testing.assert_allclose(rest, rest[0], atol=1e-5)


def test_what_is_saved_scores_alike(trained, tmp_path):
    trained.reranker.save(tmp_path / "ranker.txt")
    loaded = Reranker.load(tmp_path / "ranker.txt")
    assert loaded.score(label_week(6).features).tolist() == trained.reranker.score(label_week(6).features).tolist()
    assert loaded.importances() == trained.reranker.importances()
    assert (tmp_path / "ranker.txt").read_text().count("tree\nversion=") == CONFIG.models


def test_retrievals_own_score_counts_beside_the_trees(trained, tmp_path):
    path = tmp_path / "ranker.txt"
    trained.reranker.save(path)
    head, _, trees = path.read_text().partition("\n")
    assert json.loads(head)["weight"] == CONFIG.retrieval_weight
    path.write_text('{"weight": 0, "mean": 0}\n' + trees)
    features = label_week(8).features
    own = CONFIG.retrieval_weight * features[:, FEATURE_NAMES.index("retrieval_score")]
    np.testing.assert_allclose(trained.reranker.score(features) - Reranker.load(path).score(features), own, atol=1e-5)


@pytest.mark.parametrize("head", ['{"weight": 1}\n', ""])
def test_without_retrievals_part_a_file_is_refused(trained, tmp_path, head):
    path = tmp_path / "ranker.txt"
    trained.reranker.save(path)
    path.write_text(head + path.read_text().partition("\n")[2])
    with pytest.raises(ReleaseCorrupt, match=r"ranker\.txt: LightGBM cannot read it"):
        Reranker.load(path)


def test_other_features_are_refused_by_name(trained, tmp_path):
    path = tmp_path / "ranker.txt"
    trained.reranker.save(path)
    path.write_text(path.read_text().replace("creator_share", "shoe_size"))
    with pytest.raises(ReleaseCorrupt, match=r"lacks \['creator_share'\], and has \['shoe_size'\]"):
        Reranker.load(path)


def test_more_features_than_a_server_computes_are_used_and_then_refused_by_it(tmp_path):
    with_labels = [
        LabelledPairs(np.c_[each.features, each.labels], each.labels, each.user_rows)
        for each in (label_week(1), label_week(2))
    ]
    more = train(with_labels, CONFIG, (*FEATURE_NAMES, "answer")).reranker
    assert next(iter(more.importances())) == "answer"
    more.save(tmp_path / "ranker.txt")
    with pytest.raises(ReleaseCorrupt, match=r"lacks none, and has \['answer'\]"):
        Reranker.load(tmp_path / "ranker.txt")


@pytest.mark.parametrize("text", ["", "not a tree\n", "tree\nof no kind\n", '{"weight": 1, "mean": 0}\n'])
def test_a_file_that_is_no_model_is_refused(tmp_path, text):
    path = tmp_path / "ranker.txt"
    path.write_text(text)
    with pytest.raises(ReleaseCorrupt, match=r"ranker\.txt: LightGBM cannot read it; publish again or roll back"):
        Reranker.load(path)


def test_without_labels_there_is_nothing_to_learn():
    full = label_week(1)
    nothing = LabelledPairs(full.features, np.zeros_like(full.labels), full.user_rows)
    with pytest.raises(UntrainableInput, match="none of 2 label cutoffs has a user with a label"):
        train([nothing, nothing], CONFIG)
    assert train([nothing, full], CONFIG).reranker.rounds == 40


def test_no_pairs_have_no_scores(trained):
    empty = np.zeros((0, len(FEATURE_NAMES)), np.float32)
    assert trained.reranker.score(empty).shape == (0,)
    assert trained.reranker.contributions(empty).shape == (0, len(FEATURE_NAMES))


PLACES = 10
DECAY = 0.5
"""A place is looked at half as often as the one above it."""
TASTE, OLD_RANK = FEATURE_NAMES.index("creator_share"), FEATURE_NAMES.index("text_rank")


def clicked_pages(seed, users=60):
    """Pages of ten in the order of `text_rank`, which means nothing; a click needs taste, and a look at the place."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(users * PLACES, len(FEATURE_NAMES))).astype(np.float32)
    places = np.argsort(np.argsort(features[:, OLD_RANK].reshape(users, PLACES), axis=1), axis=1).ravel()
    likes = features[:, TASTE] > 0.5
    clicked = likes & (rng.random(len(likes)) < DECAY**places)
    shown = ShownPairs(places.astype(np.int32), np.ones(len(places), np.float32))
    return LabelledPairs(features, clicked.astype(np.int32), np.arange(users, dtype=np.int32).repeat(PLACES), shown)


def text_of(trained, path):
    trained.reranker.save(path)
    return path.read_text()


def test_knowing_the_places_a_re_ranker_relies_less_on_the_order_that_was_shown(tmp_path):
    weeks = [clicked_pages(seed) for seed in range(4)]
    shares = {}
    for position in ("off", "bias", "ipw"):
        config = CONFIG.model_copy(update={"position": position})
        model = train(weeks, config)
        shares[position] = model.reranker.importances()["text_rank"] / model.reranker.importances()["creator_share"]
        assert text_of(train(weeks, config), tmp_path / "again") == text_of(model, tmp_path / "first"), "repeatable"
    assert shares["bias"] < 0.7 * shares["off"]
    assert shares["ipw"] < shares["off"]


def test_what_was_shown_and_left_alone_always_trains():
    week = clicked_pages(1)
    shown = replace(week.shown, positions=np.where(np.arange(len(week.labels)) % 2, week.shown.positions, NOT_SHOWN))
    thinned = replace(week, shown=shown).thinned(0.1, np.random.default_rng(7))
    kept = thinned.shown.were_shown & ~thinned.clicked
    assert kept.sum() == (shown.were_shown & ~week.clicked).sum()
    assert (~thinned.shown.were_shown & ~thinned.clicked).sum() < 100


def test_without_impressions_no_setting_of_positions_changes_the_model(tmp_path):
    weeks = [label_week(1), label_week(2)]
    texts = {
        text_of(train(weeks, CONFIG.model_copy(update={"position": position, "threads": 0})), tmp_path / position)
        for position in ("off", "bias", "ipw")
    }
    assert len(texts) == 1


def test_a_re_ranker_that_reads_impressions_is_loaded_as_one(tmp_path):
    names = (*FEATURE_NAMES, *IMPRESSION_NAMES)
    weeks = [label_week(seed) for seed in (1, 2)]
    wider = [replace(week, features=np.pad(week.features, ((0, 0), (0, len(IMPRESSION_NAMES))))) for week in weeks]
    train(wider, CONFIG, names).reranker.save(tmp_path / "ranker.txt")
    loaded = Reranker.load(tmp_path / "ranker.txt")
    assert (loaded.uses_impressions, loaded.uses_cooccurrence, loaded.names) == (True, False, names)
    signals = loaded.signal_contributions(wider[0].features[:5])
    np.testing.assert_allclose(signals, by_signal(loaded.contributions(wider[0].features[:5]), names), atol=1e-5)
