from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from contracts.errors import BadSetting, UnsafeBinding
from serving.app import create_app
from serving.auth import check_binding
from serving.server import environment

FEED, ADMIN = {"Authorization": "Bearer f2"}, {"Authorization": "Bearer a1"}


def is_problem(answer, status: int) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert {"type", "title", "status", "detail"} <= problem.keys()
    assert problem["status"] == status
    return problem


@pytest.fixture
def keyed(lake):
    with TestClient(create_app(lake.settings(feed_keys="f1, f2", admin_keys="a1"))) as client:
        yield client


class TestKeys:
    @pytest.mark.parametrize("headers", [
        {}, {"Authorization": "Bearer nope"}, {"Authorization": "f2"}, {"Authorization": "Bearer "},
        {"Authorization": "Basic !!"}, {"Authorization": "Bearer f1, f2"},
    ])  # fmt: skip
    def test_no_key_no_answer(self, keyed, headers):
        for path in ("/v1/users/user-1/home-feed", "/v1/releases/current", "/v1/opt-outs/user/u/training"):
            problem = is_problem(keyed.get(path, headers=headers), 401)
            assert problem["detail"] == "send a key that this server knows as `Authorization: Bearer KEY`"
        assert keyed.get("/v1/releases/current").headers["www-authenticate"].startswith("Bearer")

    def test_feed_keys_read_and_post(self, keyed):
        assert keyed.get("/v1/users/user-1/home-feed", headers=FEED).json()["personalized"]
        assert keyed.post("/v1/events", json={"events": []}, headers=FEED).status_code == 200

    def test_feed_keys_do_not_touch_opt_outs(self, keyed):
        for method in ("GET", "PUT", "DELETE"):
            problem = is_problem(keyed.request(method, "/v1/opt-outs/user/user-1/training", headers=FEED), 403)
            assert problem["detail"] == "this takes an admin key, the request came with a feed key"

    def test_admin_keys_do_all(self, keyed):
        is_problem(keyed.get("/v1/releases/current", headers=FEED), 403)
        assert keyed.get("/v1/releases/current", headers=ADMIN).status_code == 200
        assert keyed.put("/v1/opt-outs/user/user-1/training", headers=ADMIN).status_code == 200
        assert keyed.get("/v1/users/user-1/home-feed", headers=ADMIN).status_code == 200

    def test_health_needs_no_key(self, keyed):
        for path in ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"):
            assert keyed.get(path).status_code == 200

    def test_a_browser_is_asked_for_the_key_as_a_password(self, keyed):
        asked = keyed.get("/")
        assert asked.status_code == 401
        assert asked.headers["www-authenticate"].startswith("Basic")
        assert keyed.get("/", auth=("anybody", "f1")).status_code == 200
        form = {"user_id": "user-1", "opted_out": "true"}
        is_problem(keyed.post("/personalization", data=form, auth=("anybody", "f1")), 403)
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


class TestProblems:
    def test_no_such_page(self, client):
        is_problem(client.get("/nothing"), 404)

    def test_no_such_method(self, client):
        answer = client.post("/v1/releases/current")
        is_problem(answer, 405)
        assert answer.headers["allow"] == "GET"

    @pytest.mark.parametrize(("method", "path", "allowed"), [
        ("POST", "/v1/opt-outs/user/a%2Fb/training", "DELETE, GET, PUT"),
        ("PATCH", "/v1/opt-outs/user/a/training", "DELETE, GET, PUT"),
        ("DELETE", "/healthz", "GET, HEAD"),
        ("GET", "/v1/events", "POST"),
        ("PUT", "/", "GET, HEAD"),
        ("OPTIONS", "/v1/users/u/home-feed", "GET"),
        ("POST", "/openapi.json", "GET, HEAD"),
    ])  # fmt: skip
    def test_every_method_of_the_path_is_allowed(self, client, method, path, allowed):
        answer = client.request(method, path)
        is_problem(answer, 405)
        assert answer.headers["allow"] == allowed

    @pytest.mark.parametrize("limit", ["0", "201", "-1", "ten", "1.5"])
    def test_a_limit_out_of_bounds(self, client, limit):
        problem = is_problem(client.get("/v1/users/user-1/home-feed", params={"limit": limit}), 422)
        assert problem["detail"].startswith("query.limit: Input should be")
        assert problem["errors"][0]["where"] == "query.limit"

    def test_what_was_sent_is_not_repeated(self, client):
        answer = client.get("/v1/users/user-1/home-feed", params={"limit": "my-secret"})
        assert "my-secret" not in answer.text

    def test_unknown_opt_outs(self, client):
        problem = is_problem(client.put("/v1/opt-outs/robot/r2/training"), 404)
        assert problem["detail"] == "unknown subject type 'robot'; use one of user, item, creator"
        problem = is_problem(client.get("/v1/opt-outs/user/u/recommendation"), 404)
        assert problem["detail"] == "a user has no flag 'recommendation'; use one of personalization, training, erasure"

    def test_a_lost_store_takes_no_wishes(self, client, lake):
        client.put("/v1/opt-outs/user/u/training")
        (lake.folder / "opt_outs.db").write_bytes(b"garbage" * 1000)
        is_problem(client.put("/v1/opt-outs/user/u/training"), 503)
        is_problem(client.get("/readyz"), 503)
        is_problem(client.post("/v1/events", json={"events": []}), 503)

    def test_no_release_yet(self, tmp_path, lake):
        with TestClient(create_app(lake.settings().model_copy(update={"lake": str(tmp_path / "new")})),
                        base_url="http://localhost") as client:  # fmt: skip
            assert client.get("/healthz").status_code == 200
            for path in ("/readyz", "/v1/users/user-1/home-feed", "/v1/releases/current"):
                assert "run `tastefeed nightly`" in is_problem(client.get(path), 503)["detail"]

    def test_the_unexpected_tells_nothing(self, app):
        @app.get("/broken/{user_id}")
        def broken(user_id: str):
            raise RuntimeError(user_id)

        with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
            answer = client.get("/broken/user-1")
        assert is_problem(answer, 500)["detail"] == "RuntimeError; the server's log has the details"
        assert len(answer.headers["X-Request-Id"]) == 32


class TestOptOuts:
    def test_nothing_said(self, client):
        assert client.get("/v1/opt-outs/user/ann/erasure").json() == {
            "subject_type": "user", "subject_id": "ann", "flag": "erasure", "opted_out": False, "effective_at": None,
        }  # fmt: skip

    def test_put_get_delete(self, client):
        path = "/v1/opt-outs/creator/c1/recommendation"
        said = client.put(path).json()
        assert said["opted_out"]
        assert abs(datetime.fromisoformat(said["effective_at"]) - datetime.now(UTC)) < timedelta(minutes=1)
        assert client.get(path).json() == said
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
        """A browser sends text/plain across sites without asking; JSON it asks for, and nobody here says yes."""
        body = '{"events": []}'
        is_problem(client.post("/v1/events", content=body, headers={"Content-Type": "text/plain"}), 422)
        asked = client.options("/v1/events", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in asked.headers


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
    def test_no_other(self, called, origin):
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

    def test_by_default_nobody(self, keyed):
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


class TestServer:
    @pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/", "/docs"])
    def test_head_is_get_without_a_body(self, client, path):
        head, get = client.head(path), client.get(path)
        assert (head.status_code, head.headers["content-type"]) == (get.status_code, get.headers["content-type"])

    def test_head_tells_that_no_release_is_there(self, tmp_path, lake):
        settings = lake.settings().model_copy(update={"lake": str(tmp_path / "new")})
        with TestClient(create_app(settings), base_url="http://localhost") as client:
            assert client.head("/readyz").status_code == 503
            assert client.head("/healthz").status_code == 200

    def test_current_release(self, client, lake):
        release = client.get("/v1/releases/current").json()
        assert release.keys() == {"version", "built_at", "as_of", "profiled", "metrics"}
        assert (release["as_of"], release["metrics"]) == ("2017-03-01T00:00:00Z", {"ndcg_at_20": 0.4})

    def test_ready(self, client):
        assert client.get("/readyz").json()["status"] == "ready"

    def test_metrics_count_routes_and_no_users(self, client):
        client.get("/v1/users/user-1/home-feed")
        client.get("/v1/users/nobody/home-feed")
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
            "/v1/users/{user_id}/home-feed", "/v1/opt-outs/{subject_type}/{subject_id}/{flag}", "/v1/events",
            "/v1/releases/current", "/healthz", "/readyz", "/metrics",
        }  # fmt: skip

    def test_settings_reach_the_workers_through_the_environment(self, lake):
        settings = lake.settings(feed_keys="f1,f2")
        assert environment(settings) == {"TASTEFEED_LAKE": str(lake.folder), "TASTEFEED_FEED_KEYS": "f1,f2"}


class TestPage:
    def test_shows_a_feed(self, client):
        page = client.get("/", params={"user_id": "user-1"}).text
        for words in ("Picked for you", "Title 27", "by c2", "Because you saved “Title 8”", "Stop personalizing"):
            assert words in page

    def test_without_a_user_it_is_everyones(self, client):
        page = client.get("/").text
        assert "For everyone" in page
        assert "Stop personalizing" not in page

    def test_the_switch_works_and_works_back(self, client):
        for opted_out, words in (("true", "You opted out"), ("false", "Picked for you")):
            page = client.post("/personalization", data={"user_id": "user-1", "opted_out": opted_out})
            assert page.status_code == 200
            assert words in page.text

    def test_the_switch_is_for_this_page_alone(self, client):
        form = {"user_id": "user-1", "opted_out": "true"}
        answer = client.post("/personalization", data=form, headers={"Origin": "https://evil.example"})
        assert (
            is_problem(answer, 403)["detail"]
            == "this form was sent from another site; open this server's own page and use its button"
        )
        assert client.get("/v1/users/user-1/home-feed").json()["personalized"]

    @pytest.mark.parametrize(("headers", "status"), [
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, 200),
        ({"Origin": "http://127.0.0.1:8000"}, 200),
        ({}, 200),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:8001"}, 403),
        ({"Origin": "http://localhost:8000"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8000"}, 403),
        ({"Origin": ""}, 403),
    ])  # fmt: skip
    def test_the_switch_trusts_what_a_browser_says_of_the_sender(self, client, headers, status):
        form = {"user_id": "user-1", "opted_out": "true"}
        assert client.post("/personalization", data=form, headers=headers).status_code == status

    @pytest.mark.parametrize(
        "form", ["", "user_id=user-1", "opted_out=true", "user_id=u&opted_out=maybe", "é", "a&" * 9]
    )
    def test_a_form_that_is_not_whole(self, client, form):
        is_problem(client.post("/personalization", content=form), 422)

    def test_next_page(self, client):
        first = client.get("/", params={"user_id": "nobody"}).text
        assert "Next page" not in first  # everyone's list has 28 items
        assert "Next page" in client.get("/", params={"user_id": "user-1"}).text

    def test_a_cursor_that_leads_nowhere_leads_to_the_top(self, client):
        answer = client.get("/", params={"user_id": "a/b", "cursor": "?"}, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/?user_id=a%2Fb")

    @pytest.mark.parametrize("flag", ["personalization", "erasure"])
    def test_an_opted_out_user_sees_everyones_list_with_or_without_a_cursor(self, client, flag):
        cursor = client.get("/v1/users/user-1/home-feed", params={"limit": 5}).json()["cursor"]
        client.put(f"/v1/opt-outs/user/user-1/{flag}")
        for query in ({}, {"cursor": cursor}):
            page = client.get("/", params={"user_id": "user-1", **query}).text
            assert "You opted out" in page
            assert "Because you" not in page

    def test_markup_in_ids_is_text(self, client):
        page = client.get("/", params={"user_id": "<script>alert(1)</script>"}).text
        assert "<script>" not in page

    @pytest.mark.parametrize("path", ["/", "/docs"])
    def test_loads_nothing_from_elsewhere(self, client, path):
        answer = client.get(path)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "<script" not in answer.text
        assert "src=" not in answer.text

    def test_docs_name_calls_and_shapes(self, client):
        page = client.get("/docs").text
        for words in ("GET /v1/users/{user_id}/home-feed", "Sec-GPC", "Global Privacy Control", "FlagState"):
            assert words in page
