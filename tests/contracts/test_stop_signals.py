"""A signal ends a process: after it has cleaned up where nothing catches the exception, soon where something does."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import logging, signal, subprocess, sys, time
from contracts import stop_signals

stop_signals.GRACE_S = 0.5
try:
    with stop_signals.ending_at_signals():
        child = subprocess.Popen(["sleep", "60"])
        {library}
        words = [child.pid]
        while True:
            try:
                if words:
                    print(words.pop(), flush=True)
                time.sleep(60)
            except {caught}:
                print("caught", flush=True)
except stop_signals.Stopped as stop:
    print("cleaned up", flush=True)
    stop_signals.end_process(stop.status)
"""
LINE = "tastefeed: stopped by {}; nothing half-written counts, run the command again\n"
OWN_HANDLER = "signal.signal(signal.SIGTERM, lambda number, frame: None)"
LOGS_IT = """
        try:
            print(child.pid, flush=True)
            time.sleep(60)
        except BaseException:
            logging.exception("interrupted")
            raise
"""
SLEEPS_IN_DESTRUCTOR = """
        class Sleeper:
            def __del__(self):
                print(child.pid, flush=True)
                time.sleep(60)
        Sleeper()
"""


def stopped(number: signal.Signals, *, library: str = "pass", caught: str = "ValueError") -> tuple[int, list[str], str]:
    """The status of a program that a signal stopped, its lines after the first one, and what it complained about."""
    program = PROGRAM.format(library=library, caught=caught)
    started = subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with started as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.send_signal(number)
        printed, complaint = process.communicate(timeout=30)
    assert not running(child)
    return process.returncode, printed.splitlines(), complaint


def running(child: int) -> bool:
    """Whether a process exists and is not only waiting for its parent to read its status."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(child)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_unwinds_the_program_and_ends_its_children_with_one_line(number: signal.Signals, status: int) -> None:
    assert stopped(number) == (status, ["cleaned up"], LINE.format(number.name))


@pytest.mark.parametrize("library", [LOGS_IT, SLEEPS_IN_DESTRUCTOR])
def test_a_library_that_is_interrupted_prints_no_traceback(library: str) -> None:
    status, _, complaint = stopped(signal.SIGTERM, library=library)
    assert (status, complaint) == (143, LINE.format("SIGTERM"))


def test_a_library_that_catches_every_exception_does_not_keep_the_process_alive() -> None:
    status, printed, _ = stopped(signal.SIGTERM, caught="BaseException")
    assert (status, printed) == (143, ["caught"])


def test_a_library_that_replaces_the_handler_does_not_take_the_signal() -> None:
    status, printed, _ = stopped(signal.SIGTERM, library=OWN_HANDLER)
    assert (status, printed) == (143, ["cleaned up"])
