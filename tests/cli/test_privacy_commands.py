"""`tastefeed opt-out` sets, shows and clears flags; every way to erase a user drops what was posted."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contracts import Settings
from contracts.errors import BadId
from pipeline.ingestion.import_files import read_user_ids
from serving.privacy.opt_out_service import OptOutService
from serving.privacy.pseudonyms import KEY_FILE
from tests import tiny


@pytest.mark.parametrize("user", ["42", "-1443636648652872475"])  # half of the bundled ids begin with a dash
def test_set_show_clear(tmp_path: Path, user: str) -> None:
    done = tiny.tastefeed_here("opt-out", "set", "user", user, "erasure", "--lake", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("erasure          opted out")
    assert tiny.tastefeed_here("opt-out", "clear", "user", user, "erasure", "--lake", tmp_path).returncode == 0
    shown = tiny.tastefeed_here("opt-out", "show", "user", user, "--lake", tmp_path)
    assert shown.stdout.startswith("erasure          not opted out")


def test_an_opt_out_and_the_audit_need_no_key_of_pseudonyms(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_bytes(b"\xff")
    for command in ("set", "clear"):
        done = tiny.tastefeed_here("opt-out", command, "user", "some-user", "erasure", "--lake", tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith(f"the audit names the subject as 'unknown': {tmp_path / KEY_FILE}: the key ")
    done = tiny.tastefeed_here("audit", "--lake", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[-3:] for line in done.stdout.splitlines()] == [
        [f"opt_out.{command}", "user:unknown", "erasure"] for command in ("clear", "set")
    ]


def test_an_unknown_flag_is_one_line_and_status_1(tmp_path: Path) -> None:
    done = tiny.tastefeed_here("opt-out", "set", "user", "42", "recommendation", "--lake", tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "tastefeed: a user has no flag 'recommendation'; use one of personalization, training, erasure\n"
    )


@pytest.mark.parametrize(
    ("bad", "reason"),
    [("", "is blank"), ("   ", "is blank"), ("a\tb", "control character"), ("x" * 513, "longer than 512 characters")],
)
@pytest.mark.parametrize("command", ["set", "clear", "show"])
def test_what_is_no_id_is_refused(tmp_path: Path, command: str, bad: str, reason: str) -> None:
    assert tiny.tastefeed_here("init", "--lake", tmp_path).returncode == 0
    flag = [] if command == "show" else ["erasure"]
    done = tiny.tastefeed_here("opt-out", command, "user", bad, *flag, "--lake", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("tastefeed: the id of the user ")
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [("show",), ("set", "erasure"), ("clear", "erasure"), ("restore",)])
def test_a_missing_lake_is_an_error_and_is_not_made(tmp_path: Path, command: tuple[str, ...]) -> None:
    lake = tmp_path / "nowhere"
    subject = [] if command[0] == "restore" else ["user", "42"]
    done = tiny.tastefeed_here("opt-out", command[0], *subject, *command[1:], "--lake", lake)
    assert done.returncode == 1
    assert done.stderr.startswith(f"tastefeed: {lake}: there is no such lake; ")
    assert not lake.exists()


def test_either_spelling_is_one_subject(tmp_path: Path) -> None:
    tiny.tastefeed_here("opt-out", "set", "user", "42", "personalization", "--lake", tmp_path)
    assert "personalization" in tiny.tastefeed_here("opt-out", "show", "user", "42.0", "--lake", tmp_path).stdout
    tiny.tastefeed_here("opt-out", "clear", "user", " 42.0 ", "personalization", "--lake", tmp_path)
    assert "not opted out" in tiny.tastefeed_here("opt-out", "show", "user", "42", "--lake", tmp_path).stdout


def imported(lake: Path, *rows: str) -> str:
    file = lake.parent / "opt_outs.csv"
    file.write_text("subject_type,subject_id,flag,opted_out,effective_at\n" + "\n".join(rows) + "\n")
    done = tiny.tastefeed_here("import", "--opt-outs", file, "--lake", lake)
    assert done.returncode == 0, done.stderr
    assert "some-user" not in done.stdout
    return done.stdout


def test_a_local_instant_holds_at_once_and_a_later_one_is_listed(tmp_path: Path) -> None:
    lake, now = tmp_path / "lake", datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    later = now + timedelta(days=400)
    out = imported(
        lake,
        f"user,some-user,personalization,true,{(now + timedelta(hours=9)).isoformat()}",
        f"user,some-user-else,personalization,true,{later.isoformat()}",
        f"item,some-users-item,recommendation,false,{(now + timedelta(hours=9)).isoformat()}",
    )
    assert "opt_outs: 3 kept in the opt-out store" in out
    assert "opt_outs: 1 of them lay ahead, by less than a day, and hold at once" in out
    assert f"opt_outs: 1 user will be opted out of personalization from {later} UTC" in out
    assert f"opt_outs: 1 item will be opted in to recommendation from {now + timedelta(hours=9)} UTC" in out
    shown = tiny.tastefeed_here("opt-out", "show", "user", "some-user", "--lake", lake).stdout
    assert shown == (
        f"personalization  opted out      since {now + timedelta(hours=9)} UTC (it lies ahead, and holds already)\n"
    )
    shown = tiny.tastefeed_here("opt-out", "show", "user", "some-user-else", "--lake", lake).stdout
    assert shown == f"personalization  will be opted out from {later} UTC\n"


def test_an_import_of_the_past_prints_no_notice(tmp_path: Path) -> None:
    out = imported(tmp_path / "lake", "user,some-user,personalization,true,2017-01-01")
    assert "ahead" not in out
    assert "will be" not in out


def test_a_bad_id_in_a_file_names_the_row_and_keeps_nothing(tmp_path: Path) -> None:
    file = tmp_path / "opt_outs.csv"
    file.write_text(
        "subject_type,subject_id,flag,opted_out,effective_at\nuser,secret,erasure,true,2017-01-01\n"
        f"user,{'x' * 600},erasure,true,2017-01-01\n"
    )
    done = tiny.tastefeed_here("import", "--opt-outs", file, "--lake", tmp_path / "lake")
    assert done.returncode == 1
    assert "row 2 has no readable subject_id; correct it: nothing was imported" in done.stderr
    assert "(it is longer than 512 characters (600); give a shorter id)" in done.stderr
    assert "xxx" not in done.stderr
    assert not (tmp_path / "lake").exists()


def test_every_way_of_erasing_drops_what_was_posted(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    tiny.tastefeed_here("init", "--lake", lake)
    pending = OptOutService.of(Settings(lake=str(lake))).events
    at = datetime(2017, 3, 1, tzinfo=UTC)
    posted = [{"user_id": user, "item_id": "i", "action": "save", "timestamp": at} for user in ("some-user", "42")]
    pending.add(posted)
    tiny.tastefeed_here("opt-out", "set", "user", "42.0", "erasure", "--lake", lake)
    assert pending.rows()["user_id"].to_pylist() == ["some-user"]
    imported(lake, "user,some-user,erasure,true,2017-01-01")
    assert pending.rows().num_rows == 0
    assert pending.add(posted).erased == {"some-user", "42"}
    tiny.tastefeed_here("opt-out", "clear", "user", "42", "erasure", "--lake", lake)
    assert pending.add(posted).erased == {"some-user"}


def test_who_is_asked_for_is_read_by_the_id_rule(tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text("user_id\n 42 \n42\nann\n")
    assert read_user_ids(file) == ["42", "ann"]
    control = ("a\x01b", "holds a control character")
    for bad, reason in (("x" * 513, "is longer than 512 characters"), ('" "', "is blank"), control):
        file.write_text(f"user_id\nann\n{bad}\nbob\n")
        with pytest.raises(BadId, match=rf"users.csv: row 2: user_id {reason}"):
            read_user_ids(file)
