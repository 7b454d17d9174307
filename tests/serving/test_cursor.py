import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import Settings
from serving.cursor import (
    KEY_FILE,
    MAX_CURSOR_LENGTH,
    MAX_SHOWN,
    BadCursor,
    Cursor,
    CursorSigner,
    item_hashes,
    signing_keys,
)

TOP = Cursor(release="2017-03-01-0123456789ab", personalized=True, since=datetime.now(UTC), offset=0, rank=0)
SIGNER = CursorSigner("k2, k1")


def after(cursor: Cursor, *items: str) -> Cursor:
    hashes = item_hashes(np.array(items, dtype=np.str_))
    return cursor.after(hashes, release="next", personalized=False, offset=9)


def test_names_what_was_shown():
    cursor = SIGNER.decoded(SIGNER.encoded(after(after(TOP, "a", "b"), "c")))
    assert (cursor.rank, cursor.complete, cursor.release, cursor.offset) == (3, True, "", 9)
    assert cursor.hashes.tolist() == item_hashes(np.array(["a", "b", "c"])).tolist()


def test_hashes_do_not_change_with_the_process():
    assert item_hashes(np.array(["i1", "é"])).tolist() == [568026612, 3259254165]


def test_fits_in_an_address_however_long_the_list():
    full = after(TOP, *map(str, range(MAX_SHOWN)))
    assert full.complete
    assert len(SIGNER.encoded(full)) < MAX_CURSOR_LENGTH
    more = SIGNER.decoded(SIGNER.encoded(after(full, "one more")))
    assert (more.rank, more.complete, more.shown) == (MAX_SHOWN + 1, False, b"")
    assert not after(more, "and more").complete


@given(st.text() | st.binary().map(lambda data: SIGNER.encoded(TOP.model_copy(update={"shown": data}))))
def test_any_text_is_read_or_refused(text):
    with suppress(BadCursor):
        assert isinstance(SIGNER.decoded(text), Cursor)


def test_a_cursor_that_was_changed_or_written_by_others_is_refused():
    text = SIGNER.encoded(TOP)
    content, _, signature = text.rpartition(".")
    unsigned = CursorSigner("other").encoded(TOP)
    changed = SIGNER.encoded(TOP.model_copy(update={"rank": 7})).rpartition(".")[0]
    for forged in [content, unsigned, f"{changed}.{signature}", f"{text}A", text[:-1], f"{text}.", "é", ""]:
        with pytest.raises(BadCursor, match="leave it out to start at the top"):
            SIGNER.decoded(forged)


def test_keys_can_be_replaced_without_ending_cursors():
    old, both, new = CursorSigner("k1"), CursorSigner("k2,k1"), CursorSigner("k2")
    assert both.decoded(old.encoded(TOP)) == new.decoded(both.encoded(TOP)) == TOP
    with pytest.raises(BadCursor):
        new.decoded(old.encoded(TOP))


def test_servers_of_a_lake_share_a_key(tmp_path):
    settings = Settings(lake=str(tmp_path))
    with ThreadPoolExecutor(8) as servers:
        keys = set(servers.map(lambda _: signing_keys(settings), range(8)))
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o640
    assert signing_keys(Settings(lake=str(tmp_path), cursor_keys="k1")) == "k1"
    assert signing_keys(Settings(lake=str(tmp_path / "none"))) not in keys
