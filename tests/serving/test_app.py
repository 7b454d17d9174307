"""The OpenAPI document, which client generators and fuzzers read."""

import pytest
from fastapi.testclient import TestClient
from openapi_spec_validator import validate

from serving.app import create_app, with_shared_schemas


@pytest.fixture
def document(client):
    return client.get("/openapi.json").json()


def nodes(node):
    yield node
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else []:
        yield from nodes(part)


def calls(document):
    return [
        (f"{method.upper()} {path}", call)
        for path, methods in document["paths"].items()
        for method, call in methods.items()
    ]


def test_is_openapi(document):
    validate(document)


def test_every_reference_leads_somewhere(document):
    references = [node["$ref"] for node in nodes(document) if isinstance(node, dict) and "$ref" in node]
    assert "#/components/schemas/Problem" in references
    for reference in references:
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


def test_every_call_documents_its_errors_as_they_are(client, document):
    for name, call in calls(document):
        errors = {status: response for status, response in call["responses"].items() if status >= "4"}
        assert errors.keys() == {"4XX", "5XX"}, name
        for response in errors.values():
            assert response["content"].keys() == {"application/problem+json"}, name
    assert not {"HTTPValidationError", "ValidationError"} & document["components"]["schemas"].keys()
    problem = client.get("/v1/users/user-1/home-feed?limit=0")
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json().keys() <= document["components"]["schemas"]["Problem"]["properties"].keys()


def test_operations_have_names_of_their_own(document):
    names = [call["operationId"] for _, call in calls(document)]
    assert len(names) == len(set(names))


def test_a_batch_describes_its_rows(document):
    events = document["components"]["schemas"]["Batch"]["properties"]["events"]["items"]
    row = document["components"]["schemas"]["Event"] if "$ref" in events else events
    assert {"user_id", "item_id", "action", "timestamp"} <= row["properties"].keys()


def test_a_schema_written_in_place_is_shared():
    inlined = {"title": "Row", "properties": {"kind": {"$ref": "#/$defs/Kind"}}, "$defs": {"Kind": {"enum": ["a"]}}}
    document = with_shared_schemas({"paths": {"/": {"schema": inlined}}, "components": {"schemas": {}}})
    assert document == {
        "paths": {"/": {"schema": {"$ref": "#/components/schemas/Row"}}},
        "components": {"schemas": {
            "Kind": {"enum": ["a"]},
            "Row": {"title": "Row", "properties": {"kind": {"$ref": "#/components/schemas/Kind"}}},
        }},
    }  # fmt: skip


def test_the_page_of_calls_shows_it(client):
    page = client.get("/docs").text
    assert '<section id="Problem">' in page
    assert '<section id="Event">' in page


def test_keys_are_documented_where_there_are_some(client, lake):
    assert not any("security" in call for _, call in calls(client.get("/openapi.json").json()))
    with TestClient(create_app(lake.settings(feed_keys="f1"))) as keyed:
        named = calls(keyed.get("/openapi.json").json())
    assert {name.split()[1] for name, call in named if "security" not in call} == {"/healthz", "/readyz", "/metrics"}
