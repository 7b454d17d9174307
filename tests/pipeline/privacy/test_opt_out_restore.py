"""`tastefeed init` and `tastefeed opt-out restore` on the command line."""

import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contracts import Flag, SubjectType
from pipeline.privacy.opt_out_backups import KEPT, backups, last_backup
from pipeline.privacy.opt_out_lake import OptOutLake
from tests import tiny

USER = SubjectType.USER


def command(*words: object) -> str:
    done = tiny.tastefeed_here(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(*words: object) -> str:
    done = tiny.tastefeed_here(*words)
    assert done.returncode == 1, done.stdout
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake with users, whose night has kept a backup."""
    lake = tmp_path / "lake"
    tiny.ingest(lake)
    command("opt-out", "set", "user", tiny.name(1), "personalization", "--lake", lake)
    OptOutLake.of(str(lake)).back_up()
    return lake


def lose(lake: Path) -> None:
    for path in lake.glob("opt_outs.db*"):
        path.unlink()


def test_init_makes_a_lake_once(tmp_path: Path) -> None:
    lake = tmp_path / "new" / "lake"
    assert command("init", "--lake", lake) == f"{lake}: ready\n"
    command("opt-out", "set", "user", "42", "erasure", "--lake", lake)
    command("init", "--lake", lake)
    assert "erasure" in command("opt-out", "show", "user", "42", "--lake", lake)


def test_nothing_makes_a_lost_store_anew(lake: Path) -> None:
    events = lake.parent / "more.csv"
    events.write_text("user_id,item_id,action,timestamp\nsome-user,item-01,click,2017-03-01\n")
    opt_outs = lake.parent / "opt_outs.csv"
    opt_outs.write_text("subject_type,subject_id,flag,opted_out,effective_at\nuser,x,training,true,2017-01-01\n")
    lose(lake)
    for words in (
        ("init",),
        ("import", "--events", events),
        ("import", "--opt-outs", opt_outs),
        ("opt-out", "set", "user", "42", "erasure"),
        ("opt-out", "clear", "user", "42", "erasure"),
        ("opt-out", "show", "user", tiny.name(1)),
    ):
        assert "tastefeed opt-out restore" in refused(*words, "--lake", lake)
        assert not list(lake.glob("opt_outs.db*"))
    night = tiny.tastefeed_here("nightly", "--lake", lake)
    assert night.returncode == 1
    assert "tastefeed opt-out restore" in night.stderr


def test_a_lake_that_lost_its_markers_too_is_known_by_its_backups(lake: Path) -> None:
    lose(lake)
    for marker in lake.rglob(".opt_out_store.json"):
        marker.unlink()
    assert "this lake had an opt-out store" in refused("init", "--lake", lake)
    assert "restored 1 opt-outs" in command("opt-out", "restore", "--lake", lake)


def test_restore_brings_the_backup_back_and_reports_what_is_lost(lake: Path) -> None:
    command("opt-out", "set", "user", tiny.name(2), "training", "--lake", lake)
    lose(lake)
    output = command("opt-out", "restore", "--lake", lake)
    assert re.match(
        r"restored 1 opt-outs of the backup of 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC\n1 opt-outs were recorded since",
        output,
    )
    assert "-zq" not in output
    assert "personalization" in command("opt-out", "show", "user", tiny.name(1), "--lake", lake)
    assert command("opt-out", "show", "user", tiny.name(2), "--lake", lake) == ""
    lose(lake)  # a second time: the restore has kept a backup of its own
    assert "nothing is lost" in command("opt-out", "restore", "--lake", lake)


def test_what_is_known_elsewhere_is_recovered(lake: Path) -> None:
    """Erasures by their tombstones among the posted events, items and creators by what is kept beside the releases."""
    command("opt-out", "set", "user", tiny.name(2), "erasure", "--lake", lake)
    command("opt-out", "set", "item", "item-07", "recommendation", "--lake", lake)
    command("opt-out", "set", "creator", "bob", "recommendation", "--lake", lake)
    lose(lake)
    assert "3 opt-outs were recorded since, and 3 of them were found" in command("opt-out", "restore", "--lake", lake)
    store = OptOutLake.of(str(lake)).opt_out_service.opt_outs
    assert store.flags(USER, tiny.name(2)) == {Flag.ERASURE}
    standing = store.active(None)
    assert (standing.items, standing.creators) == ({"item-07"}, {"bob"})


def test_the_lost_store_is_refused_when_it_turns_up_again(lake: Path, tmp_path: Path) -> None:
    for path in lake.glob("opt_outs.db*"):
        shutil.copy(path, tmp_path / path.name)
    lose(lake)
    command("opt-out", "restore", "--lake", lake)
    lose(lake)
    for path in tmp_path.glob("opt_outs.db*"):
        shutil.copy(path, lake / path.name)
    assert "is another store than the one this lake had" in refused("opt-out", "show", "user", "42", "--lake", lake)


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000])
def test_a_broken_file_is_moved_aside(lake: Path, content: bytes) -> None:
    lose(lake)
    (lake / "opt_outs.db").write_bytes(content)
    command("opt-out", "restore", "--lake", lake)
    assert "personalization" in command("opt-out", "show", "user", tiny.name(1), "--lake", lake)
    assert [path.read_bytes() for path in lake.glob("opt_outs.db.replaced-*")] == [content]


def test_a_whole_store_is_replaced_only_by_force(lake: Path) -> None:
    command("opt-out", "set", "user", tiny.name(2), "training", "--lake", lake)
    assert "is whole, nothing was restored" in refused("opt-out", "restore", "--lake", lake)
    assert "1 opt-outs were recorded since" in command("opt-out", "restore", "--force", "--lake", lake)


def test_the_store_of_another_lake_is_replaced_only_by_force(lake: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    command("init", "--lake", other)
    command("opt-out", "set", "user", "42", "training", "--lake", other)
    setting = {"TASTEFEED_OPT_OUT_URL": f"sqlite:///{other}/opt_outs.db"}
    done = tiny.tastefeed_here("opt-out", "restore", "--lake", lake, **setting)
    assert done.returncode == 1
    assert "of another lake; correct TASTEFEED_OPT_OUT_URL" in done.stderr
    assert "training" in command("opt-out", "show", "user", "42", "--lake", other)


def test_without_a_backup(lake: Path) -> None:
    shutil.rmtree(lake / "opt_out_backups")
    lose(lake)
    assert "there is no backup" in refused("opt-out", "restore", "--lake", lake)
    assert "is empty now" in command("opt-out", "restore", "--force", "--lake", lake)
    assert command("opt-out", "show", "user", tiny.name(1), "--lake", lake) == ""


def test_the_last_few_backups_are_kept_whole(lake: Path) -> None:
    kept = OptOutLake.of(str(lake))
    (lake / "opt_out_backups" / "20170101T000000000000Z.parquet.half").write_bytes(b"PAR1")
    for _ in range(KEPT + 2):
        kept.back_up()
    assert len(list((lake / "opt_out_backups").iterdir())) == len(backups(kept.home)) == KEPT
    newest = last_backup(kept.home)
    assert newest is not None
    assert datetime.now(UTC) - newest.taken_at < timedelta(minutes=1)
    assert newest.marker.changes == json.loads((lake / ".opt_out_store.json").read_text())["words"]
    assert [record.subject_id for record in newest.records] == [tiny.name(1)]


def test_a_damaged_backup_is_left_out_and_named(lake: Path) -> None:
    folder = lake / "opt_out_backups"
    damaged = [folder / f"2099010{day}T000000000000Z.parquet" for day in (1, 2)]
    for path, content in zip(damaged, (b"", b"PAR1 no more"), strict=True):
        path.write_bytes(content)
    (folder / "own").mkdir()
    (folder / "zz copy.parquet").write_bytes(b"of a site")
    lose(lake)
    output = command("opt-out", "restore", "--lake", lake)
    assert output.startswith("restored 1 opt-outs of the backup of 20")
    assert all(f"left out, because it cannot be read: {path}" in output for path in damaged)
    for _ in range(KEPT):
        OptOutLake.of(str(lake)).back_up()
    assert {"own", "zz copy.parquet"} <= {path.name for path in folder.iterdir()}
    for path in folder.glob("2*.parquet"):
        path.write_bytes(b"PAR1")
    lose(lake)
    assert "no backup that can be read (damaged: 7)" in refused("opt-out", "restore", "--lake", lake)
