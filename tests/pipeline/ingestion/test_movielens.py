from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from contracts.errors import SchemaMismatch, UnreadableInput
from pipeline.ingestion import ImportRequest, convert
from pipeline.ingestion.movielens import SPAN, START, read_fields

NOON_1997 = datetime(1997, 9, 20, 12, tzinfo=UTC)
SECONDS = int(NOON_1997.timestamp())


@pytest.fixture
def folder_100k(tmp_path: Path) -> Path:
    flags = {0: 1}, {5: 1, 8: 1}  # unknown; Comedy and Drama
    lines = (
        f"{number}|{title}|01-Jan-1995||http://x/|{'|'.join(str(on.get(place, 0)) for place in range(19))}"
        for number, title, on in ((1, "unknown", flags[0]), (2, "Café (1995)", flags[1]))
    )
    (tmp_path / "u.item").write_bytes("".join(f"{line}\n" for line in lines).encode("latin-1"))
    (tmp_path / "u.data").write_text(f"7\t2\t4\t{SECONDS}\n7\t1\t3\t{SECONDS}\n")
    (tmp_path / "u.user").write_text("7|24|M|technician|85711\n")
    return tmp_path


@pytest.fixture
def folder_1m(tmp_path: Path) -> Path:
    (tmp_path / "ratings.dat").write_text(f"7::2::5::{SECONDS}\r\n7::2::5::{SECONDS}\r\n")
    (tmp_path / "movies.dat").write_bytes("2::Café\x85au Lait (1993)::Comedy|Children's\n".encode("latin-1"))
    (tmp_path / "users.dat").write_text("7::F::1::10::48067\n")
    return tmp_path


def test_the_folder_of_100k_is_read(folder_100k: Path) -> None:
    incoming = convert(ImportRequest("movielens", events=[folder_100k]))
    events, items, users = (incoming.frames(table)[0] for table in ("events", "items", "users"))
    assert events.select("user_id", "item_id", "action", "timestamp").rows() == [
        ("7", "2", "save", NOON_1997),  # 4 is a save
        ("7", "1", "click", NOON_1997),  # 3 is not
    ]
    assert items.select("item_id", "title", "categories", "created_at").rows() == [
        ("1", "unknown", None, None),
        ("2", "Café (1995)", ["Comedy", "Drama"], None),
    ]
    assert users["user_id"].to_list() == ["7"]
    assert incoming.notes == ()


def test_1m_and_its_duplicates_stay(folder_1m: Path) -> None:
    incoming = convert(ImportRequest("movielens", events=[folder_1m / "ratings.dat"]))
    assert incoming.frames("events")[0]["action"].to_list() == ["save", "save"]
    assert incoming.frames("items")[0].row(0)[:4] == ("2", "Café\x85au Lait (1993)", None, ["Comedy", "Children's"])
    assert incoming.rows_read == {"events": 2, "items": 1, "users": 1}


def test_10m_is_in_utf8_and_has_half_stars(tmp_path: Path) -> None:
    (tmp_path / "ratings.dat").write_text(f"1::122::5::{SECONDS}\n1::185::3.5::{SECONDS}\n1::122::4.5::{SECONDS}\n")
    (tmp_path / "movies.dat").write_text(
        "122::Léon: The Professional (1994)::Crime|Drama\n185::Net, The (1995)::(no genres listed)\n", "utf-8"
    )
    incoming = convert(ImportRequest("movielens", events=[tmp_path]))
    assert incoming.frames("events")[0]["action"].to_list() == ["save", "click", "save"]
    assert incoming.frames("items")[0].select("title", "categories").rows() == [
        ("Léon: The Professional (1994)", ["Crime", "Drama"]),
        ("Net, The (1995)", None),
    ]
    assert incoming.frames("users") == []


@pytest.mark.parametrize("named", ["", "ratings.csv"])
def test_20m_25m_32m_and_latest_have_a_header(tmp_path: Path, named: str) -> None:
    (tmp_path / "ratings.csv").write_text(f"userId,movieId,rating,timestamp\n1,31,2.5,{SECONDS}\n1,17,4.0,{SECONDS}\n")
    (tmp_path / "movies.csv").write_text(
        'movieId,title,genres\n17,"American President, The (1995)",Comedy|Drama\n31,Amélie,(no genres listed)\n',
        "utf-8",
    )
    (tmp_path / "links.csv").write_text("movieId,imdbId,tmdbId\n17,1,2\n")
    incoming = convert(ImportRequest("movielens", events=[tmp_path / named]))
    assert incoming.frames("events")[0].select("user_id", "item_id", "action", "timestamp").rows() == [
        ("1", "31", "click", NOON_1997),
        ("1", "17", "save", NOON_1997),
    ]
    assert incoming.frames("items")[0].select("item_id", "title", "categories").rows() == [
        ("17", "American President, The (1995)", ["Comedy", "Drama"]),
        ("31", "Amélie", None),
    ]
    assert [table.warnings for table in incoming.tables] == [(), ()]


def test_parquet_with_seconds_and_blanks_between_genres(tmp_path: Path) -> None:
    ratings = {"user_id": [7], "item_id": [2], "rating": [4], "timestamp": [SECONDS]}
    pl.DataFrame(ratings).write_parquet(tmp_path / "interactions.parquet")
    films = {
        "item_id": [2, 3],
        "title": ["Café", "Time (1995)"],
        "release_year": ["1995", "V"],
        "genres": ["Film-Noir Comedy", "unknown"],
    }
    pl.DataFrame(films).write_parquet(tmp_path / "items.parquet")
    incoming = convert(ImportRequest("movielens", events=[tmp_path]))
    assert incoming.frames("events")[0]["timestamp"].to_list() == [NOON_1997]
    assert incoming.frames("items")[0].select("title", "categories").rows() == [
        ("Café (1995)", ["Film-Noir", "Comedy"]),
        ("Time (1995)", None),
    ]
    assert incoming.frames("users") == []


def test_an_order_becomes_timestamps_and_the_importer_reports_it(tmp_path: Path) -> None:
    ratings = {
        "user_id": [1, 1, 1, 1, 2],
        "item_id": [10, 11, 12, 13, 10],
        "rating": [5] * 5,
        "time_pos": [2, None, 1, 3, 1],  # without an order: first
    }
    pl.DataFrame(ratings).write_parquet(tmp_path / "interactions.parquet")
    incoming = convert(ImportRequest("movielens", events=[tmp_path]))
    events = incoming.frames("events")[0]
    eighth = SPAN / 8  # four events: in the middle of each quarter
    assert events.select("user_id", "item_id", "timestamp").rows() == [
        ("1", "11", START + eighth),
        ("1", "12", START + 3 * eighth),
        ("1", "10", START + 5 * eighth),
        ("1", "13", START + 7 * eighth),
        ("2", "10", START + SPAN / 2),
    ]
    assert "timestamps are made up, strictly increasing" in incoming.notes[0]


def test_synthetic_timestamps_are_strictly_increasing_for_the_longest_history(tmp_path: Path) -> None:
    count = 2_314  # the most that anyone rated in MovieLens-1M
    ratings = {"user_id": [1] * count, "item_id": range(count), "rating": [1] * count, "time_pos": range(1, count + 1)}
    pl.DataFrame(ratings).write_parquet(tmp_path / "interactions.parquet")
    times = convert(ImportRequest("movielens", events=[tmp_path])).frames("events")[0]["timestamp"]
    assert times.diff().drop_nulls().min() > timedelta(hours=3)
    assert START < times[0] < times[-1] < START + SPAN


def test_a_table_that_the_layout_lacks_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text(f"userId,movieId,rating,timestamp\n1,31,2.5,{SECONDS}\n")
    (tmp_path / "users.csv").write_text("user_id\n1\n")
    with pytest.raises(UnreadableInput) as error:
        convert(ImportRequest("movielens", events=[tmp_path], users=tmp_path / "users.csv"))
    assert str(error.value) == (
        f"{tmp_path}/users.csv: movielens is read from ratings.csv and movies.csv, without a file of users; "
        "leave --users out"
    )


def test_a_folder_of_no_known_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UnreadableInput,
        match=r"neither a folder with one of u\.data, ratings\.dat, ratings\.csv, interactions\.parquet",
    ):
        convert(ImportRequest("movielens", events=[tmp_path]))


def test_another_parquet_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"user_id": [1], "item_id": [1]}).write_parquet(tmp_path / "interactions.parquet")
    with pytest.raises(SchemaMismatch, match="no MovieLens table, it lacks rating; have user_id, item_id"):
        convert(ImportRequest("movielens", events=[tmp_path]))


def test_a_table_without_header_is_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("ann,film,high,now\nbob,film,low,then\n")
    with pytest.raises(SchemaMismatch, match=r"it lacks .*; have no known column \(has it"):
        convert(ImportRequest("movielens", events=[tmp_path]))


def test_a_line_with_other_fields_is_numbered(tmp_path: Path) -> None:
    (tmp_path / "ratings.dat").write_text("1::2::3::4\n1::2\n")
    with pytest.raises(
        UnreadableInput, match=r"ratings.dat: line 2 has not 4 fields with '::' between; unpack it again"
    ):
        convert(ImportRequest("movielens", events=[tmp_path]))


def test_empty_and_missing_text_files(tmp_path: Path) -> None:
    (tmp_path / "u.data").touch()
    with pytest.raises(UnreadableInput, match=r"u.data: is empty \(0 bytes\)"):
        convert(ImportRequest("movielens", events=[tmp_path]))
    (tmp_path / "u.user").mkdir()
    with pytest.raises(UnreadableInput, match=r"u\.user: is a folder"):
        read_fields(tmp_path / "u.user", "|", ("user_id",))
    with pytest.raises(UnreadableInput, match="no such file"):
        read_fields(tmp_path / "users.dat", "::", ("user_id",))
