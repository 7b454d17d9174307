from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.cursor import MAX_CURSOR_LENGTH, MAX_SHOWN, BadCursor, Cursor, decoded, item_hashes

TOP = Cursor(release="2017-03-01-0123456789ab", personalized=True, since=datetime.now(UTC), offset=0, rank=0)


def after(cursor: Cursor, *items: str) -> Cursor:
    hashes = item_hashes(np.array(items, dtype=np.str_))
    return cursor.after(hashes, release="next", personalized=False, offset=9)


def test_names_what_was_shown():
    cursor = decoded(after(after(TOP, "a", "b"), "c").encoded())
    assert (cursor.rank, cursor.complete, cursor.release, cursor.offset) == (3, True, "", 9)
    assert cursor.hashes.tolist() == item_hashes(np.array(["a", "b", "c"])).tolist()


def test_hashes_do_not_change_with_the_process():
    assert item_hashes(np.array(["i1", "é"])).tolist() == [568026612, 3259254165]


def test_fits_in_an_address_however_long_the_list():
    full = after(TOP, *map(str, range(MAX_SHOWN)))
    assert full.complete
    assert len(full.encoded()) < MAX_CURSOR_LENGTH
    more = decoded(after(full, "one more").encoded())
    assert (more.rank, more.complete, more.shown) == (MAX_SHOWN + 1, False, b"")
    assert not after(more, "and more").complete


@pytest.mark.parametrize("shown", [b"123", b"1234" * (MAX_SHOWN + 1)])
def test_refuses_what_it_never_wrote(shown):
    with pytest.raises(BadCursor, match="leave it out to start at the top"):
        decoded(TOP.model_copy(update={"shown": shown}).encoded())


@given(st.text() | st.binary().map(lambda data: TOP.model_copy(update={"shown": data}).encoded()))
def test_any_text_is_read_or_refused(text):
    with suppress(BadCursor):
        assert isinstance(decoded(text), Cursor)
