from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from contracts import Reason
from contracts.errors import SchemaMismatch, UnreadableInput
from contracts.schemas import INCOMING
from pipeline.ingestion import ImportRequest, convert, write_tables

BUNDLED = Path(__file__).parents[3] / "data" / "deskdrop"

START = 1_400_000_000


def at(second: int) -> datetime:
    return datetime.fromtimestamp(START + second, UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    acts = [  # user 1 wrote article 10; no known user wrote 20
        (100, 1, 5, 10, "VIEW", "SP"),  # the author's own
        (101, 2, 6, 10, "VIEW", "SP"),
        (102, 2, 6, 10, "BOOKMARK", "MG"),
        (103, 2, 6, 10, "LIKE", "MG"),
        (104, 2, 6, 10, "COMMENT CREATED", "?"),
        (105, 2, 6, 10, "FOLLOW", None),
        (106, 1, 7, 20, "VIEW", "MG"),  # SP and MG once each: the alphabet decides
        (107, 3, 8, 20, "SHRUG", "?"),
        (105, 2, 6, 10, "LIKE", None),  # in one second with the FOLLOW: both are one save
    ]
    names = ["timestamp", "user_id", "session_id", "item_id", "action", "region"]
    acts_table = pl.DataFrame(acts, schema=names, orient="row").with_columns(pl.col("timestamp") + START)
    acts_table.with_columns(country=pl.lit("BR")).write_parquet(tmp_path / "interactions.parquet")
    articles = [
        (20, "Sem autor", None, None, None, None, None, 400),
        (10, "Café", "pt", 1, 90, "https://www.Blog.example.com:80/a?b", 200, 300),
    ]
    names = ["item_id", "title", "lang", "author_id", "shared_at", "url", "removed_after", "removed_before"]
    articles_table = pl.DataFrame(articles, schema=names, orient="row")
    times = pl.col("shared_at", "removed_after", "removed_before") + START
    articles_table.with_columns(times).write_parquet(tmp_path / "items.parquet")
    return tmp_path


def test_events_have_the_contracts_actions_without_own_items_and_duplicates(folder: Path) -> None:
    incoming = convert(ImportRequest("deskdrop", events=[folder]))
    events = incoming.frames("events")[0]
    assert events["action"].to_list() == ["click", "save", "save", "save", "save", "click", "SHRUG"]
    assert events.row(0)[1:6] == ("2", "10", "click", at(101), "6")
    assert incoming.dropped == {Reason.OWN_ITEM: 1, Reason.DUPLICATE_EVENT_ID: 1}
    assert incoming.rows_read["events"] == 9


def test_an_article_of_an_unknown_author_is_no_user_s_own(folder: Path) -> None:
    events = convert(ImportRequest("deskdrop", events=[folder])).frames("events")[0]
    assert events.filter(pl.col("item_id") == "20").height == 2


def test_items_have_categories_and_the_beginning_of_their_removal(folder: Path) -> None:
    known, unknown = convert(ImportRequest("deskdrop", events=[folder])).frames("items")[0].iter_rows(named=True)
    assert (known["creator_id"], known["categories"], known["created_at"]) == ("1", ["blog.example.com"], at(90))
    assert known["removed_at"] == at(200)  # the beginning of the interval
    assert (unknown["creator_id"], unknown["categories"], unknown["removed_at"]) == (None, None, at(400))


def test_users_have_their_most_frequent_region(folder: Path) -> None:
    users = convert(ImportRequest("deskdrop", events=[folder])).frames("users")[0]
    assert users.select("user_id", "region").rows() == [("1", "MG"), ("2", "MG"), ("3", None)]


def test_files_may_be_named_one_by_one(folder: Path) -> None:
    items = (folder / "items.parquet").rename(folder / "articles.parquet")
    assert (
        len(
            convert(ImportRequest("deskdrop", events=[folder / "interactions.parquet"], items=items)).frames("events")[
                0
            ]
        )
        == 7
    )
    with pytest.raises(UnreadableInput, match=r"items.parquet is not beside .*; name it with --items"):
        convert(ImportRequest("deskdrop", events=[folder / "interactions.parquet"]))


def test_another_table_is_refused(folder: Path) -> None:
    pl.DataFrame({"item_id": [1]}).write_parquet(folder / "items.parquet")
    with pytest.raises(SchemaMismatch, match=r"items.parquet: no Deskdrop table, it lacks title, .*; have item_id"):
        convert(ImportRequest("deskdrop", events=[folder]))


def test_users_of_another_file_are_refused(folder: Path) -> None:
    (folder / "users.csv").write_text("user_id\n1\n")
    with pytest.raises(UnreadableInput, match=r"users\.csv: deskdrop is read from .*; leave --users out"):
        convert(ImportRequest("deskdrop", events=[folder], users=folder / "users.csv"))


def test_one_events_path(folder: Path) -> None:
    with pytest.raises(UnreadableInput, match=r"deskdrop: want one --events .*, have 2"):
        convert(ImportRequest("deskdrop", events=[folder, folder]))


def test_converting_twice_gives_the_same_bytes(folder: Path) -> None:
    first, second = (
        [path.read_bytes() for path in write_tables(convert(ImportRequest("deskdrop", events=[folder])), folder / name)]
        for name in ("first", "second")
    )
    assert first == second


def test_the_bundled_copy_is_what_its_readme_describes() -> None:
    incoming = convert(
        ImportRequest(
            "files",
            events=[BUNDLED / "events.parquet"],
            items=BUNDLED / "items.parquet",
            users=BUNDLED / "users.parquet",
        )
    )
    assert incoming.rows_read == {"events": 62_617, "items": 3_057, "users": 1_895}
    assert [warning for read in incoming.tables for warning in read.warnings] == []
    events, items = incoming.frames("events")[0], incoming.frames("items")[0]
    assert dict(events["action"].value_counts().iter_rows()) == {"click": 52_865, "save": 9_752}
    own = events.join(items, left_on=["item_id", "user_id"], right_on=["item_id", "creator_id"])
    assert own.is_empty()
    for table, schema in INCOMING.items():
        if table != "opt_outs":
            assert pl.read_parquet_schema(BUNDLED / f"{table}.parquet").names() == schema.names
