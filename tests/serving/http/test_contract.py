"""Requests that Schemathesis generates from the OpenAPI document: no 5xx, and no answer that the document lacks.

The same document lists the role that each call requires: no call is answered without its key.
"""

import os

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.http.app import create_app
from tests.serving.conftest import ADMIN, FEED, Lake, is_problem
from tests.serving.http.generated_requests import Tally, requests

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = int(os.environ.get("CONTRACT_EXAMPLES", "64"))
"""Requests of all operations together, at least; `make contract` generates thousands."""
OPEN = {"/healthz", "/readyz", "/metrics"}
"""The paths that need no key."""


def test_generated_requests_get_documented_answers(lake: Lake) -> None:
    application = create_app(lake.settings(feed_keys="f2", admin_keys="a1"))
    operations = [
        found.ok() for found in schemathesis.openapi.from_asgi("/openapi.json", application).get_all_operations()
    ]
    assert len(operations) >= 10
    tally = Tally()
    with TestClient(application) as client:
        page = client.get("/v1/users/user-0/home-feed?limit=3", headers=FEED).json()
        for operation in operations:
            send(operation, EXAMPLES // 7, [page["cursor"]], tally)
    print(f"\n{tally}\n{tally.posts_with_stored_events:,} of {tally.posts:,} posts stored events")
    assert tally.total >= EXAMPLES  # although an operation without parameters has few different requests
    assert 3 * tally.posts_with_stored_events >= tally.posts


def send(operation: APIOperation, examples: int, cursors: list[str], tally: Tally) -> None:
    """Send generated requests of one operation, and check the answers."""

    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        derandomize="CONTRACT_EXAMPLES" not in os.environ,
    )
    @given(case=requests(operation, cursors))
    def answered(case: Case) -> None:
        tally.add(operation.label, case.call_and_validate(headers=ADMIN, checks=CHECKS))

    answered()


class TestKeysOfEveryCall:
    """The calls are those of the OpenAPI document, so that a new one without a role fails here."""

    @pytest.fixture(scope="class")
    @classmethod
    def client(cls, published, tmp_path_factory):
        lake = Lake(tmp_path_factory.mktemp("lake"), tmp_path_factory.mktemp("builds"))
        with TestClient(create_app(lake.settings(feed_keys="f2", admin_keys="a1"))) as client:
            yield client

    def calls(self, client) -> list[tuple[str, str, dict]]:
        paths = client.app.openapi()["paths"]
        found = [(method, path, call) for path, methods in paths.items() for method, call in methods.items()]
        assert len(found) >= 10
        return found

    def test_every_call_but_health_names_its_role(self, client):
        roles = {path: call.get("security") for _, path, call in self.calls(client)}
        assert {path for path, security in roles.items() if security is None} == OPEN
        assert {security[0]["HTTPBearer"][0] for security in roles.values() if security} == {"feed", "admin"}

    @pytest.mark.parametrize("key", [None, "Bearer nope", "Bearer", "Basic bm9wZTpub3Bl", "f2"])
    def test_none_is_answered_without_a_valid_key(self, client, key):
        for method, path, call in self.calls(client):
            if call.get("security"):
                refused = client.request(method, path, headers={"Authorization": key} if key else {}, content=b"{")
                is_problem(refused, 401)

    def test_no_admin_call_is_answered_with_a_feed_key(self, client):
        admin = [call for call in self.calls(client) if call[2].get("security") == [{"HTTPBearer": ["admin"]}]]
        assert len(admin) >= 3
        for method, path, _ in admin:
            is_problem(client.request(method, path, headers=FEED), 403)
