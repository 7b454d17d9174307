"""Opt-outs, posted events, and the state of the server over HTTP."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from serving.http.app import create_app
from tests.serving.conftest import FEED, is_problem


class TestOptOuts:
    def test_a_flag_that_was_never_set(self, client):
        assert client.get("/v1/opt-outs/user/ann/erasure").json() == {
            "subject_type": "user", "subject_id": "ann", "flag": "erasure", "opted_out": False, "effective_at": None,
        }  # fmt: skip

    def test_put_get_delete(self, client):
        path = "/v1/opt-outs/creator/c1/recommendation"
        record = client.put(path).json()
        assert record["opted_out"]
        assert abs(datetime.fromisoformat(record["effective_at"]) - datetime.now(UTC)) < timedelta(minutes=1)
        assert client.get(path).json() == record
        assert not client.delete(path).json()["opted_out"]
        assert not client.get(path).json()["opted_out"]

    def test_erasure_drops_pending_events_and_takes_no_more(self, client):
        row = {"user_id": "user-1", "item_id": "i3", "action": "click", "timestamp": "2017-03-02T00:00:00"}
        client.post("/v1/events", json={"events": [row]})
        pending = client.app.state.event_store
        assert pending.rows().num_rows == 1
        client.put("/v1/opt-outs/user/user-1/erasure")
        assert pending.rows().num_rows == 0
        receipt = client.post("/v1/events", json={"events": [row, {**row, "user_id": "user-2"}]}).json()
        assert (receipt["accepted"], receipt["errors"][0]["reason"]) == (1, "erased")
        assert pending.rows()["user_id"].to_pylist() == ["user-2"]


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


class TestServer:
    @pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/", "/docs"])
    def test_head_is_get_without_a_body(self, client, path):
        head, get = client.head(path), client.get(path)
        assert (head.status_code, head.headers["content-type"]) == (get.status_code, get.headers["content-type"])

    def test_head_without_a_release(self, tmp_path, lake):
        settings = lake.settings().model_copy(update={"lake": str(tmp_path / "new")})
        with TestClient(create_app(settings), base_url="http://localhost") as client:
            assert client.head("/readyz").status_code == 503
            assert client.head("/healthz").status_code == 200

    def test_current_release(self, client, lake):
        release = client.get("/v1/releases/current").json()
        assert release.keys() == {*("version", "built_at", "as_of", "profiled", "reduced_to", "unmeasured", "metrics")}
        assert (release["profiled"], release["reduced_to"], release["unmeasured"]) == (True, None, False)
        assert (release["as_of"], release["metrics"]) == ("2017-03-01T00:00:00Z", {"ndcg_at_20": 0.4})

    def test_ready(self, client):
        assert client.get("/readyz").json()["status"] == "ready"

    def test_metrics_count_routes_and_no_users(self, client):
        client.get("/v1/users/user-1/home-feed")
        client.get("/v1/users/stranger/home-feed")
        client.get("/nothing/user-1")
        client.put("/v1/opt-outs/user/user-1/training")
        text = client.get("/metrics").text
        assert 'tastefeed_requests_total{method="GET",route="/v1/users/{user_id}/home-feed",status="200"} 2.0' in text
        assert 'tastefeed_feeds_total{reason="personalized"} 1.0' in text
        assert 'tastefeed_feeds_total{reason="unknown_user"} 1.0' in text
        assert 'route="unmatched",status="404"' in text
        assert "user-1" not in text

    def test_openapi_names_every_call(self, client):
        paths = client.get("/openapi.json").json()["paths"]
        assert set(paths) == {
            "/v1/users/{user_id}/home-feed", "/v1/home-feeds", "/v1/opt-outs/{subject_type}/{subject_id}/{flag}",
            "/v1/events", "/v1/releases/current", "/healthz", "/readyz", "/metrics",
            "/v1/admin/switches",
            "/v1/admin/switches/{name}", "/v1/admin/audit", "/v1/admin/trace",
        }  # fmt: skip

    def test_metrics_show_the_age_of_the_release(self, client):
        release = client.app.state.release_loader.get().manifest
        for name, since in (("release_age", release.built_at), ("release_data_age", release.as_of)):
            assert abs(gauge(client, f"tastefeed_{name}_seconds") - seconds_since(since)) < 60

    def test_without_a_release_there_is_no_age(self, tmp_path, lake):
        settings = lake.settings().model_copy(update={"lake": str(tmp_path / "new")})
        with TestClient(create_app(settings), base_url="http://localhost") as client:
            text = client.get("/metrics").text
        assert "tastefeed_requests" in text
        assert "release_age" not in text


def gauge(client, name: str) -> float:
    line = next(line for line in client.get("/metrics").text.splitlines() if line.startswith(f"{name} "))
    return float(line.split()[1])


def seconds_since(instant: datetime) -> float:
    return (datetime.now(UTC) - instant).total_seconds()


class TestCurrentReleaseTag:
    def test_an_unchanged_release_is_not_sent_again(self, client, lake):
        first = client.get("/v1/releases/current")
        tag = first.headers["ETag"]
        for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
            again = client.get("/v1/releases/current", headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
        assert client.get("/v1/releases/current", headers={"If-None-Match": '"other"'}).json() == first.json()

    def test_a_new_release_has_another_tag(self, client, lake):
        tag = client.get("/v1/releases/current").headers["ETag"]
        version = lake.publish(seed=1)
        deadline = time.monotonic() + 20
        while client.get("/v1/releases/current").json()["version"] != version and time.monotonic() < deadline:
            time.sleep(0.02)
        answer = client.get("/v1/releases/current", headers={"If-None-Match": tag})
        assert (answer.status_code, answer.headers["ETag"] != tag) == (200, True)

    def test_a_feed_key_may_read_it(self, keyed):
        assert keyed.get("/v1/releases/current", headers=FEED).status_code == 200
        is_problem(keyed.get("/v1/releases/current"), 401)
