"""The HTTP API of opt-outs: read, set and clear one flag of one subject."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict

from contracts.opt_out_flags import Flag, SubjectType, checked
from serving.http.auth import ADMIN_KEY, caller
from serving.http.routes.request_parameters import PathId
from serving.privacy.admin_audit import AdminAudit
from serving.privacy.audit_rows import AuditRow
from serving.privacy.opt_out_service import OptOutService

router = APIRouter(prefix="/v1", tags=["opt-outs"], dependencies=ADMIN_KEY)
OPT_OUT = "/opt-outs/{subject_type}/{subject_id:id}/{flag}"
# text, not enums: the error for an unknown subject type or flag lists the valid ones
SubjectTypeText = Annotated[str, Path(json_schema_extra={"enum": [*SubjectType]})]
FlagText = Annotated[str, Path(json_schema_extra={"enum": [*Flag]}, description="users have all but recommendation")]


class FlagState(BaseModel):
    """One flag of one subject; `effective_at` is null where the flag was never set."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    subject_type: SubjectType
    subject_id: str
    flag: Flag
    opted_out: bool
    effective_at: datetime | None


@router.get(OPT_OUT)
def read_opt_out(request: Request, subject_type: SubjectTypeText, subject_id: PathId, flag: FlagText) -> FlagState:
    """The state of the flag now."""
    subject, name = checked(subject_type, flag)
    record = _service(request).opt_outs.get(subject, subject_id, name)
    if record is None:
        return FlagState(subject_type=subject, subject_id=subject_id, flag=name, opted_out=False, effective_at=None)
    return FlagState.model_validate(record)


@router.put(OPT_OUT)
def set_opt_out(request: Request, subject_type: SubjectTypeText, subject_id: PathId, flag: FlagText) -> FlagState:
    """Opt out, from the next request on. Erasure also drops the user's posted events."""
    entry = _audit_row(request, "opt_out.set", subject_type, subject_id, flag)
    return FlagState.model_validate(_service(request).opt_out(subject_type, subject_id, flag, entry))


@router.delete(OPT_OUT)
def clear_opt_out(request: Request, subject_type: SubjectTypeText, subject_id: PathId, flag: FlagText) -> FlagState:
    """Withdraw an opt-out, from the next request on."""
    entry = _audit_row(request, "opt_out.clear", subject_type, subject_id, flag)
    return FlagState.model_validate(_service(request).opt_in(subject_type, subject_id, flag, entry))


def _audit_row(request: Request, action: str, subject_type: str, subject_id: str, flag: str) -> AuditRow:
    audit: AdminAudit = request.app.state.audit
    return audit.of_opt_out(caller(request), action, subject_type, subject_id, flag)


def _service(request: Request) -> OptOutService:
    service: OptOutService = request.app.state.opt_out_service
    return service
