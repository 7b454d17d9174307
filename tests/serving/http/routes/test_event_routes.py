"""Posted events."""

from datetime import UTC, datetime

import pytest

from tests.serving.conftest import is_problem


class TestEvents:
    def post(self, client, *rows):
        answer = client.post("/v1/events", json={"events": list(rows)})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def row(self, **changes):
        return {"user_id": "u", "item_id": "i1", "action": "save", "timestamp": "2017-03-02T00:00:00Z", **changes}

    @pytest.mark.parametrize(("changes", "reason"), [
        ({"user_id": None}, "null_id"),
        ({"item_id": ""}, "null_id"),
        ({"user_id": True}, "null_id"),
        ({"action": "stare"}, "unknown_action"),
        ({"timestamp": "yesterday"}, "bad_timestamp"),
        ({"timestamp": None}, "bad_timestamp"),
        ({"timestamp": "1989-12-31T23:59:59Z"}, "before_1990"),
        ({"timestamp": "2999-01-01T00:00:00Z"}, "in_the_future"),
        ({"position": -1}, "bad_row"),
    ])  # fmt: skip
    def test_each_broken_row_has_its_reason(self, client, changes, reason):
        receipt = self.post(client, self.row(), self.row(**changes))
        assert receipt["accepted"] == 1
        assert [(error["index"], error["reason"]) for error in receipt["errors"]] == [(1, reason)]

    def test_rows_that_are_no_rows(self, client):
        receipt = self.post(client, 3, None, [], {})
        assert [error["reason"] for error in receipt["errors"]] == ["bad_row", "bad_row", "bad_row", "null_id"]

    def test_posted_twice_is_stored_once(self, client):
        row = self.row(event_id="e1")
        assert self.post(client, row) == {"accepted": 1, "duplicates": 0, "errors": [], "warnings": []}
        assert self.post(client, row) == {"accepted": 1, "duplicates": 1, "errors": [], "warnings": []}

    def test_ids_may_be_integers_and_times_may_lack_a_zone(self, client):
        self.post(client, self.row(user_id=7, item_id=8, timestamp="2017-03-02T10:00:00"))
        row = client.app.state.event_store.rows().to_pylist()[0]
        assert (row["user_id"], row["item_id"]) == ("7", "8")
        assert row["timestamp"] == datetime(2017, 3, 2, 10, tzinfo=UTC)

    def test_unknown_columns_are_named(self, client):
        receipt = self.post(client, self.row(mood="good"))
        assert receipt["warnings"] == ["unknown columns were kept out: mood"]

    def test_an_item_newer_than_the_release_is_welcome(self, client):
        assert self.post(client, self.row(item_id="tomorrow's"))["accepted"] == 1

    def test_a_batch_too_large(self, client):
        problem = is_problem(client.post("/v1/events", json={"events": [{}] * 1001}), 422)
        assert "at most 1000 items" in problem["detail"]

    @pytest.mark.parametrize("body", ["", "{", "[]", '{"rows": []}'])
    def test_a_body_that_is_no_batch(self, client, body):
        is_problem(client.post("/v1/events", content=body, headers={"Content-Type": "application/json"}), 422)

    @pytest.mark.parametrize("body", [
        b'{"events": [], "\\ud800": 1}', b'{"\\ud800": 1}', b'{"events": [], "' + b"k" * 9999 + b'": 1}',
        b'{"events": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"[" * 100_000, b'{"events": [' + b"9" * 5000 + b"]}",
        b"\xff\xfe{", b'{"events": "\xff"}', b'{"events": NaN}', b'{"events": 1e999}', b"\x00", b"null", b'"\\ud800"',
        b"\xef\xbb\xbf{}",
    ])  # fmt: skip
    def test_no_body_is_an_error_of_the_server(self, client, body):
        answer = client.post("/v1/events", content=body, headers={"Content-Type": "application/json"})
        problem = is_problem(answer, answer.status_code)
        assert answer.status_code in {400, 422}
        assert len(problem["detail"]) < 1000

    def test_a_web_page_elsewhere_cannot_post(self, client):
        """A browser posts text/plain across sites without a preflight; the server declines the preflight of JSON."""
        body = '{"events": []}'
        is_problem(client.post("/v1/events", content=body, headers={"Content-Type": "text/plain"}), 422)
        answer = client.options("/v1/events", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers
