"""Administration over HTTP: the kill switches, and the audit of administrative calls."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Body, Path, Query, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from contracts.errors import ReleaseMissing
from contracts.ids import MAX_ID_LENGTH
from contracts.switches import BadSwitch, SwitchName, checked_switch
from serving.feed_trace import FeedTrace, trace_item
from serving.http.auth import ADMIN_KEY, caller
from serving.http.routes.request_parameters import ID_PATTERN, id_of_request
from serving.privacy.admin_audit import AdminAudit, AuditEntry
from serving.privacy.switch_store import SwitchState, SwitchStore
from serving.releases.publish import verify

router = APIRouter(prefix="/v1/admin", tags=["admin"], dependencies=ADMIN_KEY)
SwitchText = Annotated[str, Path(json_schema_extra={"enum": [*SwitchName]})]
NamedId = Annotated[
    str,
    BeforeValidator(id_of_request),
    Query(min_length=1, max_length=MAX_ID_LENGTH, json_schema_extra={"pattern": ID_PATTERN}),
]
MAX_VERSION_LENGTH = 64


class SwitchRequest(BaseModel):
    """The value of a switch: `off`, or the version of the release to pin."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"example": {"value": "off"}})

    value: Annotated[str | None, Field(max_length=MAX_VERSION_LENGTH)] = None


@router.get("/switches")
def list_switches(request: Request) -> list[SwitchState]:
    """All kill switches, set or not."""
    return _switches(request).show()


@router.get("/switches/{name}")
def read_switch(request: Request, name: SwitchText) -> SwitchState:
    """A kill switch; `value` is `null` where it is not set."""
    return _switches(request).get(name)


@router.put("/switches/{name}")
def set_switch(
    request: Request, name: SwitchText, asked: Annotated[SwitchRequest | None, Body()] = None
) -> SwitchState:
    """Switch something off for every feed, or pin a release, from the next request on in every worker. Only
    `pinned_release` needs a body. The release is verified first."""
    switch, value = checked_switch(name, asked.value if asked else None)
    if switch is SwitchName.PINNED_RELEASE:
        try:
            verify(request.app.state.settings.release_root, value)
        except ReleaseMissing as error:  # elsewhere this is the server's fault; here the request names the release
            raise BadSwitch(str(error)) from None
    return _switches(request).set(switch, value, by=caller(request))


@router.delete("/switches/{name}")
def clear_switch(request: Request, name: SwitchText) -> SwitchState:
    """Clear a kill switch, from the next request on in every worker."""
    return _switches(request).clear(name, by=caller(request))


@dataclass(frozen=True)
class AuditPage:
    """Entries of the audit, the newest first; `before` continues after the last one, `null` at the end."""

    entries: list[AuditEntry]
    before: int | None


@router.get("/audit")
def read_audit(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=1000, description="entries at most")] = 100,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="only entries with a lower number")] = None,
) -> AuditPage:
    """Who changed a switch, an opt-out or the release, and when. Subjects' ids are pseudonyms."""
    audit: AdminAudit = request.app.state.audit
    entries = audit.newest(limit, before)
    return AuditPage(entries, entries[-1].number if len(entries) == limit else None)


@router.get("/trace")
def trace_feed(request: Request, user_id: NamedId, item_id: NamedId) -> FeedTrace:
    """Why an item is at its place in a user's feed, or missing. The audit records the call, since the answer contains
    features of the user. Nothing of an opted-out user is read."""
    audit: AdminAudit = request.app.state.audit
    audit.user(caller(request), "trace", user_id)
    return trace_item(request.app.state.trace_feed, user_id, item_id)


def _switches(request: Request) -> SwitchStore:
    switches: SwitchStore = request.app.state.switches
    return switches
