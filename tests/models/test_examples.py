from datetime import timedelta

import numpy as np
import polars as pl

from models.two_tower.catalogue import encode_catalogue, hours_of
from models.two_tower.csr_interactions import Interactions
from models.two_tower.examples import (
    encode_interactions,
    latest_windows,
    past_features,
    silence_hours,
    training_windows,
)
from models.two_tower.text import fit_text
from models.two_tower.two_tower_config import TextConfig
from models.two_tower.vocabulary import Vocabularies, Vocabulary

CATALOGUE = pl.DataFrame({"item_id": ["a", "b", "c", "d"]})


def encoded(examples: pl.DataFrame, users: pl.DataFrame | None = None) -> Interactions:
    catalogue = encode_catalogue(CATALOGUE, Vocabularies(), fit_text(CATALOGUE, TextConfig(), 0))
    return encode_interactions(examples, catalogue, users, Vocabulary(("SP",)))


def test_unknown_items_are_left_out_and_every_user_stays(examples_from):
    interactions = encoded(examples_from({"u": ["a", "gone", "c"], "v": [], "w": ["gone"]}))
    assert interactions.offsets.tolist() == [0, 2, 2, 2]
    assert interactions.items.tolist() == [0, 2]
    assert silence_hours(interactions).tolist() == [0, 2]  # hourly events, one of them gone


def test_regions_come_from_the_users_table(examples_from):
    users = pl.DataFrame({"user_id": ["v", "u"], "region": ["SP", None]})
    assert encoded(examples_from({"u": [], "v": [], "w": []}), users).region.tolist() == [0, 1, 0]


def test_an_empty_table_has_no_interactions(examples_from):
    interactions = encoded(examples_from({}))
    assert interactions.offsets.tolist() == [0]
    assert training_windows(interactions, 3).slots_NW.shape == (0, 3)


def test_every_first_interaction_is_a_target_once(examples_from):
    interactions = encoded(examples_from({"u": list("abacbda"), "v": ["d"], "w": []}))
    windows = training_windows(interactions, 3)
    targets = windows.slots_NW[windows.is_target_NW]
    assert sorted(targets.tolist()) == [0, 1, 3, 5, 7]  # a b . c . d . | d
    assert windows.user_N.tolist().count(2) == 0


def test_a_target_is_never_in_its_own_history(examples_from):
    rng = np.random.default_rng(0)
    histories = {f"u{n}": rng.choice(list("abcd"), rng.integers(1, 20)).tolist() for n in range(50)}
    interactions = encoded(examples_from(histories))
    windows = training_windows(interactions, 5)
    for row, slot in zip(*windows.is_target_NW.nonzero(), strict=True):
        history = interactions.items[windows.slots_NW[row, :slot]]
        assert interactions.items[windows.slots_NW[row, slot]] not in history


def test_the_moment_is_one_more_slot(examples_from, as_of):
    interactions = encoded(examples_from({"u": list("abcd"), "v": []}))
    two_hours_ago = hours_of(as_of - timedelta(hours=2))
    moment = interactions.before(two_hours_ago).with_moment(two_hours_ago)
    assert moment.items.tolist() == [0, 1, -1, -1]
    windows = latest_windows(moment, 2)
    assert windows.slots_NW.tolist() == [[1, 2], [3, -1]]
    assert windows.is_target_NW.tolist() == [[False, True], [True, False]]


def test_features_of_the_past_count_what_lies_before_a_slot_alone(examples_from):
    examples = examples_from({"u": list("abc")}).with_columns(actions=pl.Series([["save", "click", "click"]]))
    features = past_features(encoded(examples)).numpy()
    hour = np.log(2) / 4
    expected = [[0, 0, 0, 1], [np.log(2) / 4, 1, hour, 0], [np.log(3) / 4, 0.5, hour, 0]]
    np.testing.assert_allclose(features, expected, rtol=1e-6)
