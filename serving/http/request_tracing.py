"""OpenTelemetry traces: a span for each request and for each of its stages. A span has no id of a user or an item.

The packages of the extra `tracing` are imported only where an endpoint is set. Spans are made when the answer is sent,
from the times that were measured, and exported in the background.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from contracts import Settings
from contracts.errors import BadSetting
from contracts.request_stages import MeasuredStage

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""The variable that OpenTelemetry defines."""
PACKAGES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")
NANOSECONDS = 1_000_000_000
TRACE_HEADERS = ("traceparent", "tracestate")
SERVER_ERROR = 500


@dataclass(frozen=True)
class AnsweredRequest:
    """What a trace has of one request; `route` is the template of the path."""

    method: str
    route: str
    status: int
    started_ns: int
    seconds: float
    release: str | None = None
    stages: Iterable[MeasuredStage] = ()
    headers: dict[str, str] = field(default_factory=dict)
    """Those of `TRACE_HEADERS` that the client sent."""


class RequestTracer:
    """Makes the spans of requests."""

    def __init__(self, provider: "TracerProvider") -> None:
        """Spans go to the provider's exporter."""
        self._provider, self._tracer = provider, provider.get_tracer("tastefeed")

    def record(self, request: AnsweredRequest) -> None:
        """Make the span of a request, as a part of the client's trace where it sent one, and those of its stages."""
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        attributes: dict[str, str | int] = {
            "http.request.method": request.method,
            "http.route": request.route,
            "http.response.status_code": request.status,
        }
        if request.release is not None:
            attributes["tastefeed.release"] = request.release
        span = self._tracer.start_span(
            f"{request.method} {request.route}",
            TraceContextTextMapPropagator().extract(request.headers),
            SpanKind.SERVER,
            attributes,
            start_time=request.started_ns,
        )
        if request.status >= SERVER_ERROR:
            span.set_status(Status(StatusCode.ERROR))
        inside = set_span_in_context(span)
        for stage in request.stages:
            child = self._tracer.start_span(stage.name, inside, start_time=stage.started_ns)
            child.end(stage.started_ns + int(stage.seconds * NANOSECONDS))
        span.end(request.started_ns + int(request.seconds * NANOSECONDS))

    def close(self) -> None:
        """Export what is waiting."""
        self._provider.shutdown()


def tracing_endpoint(settings: Settings) -> str:
    """The URL in `TASTEFEED_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT`, or empty text.

    Raises `BadSetting` where the packages are missing.
    """
    endpoint = settings.otlp_endpoint or os.environ.get(ENDPOINT, "")
    if endpoint and not all(map(_is_installed, PACKAGES)):
        raise BadSetting(f"traces to {endpoint} need the extra: pip install 'tastefeed[tracing]'")
    return endpoint


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # its parent is missing
        return False


def tracer_of(settings: Settings) -> RequestTracer | None:
    """The tracer of the endpoint; none without one. Raises `BadSetting`."""
    endpoint = tracing_endpoint(settings)
    if not endpoint:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: "tastefeed"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")))
    return RequestTracer(provider)
