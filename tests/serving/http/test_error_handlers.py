"""Every error over HTTP is a problem document."""

import pytest
from fastapi.testclient import TestClient

from serving.http.app import create_app
from tests.serving.conftest import is_problem


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

    def test_a_lost_store_accepts_no_opt_outs(self, client, lake):
        client.put("/v1/opt-outs/user/u/training")
        (lake.folder / "opt_outs.db").write_bytes(b"garbage" * 1000)
        is_problem(client.put("/v1/opt-outs/user/u/training"), 503)
        is_problem(client.post("/v1/events", json={"events": []}), 503)

    def test_no_release_yet(self, tmp_path, lake):
        with TestClient(create_app(lake.settings().model_copy(update={"lake": str(tmp_path / "new")})),
                        base_url="http://localhost") as client:  # fmt: skip
            assert client.get("/healthz").status_code == 200
            for path in ("/readyz", "/v1/users/user-1/home-feed", "/v1/releases/current"):
                assert "run `tastefeed nightly --lake " in is_problem(client.get(path), 503)["detail"]

    def test_an_unexpected_error_reveals_nothing(self, app):
        @app.get("/broken/{user_id}")
        def broken(user_id: str):
            raise RuntimeError(user_id)

        with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
            answer = client.get("/broken/user-1")
        assert is_problem(answer, 500)["detail"] == "RuntimeError; the server's log has the details"
        assert len(answer.headers["X-Request-Id"]) == 32
