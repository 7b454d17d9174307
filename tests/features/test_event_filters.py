import pytest

from contracts.errors import SchemaMismatch
from features import without_users


def test_leaves_out_users_and_keeps_rows_without_one(users, rows):
    frame = users("ana", "olga", None, "ana")
    assert [row["user_id"] for row in rows(without_users(frame, users("olga", "unknown")))] == [None, "ana", "ana"]


def test_the_list_must_name_users(users):
    with pytest.raises(SchemaMismatch, match="user_id: want string, have no such column"):
        without_users(users("ana"), users("olga").withColumnRenamed("user_id", "id"))
