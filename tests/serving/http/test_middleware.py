"""Cross-origin rules and the limits of a request."""

import re

import pytest
from fastapi.testclient import TestClient

from contracts.errors import BadSetting
from serving.http.app import create_app
from tests.serving.conftest import FEED, is_problem


class TestCors:
    ORIGIN = "https://app.example:8443"

    @pytest.fixture
    def called(self, lake):
        settings = lake.settings(feed_keys="f2", admin_keys="a1", cors_origins=f" {self.ORIGIN} ,https://two.example")
        with TestClient(create_app(settings)) as client:
            yield client

    def preflight(self, client, origin, method="PUT"):
        headers = {"Origin": origin, "Access-Control-Request-Method": method,
                   "Access-Control-Request-Headers": "authorization,content-type"}  # fmt: skip
        return client.options("/v1/opt-outs/user/a%2Fb/training", headers=headers)

    def test_a_named_origin_is_asked_in_without_a_key(self, called):
        answer = self.preflight(called, self.ORIGIN)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == self.ORIGIN
        assert "PUT" in answer.headers["access-control-allow-methods"]
        assert "access-control-allow-credentials" not in answer.headers
        assert "Origin" in answer.headers["vary"]

    @pytest.mark.parametrize("origin", ["https://evil.example", "http://app.example:8443", "null"])
    def test_no_other_site_may_read_an_answer(self, called, origin):
        assert "access-control-allow-origin" not in self.preflight(called, origin).headers
        answer = called.get("/v1/users/user-1/home-feed", headers={**FEED, "Origin": origin})
        assert "access-control-allow-origin" not in answer.headers

    @pytest.mark.parametrize(("headers", "status"), [(FEED, 200), ({}, 401)])
    def test_answers_and_errors_can_be_read(self, called, headers, status):
        answer = called.get("/v1/users/user-1/home-feed", headers={**headers, "Origin": self.ORIGIN})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, self.ORIGIN)
        assert answer.headers["access-control-expose-headers"] == "X-Request-Id"

    def test_the_switch_of_the_page_stays_the_pages_own(self, called):
        form = {"user_id": "user-1", "opted_out": "true"}
        answer = called.post("/personalization", data=form, auth=("me", "a1"), headers={"Origin": self.ORIGIN})
        is_problem(answer, 403)

    def test_by_default_no_origin(self, keyed):
        answer = self.preflight(keyed, self.ORIGIN)
        assert "access-control-allow-origin" not in answer.headers

    def test_any_origin_needs_keys_and_never_gets_credentials(self, lake):
        with pytest.raises(BadSetting, match=r"\* needs keys; name the origins, or set TASTEFEED_FEED_KEYS"):
            create_app(lake.settings(cors_origins="*"))
        with TestClient(create_app(lake.settings(cors_origins="*", feed_keys="f2"))) as client:
            answer = client.get("/v1/users/u/home-feed", headers={**FEED, "Origin": "https://any.example"})
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers

    @pytest.mark.parametrize("setting", ["app.example", "https://app.example/", "null", "ftp://a", "https://a b"])
    def test_what_is_no_origin_is_refused(self, lake, setting):
        with pytest.raises(BadSetting, match="is no origin; write it as in https://"):
            create_app(lake.settings(cors_origins=setting))


class TestCompression:
    FEED_PATH = "/v1/users/user-1/home-feed?limit=30"

    def test_a_feed_is_compressed_on_request_only(self, client):
        compressed = client.get(self.FEED_PATH, headers={"Accept-Encoding": "gzip"})
        plain = client.get(self.FEED_PATH, headers={"Accept-Encoding": "identity"})
        assert compressed.headers["Content-Encoding"] == "gzip"
        assert "Content-Encoding" not in plain.headers
        assert "Accept-Encoding" in compressed.headers["Vary"]
        assert int(compressed.headers["Content-Length"]) < int(plain.headers["Content-Length"]) / 3
        assert compressed.json()["items"] == plain.json()["items"]

    @pytest.mark.parametrize("path", ["/healthz", "/v1/opt-outs/user/u/training", "/v1/users/user-1/home-feed?limit=0"])
    def test_a_short_answer_is_not(self, client, path):
        assert "Content-Encoding" not in client.get(path, headers={"Accept-Encoding": "gzip"}).headers

    def test_pages_are_not_because_they_repeat_the_address(self, client):
        page = client.get("/?user_id=user-1", headers={"Accept-Encoding": "gzip"})
        assert len(page.content) > 1000
        assert "Content-Encoding" not in page.headers

    def test_a_tag_is_the_same_compressed_or_not(self, lake):
        lake.publish(seed=1, metrics={f"metric_{number}": number for number in range(200)})
        with TestClient(create_app(lake.settings()), base_url="http://localhost") as client:
            tags = {client.get("/v1/releases/current", headers={"Accept-Encoding": how}).headers["ETag"]
                    for how in ("gzip", "identity")}  # fmt: skip
            assert len(tags) == 1
            headers = {"If-None-Match": tags.pop(), "Accept-Encoding": "gzip"}
            assert client.get("/v1/releases/current", headers=headers).status_code == 304


class TestRequestIds:
    PATH = "/v1/users/user-1/home-feed?limit=1"

    def test_a_sane_id_is_kept(self, client):
        for given in ("4bf92f3577b34da6a3ce929d0e0e4736", "Root=1-67891233-abcdef", "a" * 128):
            answer = client.get(self.PATH, headers={"X-Request-Id": given})
            assert (answer.headers["X-Request-Id"], answer.json()["request_id"]) == (given, given)

    def test_another_is_replaced(self, client):
        for given in ("", "a" * 129, "a b", "ada@example.org", "é", "\x1b[31m", "{}", "-", "a\tb"):
            answer = client.get(self.PATH, headers={"X-Request-Id": given.encode("latin-1")})
            assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-Id"]), given
            assert answer.json()["request_id"] == answer.headers["X-Request-Id"]

    def test_two_are_replaced(self, client):
        answer = client.get(self.PATH, headers=[("X-Request-Id", "one"), ("X-Request-Id", "two")])
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-Id"])
