"""Concurrent changes of opt-outs share transactions, and each is written before it is acknowledged."""

import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from fastapi.testclient import TestClient

from serving.privacy.grouped_writes import GroupedWrites


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_changes_that_arrive_during_a_write_share_the_next_one():
    groups, may_write = [], threading.Event()

    def write(changes: Sequence[int]) -> Sequence[int]:
        groups.append(sorted(changes))
        may_write.wait(10)
        return [10 * each for each in changes]

    writes = GroupedWrites[int, int](write)
    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(writes.write, 1)
        wait_until(lambda: groups == [[1]])
        others = [threads.submit(writes.write, number) for number in (2, 3, 4)]
        wait_until(lambda: len(writes._waiting) == 4)
        may_write.set()
        assert [each.result(10) for each in (first, *others)] == [10, 20, 30, 40]
    assert groups == [[1], [2, 3, 4]]


def test_an_error_is_that_of_every_change_in_the_group_and_of_no_later_one():
    may_fail, groups = threading.Event(), []

    def write(changes: Sequence[str]) -> Sequence[str]:
        groups.append(len(changes))
        may_fail.wait(10)
        if len(groups) == 2:
            raise OSError("the disk is full")
        return changes

    writes = GroupedWrites[str, str](write)
    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(writes.write, "a")
        wait_until(lambda: groups == [1])
        others = [threads.submit(writes.write, name) for name in "bcd"]
        wait_until(lambda: len(writes._waiting) == 4)
        may_fail.set()
        errors = [each.exception(10) for each in (first, *others)]
    assert [error and str(error) for error in errors] == [None, *["the disk is full"] * 3]
    assert groups == [1, 3]
    assert writes.write("e") == "e"


def test_an_opt_out_over_http_and_its_entry_of_the_audit_are_one_transaction(client):
    flag = "/v1/opt-outs/user/user-1/personalization"
    assert client.put(flag).status_code == 200  # the first one may add tables
    before = opt_out_writes(client)
    assert client.put(flag).json()["opted_out"]
    assert client.delete(flag).json()["opted_out"] is False
    assert opt_out_writes(client) == before + 2
    actions = [entry["action"] for entry in client.get("/v1/admin/audit?limit=3").json()["entries"]]
    assert actions == ["opt_out.clear", "opt_out.set", "opt_out.set"]


def opt_out_writes(client: TestClient) -> float:
    found = re.findall(
        r'tastefeed_store_seconds_count\{operation="write",store="opt_outs"\} (\S+)', client.get("/metrics").text
    )
    return float(found[0])
