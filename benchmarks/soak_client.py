"""A client of the soak: requests feeds, changes opt-outs, and checks every answer against the acknowledged opt-outs."""

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote

from benchmarks.server_process import HOST, ServerProcess

UNAVAILABLE = 503
TIMEOUT_S, RETRY_S, ATTEMPTS = 30.0, 1.0, 10
"""For an answer, until a refused change is repeated, and how often a change is made until it is acknowledged."""
FLAG = "personalization"
REFUSED = "refused"


@dataclass
class SoakState:
    """What all clients of a soak share."""

    prefixes: Mapping[str, str]
    """The prefix of every item id of each release, by its version."""
    counts: Counter[str] = field(default_factory=Counter)
    times_ms: list[float] = field(default_factory=list)
    versions: set[str] = field(default_factory=set)
    _opt_outs: dict[str, int] = field(default_factory=dict)
    _changes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def feeds(self) -> int:
        """All feeds, profiled or not."""
        return self.counts["feeds"] + self.counts["feeds_without_a_profile"]

    def count(self, name: str) -> None:
        """Count one more."""
        with self._lock:
            self.counts[name] += 1

    def opted_out(self, user: str) -> None:
        """The server has acknowledged an opt-out."""
        with self._lock:
            self._changes += 1
            self._opt_outs[user] = self._changes

    def opting_in(self, user: str) -> None:
        """The opt-out will be withdrawn: from now on any answer is right."""
        with self._lock:
            self._opt_outs.pop(user, None)

    def opt_out_of(self, user: str) -> int | None:
        """The number of the acknowledged opt-out that holds."""
        return self._opt_outs.get(user)


@dataclass(frozen=True)
class Answer:
    """An answer over HTTP."""

    status: int
    body: bytes


class SoakClient:
    """One connection, for one thread."""

    def __init__(self, server: ServerProcess, state: SoakState) -> None:
        """Connects at the first request."""
        self._server, self._state = server, state
        self._connection = HTTPConnection(HOST, server.port, timeout=TIMEOUT_S)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def feed(self, user: str, limit: int, due: float | None = None) -> None:
        """Request a feed and check it. Its time counts from when it was due, on the clock `time.monotonic`."""
        opt_out, started = self._state.opt_out_of(user), due or time.monotonic()
        answer = self._request("GET", f"/v1/users/{quote(user, safe='')}/home-feed?limit={limit}")
        if answer is None or answer.status != 200:
            return
        self._state.times_ms.append(1000 * (time.monotonic() - started))
        feed = json.loads(answer.body)
        self._state.versions.add(feed["release"])
        if not is_of_one_release(feed, self._state.prefixes):
            self._state.count("mixed_releases")
        if feed["personalized"] and opt_out is not None and opt_out == self._state.opt_out_of(user):
            self._state.count("profiled_after_opt_out")
        self._state.count("feeds" if feed["personalized"] else "feeds_without_a_profile")

    def opt_out(self, user: str) -> None:
        """Opt a user out; it counts from the acknowledgement on."""
        if self._change("PUT", user):
            self._state.opted_out(user)

    def opt_in(self, user: str) -> None:
        """Withdraw the opt-out of a user."""
        self._state.opting_in(user)
        self._change("DELETE", user)

    def _change(self, method: str, user: str) -> bool:
        """Make a change until it is acknowledged, as a client does whose connection broke or who was refused."""
        for _ in range(ATTEMPTS):
            answer = self._request(method, f"/v1/opt-outs/user/{quote(user, safe='')}/{FLAG}")
            if answer is not None and answer.status == 200:
                self._state.count("opt_out_changes")
                return True
            self._state.count("repeated_opt_out_changes")
            time.sleep(RETRY_S if answer else 0)
        self._state.count("opt_out_changes_not_acknowledged")
        return False

    def _request(self, method: str, path: str) -> Answer | None:
        """The answer; None where the connection broke, as it does when its worker is killed."""
        try:
            self._connection.request(method, path, headers={"Authorization": f"Bearer {self._server.admin_key}"})
            response = self._connection.getresponse()
            may_retry = response.getheader("Retry-After") is not None
            answer = Answer(response.status, response.read())
        except (OSError, HTTPException):
            self._state.count("broken_connections")
            self.close()
            return None
        if answer.status == UNAVAILABLE and may_retry:
            self._state.count(f"{REFUSED}_{cause_of(answer)}")
        elif answer.status != 200:
            self._state.count(f"status_{answer.status}")
        return answer


def cause_of(refusal: Answer) -> str:
    """The last part of the type of a problem document, as a name."""
    return str(json.loads(refusal.body)["type"]).rsplit(":", 1)[-1].replace("-", "_")


def is_of_one_release(feed: Mapping[str, Any], prefixes: Mapping[str, str]) -> bool:
    """Whether all items, and those that explanations name, belong to the release that the answer names."""
    evidence = [(item["explanation"] or {}).get("item_id") for item in feed["items"]]
    ids = [*(item["item_id"] for item in feed["items"]), *(each for each in evidence if each is not None)]
    return bool(ids) and all(id_.startswith(prefixes[feed["release"]]) for id_ in ids)
