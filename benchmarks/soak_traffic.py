"""The traffic of a soak: clients that request feeds at a rate, and users who opt out and in."""

import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial

from benchmarks.server_process import ServerProcess
from benchmarks.soak_client import SoakClient, SoakState

CLIENTS, CHANGERS = 32, 16
"""Connections that request feeds, and those that change opt-outs."""
OPT_OUT_POOL, POOL_SHARE = 200, 0.1
"""Users who opt out and in, and the share of requests for them."""
LIMIT = 50


@contextmanager
def traffic(
    server: ServerProcess, state: SoakState, users: Sequence[str], rate: float, changes_per_s: float
) -> Iterator[None]:
    """Feeds at a rate and changes of opt-outs, until the block ends. Each opt-out brings one of the feeds."""
    others = max(1.0, rate - changes_per_s / 2)
    feeds = [
        partial(request_feeds, SoakClient(server, state), users, CLIENTS / others, number) for number in range(CLIENTS)
    ]
    interval_s = CHANGERS / changes_per_s
    changes = [
        partial(change_opt_outs, SoakClient(server, state), users[:OPT_OUT_POOL], interval_s, number)
        for number in range(CHANGERS)
    ]
    with in_background([*feeds, *changes]):
        yield


def throughput(
    server: ServerProcess, prefixes: Mapping[str, str], users: Sequence[str], changes_per_s: float, seconds: float
) -> float:
    """Feeds a second without pauses, beside the changes of opt-outs that the soak makes."""
    state = SoakState(prefixes)
    with traffic(server, state, users, math.inf, changes_per_s):
        time.sleep(seconds)
        return state.feeds / seconds


def request_feeds(
    client: SoakClient, users: Sequence[str], interval_s: float, number: int, stop: threading.Event
) -> None:
    """One client of `CLIENTS`; its requests lie between those of the others."""
    draw = random.Random(number)
    with closing(client):
        for due in ticks(stop, interval_s, delay_s=interval_s * number / CLIENTS):
            some = users[:OPT_OUT_POOL] if draw.random() < POOL_SHARE else users
            client.feed(draw.choice(some), LIMIT, due)


def change_opt_outs(
    client: SoakClient, users: Sequence[str], interval_s: float, number: int, stop: threading.Event
) -> None:
    """One client of `CHANGERS`, with users of its own: they opt out and request their feed at once; half of these users
    later, they opt in again."""
    pool = users[number::CHANGERS]
    with closing(client):
        for turn, _ in enumerate(ticks(stop, interval_s, delay_s=interval_s * number / CHANGERS)):
            place = turn // 2
            if turn % 2:
                client.opt_in(pool[(place - len(pool) // 2) % len(pool)])
            else:
                client.opt_out(pool[place % len(pool)])
                client.feed(pool[place % len(pool)], LIMIT)


@contextmanager
def in_background(works: Sequence[Callable[[threading.Event], None]]) -> Iterator[None]:
    """Run all of it until the block ends; its errors are raised here."""
    stop = threading.Event()
    with ThreadPoolExecutor(len(works)) as threads:
        futures = [threads.submit(work, stop) for work in works]
        try:
            yield
        finally:
            stop.set()
        for future in futures:
            future.result()


def ticks(stop: threading.Event, interval_s: float, *, delay_s: float = 0) -> Iterator[float]:
    """When each tick was due, one an interval until the stop; a late one comes at once, and those it missed never."""
    at = time.monotonic() + delay_s
    while not stop.wait(max(0.0, at - time.monotonic())):
        yield at
        at = max(at + interval_s, time.monotonic() - interval_s)
