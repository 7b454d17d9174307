"""Ctrl-C ends a night, also where something in between catches it."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowFailException

from pipeline.airflow_tasks import run_task
from pipeline.stage_runner import ending_at_ctrl_c, interrupted

# Airflow warns about its own dependencies when it is imported
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def by_default() -> Iterator[None]:
    """As in a terminal, also where the tests run in the background and inherit that Ctrl-C is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def night(then: Callable[[], None] = lambda: None) -> None:
    """A night in which Airflow swallows the interrupt, as it does with whatever ends a task."""
    with ending_at_ctrl_c():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert interrupted()
        then()


def test_a_swallowed_interrupt_ends_the_block() -> None:
    with pytest.raises(KeyboardInterrupt):
        night()
    assert not interrupted()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_no_task_begins_after_it(tmp_path: Path) -> None:
    def next_task() -> None:
        with pytest.raises(AirflowFailException, match="interrupted"):
            run_task("forget", str(tmp_path / "lake"), "2017-03-01")

    with pytest.raises(KeyboardInterrupt):
        night(then=next_task)
    assert not (tmp_path / "lake").exists()


def test_without_it_the_block_ends_as_it_does() -> None:
    with ending_at_ctrl_c():
        assert not interrupted()


def test_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with ending_at_ctrl_c():
        os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert not interrupted()
