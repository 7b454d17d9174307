"""The opt-out flags, and which subject types have which flags (docs/opt-outs.md)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from contracts.errors import UnknownOptOut
from contracts.ids import spellings
from contracts.switches import Switches


class SubjectType(StrEnum):
    """What can be opted out."""

    USER = "user"
    ITEM = "item"
    CREATOR = "creator"


class Flag(StrEnum):
    """What a subject opts out of."""

    PERSONALIZATION = "personalization"
    TRAINING = "training"
    ERASURE = "erasure"
    RECOMMENDATION = "recommendation"


FLAGS = {
    SubjectType.USER: (Flag.PERSONALIZATION, Flag.TRAINING, Flag.ERASURE),
    SubjectType.ITEM: (Flag.RECOMMENDATION,),
    SubjectType.CREATOR: (Flag.RECOMMENDATION,),
}
"""The flags of each subject type."""

UNREADABLE = (Flag.PERSONALIZATION, Flag.ERASURE)
"""With either flag, no event, feature, history or vector of the user is read."""


def checked(subject_type: str, flag: str, *, quote: bool = True) -> tuple[SubjectType, Flag]:
    """Subject type and flag as types. Raises `UnknownOptOut` with the allowed values, and the given one if `quote`: a
    value of a file may be an id in the wrong column."""
    if subject_type not in set(SubjectType):
        given = f" {subject_type!r}" if quote else ""
        raise UnknownOptOut(f"unknown subject type{given}; use one of {', '.join(SubjectType)}")
    subject = SubjectType(subject_type)
    if flag not in FLAGS[subject]:
        article = "an" if subject == SubjectType.ITEM else "a"
        wrong = f"flag {flag!r}" if quote else "such flag"
        raise UnknownOptOut(f"{article} {subject} has no {wrong}; use one of {', '.join(FLAGS[subject])}")
    return subject, Flag(flag)


@dataclass(frozen=True)
class OptOut:
    """One flag of one subject. `effective_at` is the instant (UTC) from which it holds."""

    subject_type: SubjectType
    subject_id: str
    flag: Flag
    opted_out: bool
    effective_at: datetime


class OptOutReader(Protocol):
    """Queries that every entry point runs before it reads a user's data. Raises `OptOutStoreUnavailable`."""

    def flags(self, subject_type: SubjectType, subject_id: str) -> frozenset[Flag]:
        """The active flags of one subject."""
        ...

    def subjects(self, subject_type: SubjectType, flags: Iterable[Flag]) -> frozenset[str]:
        """Every subject of a type for which at least one of `flags` is active."""
        ...

    def switches(self) -> Switches:
        """The kill switches, which hold for every list."""
        ...


def opted_out(opt_outs: OptOutReader, subject_type: SubjectType, flags: Iterable[Flag]) -> frozenset[str]:
    """The subjects with an active flag, in every spelling of their ids."""
    return frozenset(spelled for id_ in opt_outs.subjects(subject_type, flags) for spelled in spellings(id_))
