"""The ids of subjects in the opt-out store."""

import pytest

from contracts import SubjectType
from contracts.errors import BadId, UnknownOptOut
from serving.privacy.subject_ids import all_spellings, canonical, stored_id, subject_type_of


def test_spellings_of_an_id():
    assert canonical("42.0") == canonical("42") == "42"
    assert all_spellings(["42", "ann"]) == {"42", "42.0", "ann"}
    assert stored_id(SubjectType.USER, " 42.0 ") == "42"
    with pytest.raises(BadId, match="the id of the creator "):
        stored_id(SubjectType.CREATOR, "")


def test_an_unknown_subject_type_is_refused():
    assert subject_type_of("creator") is SubjectType.CREATOR
    with pytest.raises(UnknownOptOut, match="unknown subject type 'robot'"):
        subject_type_of("robot")
