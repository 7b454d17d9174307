"""A killed benchmark leaves nothing running."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import profiling

PARENT = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from benchmarks.profiling import end_with_parent

if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer={initializer})
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, {seconds}).result()
"""


def child_lives_on(path: Path, initializer: str) -> bool:
    """Whether the fresh process runs a while after its parent was killed."""
    path.write_text(PARENT.format(initializer=initializer, seconds=30))
    with subprocess.Popen([sys.executable, path], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        time.sleep(0.2)  # the sleep is what it is killed in
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        if not running(child):
            return False
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    return True


def running(process: int) -> bool:
    """Neither gone nor a zombie."""
    status = Path(f"/proc/{process}/stat")
    try:
        return status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")
def test_the_fit_of_a_killed_benchmark_ends(tmp_path: Path) -> None:
    assert child_lives_on(tmp_path / "without.py", "None")
    assert not child_lives_on(tmp_path / "with.py", "end_with_parent")


@pytest.mark.parametrize(
    ("commit", "reported"),
    [("0123456789ab+changes", "01234567+changes"), ("0123456789ab", "01234567"), ("unknown", None)],
)
def test_versions_name_the_commit_of_a_checkout(
    commit: str, reported: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiling, "git_commit", lambda: commit)
    versions = profiling.versions()
    assert versions.get("commit") == reported
    assert {"tastefeed", "numpy", "torch"} <= set(versions)
