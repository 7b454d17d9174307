import polars as pl

from tastefeed.models.two_tower.vocabulary import Vocabularies, Vocabulary


def test_codes_start_at_one_and_unknown_is_zero():
    assert Vocabulary(("b", "a")).codes(pl.Series(["a", "z", None, "b"])).tolist() == [2, 0, 0, 1]
    assert Vocabulary().codes(pl.Series(["a"])).tolist() == [0]


def test_new_words_go_behind_the_known_ones():
    assert Vocabulary(("b",)).extended(pl.Series(["d", None, "b", "c"])).words == ("b", "c", "d")


def test_words_survive_json():
    words = Vocabularies(items=Vocabulary(("ü", "x")))
    assert Vocabularies.from_json(words.as_json()) == words
