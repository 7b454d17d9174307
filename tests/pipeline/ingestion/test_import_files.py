from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from contracts import Flag, OptOut, SubjectType
from contracts.errors import BadId, SchemaMismatch, TastefeedError, UnknownOptOut, UnreadableInput
from pipeline.ingestion import ImportRequest, ImportSummary, convert, import_files, ingested_files
from pipeline.ingestion.import_files import read_opt_outs, read_user_ids

NOW = datetime(2017, 3, 1, tzinfo=UTC)
EVENTS = "user_id,item_id,action,timestamp,mood\nu,i,save,2016-03-14,good\nu,j,click,2016-03-15,bad\n"
OPT_OUTS = "subject_type,subject_id,flag,opted_out,effective_at\n"


class Store:
    def __init__(self) -> None:
        self.kept: list[OptOut] = []

    def load(self, opt_outs: Iterable[OptOut]) -> None:
        self.kept += opt_outs


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "events.csv").write_text(EVENTS)
    (tmp_path / "more.jsonl").write_text('{"user_id": 7, "item_id": 1, "action": "hide", "timestamp": 1457963676}\n')
    (tmp_path / "items.csv").write_text("item_id\ni\nj\n")
    (tmp_path / "users.csv").write_text("user_id,region\nu,SP\n")
    return tmp_path


def imported(files: Path) -> ImportSummary:
    return import_files(
        ImportRequest(
            events=[files / "events.csv", files / "more.jsonl"],
            items=str(files / "items.csv"),
            users=files / "users.csv",
        ),
        lake_root=files / "lake",
        landed_at=NOW,
    )


def test_the_report_of_an_import(files: Path) -> None:
    summary = imported(files)
    assert summary.lines() == [
        "items: 2 rows read, 2 ingested",
        "users: 1 rows read, 1 ingested",
        "events: 3 rows read, 3 ingested",
        f"warning: {files}/events.csv: unknown columns left out: mood",
    ]
    ingested = pl.concat(pl.read_parquet(path) for path in ingested_files(files / "lake", "events"))
    assert sorted(ingested["user_id"]) == ["7", "u", "u"]


def test_a_second_import_of_the_same_files_ingests_nothing_and_reports_it(files: Path) -> None:
    imported(files)
    summary = imported(files)
    assert summary.rows_ingested == {"items": 0, "users": 0, "events": 0}
    assert "events: 3 rows read, 0 ingested; 2 of 2 files had been ingested before" in summary.lines()
    before = "1 of 1 files had been ingested before; each of its rows is the newest again"
    assert f"items: 2 rows read, 0 ingested; {before}" in summary.lines()


def test_a_refused_file_leaves_the_lake_as_it_was(files: Path) -> None:
    (files / "users.csv").write_text("name\nu\n")
    with pytest.raises(SchemaMismatch, match="users lack the required column user_id; the file has no known column"):
        imported(files)
    assert not (files / "lake").exists()


def test_opt_outs_go_to_the_store(files: Path) -> None:
    (files / "o.csv").write_text(f"{OPT_OUTS}user,007,erasure,true,2017-01-01\nitem,i,recommendation,0,2017-01-01\n")
    store = Store()
    summary = import_files(
        ImportRequest(opt_outs=files / "o.csv"), lake_root=files / "lake", landed_at=NOW, opt_out_store=store
    )
    day = datetime(2017, 1, 1, tzinfo=UTC)
    assert store.kept == [
        OptOut(SubjectType.USER, "007", Flag.ERASURE, opted_out=True, effective_at=day),
        OptOut(SubjectType.ITEM, "i", Flag.RECOMMENDATION, opted_out=False, effective_at=day),
    ]
    assert summary.lines() == ["opt_outs: 2 kept in the opt-out store"]
    assert not (files / "lake").exists()


@pytest.mark.parametrize(
    ("row", "kind", "message"),
    [
        ("user,,erasure,true,2017-01-01", UnreadableInput, "row 2 has no readable subject_id; correct it"),
        ("user,secret,erasure,perhaps,2017-01-01", UnreadableInput, "row 2 has no readable opted_out; correct it"),
        ("user,secret,all,true,2017-01-01", UnknownOptOut, "row 2: a user has no such flag; use one of"),
        ("dog,secret,erasure,true,2017-01-01", UnknownOptOut, "row 2: unknown subject type; use one of user, item,"),
        ("secret,user,erasure,true,2017-01-01", UnknownOptOut, "row 2: unknown subject type; use one of user, item,"),
        ("user,erasure,secret,true,2017-01-01", UnknownOptOut, "row 2: a user has no such flag; use one of person"),
    ],
)
def test_one_opt_out_that_is_not_understood_stops_everything(
    files: Path, row: str, kind: type[TastefeedError], message: str
) -> None:
    (files / "o.csv").write_text(f"{OPT_OUTS}user,u,training,true,2017-01-01\n{row}\n")
    store = Store()
    with pytest.raises(kind) as error:
        import_files(
            ImportRequest(events=[files / "events.csv"], opt_outs=files / "o.csv"),
            lake_root=files / "lake",
            landed_at=NOW,
            opt_out_store=store,
        )
    assert message in str(error.value)
    assert "secret" not in str(error.value)
    assert store.kept == []
    assert not (files / "lake").exists()


def test_opt_outs_need_a_store(files: Path) -> None:
    (files / "o.csv").write_text(f"{OPT_OUTS}user,u,training,true,2017-01-01\n")
    with pytest.raises(UnreadableInput, match="without a store"):
        import_files(ImportRequest(opt_outs=files / "o.csv"), lake_root=files / "lake", landed_at=NOW)


def test_an_unknown_source_names_the_known_ones() -> None:
    with pytest.raises(UnreadableInput, match="unknown source 'netflix'; use one of files, deskdrop, movielens"):
        convert(ImportRequest("netflix", events=["x"]))


def test_deskdrop_reports_what_it_left_out(files: Path) -> None:
    acts = {
        "timestamp": [10**9, 10**9 + 1],
        "user_id": [1, 2],
        "session_id": [1, 2],
        "item_id": [9, 9],
        "action": ["VIEW"] * 2,
    }
    pl.DataFrame(acts | {"region": ["SP", "SP"]}).write_parquet(files / "interactions.parquet")
    article = {"item_id": 9, "title": "t", "lang": "en", "author_id": 1, "shared_at": 10**9, "url": "http://a.b/c"}
    pl.DataFrame(article | {"removed_after": None, "removed_before": None}).write_parquet(files / "items.parquet")
    lines = import_files(ImportRequest("deskdrop", events=[files]), lake_root=files / "lake", landed_at=NOW).lines()
    assert "events: 2 rows read, 1 ingested" in lines
    assert "left out: 1 rows, own_item" in lines


HEADER = "subject_type,subject_id,flag,opted_out,effective_at\n"


def opt_outs(folder: Path, *rows: str) -> Path:
    (folder / "o.csv").write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return folder / "o.csv"


def users(folder: Path, *ids: str) -> Path:
    (folder / "u.csv").write_text("user_id,region\n" + "".join(f"{id_},SP\n" for id_ in ids))
    return folder / "u.csv"


def test_opt_outs_are_read_in_their_order(tmp_path: Path) -> None:
    records, table = read_opt_outs(opt_outs(tmp_path, "user, ann ,training,true,2024-05-01"))
    at = datetime(2024, 5, 1, tzinfo=UTC)
    assert records == (OptOut(SubjectType.USER, "ann", Flag.TRAINING, opted_out=True, effective_at=at),)
    assert table.table == "opt_outs"


def test_a_file_without_opt_outs_is_allowed(tmp_path: Path) -> None:
    assert read_opt_outs(opt_outs(tmp_path))[0] == ()


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        ("user,ann,recommendation,true,2024-05-01", UnknownOptOut, "row 2: a user has no such flag; use one of"),
        ("robot,ann,training,true,2024-05-01", UnknownOptOut, "row 2: unknown subject type; use one of user"),
        ("user,,training,true,2024-05-01", UnreadableInput, "row 2 has no readable subject_id; .*is blank"),
        ("user,ann,training,true,", UnreadableInput, "row 2 has no readable effective_at"),
    ],
)
def test_one_unreadable_row_refuses_the_file(tmp_path: Path, row: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_opt_outs(opt_outs(tmp_path, "user,bob,training,true,2024-05-01", row))


def test_users_of_a_file_are_distinct_and_in_order(tmp_path: Path) -> None:
    assert read_user_ids(users(tmp_path, "bob", " ann ", "bob")) == ["bob", "ann"]


def test_a_row_without_a_user_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadId, match=r"u\.csv: row 2: user_id is blank; give an id"):
        read_user_ids(users(tmp_path, "ann", ""))


def test_a_file_without_users_is_refused(tmp_path: Path) -> None:
    (tmp_path / "u.csv").write_text("name\nann\n")
    with pytest.raises(SchemaMismatch, match="users lack the required column user_id"):
        read_user_ids(tmp_path / "u.csv")
