"""The metrics of one process, and of several that share a folder."""

from datetime import UTC, datetime, timedelta

from serving.http.request_metrics import RequestMetrics
from serving.http.server_state import ServedRelease, ServerState
from serving.privacy.store_identity import Marker
from tests.serving.conftest import read_values


def values(metrics: RequestMetrics, state: ServerState | None = None) -> dict[str, float]:
    return read_values(metrics.exposition(state).decode())


def test_answers_are_counted_by_method_route_and_status():
    metrics = RequestMetrics()
    for status, seconds in ((200, 0.004), (200, 0.02), (503, 0.3)):
        metrics.observe("GET", "/readyz", status, seconds)
    counted = values(metrics)
    assert counted['tastefeed_requests_total{method="GET",route="/readyz",status="200"}'] == 2
    assert counted['tastefeed_requests_total{method="GET",route="/readyz",status="503"}'] == 1
    assert counted['tastefeed_request_seconds_count{method="GET",route="/readyz"}'] == 3
    assert counted['tastefeed_request_seconds_bucket{le="0.025",method="GET",route="/readyz"}'] == 2


def test_refusals_are_counted_by_problem(client, lake):
    client.app.state.opt_out_service.opt_outs._markers.read = lambda: Marker(
        identity="of another store", changes=1, at=datetime.now(UTC)
    )
    refused = client.put("/v1/opt-outs/user/user-1/personalization")
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:tastefeed:problem:opt-out-store-unavailable")
    counted = read_values(client.get("/metrics").text)
    assert counted['tastefeed_refusals_total{problem="opt-out-store-unavailable"}'] == 1


def test_a_request_that_was_not_parsed_has_no_duration():
    metrics = RequestMetrics()
    metrics.observe_unparsed(431)
    counted = values(metrics)
    assert counted['tastefeed_requests_total{method="other",route="unparsed",status="431"}'] == 1
    assert not [name for name in counted if name.startswith("tastefeed_request_seconds")]


def test_the_age_of_the_release():
    now = datetime.now(UTC)
    release = ServedRelease("v1", built_at=now - timedelta(hours=2), as_of=now - timedelta(hours=5))
    ages = values(RequestMetrics(), ServerState(release))
    assert 7200 <= ages["tastefeed_release_age_seconds"] < 7260
    assert 18000 <= ages["tastefeed_release_data_age_seconds"] < 18060


def test_two_applications_in_one_process_count_for_themselves():
    one, other = RequestMetrics(), RequestMetrics()
    one.events.labels("accepted").inc()
    assert values(one)['tastefeed_events_total{result="accepted"}'] == 1
    assert 'tastefeed_events_total{result="accepted"}' not in values(other)
