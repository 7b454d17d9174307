"""API keys and roles; without keys, requests of the same machine only."""

import pytest
from fastapi.testclient import TestClient

from contracts.errors import UnsafeBinding
from serving.http.auth import check_binding
from tests.serving.conftest import ADMIN, FEED, is_problem


class TestKeys:
    @pytest.mark.parametrize("headers", [
        {}, {"Authorization": "Bearer nope"}, {"Authorization": "f2"}, {"Authorization": "Bearer "},
        {"Authorization": "Basic !!"}, {"Authorization": "Bearer f1, f2"},
    ])  # fmt: skip
    def test_no_key_no_answer(self, keyed, headers):
        for path in ("/v1/users/user-1/home-feed", "/v1/releases/current", "/v1/opt-outs/user/u/training"):
            problem = is_problem(keyed.get(path, headers=headers), 401)
            assert problem["detail"] == "send a valid key of this server as `Authorization: Bearer KEY`"
        assert keyed.get("/v1/releases/current").headers["www-authenticate"].startswith("Bearer")

    def test_feed_keys_read_and_post(self, keyed):
        assert keyed.get("/v1/users/user-1/home-feed", headers=FEED).json()["personalized"]
        assert keyed.post("/v1/events", json={"events": []}, headers=FEED).status_code == 200

    def test_feed_keys_do_not_change_opt_outs(self, keyed):
        for method in ("GET", "PUT", "DELETE"):
            problem = is_problem(keyed.request(method, "/v1/opt-outs/user/user-1/training", headers=FEED), 403)
            assert problem["detail"] == "this takes an admin key, the request came with a feed key"

    def test_admin_keys_allow_everything(self, keyed):
        is_problem(keyed.get("/v1/opt-outs/user/u/training", headers=FEED), 403)
        assert keyed.get("/v1/opt-outs/user/u/training", headers=ADMIN).status_code == 200
        assert keyed.get("/v1/releases/current", headers=FEED).status_code == 200
        assert keyed.put("/v1/opt-outs/user/user-1/training", headers=ADMIN).status_code == 200
        assert keyed.get("/v1/users/user-1/home-feed", headers=ADMIN).status_code == 200

    def test_health_needs_no_key(self, keyed):
        for path in ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"):
            assert keyed.get(path).status_code == 200

    def test_a_browser_is_asked_for_the_key_as_a_password(self, keyed):
        answer = keyed.get("/")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic")
        assert keyed.get("/", auth=("any-name", "f1")).status_code == 200
        form = {"user_id": "user-1", "opted_out": "true"}
        is_problem(keyed.post("/personalization", data=form, auth=("any-name", "f1")), 403)
        assert keyed.post("/personalization", data=form, auth=("me", "a1"), follow_redirects=False).status_code == 303


class TestLoopback:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
    def test_no_keys_are_needed_on_loopback(self, lake, host):
        check_binding(lake.settings(), host)

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.4", "example.org", ""])  # noqa: S104  refused
    def test_no_other_host_without_keys(self, lake, host):
        with pytest.raises(
            UnsafeBinding, match=r"loopback only, not on .*; set TASTEFEED_FEED_KEYS and TASTEFEED_ADMIN_KEYS"
        ):
            check_binding(lake.settings(), host)
        check_binding(lake.settings(feed_keys="k"), host)

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000"])
    def test_asked_for_by_a_loopback_name(self, client, host):
        assert client.get("/healthz", headers={"Host": host}).status_code == 200

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.168.0.4:8000", ""])
    def test_not_under_another_name(self, client, host):
        problem = is_problem(client.get("/v1/users/user-1/home-feed", headers={"Host": host}), 403)
        assert "answers only to localhost" in problem["detail"]

    def test_nor_from_another_machine(self, app):
        with TestClient(app, base_url="http://localhost", client=("192.0.2.7", 4444)) as far:
            assert "only its own machine" in is_problem(far.get("/healthz"), 403)["detail"]

    def test_with_keys_any_name_will_do(self, keyed):
        assert keyed.get("/healthz", headers={"Host": "feed.example"}).status_code == 200
