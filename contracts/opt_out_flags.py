"""The opt-out flags, and what may be asked of which subject (docs/opt-outs.md)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from contracts.errors import UnknownOptOut
from contracts.ids import spellings


class SubjectType(StrEnum):
    """Who or what can be opted out."""

    USER = "user"
    ITEM = "item"
    CREATOR = "creator"


class Flag(StrEnum):
    """What the opt-out is from."""

    PERSONALIZATION = "personalization"
    TRAINING = "training"
    ERASURE = "erasure"
    RECOMMENDATION = "recommendation"


FLAGS = {
    SubjectType.USER: (Flag.PERSONALIZATION, Flag.TRAINING, Flag.ERASURE),
    SubjectType.ITEM: (Flag.RECOMMENDATION,),
    SubjectType.CREATOR: (Flag.RECOMMENDATION,),
}
"""The flags each subject type knows."""

UNREADABLE = (Flag.PERSONALIZATION, Flag.ERASURE)
"""With either flag, nothing of the user is read: no event, feature, history or vector."""


def checked(subject_type: str, flag: str) -> tuple[SubjectType, Flag]:
    """The two words as types. Raises `UnknownOptOut` naming the value and what is allowed."""
    if subject_type not in set(SubjectType):
        raise UnknownOptOut(f"unknown subject type {subject_type!r}; use one of {', '.join(SubjectType)}")
    subject = SubjectType(subject_type)
    if flag not in FLAGS[subject]:
        raise UnknownOptOut(f"a {subject} has no flag {flag!r}; use one of {', '.join(FLAGS[subject])}")
    return subject, Flag(flag)


@dataclass(frozen=True)
class OptOut:
    """One flag of one subject. `effective_at` is when it was last said (UTC)."""

    subject_type: SubjectType
    subject_id: str
    flag: Flag
    opted_out: bool
    effective_at: datetime


class OptOutReader(Protocol):
    """The questions that every door asks before it reads a user. Raises `OptOutStoreUnavailable`."""

    def flags(self, subject_type: SubjectType, subject_id: str) -> frozenset[Flag]:
        """The flags in force for one subject."""
        ...

    def subjects(self, subject_type: SubjectType, flags: Iterable[Flag]) -> frozenset[str]:
        """Every subject of a type that has at least one of `flags` in force."""
        ...


def opted_out(opt_outs: OptOutReader, subject_type: SubjectType, flags: Iterable[Flag]) -> frozenset[str]:
    """The subjects that have a flag in force, in every spelling of their ids."""
    return frozenset(spelled for id_ in opt_outs.subjects(subject_type, flags) for spelled in spellings(id_))
