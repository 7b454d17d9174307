"""Open connections are spread over the workers, also after one of them was replaced."""

import contextlib
import multiprocessing
from multiprocessing.process import BaseProcess

import httpx
import psutil
import pytest

from serving.http.connection_balance import ConnectionBalance
from tests.serving.http.test_server import served, until, workers_that_answered

CLIENTS = 8


def ended() -> BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    process.join()
    return process


@pytest.fixture
def balance() -> ConnectionBalance:
    return ConnectionBalance()


def worker(balance: ConnectionBalance, process: BaseProcess, connections: int) -> int:
    """Do in this process what a worker does, and return its place."""
    balance.assign(process)
    balance.listen()
    for _ in range(connections):
        balance.opened()
    assert balance._place is not None
    return balance._place


def test_a_worker_ends_connections_until_it_has_its_share(balance):
    this = multiprocessing.current_process()
    worker(balance, this, 1)
    worker(balance, this, 6)  # of seven connections, four are a share
    assert [balance.end_one() for _ in range(4)] == [True, True, False, False]
    balance.closed(was_ending=True)
    assert [balance.end_one() for _ in range(2)] == [True, False], "the share of six is three"


def test_a_worker_that_does_not_listen_has_no_share(balance):
    this = multiprocessing.current_process()
    worker(balance, this, 1)
    balance.leave()
    worker(balance, this, 6)
    assert not balance.end_one()


def test_a_new_worker_takes_the_place_of_one_that_ended(balance):
    first = worker(balance, ended(), 5)
    assert worker(balance, multiprocessing.current_process(), 0) == first
    assert worker(balance, multiprocessing.current_process(), 2) == first + 1
    assert balance.end_one(), "the five connections of the ended worker are forgotten"


def test_a_server_without_workers_ends_no_connection(balance):
    balance.listen()
    balance.opened()
    assert not balance.end_one()
    balance.closed(was_ending=False)


def test_connections_are_spread_also_after_a_worker_was_killed(lake, tmp_path):
    log = tmp_path / "server.log"
    with served(lake, log, workers=2) as url, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(base_url=url)) for _ in range(CLIENTS)]

        def shares() -> list[int]:
            for client in clients:
                with contextlib.suppress(httpx.TransportError):  # the killed worker's
                    assert client.get("/healthz").status_code == 200
            return sorted(map(open_connections, workers_that_answered(log)))[-2:]

        assert until(lambda: shares() == [CLIENTS // 2, CLIENTS // 2])
        psutil.Process(int(workers_that_answered(log).pop())).kill()
        assert until(lambda: len(workers_that_answered(log)) == 3 and shares() == [CLIENTS // 2, CLIENTS // 2])


def open_connections(pid: str) -> int:
    """Of a worker; none of one that ended."""
    try:
        connections = psutil.Process(int(pid)).net_connections(kind="tcp")
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0
    return sum(each.status == psutil.CONN_ESTABLISHED for each in connections)
