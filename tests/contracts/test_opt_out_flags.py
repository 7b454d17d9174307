import pytest

from contracts import Flag, SubjectType
from contracts.errors import UnknownOptOut
from contracts.opt_out_flags import checked


def test_words_become_types():
    assert checked("user", "erasure") == (SubjectType.USER, Flag.ERASURE)
    assert checked("creator", "recommendation") == (SubjectType.CREATOR, Flag.RECOMMENDATION)


def test_an_unknown_subject_is_named_with_the_known_ones():
    with pytest.raises(UnknownOptOut, match="unknown subject type 'robot'; use one of user, item, creator"):
        checked("robot", "erasure")


def test_a_flag_belongs_to_its_subject():
    with pytest.raises(UnknownOptOut, match="an item has no flag 'erasure'; use one of recommendation"):
        checked("item", "erasure")
