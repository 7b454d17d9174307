"""Requests that Schemathesis generates from the OpenAPI document: no 5xx, and no answer that the document lacks.

The same document lists the role that each call requires: no call is answered without its key.
"""

import os

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.app import create_app
from tests.serving.conftest import ADMIN, FEED, Lake, is_problem

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
    statuses = [status for one in operations for status in statuses_of(one, EXAMPLES // 7)]
    answers = {status: statuses.count(status) for status in sorted(set(statuses))}
    stored = application.state.metrics.events.labels("accepted")._value.get()
    print(f"{stored:,.0f} events stored; {len(statuses):,} requests of {len(operations)} operations: {answers}")
    assert len(statuses) >= EXAMPLES  # although an operation without parameters has few different requests


def statuses_of(operation, examples: int) -> list[int]:
    statuses = []

    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        derandomize="CONTRACT_EXAMPLES" not in os.environ,
    )
    @given(case=valid_and_invalid(operation))
    def answered(case) -> None:
        statuses.append(case.call_and_validate(headers=ADMIN, checks=CHECKS).status_code)

    answered()
    return statuses


def valid_and_invalid(operation) -> SearchStrategy:
    """Requests that follow the document and, where it restricts them, requests that do not."""
    valid = operation.as_strategy()
    if not (list(operation.iter_parameters()) or operation.body):
        return valid
    return valid | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)


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
