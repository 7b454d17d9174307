"""The progress of a stage: lines at intervals where there is no terminal, a bar where there is one."""

import io
import time

import pytest
from rich.console import Console

from pipeline import stage_progress
from pipeline.stage_progress import StageProgress


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_progress, "LINE_EVERY_S", 0.02)


PATIENCE_S = 30
LINE = " s  running: 1 of 2 cutoffs, epoch 2"


def shown(*, terminal: bool, expected: str = "") -> str:
    """What is written while one stage runs until the expected text is there, and another one after it."""
    written, ends = io.StringIO(), time.monotonic() + PATIENCE_S
    progress = StageProgress(Console(file=written, force_terminal=terminal, width=120))
    with progress.shown("two_tower"):
        for number in progress.each([1, 2], "cutoffs"):
            progress.report(f"cutoffs, epoch {number}", number - 1, 2)
        while expected not in written.getvalue() and time.monotonic() < ends:
            time.sleep(0.01)
    with progress.shown("candidates"):
        while expected and "candidates" not in written.getvalue() and time.monotonic() < ends:
            time.sleep(0.01)
    return written.getvalue()


def test_elsewhere_than_on_a_terminal_a_line_states_what_runs_and_how_far_it_is() -> None:
    lines = shown(terminal=False, expected=LINE).splitlines()
    assert [line for line in lines if LINE in line]
    assert lines[-1].endswith("running"), "what an earlier stage reported is not repeated"


def test_a_terminal_gets_a_bar_and_no_such_line() -> None:
    written = shown(terminal=True, expected="1 of 2 cutoffs, epoch 2")
    assert "1 of 2 cutoffs, epoch 2" in written
    assert "running" not in written


def test_a_short_stage_prints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_progress, "LINE_EVERY_S", 30)
    assert shown(terminal=False) == ""
