"""The HTTP API of events: post rows of the events table."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from serving.event_validation import Event, Receipt, store_valid_events
from serving.http.auth import FEED_KEY
from serving.http.request_metrics import RequestMetrics
from serving.http.routes import openapi_examples

router = APIRouter(prefix="/v1", tags=["events"], dependencies=FEED_KEY)


class Batch(BaseModel):
    """Rows of the events table."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"example": openapi_examples.EVENTS})

    events: Annotated[
        list[Any],  # rows are validated one by one: an invalid row is an error of its own, not of the batch
        Field(max_length=1000, json_schema_extra={"items": Event.model_json_schema()}),
    ]


@router.post("/events")
def post_events(request: Request, batch: Batch) -> Receipt:
    """Store the valid rows durably and report the others; a row that is posted again is stored once."""
    state: Any = request.app.state
    receipt = store_valid_events(batch.events, state.event_store, state.opt_out_service.opt_outs)
    metrics: RequestMetrics = state.metrics
    metrics.events.labels("accepted").inc(receipt.accepted)
    for error in receipt.errors:
        metrics.events.labels(error.reason).inc()
    return receipt
