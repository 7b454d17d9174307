"""The ids of users, items and creators in the opt-out store. `42` and `42.0` are one subject (`contracts.ids`)."""

from collections.abc import Iterable

from contracts.errors import BadId
from contracts.ids import read_id, spellings
from contracts.opt_out_flags import SubjectType, checked


def canonical(subject_id: str) -> str:
    """The one spelling that is stored."""
    return min(spellings(subject_id), key=len)


def all_spellings(ids: Iterable[str]) -> frozenset[str]:
    """Every id in all of its spellings."""
    return frozenset(spelling for subject in ids for spelling in spellings(subject))


def stored_id(subject: SubjectType, subject_id: str) -> str:
    """The one spelling that is stored. Raises `BadId`."""
    try:
        return canonical(read_id(subject_id))
    except BadId as error:
        raise BadId(f"the id of the {subject} {error}") from None


def subject_type_of(text: str) -> SubjectType:
    """The subject type with this name. Raises `UnknownOptOut`."""
    return SubjectType(text) if text in set(SubjectType) else checked(text, "")[0]
