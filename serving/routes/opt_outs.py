"""`/v1/opt-outs/{subject_type}/{subject_id}/{flag}`: durable before the answer."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict

from contracts.opt_out_flags import Flag, OptOut, SubjectType, checked
from serving.auth import BEARER, may_administer
from serving.id_parameters import PathId
from serving.privacy.opt_out_service import Wishes

router = APIRouter(
    prefix="/v1/opt-outs/{subject_type}/{subject_id:id}/{flag}",
    tags=["opt-outs"],
    dependencies=[Depends(BEARER), Depends(may_administer)],
)
# text, not enums: an unknown one is a path that does not exist, and the error names those that do
SubjectTypeText = Annotated[str, Path(json_schema_extra={"enum": [*SubjectType]})]
FlagText = Annotated[str, Path(json_schema_extra={"enum": [*Flag]}, description="users have all but recommendation")]


class FlagState(BaseModel):
    """One flag of one subject; `effective_at` is null where nothing was ever said."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    subject_type: SubjectType
    subject_id: str
    flag: Flag
    opted_out: bool
    effective_at: datetime | None


@router.get("")
def read(request: Request, subject_type: SubjectTypeText, subject_id: PathId, flag: FlagText) -> FlagState:
    """The flag as it holds now."""
    subject, known = checked(subject_type, flag)
    said = _wishes(request).opt_outs.get(subject, subject_id, known)
    if said is None:
        return FlagState(subject_type=subject, subject_id=subject_id, flag=known, opted_out=False, effective_at=None)
    return _state(said)


@router.put("")
def opt_out(request: Request, subject_type: SubjectTypeText, subject_id: PathId, flag: FlagText) -> FlagState:
    """Opt out, from the next request on. Erasure also drops the user's posted events."""
    return _state(_wishes(request).opt_out(subject_type, subject_id, flag))


@router.delete("")
def opt_in(request: Request, subject_type: SubjectTypeText, subject_id: PathId, flag: FlagText) -> FlagState:
    """Take an opt-out back, from the next request on."""
    return _state(_wishes(request).opt_in(subject_type, subject_id, flag))


def _state(said: OptOut) -> FlagState:
    return FlagState.model_validate(said)


def _wishes(request: Request) -> Wishes:
    wishes: Wishes = request.app.state.wishes
    return wishes
