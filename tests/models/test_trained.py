from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
import torch

from contracts.errors import UnknownEncoder, UntrainableInput
from models.two_tower import Deadline, EpochResult, RunWith, TrainedTwoTower, train
from models.two_tower.training_loop import best_epoch


def weights(trained: TrainedTwoTower) -> dict[str, torch.Tensor]:
    return trained.encoder.model.state_dict()


def assert_same_weights(one: TrainedTwoTower, other: TrainedTwoTower) -> None:
    assert weights(one).keys() == weights(other).keys()
    assert all(torch.equal(weight, weights(other)[name]) for name, weight in weights(one).items())


def share_in_circle(trained, examples, items, as_of) -> float:
    """The share of each user's best four unseen items that are of their circle; chance is 4 of 34."""
    scores = trained.embed_users(examples, items, as_of) @ trained.embed_items(items, as_of).T
    rows = {item: row for row, item in enumerate(items["item_id"])}
    for user, history in enumerate(examples["item_ids"]):
        scores[user, [rows[item] for item in history]] = -np.inf
    circle = np.arange(len(scores)) % 4
    return float(np.mean(np.argsort(-scores)[:, :4] // 10 == circle[:, None]))


def test_it_finds_the_circles(trained, examples, items, as_of):
    assert share_in_circle(trained, examples, items, as_of) > 0.9


@pytest.fixture(scope="module")
def glimpse(examples, items, tiny) -> TrainedTwoTower:
    """Two epochs: enough for every weight to have moved."""
    return train(examples, items, config=tiny.model_copy(update={"validation_days": 0.0, "epochs": 2}), seed=3)


def test_the_same_seed_gives_the_same_weights_and_another_others(glimpse, examples, items):
    assert_same_weights(glimpse, train(examples, items, config=glimpse.config, seed=3))
    other = weights(train(examples, items, config=glimpse.config, seed=4))
    assert not torch.equal(other["users.taste.weight"], weights(glimpse)["users.taste.weight"])


def test_visits_to_the_same_two_items_train_it(tiny, items, examples_from):
    """All windows but the first have no first interaction, so whole batches have no target."""
    returning = examples_from({"u": ["c0-1", "c1-2"] * 100})
    losses: list[float] = []
    run_with = RunWith(on_epoch=lambda epoch: losses.append(epoch.loss))
    config = tiny.model_copy(update={"epochs": 2, "batch_size": 1})
    train(returning, items, config=config, seed=3, run_with=run_with)
    assert np.isfinite(losses).all()
    assert losses


def test_a_user_who_opted_out_of_training_changes_no_weight(glimpse, examples, items, examples_from, as_of):
    silent = examples_from({"opted-out": ["c0-1", "c3-2", "c1-1"]}, trainable=False)
    users = pl.DataFrame({"user_id": ["opted-out"], "region": ["an island with one inhabitant"]})
    with_silent = pl.concat([silent, examples])
    assert_same_weights(glimpse, train(with_silent, items, users, config=glimpse.config, seed=3))
    vectors = glimpse.embed_users(with_silent, items, as_of, users)
    np.testing.assert_allclose(vectors[1:], glimpse.embed_users(examples, items, as_of), atol=1e-5)
    assert np.linalg.norm(vectors[0]) > 1


def test_unknown_items_of_a_history_are_ignored(trained, items, examples_from, as_of):
    one = examples_from({"u": ["c0-1"]})
    two = one.with_columns(
        item_ids=pl.Series([["gone", "c0-1"]]),
        actions=pl.Series([["save", "click"]]),
        timestamps=pl.concat_list(pl.lit(as_of - timedelta(days=3)), "timestamps"),
    )
    np.testing.assert_array_equal(trained.embed_users(one, items, as_of), trained.embed_users(two, items, as_of))


def test_an_empty_history_has_a_vector_and_no_user_has_none(trained, items, examples_from, as_of):
    vectors = trained.embed_users(examples_from({"u": [], "v": ["gone"]}), items, as_of)
    assert vectors.shape == (2, trained.vector_size)
    assert np.isfinite(vectors).all()
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert trained.embed_users(examples_from({}), items, as_of).shape == (0, trained.vector_size)


def test_nothing_from_the_moment_on_is_seen(trained, items, examples_from, as_of):
    past, all_of_it = examples_from({"u": ["c0-1", "c0-2"]}), examples_from({"u": ["c0-1", "c0-2", "c3-3"]})
    shifted = all_of_it.with_columns(pl.col("timestamps").list.eval(pl.element().dt.offset_by("1h")))
    np.testing.assert_array_equal(trained.embed_users(past, items, as_of), trained.embed_users(shifted, items, as_of))


def test_taste_is_of_unit_length_and_a_new_item_lives_on_its_content(trained, items, as_of):
    new = items.head(2).with_columns(item_id=pl.Series(["new", "c0-1"]))
    vectors = trained.embed_items(new, as_of)
    size = trained.config.embedding_size
    np.testing.assert_allclose(np.linalg.norm(vectors[:, :size], axis=1), 1, rtol=1e-5)
    assert not np.allclose(vectors[0, :size], trained.embed_items(items, as_of)[0, :size])
    np.testing.assert_allclose(vectors[:, size:].sum(axis=1), 1, rtol=1e-5)  # weights over the knots


def test_an_item_grows_older(trained, items, as_of):
    now, later = (trained.embed_items(items, moment) for moment in (as_of, as_of + timedelta(days=30)))
    size = trained.config.embedding_size
    np.testing.assert_array_equal(now[:, :size], later[:, :size])
    assert (now[:, size:] != later[:, size:]).any(axis=1).all()


def test_a_catalogue_without_ages_has_no_age_part(examples, items, tiny):
    config = tiny.model_copy(update={"validation_days": 0.0, "epochs": 1})
    trained = train(examples, items.select("item_id"), config=config, seed=0)
    assert trained.vector_size == config.embedding_size


def test_items_that_do_not_exist_yet_are_no_negatives(examples, items, tiny, as_of):
    """Were they negatives, two items that no user could see would lie opposite to the taste of all users."""
    unborn = items.head(2).with_columns(
        item_id=pl.Series(["x", "y"]), creator_id=pl.Series(["absent", "none"]), created_at=pl.lit(as_of)
    )
    config = tiny.model_copy(update={"validation_days": 0.0, "epochs": 1, "item_id_dropout": 0.0, "weight_decay": 0.0})
    trained = train(examples, pl.concat([items, unborn]), config=config, seed=0)
    untrained = train(
        examples, pl.concat([items, unborn]), config=config.model_copy(update={"learning_rate": 1e-12}), seed=0
    )
    assert torch.equal(weights(trained)["items.creator.weight"][1:3], weights(untrained)["items.creator.weight"][1:3])


def test_validation_stops_early_and_then_everything_is_learned(examples, items, tiny):
    lines: list[EpochResult] = []
    config = tiny.model_copy(update={"epochs": 6, "patience": 1})
    trained = train(examples, items, config=config, seed=3, run_with=RunWith(on_epoch=lines.append))
    assert tuple(lines) == trained.epochs
    searched = [line for line in lines if not line.refit]
    refitted = [line for line in lines if line.refit]
    assert len(refitted) == config.refit_epochs == 2
    assert len(searched) == min(6, best_epoch(searched) + 1)
    assert all(0 <= line.validation_recall <= 1 for line in searched)
    assert searched[-1].loss < searched[0].loss


def test_a_warm_start_keeps_what_it_learned_and_adds_new_items(trained, examples, items, as_of):
    new = items.head(1).with_columns(item_id=pl.lit("c0-new"), creator_id=pl.lit("newcomer"))
    config = trained.config.model_copy(update={"epochs": 1, "learning_rate": 1e-4})
    more = pl.concat([items, new])
    warm = train(examples, more, config=config, seed=5, start=trained)
    assert share_in_circle(warm, examples, items, as_of) > 0.9
    assert warm.words.items.words == (*trained.words.items.words, "c0-new")
    assert warm.epochs[0].loss < trained.epochs[0].loss - 0.3


def test_only_users_who_came_back_train_a_warm_start(trained, examples, items, examples_from, as_of):
    """No user came in the hour before, so that the weights stay; the one new user came back."""
    config = trained.config.model_copy(update={"epochs": 1})
    still = train(examples, items, config=config, seed=5, start=trained, since=as_of)
    assert_same_weights(still, trained)
    back = examples_from({"new": ["c0-1", "c0-2", "c0-3"]})
    both = pl.concat([examples.with_columns(_earlier()), back])
    moved = train(both, items, config=config, seed=5, start=trained, since=as_of - timedelta(hours=4))
    assert_same_weights(moved, train(back, items, config=config, seed=5, start=trained))


def _earlier() -> pl.Expr:
    return pl.col("timestamps").list.eval(pl.element().dt.offset_by("-30d"))


def test_when_the_time_is_over_a_warm_start_keeps_its_weights(trained, examples, items):
    over = RunWith(deadline=Deadline(seconds=-1))
    config = trained.config.model_copy(update={"epochs": 3})
    assert_same_weights(train(examples, items, config=config, seed=5, start=trained, run_with=over), trained)


def test_training_ends_with_the_epoch_in_which_the_time_is_over(examples, items, tiny):
    over = RunWith(deadline=Deadline(seconds=-1))
    tower = train(examples, items, config=tiny.model_copy(update={"validation_days": 0.0}), seed=5, run_with=over)
    assert len(tower.epochs) == 1


def test_a_start_of_another_shape_is_refused(trained, examples, items):
    config = trained.config.model_copy(update={"embedding_size": 8})
    with pytest.raises(UntrainableInput, match=r"does not fit .*; continue with the config and columns of the start"):
        train(examples, items, config=config, seed=0, start=trained)


def test_an_encoder_without_a_case_of_its_own_cannot_be_continued_and_is_named(trained, examples, items):
    class Graph:
        name = "graph"

    with pytest.raises(UnknownEncoder, match=r"graph \(Graph\) cannot be continued; add it to `continued`"):
        train(examples, items, config=trained.config, seed=0, start=replace(trained, encoder=Graph()))


def test_nothing_to_learn_from_is_an_error(items, examples_from, tiny):
    with pytest.raises(UntrainableInput, match="1 trainable users have no event with a known item"):
        train(examples_from({"u": ["gone"]}), items, config=tiny, seed=0)
