"""The state of the server over HTTP: health, metrics and the current release."""

import time
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient

from serving.http.app import create_app
from tests.serving.conftest import FEED, is_problem


class TestServer:
    @pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/", "/docs"])
    def test_head_is_get_without_a_body(self, client, path):
        head, get = client.head(path), client.get(path)
        assert (head.status_code, head.headers["content-type"]) == (get.status_code, get.headers["content-type"])
        if path != "/metrics":  # it counts the first request
            assert (head.headers["content-length"], head.content) == (get.headers["content-length"], b"")

    def test_head_without_a_release(self, tmp_path, lake):
        settings = lake.settings().model_copy(update={"lake": str(tmp_path / "new")})
        with TestClient(create_app(settings), base_url="http://localhost") as client:
            assert client.head("/readyz").status_code == 503
            assert client.head("/healthz").status_code == 200

    def test_the_current_release_has_its_manifest_and_metrics(self, client, lake):
        release = client.get("/v1/releases/current").json()
        assert release.keys() == {*("version", "built_at", "as_of", "profiled", "reduced_to", "unmeasured", "metrics")}
        assert (release["profiled"], release["reduced_to"], release["unmeasured"]) == (True, None, False)
        assert (release["as_of"], release["metrics"]) == ("2017-03-01T00:00:00Z", {"ndcg_at_20": 0.4})

    def test_a_server_with_a_release_is_ready(self, client):
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
