"""Spans of requests, in the SDK's memory and at an endpoint."""

import http.server
import threading

from fastapi.testclient import TestClient
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from serving.http.app import create_app
from serving.http.request_tracing import RequestTracer

FEED = "/v1/users/{user_id}/home-feed"


def test_a_request_and_its_stages_are_spans_without_an_id(client):
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    client.app.state.tracer = RequestTracer(provider)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = client.get("/v1/users/user-1/home-feed", headers={"traceparent": parent})
    spans = {span.name: span for span in exporter.get_finished_spans()}
    request = spans.pop(f"GET {FEED}")
    assert spans.keys() == {"consent", "queue", "candidates", "features", "scores", "slate", "explanations"}
    assert f"{request.context.trace_id:032x}" == parent.split("-")[1]
    assert dict(request.attributes) == {
        "http.request.method": "GET",
        "http.route": FEED,
        "http.response.status_code": 200,
        "tastefeed.release": answer.json()["release"],
    }
    for stage in spans.values():
        assert stage.parent.span_id == request.context.span_id
        assert request.start_time <= stage.start_time <= stage.end_time <= request.end_time
        assert not stage.attributes


def test_spans_reach_the_endpoint(lake):
    received = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = lake.settings(otlp_endpoint=f"http://127.0.0.1:{server.server_port}")
        with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
            client.get("/v1/users/user-1/home-feed")
        server.shutdown()
    assert [path for path, _ in received] == ["/v1/traces"]
    assert b"home-feed" in received[0][1]
    assert b"user-1" not in received[0][1]
