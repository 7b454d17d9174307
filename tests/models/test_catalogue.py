"""The items table as tensors: what is absent is unknown, and the order of rows is kept."""

from datetime import UTC, datetime

import polars as pl
import pytest

from models.two_tower import TextConfig, fit_text
from models.two_tower.catalogue import ItemCatalogue, encode_catalogue, hours_of, hours_since_1970
from models.two_tower.vocabulary import Vocabularies, Vocabulary

ITEMS = pl.DataFrame(
    {
        "item_id": ["b", "a", "c"],
        "categories": [["x", "y"], [], None],
        "language": ["en", None, "xx"],
        "created_at": [datetime(1970, 1, 2, tzinfo=UTC), None, datetime(1970, 1, 1, 0, 30, tzinfo=UTC)],
    }
)
WORDS = Vocabularies(
    items=Vocabulary(("a", "b")), languages=Vocabulary(("en", "pt")), categories=Vocabulary(("y", "x"))
)


def encoded(items: pl.DataFrame) -> ItemCatalogue:
    return encode_catalogue(items, WORDS, fit_text(items, TextConfig(), seed=1))


def test_rows_keep_the_order_of_the_table_and_a_new_item_has_no_code() -> None:
    catalogue = encoded(ITEMS)
    assert len(catalogue) == 3
    assert catalogue.ids.to_list() == ["b", "a", "c"]
    assert catalogue.id_I.tolist() == [2, 1, 0]


def test_rows_of_ids() -> None:
    assert encoded(ITEMS).rows(pl.Series(["c", "never", "b"])).tolist() == [2, -1, 0]


def test_categories_are_padded_with_the_unknown_code() -> None:
    assert encoded(ITEMS).categories_IC.tolist() == [[2, 1], [0, 0], [0, 0]]


def test_an_absent_or_foreign_value_is_unknown() -> None:
    catalogue = encoded(ITEMS)
    assert catalogue.language_I.tolist() == [1, 0, 0]
    assert catalogue.creator_I.tolist() == [0, 0, 0], "the table has no creators"


def test_items_have_ages_only_where_the_catalogue_has_creation_times() -> None:
    catalogue = encoded(ITEMS)
    assert catalogue.created_hours_I[[0, 2]].tolist() == [24, 0.5]
    assert bool(catalogue.created_hours_I[1].isnan())
    assert catalogue.has_ages
    assert not encoded(ITEMS.drop("created_at")).has_ages


def test_ids_alone_are_enough() -> None:
    catalogue = encoded(ITEMS.select("item_id"))
    assert catalogue.categories_IC.tolist() == [[0], [0], [0]]
    assert catalogue.text_IT.shape[0] == 3


@pytest.mark.parametrize("microseconds", [0, 1, 86_400_000_001, 1_709_251_199_999_999])
def test_one_instant_and_a_column_of_it_are_the_same_hours(microseconds: int) -> None:
    column = pl.Series([microseconds]).cast(pl.Datetime("us", "UTC"))
    assert hours_of(column[0]) == hours_since_1970(column)[0] == microseconds / 3_600_000_000
