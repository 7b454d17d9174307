"""Headers of every answer, and the Content-Security-Policy of pages."""

import re

from fastapi.testclient import TestClient

from serving.http.app import create_app
from serving.http.security_headers import HEADERS
from tests.serving.conftest import ADMIN

PATHS = ("/v1/users/user-1/home-feed", "/v1/users/user-1/home-feed?limit=0", "/nowhere", "/healthz", "/metrics")
POLICY = re.compile(
    r"default-src 'none'; style-src 'sha256-[\w+/]{43}='; img-src https: data:; form-action 'self'; base-uri 'none'; "
    r"frame-ancestors 'none'"
)


def test_every_answer_has_them(client):
    for path in PATHS:
        answer = client.get(path)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS, path
        assert "Strict-Transport-Security" not in answer.headers


def test_refused_and_failed_requests_have_them_too(keyed):
    assert keyed.get(PATHS[0]).headers["X-Content-Type-Options"] == "nosniff"
    keyed.app.state.home_feed = None  # any bug
    failing = TestClient(keyed.app, raise_server_exceptions=False)
    answer = failing.get(PATHS[0], headers=ADMIN)
    assert (answer.status_code, answer.headers["X-Frame-Options"]) == (500, "DENY")


def test_pages_apply_one_style_sheet_and_run_nothing(client):
    for path in ("/?user_id=user-1", "/docs"):
        answer = client.get(path)
        assert POLICY.fullmatch(answer.headers["Content-Security-Policy"]), path
        assert answer.text.count("<style") == 1
        assert not re.search(r"<[^>]* (style|on\w+)=|<script", answer.text)


def test_a_stored_tag_may_still_be_revalidated(client):
    assert client.get("/v1/releases/current").headers["Cache-Control"] == "no-cache"


def test_over_tls_a_browser_is_to_stay_there(lake, tmp_path):
    with TestClient(create_app(lake.settings(tls_cert=tmp_path / "cert.pem")), base_url="https://localhost") as client:
        assert client.get("/healthz").headers["Strict-Transport-Security"] == "max-age=31536000"
