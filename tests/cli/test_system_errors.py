"""What the operating system refuses becomes one line and status 1; a command that reads a missing lake makes none."""

import errno
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from contracts.atomic_files import naming, require_writable
from contracts.errors import REMEDIES, TastefeedError, full_disk_as_os_error, number_of, one_line
from pipeline.lake import Lake
from tests import tiny

# Spark, MLflow and Airflow warn about their own dependencies when they are imported
pytestmark = pytest.mark.filterwarnings("ignore")
SMALLEST = "size=16k"


@pytest.fixture
def events(tmp_path: Path) -> Path:
    file = tmp_path / "events.csv"
    file.write_text("user_id,item_id,action,timestamp\nu1,i1,click,2024-03-01\nu2,i1,save,2024-03-01\n")
    return file


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() or not mount or _run(mount, "-t", "tmpfs", "-o", SMALLEST, "tmpfs", folder):
        pytest.skip("only root may mount a disk")
    yield folder
    _run("umount", folder)


def _run(*command: object) -> int:
    return subprocess.run(list(map(str, command)), capture_output=True, check=False).returncode


def assert_refused(*arguments: object, words: tuple[str, ...]) -> None:
    done = tiny.tastefeed_here(*arguments)
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("releases", "list"),
        ("releases", "show"),
        ("releases", "verify"),
        ("releases", "rollback"),
        ("nightly",),
        ("nightly", "--as-of", "2024-03-02"),
        ("backtest",),
        ("backtest", "--as-of", "2024-03-02"),
        ("recommend", "--out", "lists.parquet"),
        ("serve",),
        ("compare",),
    ],
    ids=" ".join,
)
def test_a_missing_lake_is_an_error_and_stays_missing(tmp_path: Path, events: Path, command: tuple[str, ...]) -> None:
    assert_refused(*command, "--lake", tmp_path / "none", words=(str(tmp_path / "none"), "--lake"))
    assert not (tmp_path / "none").exists()
    assert_refused(*command, "--lake", events, words=(str(events),))
    assert events.is_file()


def test_a_lake_below_a_file(events: Path) -> None:
    assert_refused("import", "--events", events, "--lake", events / "lake", words=("Not a directory", "name a folder"))


def test_a_folder_in_place_of_a_file(crossed: Path, tmp_path: Path, events: Path) -> None:
    assert_refused("import", "--events", tmp_path, "--lake", tmp_path / "lake", words=(str(tmp_path),))
    assert_refused("recommend", "--lake", crossed, "--out", crossed, words=(f"{crossed}: has ", "no _manifest.json"))
    assert_refused("recommend", "--lake", crossed, "--users", tmp_path, "--out", tmp_path / "o", words=(str(tmp_path),))
    assert [path.name for path in tmp_path.iterdir()] == [events.name]


def test_a_backtest_finds_out_first_that_it_cannot_write(crossed: Path, events: Path) -> None:
    assert_refused("backtest", "--lake", crossed, "--out", events, words=(f"{events}: File exists", "move it away"))


def test_a_release_with_a_folder_in_place_of_a_file_is_corrupt(crossed: Path, tmp_path: Path) -> None:
    lake = Path(shutil.copytree(crossed, tmp_path / "lake"))
    ranker = next((lake / "releases").glob("*/ranker.txt"))
    ranker.unlink()
    ranker.mkdir()
    assert_refused("releases", "verify", "--lake", lake, words=("ranker.txt", "publish again or roll back"))


def test_a_full_disk(disk: Path, events: Path) -> None:
    assert_refused("import", "--events", events, "--lake", disk / "lake", words=("No space left on device",))
    assert list(disk.iterdir()) == []


def test_a_full_disk_stops_the_night_before_it_starts(disk: Path, crossed: Path) -> None:
    _run("mount", "-o", "remount,size=1m", disk)
    shutil.copytree(crossed / "landing", disk / "landing")
    assert_refused("nightly", "--lake", disk, words=(f"{disk}: No space left on device", "free some space"))
    assert [path.name for path in disk.iterdir()] == ["landing"]


def test_a_read_only_lake(disk: Path, crossed: Path, events: Path) -> None:
    _run("mount", "-o", "remount,size=1m", disk)
    shutil.copytree(crossed / "landing", disk / "landing")
    assert _run("mount", "-o", "remount,ro", disk) == 0
    assert_refused("nightly", "--lake", disk, words=(f"{disk}: Read-only file system", "let this user write"))
    assert_refused("import", "--events", events, "--lake", disk, words=("Read-only file system",))
    assert_refused("releases", "rollback", "--lake", disk, words=("Read-only file system",))


def test_a_write_that_fails_names_the_place_and_leaves_what_was_there(tmp_path: Path) -> None:
    lake, before = Lake(tmp_path / "lake"), resource.getrlimit(resource.RLIMIT_FSIZE)
    lake.fs.makedirs(lake.root)
    lake.replace_file(f"{lake.root}/note", b"short")
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
        with pytest.raises(OSError, match="File too large") as failed:
            lake.replace_file(f"{lake.root}/note", bytes(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert one_line(failed.value).startswith(f"{lake.root}/note")
    assert "free some space" in one_line(failed.value)
    assert lake.fs.cat_file(f"{lake.root}/note") == b"short"


@pytest.mark.parametrize("number", sorted(REMEDIES))
def test_each_known_cause_has_path_words_and_remedy(number: int) -> None:
    assert one_line(OSError(number, "x", "/some/where")) == f"/some/where: {os.strerror(number)}; {REMEDIES[number]}"


def test_errors_of_other_makes() -> None:
    assert one_line(OSError("raised by a library")) == "raised by a library"
    assert one_line(OSError(errno.EIO, os.strerror(errno.EIO))) == os.strerror(errno.EIO)
    copying = shutil.Error([("a", "/target/b", "[Errno 28] No space left on device")])
    copied = "/target/b: [Errno 28] No space left on device; 1 files could not be copied"
    assert one_line(copying) == f"{copied}; {REMEDIES[errno.ENOSPC]}"
    assert number_of(copying) == errno.ENOSPC
    assert one_line(OSError(errno.ENOSPC, "x", "/source", None, "/target")).startswith("/target: No space left")


@pytest.mark.parametrize(
    "words",
    [
        "Error while serializing: I/O error: No space left on device (os error 28)",
        "Error: 'ret == (size * 4)' failed: write error in /lake/x: 1048531 != 5120000 (No space left on device)",
        "(sqlite3.OperationalError) database or disk is full",
        "Caused by: java.io.IOException: No space left on device",
    ],
)
def test_a_full_disk_in_the_words_of_a_library(words: str) -> None:
    with pytest.raises(OSError, match=r"full|left") as failed, full_disk_as_os_error():
        raise RuntimeError(f"the first line\n  {words}\nthe last line")
    assert one_line(failed.value) == f"{words}; {REMEDIES[errno.ENOSPC]}"
    with pytest.raises(OSError, match=r"full|left") as failed, naming("/lake/table"):
        raise RuntimeError(words)
    assert one_line(failed.value) == f"/lake/table: {os.strerror(errno.ENOSPC)}; {REMEDIES[errno.ENOSPC]}"


def test_other_errors_stay_what_they_are() -> None:
    for error in (RuntimeError("disk I/O error"), TastefeedError("No space left on device"), OSError("a library's")):
        with pytest.raises(type(error)) as failed, full_disk_as_os_error():
            raise error
        assert failed.value is error


def test_a_path_that_is_known_is_kept() -> None:
    with pytest.raises(OSError, match="x") as failed, naming("/outer"):
        raise OSError(errno.ENOSPC, "x", "/inner")
    assert failed.value.filename == "/inner"


def test_probing_leaves_nothing(tmp_path: Path) -> None:
    require_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError) as failed:
        require_writable(tmp_path / "none")
    assert failed.value.filename == str(tmp_path / "none")


def test_a_day_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    for text in ("2017-02-30", "20170301", "", "0000-01-01", "99999-01-01"):
        assert tiny.tastefeed_here("nightly", "--lake", tmp_path, "--as-of", text).returncode == 2


def test_ctrl_c_is_one_line_and_status_130(crossed: Path, tmp_path: Path) -> None:
    lake = Path(shutil.copytree(crossed, tmp_path / "lake"))
    served = (lake / "releases" / "current").read_text()
    night = subprocess.Popen(
        tiny.command("nightly", "--lake", lake, "--as-of", tiny.day()),
        env=tiny.environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # where the tests themselves run in the background, a shell has made them ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert night.stdout is not None
    assert any(line.startswith("forget") for line in night.stdout)  # the next stage is in Spark
    os.killpg(night.pid, signal.SIGINT)  # as a terminal does: Spark's JVM gets it too
    _, complaint = night.communicate(timeout=120)
    assert night.returncode == 130
    assert [line for line in complaint.splitlines() if line.startswith("tastefeed: ")] == [
        "tastefeed: stopped by SIGINT; nothing half-written counts, run the command again"
    ]
    assert "Traceback" not in complaint
    assert (lake / "releases" / "current").read_text() == served


def test_a_closed_pipe_is_quiet(crossed: Path) -> None:
    shell = f"{' '.join(tiny.command('releases', 'show', '--lake', crossed))} | true"
    piped = subprocess.run(["bash", "-c", shell], env=tiny.environment(), capture_output=True, text=True, check=False)
    assert (piped.returncode, piped.stderr) == (0, "")


def test_a_day_is_parsed() -> None:
    from cli.options import parse_day

    assert parse_day("2017-03-01") == date(2017, 3, 1)
