import json
from datetime import UTC, datetime, timedelta

import pytest

ROW = {"user_id": "u", "item_id": "i1", "action": "save", "timestamp": "2017-03-02T00:00:00Z"}


def post(client, *rows):
    answer = client.post("/v1/events", json={"events": list(rows)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def stored(client) -> list[dict]:
    return client.app.state.event_store.rows().to_pylist()


def refusals(receipt) -> list[tuple[int, str]]:
    return [(error["index"], error["reason"]) for error in receipt["errors"]]


class TestOneBadRow:
    """The content of a row never costs the batch, and never is a 5xx."""

    @pytest.mark.parametrize(("changes", "reason", "detail"), [
        ({"user_id": "u\ud83d"}, "null_id", "user_id: holds a control character or a lone surrogate; remove it"),
        ({"user_id": "   "}, "null_id", "user_id: is blank; give an id"),
        ({"item_id": "a\x00"}, "null_id", "item_id: holds a control character or a lone surrogate; remove it"),
        ({"item_id": "x" * 513}, "null_id", "item_id: is longer than 512 characters (513); give a shorter id"),
        ({"user_id": 4.5}, "null_id", "user_id: is neither text nor an integer; send the id as text"),
        ({"user_id": float(2**53)}, "null_id", "user_id: is a float too large to be exact; send the id as text"),
        ({"user_id": {"id": 1}}, "null_id", "user_id: is neither text nor an integer; send the id as text"),
        ({"action": "sa\ud83dve"}, "unknown_action", None),
        ({"timestamp": "9999-12-31T23:59:59-12:00"}, "bad_timestamp",
         "timestamp: is no instant; send ISO 8601 or Unix time, in UTC"),
        ({"timestamp": "0001-01-01T00:00:00+12:00"}, "bad_timestamp", None),
        ({"timestamp": 42795}, "bad_timestamp", None),
        ({"timestamp": "2017-02-30"}, "bad_timestamp", None),
        ({"timestamp": True}, "bad_timestamp", None),
        ({"timestamp": "\ud83d"}, "bad_timestamp", None),
        ({"propensity": float("inf")}, "bad_row", None),
        ({"propensity": 10**400}, "bad_row", None),
        ({"position": 10**40}, "bad_row", None),
        ({"position": "\ud83d"}, "bad_row", None),
        ({"position": {"\ud83d": 1}}, "bad_row", None),
    ])  # fmt: skip
    def test_is_named_and_the_others_are_stored(self, client, changes, reason, detail):
        body = json.dumps({"events": [ROW | changes, ROW]})
        answer = client.post("/v1/events", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 200, answer.text
        receipt = answer.json()
        assert receipt["accepted"] == 1
        assert refusals(receipt) == [(0, reason)]
        assert detail is None or receipt["errors"][0]["detail"] == detail
        assert [row["user_id"] for row in stored(client)] == ["u"]

    def test_an_unknown_column_of_any_name_is_named_safely(self, client):
        rows = [ROW | {"\ud83d": 1}, ROW | {"a\nb": 1, "é": 2, "x" * 500: 3, "item_id": "i2"}]
        body = json.dumps({"events": rows})
        answer = client.post("/v1/events", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 200
        assert answer.json()["warnings"] == [rf"unknown columns were kept out: a\nb, {'x' * 64}, é, \ud83d"]
        assert len(stored(client)) == 2

    def test_an_optional_id_that_is_none_becomes_null_with_a_warning(self, client):
        receipt = post(client, ROW | {"session_id": "a\x00b", "request_id": ""})
        assert receipt["warnings"] == ["session_id: 1 values are no ids and count as null"]
        assert (stored(client)[0]["session_id"], stored(client)[0]["request_id"]) == (None, None)


class TestReadAsTheImportReads:
    def test_ids_are_read_as_the_import_reads_them(self, client):
        post(client, ROW | {"user_id": " 42.0 ", "item_id": 7.0, "action": " click"})
        row = stored(client)[0]
        assert (row["user_id"], row["item_id"], row["action"]) == ("42", "7", "click")

    @pytest.mark.parametrize("timestamp", [
        "20170302", 20170302, "2017-03-02", 1488412800, "1488412800000", "1.4884128E9", "2017-03-02T09:00+09:00",
    ])  # fmt: skip
    def test_instants_are_read_as_the_import_reads_them(self, client, timestamp):
        post(client, ROW | {"timestamp": timestamp})
        assert stored(client)[0]["timestamp"] == datetime(2017, 3, 2, tzinfo=UTC)

    def test_a_clock_may_run_a_day_ahead(self, client):
        ahead = [(datetime.now(UTC) + timedelta(hours=hours)).isoformat() for hours in (23, 25)]
        receipt = post(client, *(ROW | {"timestamp": timestamp} for timestamp in ahead))
        assert refusals(receipt) == [(1, "in_the_future")]

    def test_an_opted_out_user_is_not_named_in_an_error(self, client):
        client.put("/v1/opt-outs/user/secret-7/erasure")
        receipt = post(client, ROW | {"user_id": "secret-7"}, ROW | {"user_id": " secret-7 "})
        assert refusals(receipt) == [(0, "erased"), (1, "erased")]
        assert "secret" not in json.dumps(receipt)
        assert stored(client) == []
