import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BadId
from contracts.ids import BLANKS, MAX_ID_LENGTH, is_id, read_id, spellings


@pytest.mark.parametrize(("value", "read"), [
    ("ann", "ann"), (" 42\t", "42"), ("42\r\n", "42"), ("\u3000ann\xa0", "ann"), ("two words", "two words"),
    (42, "42"), (-7, "-7"), (10**20, "1" + "0" * 20), (42.0, "42"),
    ("42.0", "42"), (" 42.0 ", "42"), ("-1.0", "-1"), ("0.0", "0"),
    ("007.0", "007.0"), ("42.00", "42.00"), ("42.5", "42.5"), ("v1.0", "v1.0"), ("1.2.0", "1.2.0"),
    ("007", "007"), ("at://did:plc:x/app.feed/3k?a=1#f", "at://did:plc:x/app.feed/3k?a=1#f"), ("é", "é"),
    ("null", "null"),
    ("x" * MAX_ID_LENGTH, "x" * MAX_ID_LENGTH), (" " * 600 + "x", "x"),
])  # fmt: skip
def test_what_an_id_is_read_as(value, read):
    assert read_id(value) == read


@pytest.mark.parametrize(("value", "why"), [
    ("", "is blank; give an id"), (" \t\n\x85", "is blank; give an id"),
    ("x" * 513, "is longer than 512 characters (513); give a shorter id"),
    ("a\x00", "holds a control character or a lone surrogate; remove it"), ("a\x00b", "holds a control"),
    ("a\nb", "holds a control"), ("a\x7fb", "holds a control"), ("a\x9fb", "holds a control"),
    ("u\ud83d", "holds a control"),
    (None, "is neither text nor an integer; send the id as text"), (True, "is neither"), (4.5, "is neither"),
    (float("nan"), "is neither"), (float("inf"), "is neither"), ([], "is neither"), (b"x", "is neither"),
    (2.0**53, "is a float too large to be exact; send the id as text"),
])  # fmt: skip
def test_what_is_no_id_and_why(value, why):
    with pytest.raises(BadId) as refusal:
        read_id(value)
    assert str(refusal.value).startswith(why)


@given(st.text(max_size=20) | st.integers() | st.floats())
def test_an_id_read_again_is_the_same(value):
    if is_id(value):
        read = read_id(value)
        assert is_id(read)
        assert read_id(read) == read
        assert read == read.strip(BLANKS)
        assert read in spellings(read)


@given(st.text(max_size=20))
def test_spellings_are_those_of_one_id(text):
    if is_id(text):
        first = read_id(text)
        assert {read_id(spelling) for spelling in spellings(first)} == {first}


@pytest.mark.parametrize(("id_", "both"), [
    ("42", {"42", "42.0"}), ("42.0", {"42", "42.0"}), ("ann", {"ann"}), ("007", {"007"}), ("4.5", {"4.5"}),
])  # fmt: skip
def test_an_integer_has_two_spellings(id_, both):
    assert set(spellings(id_)) == both
