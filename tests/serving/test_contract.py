"""Requests that Schemathesis generates from the OpenAPI document: no 5xx, and no answer that the document lacks."""

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.app import create_app
from tests.serving.conftest import ADMIN, Lake

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def test_generated_requests_get_documented_answers(lake: Lake) -> None:
    application = create_app(lake.settings(feed_keys="f2", admin_keys="a1"))
    operations = [
        found.ok() for found in schemathesis.openapi.from_asgi("/openapi.json", application).get_all_operations()
    ]
    assert len(operations) == 14
    for operation in operations:
        requests_of(operation)


def requests_of(operation) -> None:
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    @given(case=operation.as_strategy())
    def answered(case) -> None:
        case.call_and_validate(headers=ADMIN, checks=CHECKS)

    answered()
