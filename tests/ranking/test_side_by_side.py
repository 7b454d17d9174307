"""Work on several threads: results in order, and an end of all pieces when one fails."""

import threading
import time

import pytest

from ranking.side_by_side import side_by_side


def test_results_have_the_order_of_the_jobs_whichever_ends_first() -> None:
    def slow_first(job: int, _: object) -> int:
        time.sleep(0.05 if job == 0 else 0)
        return 10 * job

    assert side_by_side(slow_first, [0, 1, 2, 3, 4], threads=3) == [0, 10, 20, 30, 40]
    assert side_by_side(slow_first, [], threads=0) == []


def test_no_more_pieces_run_at_once_than_there_are_threads() -> None:
    running, most, lock = [0], [0], threading.Lock()

    def counted(_: int, __: object) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.01)
        with lock:
            running[0] -= 1

    side_by_side(counted, range(6), threads=2)
    assert most == [2]


def test_a_failure_ends_the_other_pieces_and_starts_no_new_one() -> None:
    begun, second_runs = [], threading.Event()

    def work(job: int, end_if_stopped) -> None:
        begun.append(job)
        if job == 0:
            second_runs.wait(10)
            raise ValueError("no")
        second_runs.set()
        for _ in range(1000):
            time.sleep(0.01)
            end_if_stopped()

    started = time.monotonic()
    with pytest.raises(ValueError, match="no"):
        side_by_side(work, range(6), threads=2)
    assert time.monotonic() - started < 5
    assert len(begun) <= 3
