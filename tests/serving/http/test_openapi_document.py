"""The OpenAPI document, which client generators and fuzzers read."""

import jsonschema
import pytest
from fastapi.testclient import TestClient
from openapi_spec_validator import validate

from contracts import Action, Flag
from ranking.feature_arrays import SOURCES
from ranking.signals import Signal
from serving.http.app import create_app
from serving.http.openapi_document import with_shared_schemas
from serving.privacy.consent import NotPersonalized


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


def test_the_document_is_valid_openapi(document):
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
        assert errors.keys() >= {"403", "408", "414", "422", "431", "500", "503"}, name  # no key: 403 elsewhere
        for response in errors.values():
            assert response["content"].keys() == {"application/problem+json"}, name
    assert not {"HTTPValidationError", "ValidationError"} & document["components"]["schemas"].keys()
    problem = client.get("/v1/users/user-1/home-feed?limit=0")
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json().keys() <= document["components"]["schemas"]["Problem"]["properties"].keys()


def test_each_call_documents_the_errors_of_its_own(lake):
    paths = create_app(lake.settings(feed_keys="f2", admin_keys="a1")).openapi()["paths"]

    def statuses(method: str, path: str) -> set[str]:
        return {status for status in paths[path][method]["responses"] if status >= "4"}

    every, keyed = {"408", "414", "422", "431", "500", "503"}, {"401", "403", "429"}
    assert statuses("get", "/healthz") == every
    assert statuses("get", "/v1/releases/current") == every | keyed
    assert statuses("get", "/v1/users/{user_id}/home-feed") == every | keyed | {"400", "404", "405", "410"}
    assert statuses("post", "/v1/events") == every | keyed | {"400", "413"}
    refused = paths["/v1/events"]["post"]["responses"]["429"]
    assert refused["headers"]["Retry-After"]["schema"] == {"type": "integer", "minimum": 1}


def test_the_names_of_operations_are_stable(document):
    """Client generators name their functions after them."""
    assert {name: call["operationId"] for name, call in calls(document)} == {
        "GET /v1/users/{user_id}/home-feed": "home_feed",
        "POST /v1/home-feeds": "home_feeds",
        "GET /v1/opt-outs/{subject_type}/{subject_id}/{flag}": "read_opt_out",
        "PUT /v1/opt-outs/{subject_type}/{subject_id}/{flag}": "set_opt_out",
        "DELETE /v1/opt-outs/{subject_type}/{subject_id}/{flag}": "clear_opt_out",
        "POST /v1/events": "post_events",
        "GET /v1/releases/current": "current_release",
        "GET /v1/admin/switches": "list_switches",
        "GET /v1/admin/switches/{name}": "read_switch",
        "PUT /v1/admin/switches/{name}": "set_switch",
        "DELETE /v1/admin/switches/{name}": "clear_switch",
        "GET /v1/admin/audit": "read_audit",
        "GET /v1/admin/trace": "trace_feed",
        "GET /healthz": "healthz",
        "GET /readyz": "readyz",
        "GET /metrics": "metrics",
    }


def test_every_call_under_v1_has_valid_examples(document):
    for name, call in calls(document):
        body = call.get("requestBody", {}).get("content", {}).get("application/json")
        answer = call["responses"]["200"]["content"].get("application/json")
        if " /v1/" in name:
            check_example(document, answer["schema"], answer["example"])
        if body:
            references = [node["$ref"] for node in nodes(body["schema"]) if isinstance(node, dict) and "$ref" in node]
            model = document["components"]["schemas"][references[0].rsplit("/", 1)[-1]]
            check_example(document, body["schema"], model["example"])


def check_example(document, schema, example):
    jsonschema.validate(example, {**schema, "components": document["components"]})


def test_words_with_a_fixed_list_are_enums(document):
    def words(schema: str, field: str) -> set[str]:
        found = list(nodes(document["components"]["schemas"][schema]["properties"][field]))
        names = [node["$ref"].rsplit("/", 1)[-1] for node in found if isinstance(node, dict) and "$ref" in node]
        enums = [document["components"]["schemas"][name] for name in names] + found
        return {word for node in enums if isinstance(node, dict) for word in node.get("enum", [])}

    assert words("FeedItem", "source") == set(SOURCES)
    assert words("Feed", "reason") == set(NotPersonalized)
    assert words("Explanation", "kind") == set(Signal)
    assert words("Explanation", "action") == set(Action)
    assert words("FlagState", "flag") == set(Flag)
    assert words("Event", "action") == set(Action)
    assert {"null_id", "erased", "bad_row"} <= words("RowError", "reason")


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
