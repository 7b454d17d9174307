from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts import Flag, OptOut, SubjectType
from contracts.errors import BadId, SchemaMismatch, UnknownOptOut, UnreadableInput
from pipeline.ingestion.strict_files import read_opt_outs, read_user_ids

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
        ("user,ann,recommendation,true,2024-05-01", UnknownOptOut, "row 2: a user has no flag 'recommendation'"),
        ("robot,ann,training,true,2024-05-01", UnknownOptOut, "row 2: unknown subject type 'robot'"),
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
