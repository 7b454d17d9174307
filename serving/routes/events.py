"""`POST /v1/events`: a batch for the landing zone."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from serving.auth import BEARER, may_read
from serving.event_validation import Event, Receipt, take_in
from serving.request_metrics import Metrics

router = APIRouter(tags=["events"], dependencies=[Depends(BEARER), Depends(may_read)])


class Batch(BaseModel):
    """Rows of the events table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    events: Annotated[
        list[Any],  # rows are read one by one: a bad one is its own error, not the batch's
        Field(max_length=1000, json_schema_extra={"items": Event.model_json_schema()}),
    ]


@router.post("/v1/events")
def post_events(request: Request, batch: Batch) -> Receipt:
    """Store the rows that are right, durably, and tell which are not; posting again stores nothing twice."""
    state: Any = request.app.state
    receipt = take_in(batch.events, state.wishes.pending, state.wishes.opt_outs)
    metrics: Metrics = state.metrics
    metrics.events.labels("accepted").inc(receipt.accepted)
    for error in receipt.errors:
        metrics.events.labels(error.reason).inc()
    return receipt
