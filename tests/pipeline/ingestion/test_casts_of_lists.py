from typing import Any

import polars as pl
import pytest

from pipeline.ingestion.casts import Cast, to_texts, to_vector
from pipeline.ingestion.readers import ReadTable, conform


def cast(with_cast: Cast, *values: Any) -> list[Any]:
    frame = pl.DataFrame({"v": pl.Series(values)})
    value = with_cast("v", frame.schema["v"])
    assert value is not None
    return frame.select(value).to_series().to_list()


def items(*categories: Any, **others: list[Any]) -> ReadTable:
    rows = {"item_id": [f"i{row}" for row in range(len(categories))], "categories": categories, **others}
    return conform(pl.DataFrame(rows), "items", "F")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('["News", "Sport"]', ["News", "Sport"]),
        ("['News', 'Sport']", ["News", "Sport"]),
        ("""[ 'Rock "n" roll', "Children's" ] """, ['Rock "n" roll', "Children's"]),
        (r'["a\"b", "c|d", "caf\u00e9"]', ['a"b', "c|d", "café"]),
        ("[1, 2]", ["1", "2"]),
        ('["News", null, " ", " x "]', ["News", "x"]),
        ("['News', None]", ["News"]),
        ("[]", None),
        ("[ ]", None),
        ("News|Music", ["News", "Music"]),
        ("News, Music", ["News, Music"]),
        ("Comedy [short]", ["Comedy [short]"]),
    ],
)
def test_categories_in_text(text: str, read: list[str] | None) -> None:
    assert cast(to_texts, text, "x|y", text) == [read, ["x", "y"], read]


@pytest.mark.parametrize(
    "text", ['[{"id": 1, "name": "News"}]', "[['a'], ['b']]", "[News]", "[" * 200_000, "[1.5]", "[True]", r'["\ud83d"]']
)
def test_a_bracketed_text_that_is_no_list_of_texts_is_lost_and_counted(text: str) -> None:
    read = items(text, "News", "[]")
    assert read.frame["categories"].to_list() == [None, ["News"], None]
    assert read.warnings[0].startswith(
        "F: categories: 1 values cannot be read and count as null: 1 are no lists of texts"
    )


@pytest.mark.parametrize(
    ("text", "separator"), [("A, B", ","), ("A;B", ";"), ("A/B", "/"), ("A > B > C", ">"), ("A,B", ",")]
)
def test_another_separator_is_named(text: str, separator: str) -> None:
    message = (
        f"F: categories: most values hold {separator!r} and count as one category; "
        "write | between categories, or a JSON list"
    )
    assert items(text, text, "C").warnings == (message,)
    assert items(text, "B", "C", None).warnings == ()


def test_a_text_column_of_json_is_named() -> None:
    read = items("a", "b", title=['{"en": "One"}', "['Two']"], language=["en", "pt"])
    assert read.warnings == ("F: title: most values look like JSON; export plain text",)


@pytest.mark.parametrize(
    "text", ["[0.5, 1]", "0.5 1", "[0.5  1. ]", "[0.5\n 1.0]", "(0.5, 1)", "{0.5,1}", " [5e-1,1] ", "0.5\t1"]
)
def test_embeddings_in_text(text: str) -> None:
    assert cast(to_vector, text, None) == [[0.5, 1.0], None]


@pytest.mark.parametrize("text", ["[0.5 ... 1]", "0,5 1,0", "[0.5, nan]", "[0.5,]", "[]", "a b", "[[1], [2]]"])
def test_a_text_that_is_no_vector(text: str) -> None:
    assert cast(to_vector, text) == [None]
