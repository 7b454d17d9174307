"""What the night relies on, whatever the encoder: every name that `encoder` may have obeys the same suite."""

from datetime import timedelta
from typing import get_args

import numpy as np
import polars as pl
import pytest

from models.two_tower import TrainedTwoTower, export, load, train
from models.two_tower.two_tower_config import EncoderName
from serving.ann_index import build
from serving.index_config import IndexConfig

ENCODERS = get_args(EncoderName)


@pytest.fixture(scope="module")
def fit(examples, items, tiny):
    """Trains one encoder on the circles, or on other examples."""

    def fitted(name: str, table: pl.DataFrame = examples) -> TrainedTwoTower:
        config = tiny.model_copy(update={"encoder": name, "validation_days": 0.0, "epochs": 3})
        return train(table, items, config=config, seed=3)

    return fitted


@pytest.fixture(scope="module", params=ENCODERS)
def tower(request, fit, trained) -> TrainedTwoTower:
    return trained if request.param == "content" else fit(request.param)


def scores(tower: TrainedTwoTower, examples: pl.DataFrame, items: pl.DataFrame, as_of) -> np.ndarray:
    return tower.embed_users(examples, items, as_of) @ tower.embed_items(items, as_of).T


def test_unseen_items_of_the_own_circle_come_first(tower, examples, items, as_of):
    """Four of 34 unseen items are of the own circle: a random order has one of them among eight."""
    ranked = np.argsort(-scores(tower, examples, items, as_of), kind="stable")
    ids, circles = items["item_id"].to_numpy(), [f"c{user % 4}-" for user in range(len(examples))]
    shares = []
    for order, seen, circle in zip(ranked, examples["item_ids"], circles, strict=True):
        unseen = [item for item in ids[order] if item not in set(seen)]
        shares.append(np.mean([item.startswith(circle) for item in unseen[:4]]))
    assert np.mean(shares) > 0.75


def test_vectors_are_finite_and_of_one_size(tower, examples, items, as_of):
    users, things = tower.embed_users(examples, items, as_of), tower.embed_items(items, as_of)
    assert users.shape == (len(examples), tower.vector_size)
    assert things.shape == (len(items), tower.vector_size)
    assert users.dtype == things.dtype == np.float32
    assert np.isfinite(users).all()
    assert np.isfinite(things).all()


def test_an_empty_history_has_a_vector(tower, items, examples_from, as_of):
    ranked = scores(tower, examples_from({"new": []}), items, as_of)
    assert ranked.shape == (1, len(items))
    assert np.isfinite(ranked).all()


def test_no_users_give_no_vectors(tower, items, examples_from, as_of):
    assert tower.embed_users(examples_from({}), items, as_of).shape == (0, tower.vector_size)


def test_an_unknown_item_of_a_history_is_ignored(tower, items, examples_from, as_of):
    examples = examples_from({"u": ["c1-1", "c1-2"]})
    hour = timedelta(hours=3)
    more = examples.with_columns(
        item_ids=pl.Series([["never-seen", "c1-1", "c1-2"]]),
        actions=pl.Series([["click"] * 3]),
        timestamps=pl.Series([[as_of - hour, *examples["timestamps"][0]]], dtype=examples.schema["timestamps"]),
    )
    one, other = (tower.embed_users(table, items, as_of) for table in (examples, more))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_nothing_from_the_moment_on_is_read(tower, examples, items, as_of):
    """With an event at the moment itself and one after it, a user has the vector of the events before."""
    past = examples.head(3)
    future = past.with_columns(
        item_ids=pl.col("item_ids").list.concat(pl.lit(["c3-1", "c3-2"])),
        actions=pl.col("actions").list.concat(pl.lit(["save", "save"])),
        timestamps=pl.col("timestamps").list.concat(
            pl.Series([[as_of, as_of + timedelta(hours=1)]], dtype=past.schema["timestamps"])
        ),
    )
    vectors = [tower.embed_users(table, items, as_of) for table in (past, future)]
    np.testing.assert_allclose(*vectors, atol=1e-6)


def test_a_vector_does_not_depend_on_the_other_users_of_a_call(tower, examples, items, as_of):
    together = tower.embed_users(examples, items, as_of)
    alone = tower.embed_users(examples[[17, 3]], items, as_of)
    np.testing.assert_allclose(alone, together[[17, 3]], atol=1e-5)


def test_a_vector_does_not_depend_on_the_order_of_the_catalogue(tower, examples, items, as_of):
    shuffled = items.sample(fraction=1, shuffle=True, seed=1)
    places = pl.Series(shuffled["item_id"]).sort()
    assert places.equals(items["item_id"].sort())
    order = [items["item_id"].to_list().index(item) for item in shuffled["item_id"]]
    np.testing.assert_allclose(tower.embed_items(shuffled, as_of), tower.embed_items(items, as_of)[order], atol=1e-6)
    some = examples.head(5)
    vectors = [tower.embed_users(some, table, as_of) for table in (items, shuffled)]
    np.testing.assert_allclose(*vectors, atol=1e-5)


def test_an_item_that_training_did_not_have_gets_a_vector(tower, items, as_of):
    new = items.head(1).with_columns(item_id=pl.lit("brand-new"))
    vector = tower.embed_items(new, as_of)
    assert vector.shape == (1, tower.vector_size)
    assert np.isfinite(vector).all()


def test_what_is_loaded_gives_the_same_vectors(tower, examples, items, as_of, tmp_path):
    export(tower, tmp_path / "tower")
    loaded = load(tmp_path / "tower")
    assert loaded.encoder_name == tower.encoder_name
    np.testing.assert_array_equal(loaded.embed_items(items, as_of), tower.embed_items(items, as_of))
    some = examples.head(9)
    np.testing.assert_array_equal(loaded.embed_users(some, items, as_of), tower.embed_users(some, items, as_of))


def test_the_index_of_a_release_gives_the_order_of_the_inner_products(tower, examples, items, as_of):
    users, things = tower.embed_users(examples, items, as_of), tower.embed_items(items, as_of)
    neighbors = build(things, items["item_id"].to_numpy().astype(str), IndexConfig()).search(users, 7)
    best = -np.sort(-(users @ things.T), axis=1)[:, :7]
    np.testing.assert_allclose(neighbors.scores, best, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
class TestTraining:
    def test_the_same_seed_gives_the_same_vectors(self, fit, name, examples, items, as_of):
        one, other = fit(name), fit(name)
        np.testing.assert_array_equal(one.embed_items(items, as_of), other.embed_items(items, as_of))
        some = examples.head(9)
        np.testing.assert_array_equal(one.embed_users(some, items, as_of), other.embed_users(some, items, as_of))

    def test_an_opt_out_of_training_changes_no_item_vector(self, fit, name, examples, examples_from, items, as_of):
        silent = examples_from({"silent": ["c0-1", "c1-1", "c2-1"]}, trainable=False)
        one, other = fit(name), fit(name, pl.concat([examples, silent]))
        np.testing.assert_array_equal(one.embed_items(items, as_of), other.embed_items(items, as_of))
        assert np.isfinite(other.embed_users(silent, items, as_of)).all()
