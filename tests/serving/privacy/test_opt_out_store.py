import multiprocessing
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url

from contracts import Flag, OptOut, SubjectType
from contracts.errors import BadId, OptOutStoreUnavailable, UnknownOptOut
from serving.privacy.opt_out_store import OptOutStore

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/lake/opt_outs.db"


@pytest.fixture
def beside(tmp_path):
    return [tmp_path / "lake", tmp_path / "lake" / "releases"]


@pytest.fixture
def store(url, beside):
    store = OptOutStore(url, beside=beside)
    store.create()
    return store


def word(at: datetime, *, out: bool, who: str = "ann", flag: Flag = Flag.PERSONALIZATION) -> OptOut:
    return OptOut(SubjectType.USER, who, flag, out, at)


def test_an_empty_store(store):
    assert store.flags(SubjectType.USER, "ann") == frozenset()
    assert store.show("user", "ann") == []
    assert store.get("user", "ann", "erasure") is None
    assert not store.active("ann").forbids_profile


def test_set_show_clear(store):
    record = store.set("user", "ann", "training")
    assert store.flags(SubjectType.USER, "ann") == {Flag.TRAINING}
    assert store.show("user", "ann") == [record]
    assert abs(record.effective_at - datetime.now(UTC)) < timedelta(seconds=5)
    store.clear("user", "ann", "training")
    assert store.flags(SubjectType.USER, "ann") == frozenset()
    assert [(w.flag, w.opted_out) for w in store.show("user", "ann")] == [(Flag.TRAINING, False)]


def test_setting_a_flag_again_changes_nothing(store):
    store.set("user", "ann", "training")
    again = store.set("user", "ann", "training")
    assert store.show("user", "ann") == [again]


def test_another_store_on_the_same_file_sees_it_at_once(store, url, beside):
    other = OptOutStore(url, beside=beside)
    assert other.flags(SubjectType.USER, "ann") == frozenset()
    store.set("user", "ann", "personalization")
    assert other.flags(SubjectType.USER, "ann") == {Flag.PERSONALIZATION}


def test_subjects_with_any_of_some_flags(store):
    store.set("user", "ann", "erasure")
    store.set("user", "bob", "personalization")
    store.set("user", "cid", "training")
    store.set("item", "ann", "recommendation")  # an item of the same name is another subject
    assert store.subjects(SubjectType.USER, [Flag.ERASURE, Flag.PERSONALIZATION]) == {"ann", "bob"}
    assert store.subjects(SubjectType.ITEM, [Flag.RECOMMENDATION]) == {"ann"}


def test_standing_is_everything_a_feed_must_respect(store):
    store.set("user", "ann", "erasure")
    store.set("user", "bob", "personalization")
    store.set("item", "i1", "recommendation")
    store.set("creator", "c1", "recommendation")
    active = store.active("ann")
    assert active.flags == {Flag.ERASURE}
    assert active.forbids_profile
    assert (active.items, active.creators) == ({"i1"}, {"c1"})
    assert store.active(None).flags == frozenset()


@pytest.mark.parametrize("order", [1, -1])
def test_an_import_keeps_the_newest_word_in_any_order(store, order):
    words = [word(NOW - 3 * HOUR, out=True), word(NOW - HOUR, out=False), word(NOW - 2 * HOUR, out=True)]
    assert store.load(words[::order]) == 3
    assert store.flags(SubjectType.USER, "ann") == frozenset()


def test_a_word_of_the_future_holds_only_then(store):
    later = word(NOW + 25 * HOUR, out=True, who="bob")
    store.load([word(NOW - HOUR, out=True), word(NOW + HOUR, out=False), later])
    assert store.flags(SubjectType.USER, "ann") == {Flag.PERSONALIZATION}  # the later word has not undone it yet
    assert store.flags(SubjectType.USER, "bob") == frozenset()
    assert store.coming("user", "bob") == [later]
    assert [(w.opted_out, w.effective_at) for w in store.coming("user", "ann")] == [(False, NOW + HOUR)]


def test_an_old_file_imported_again_does_not_undo_later_changes(store):
    old = [word(NOW - HOUR, out=True)]
    store.load(old)
    store.clear("user", "ann", "personalization")
    store.load(old)
    assert store.flags(SubjectType.USER, "ann") == frozenset()


def test_a_change_replaces_a_future_record(store):
    store.load([word(NOW + timedelta(milliseconds=1), out=False)])
    store.set("user", "ann", "personalization")
    assert store.flags(SubjectType.USER, "ann") == {Flag.PERSONALIZATION}


def test_both_ways_at_one_instant_is_out(store):
    store.load([word(NOW - HOUR, out=True), word(NOW - HOUR, out=False)])
    assert store.flags(SubjectType.USER, "ann") == {Flag.PERSONALIZATION}


def test_words_without_a_zone_are_utc(store):
    store.load([word((NOW - HOUR).replace(tzinfo=None), out=True)])
    assert store.show("user", "ann")[0].effective_at == NOW - HOUR


def test_unknown_words_are_named(store):
    with pytest.raises(UnknownOptOut, match="unknown subject type 'robot'; use one of user, item, creator"):
        store.set("robot", "r2", "training")
    with pytest.raises(UnknownOptOut, match="unknown subject type 'robot'"):
        store.show("robot", "r2")
    with pytest.raises(UnknownOptOut, match="an item has no flag 'erasure'; use one of recommendation"):
        store.clear("item", "i1", "erasure")


def test_a_file_that_is_no_database(store, url):
    store.set("user", "ann", "erasure")
    for path in (file := Path(make_url(url).database)).parent.glob("opt_outs.db*"):
        path.write_bytes(b"garbage" * 1000)
    with pytest.raises(
        OptOutStoreUnavailable, match=r"file is not a database.*TASTEFEED_OPT_OUT_URL.*no feed is personalized"
    ):
        store.flags(SubjectType.USER, "ann")
    assert file.exists()


def test_a_lost_file_is_not_an_empty_one(store, url):
    store.set("user", "ann", "erasure")
    Path(make_url(url).database).unlink()
    with pytest.raises(OptOutStoreUnavailable, match="unable to open database file"):
        store.flags(SubjectType.USER, "ann")


def test_a_database_that_is_away(beside):
    with pytest.raises(OptOutStoreUnavailable, match=r"postgresql\+psycopg://me:\*\*\*@127.0.0.1:1/none") as refused:
        OptOutStore("postgresql+psycopg://me:secret@127.0.0.1:1/none", beside=beside).flags(SubjectType.USER, "u-42")
    assert "secret" not in str(refused.value)
    assert "u-42" not in str(refused.value)


def _write(url: str, beside: list[Path], who: str) -> None:
    store = OptOutStore(url, beside=beside)
    for number in range(20):
        store.set("user", f"{who}{number}", "training")


def test_two_processes_write_at_once(store, url, beside):
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_write, args=(url, beside, who)) for who in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(store.subjects(SubjectType.USER, [Flag.TRAINING])) == 40


class TestAnInstantThatLiesAhead:
    """A sender in another time zone writes instants that lie ahead of ours, and means now."""

    def test_an_opt_out_less_than_a_day_ahead_holds_at_once(self, store):
        store.load([word(NOW + 9 * HOUR, out=True), word(NOW + 23 * HOUR, out=True, who="bob")])
        for user in ("ann", "bob"):
            assert store.active(user).forbids_profile
        assert store.subjects(SubjectType.USER, [Flag.PERSONALIZATION]) == {"ann", "bob"}
        assert store.coming("user", "ann") == []
        assert store.show("user", "ann")[0].effective_at == NOW + 9 * HOUR

    def test_an_opt_in_ahead_does_not(self, store):
        store.load([word(NOW - HOUR, out=True), word(NOW + 9 * HOUR, out=False)])
        assert store.active("ann").forbids_profile

    @pytest.mark.parametrize("order", [1, -1])
    def test_an_older_word_does_not_beat_a_newer_one(self, store, order):
        """Both of one system whose clock reads nine hours more: it took back at 7, and opted out again at 8."""
        store.load([word(NOW + 7 * HOUR, out=False), word(NOW + 8 * HOUR, out=True)][::order])
        assert store.active("ann").forbids_profile
        store.load([word(NOW - HOUR, out=False)])
        assert store.active("ann").forbids_profile

    def test_a_change_replaces_it(self, store):
        store.load([word(NOW + 9 * HOUR, out=True)])
        store.clear("user", "ann", "personalization")
        assert not store.active("ann").forbids_profile

    def test_for_items_too_and_nothing_that_was_read_before_hides_it(self, store):
        assert store.active(None).items == frozenset()
        store.load([OptOut(SubjectType.ITEM, "i1", Flag.RECOMMENDATION, True, NOW + 9 * HOUR)])
        assert store.active(None).items == {"i1"}

    def test_a_word_comes_to_hold_by_itself(self, store):
        """What is withheld is read again when its time comes, and no sooner by another user's word."""
        soon = datetime.now(UTC) + timedelta(seconds=1)
        store.load([
            OptOut(SubjectType.ITEM, "i1", Flag.RECOMMENDATION, True, NOW - HOUR),
            OptOut(SubjectType.ITEM, "i1", Flag.RECOMMENDATION, False, soon),
        ])  # fmt: skip
        assert store.active(None).items == {"i1"}
        while datetime.now(UTC) <= soon:
            pass
        assert store.active(None).items == frozenset()


class TestSpellings:
    @pytest.mark.parametrize(("stored", "queried"), [("42", "42.0"), ("42.0", "42"), ("42", "42"), (" 42 ", "42")])
    def test_both_spellings_are_one_subject(self, store, stored, queried):
        store.set("user", stored, "personalization")
        assert store.flags(SubjectType.USER, queried) == {Flag.PERSONALIZATION}
        assert store.active(queried).forbids_profile
        assert [w.subject_id for w in store.show("user", queried)] == ["42"]
        assert store.subjects(SubjectType.USER, [Flag.PERSONALIZATION]) == {"42", "42.0"}
        assert store.among(SubjectType.USER, ["41", queried], [Flag.PERSONALIZATION]) == {queried}
        store.clear("user", queried, "personalization")
        assert store.flags(SubjectType.USER, stored.strip()) == frozenset()

    def test_items_and_creators(self, store):
        store.set("item", "7.0", "recommendation")
        store.set("creator", "8", "recommendation")
        active = store.active(None)
        assert (active.items, active.creators) == ({"7", "7.0"}, {"8", "8.0"})

    def test_rows_of_before_in_both_spellings(self, store, url):
        with closing(sqlite3.connect(make_url(url).database)) as connection, connection:
            row = "INSERT INTO opt_outs VALUES ('user', ?, 'personalization', ?, ?)"
            connection.executemany(row, [("42", 1_000_000, 0), ("42.0", 2_000_000, 1), ("43.0", 1, 1), ("43", 2, 0)])
        assert store.flags(SubjectType.USER, "42") == {Flag.PERSONALIZATION}
        assert store.flags(SubjectType.USER, "43.0") == frozenset()

    def test_what_only_looks_alike_is_another(self, store):
        store.set("user", "042", "personalization")
        store.set("user", "4.20", "personalization")
        for other in ("42", "42.0", "4.2", "042.0"):
            assert not store.active(other).forbids_profile

    @pytest.mark.parametrize("bad", ["", "  ", "\ufeff\x00", "a\nb", "\ud800", "x" * 513])
    def test_what_is_no_id_is_refused_before_anything_is_kept(self, store, bad):
        good = word(NOW - HOUR, out=True, who="bob")
        for write in (
            lambda: store.set("user", bad, "erasure"),
            lambda: store.clear("user", bad, "erasure"),
            lambda: store.show("user", bad),
            lambda: store.load([good, word(NOW - HOUR, out=True, who=bad)]),
        ):
            with pytest.raises(BadId, match="the id of the user "):
                write()
        assert store.check().changes == 0


def test_an_import_does_not_undo_an_opt_out_of_the_same_instant(store):
    store.load([word(NOW - HOUR, out=True)])
    store.load([word(NOW - HOUR, out=False)])
    assert store.active("ann").forbids_profile


def test_a_long_past_is_dropped_and_what_holds_stays(store):
    store.load([word(NOW - minutes * timedelta(minutes=1), out=minutes % 2 == 1) for minutes in range(1, 2001)])
    store.load([word(NOW + 48 * HOUR, out=False)])
    identity = store.check()
    assert (identity.expected_rows, identity.rows, identity.changes) == (2, 2, 2001)
    assert store.active("ann").forbids_profile
    assert [w.effective_at for w in store.coming("user", "ann")] == [NOW + 48 * HOUR]


def test_many_flags_of_items_are_read_once_and_not_at_every_feed(store):
    count = 5_000
    store.load(OptOut(SubjectType.ITEM, f"i{row}", Flag.RECOMMENDATION, True, NOW) for row in range(count))
    first = store.active("ann")
    store.set("user", "bob", "training")
    again = store.active("bob")
    assert len(first.items) == count
    assert again.items is first.items
    store.clear("item", "i7", "recommendation")
    assert len(store.active("ann").items) == count - 1
