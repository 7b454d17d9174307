import json

import polars as pl

from models.two_tower.vocabulary import Vocabularies, Vocabulary


def test_codes_start_at_one_and_unknown_is_zero():
    assert Vocabulary(("b", "a")).codes(pl.Series(["a", "z", None, "b"])).tolist() == [2, 0, 0, 1]
    assert Vocabulary().codes(pl.Series(["a"])).tolist() == [0]


def test_new_words_go_behind_the_known_ones():
    assert Vocabulary(("b",)).extended(pl.Series(["d", None, "b", "c"])).words == ("b", "c", "d")


def test_words_survive_json():
    words = Vocabularies(items=Vocabulary(("ü", "x")))
    assert Vocabularies.from_json(words.as_json()) == words


CREATORS = Vocabulary(("ann", "bob", "cid"))


def test_no_creator_is_named_in_json_and_the_codes_stay():
    hidden = Vocabularies.from_json(Vocabularies(creators=CREATORS).as_json())
    text = json.dumps(hidden.as_json())
    assert not [name for name in CREATORS.words if name in text]
    words = pl.Series(["cid", "zoe", None, "ann"])
    assert hidden.creators.codes(words).tolist() == CREATORS.codes(words).tolist() == [3, 0, 0, 1]
    assert Vocabularies.from_json(hidden.as_json()) == hidden


def test_new_creators_go_behind_hidden_ones_in_the_same_order_as_behind_named_ones():
    hidden = Vocabularies(creators=CREATORS).hidden().creators
    new = pl.Series(["yan", "bob", None, "dan", "yan"])
    words = pl.Series(["ann", "dan", "yan", "bob"])
    assert hidden.extended(new).codes(words).tolist() == CREATORS.extended(new).codes(words).tolist() == [1, 4, 5, 2]


def test_a_forgotten_creator_is_not_found_by_hashing_the_name():
    hidden = Vocabularies(creators=CREATORS).hidden().creators
    after = hidden.without(["bob", "unknown"])
    assert after.codes(pl.Series(["ann", "bob", "", "cid"])).tolist() == [1, 0, 0, 3]
    assert len(set(hidden.words) - set(after.words)) == 1
    assert after.without(["ann"]).codes(pl.Series(["ann", "cid"])).tolist() == [0, 3]
    assert after.extended(pl.Series(["bob"])).codes(pl.Series(["bob"])).tolist() == [4], "a new user"


def test_two_catalogues_hide_one_creator_differently():
    one = Vocabularies(creators=CREATORS).hidden().creators.words
    other = Vocabularies(creators=Vocabulary(("ann",))).hidden().creators.words
    assert not set(one) & set(other)
