"""Open connections are spread over the workers, also after one of them was replaced."""

import contextlib
import multiprocessing
import socket
from multiprocessing.process import BaseProcess

import httpx
import psutil
import pytest

from serving.http.connection_balance import ConnectionBalance, WorkerConnections
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


def worker(balance: ConnectionBalance, process: BaseProcess, connections: int) -> WorkerConnections:
    """Do in this process what a worker does."""
    own = balance.assign(process)
    own.listen()
    for _ in range(connections):
        own.opened()
    return own


def test_a_worker_ends_connections_until_it_has_its_share(balance):
    this = multiprocessing.current_process()
    worker(balance, this, 1)
    second = worker(balance, this, 6)  # of seven connections, four are a share
    assert [second.end_one() for _ in range(4)] == [True, True, False, False]
    second.closed(was_ending=True)
    assert [second.end_one() for _ in range(2)] == [True, False], "the share of six is three"


def test_a_worker_that_does_not_listen_has_no_share(balance):
    this = multiprocessing.current_process()
    first, second = worker(balance, this, 1), worker(balance, this, 6)
    first.leave()
    first.opened()  # it was accepted a moment before
    first.closed(was_ending=False)
    assert not second.end_one()
    assert not first.end_one()


def test_a_new_worker_takes_the_place_of_one_that_ended(balance):
    worker(balance, ended(), 5)
    this = multiprocessing.current_process()
    worker(balance, this, 0)
    assert worker(balance, this, 2).end_one(), "the five connections of the ended worker are forgotten"


def test_a_server_without_workers_ends_no_connection(balance):
    balance.own.listen()
    balance.own.opened()
    assert not balance.own.end_one()
    balance.own.closed(was_ending=False)


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

        def ended_connections() -> int:
            answers = [client.get("/healthz") for _ in range(3) for client in clients]
            return sum(answer.headers.get("connection") == "close" for answer in answers)

        slow = [stack.enter_context(slow_request(url)) for _ in range(CLIENTS)]
        assert ended_connections() == 0, "requests that end their connection are no reason to end others"
        ports = {each.getsockname()[1] for each in slow}
        leaving = next(pid for pid in workers_that_answered(log) if ports & {*client_ports(pid)})
        psutil.Process(int(leaving)).terminate()
        assert until(lambda: ports >= {*client_ports(leaving)})
        shares()
        assert ended_connections() == 0, "the worker that leaves takes no share"


def slow_request(url: str) -> socket.socket:
    """A request whose body does not come, on a connection that ends with its answer."""
    client = socket.create_connection((httpx.URL(url).host, httpx.URL(url).port))
    client.sendall(b"POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 9\r\n\r\n")
    return client


def open_connections(pid: str) -> int:
    """Of a worker; none of one that ended."""
    return len(client_ports(pid))


def client_ports(pid: str) -> list[int]:
    """The clients' ports of the open connections of a worker."""
    try:
        connections = psutil.Process(int(pid)).net_connections(kind="tcp")
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []
    return [each.raddr.port for each in connections if each.status == psutil.CONN_ESTABLISHED]
