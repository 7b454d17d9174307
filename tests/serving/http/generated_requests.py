"""Requests that Schemathesis generates from the OpenAPI document, and the same with ids and cursors of the tiny lake.
Random ids alone seldom reach the code behind validation."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.core import NotSet
from schemathesis.core.transport import Response
from schemathesis.schemas import APIOperation

from contracts import Action
from contracts.opt_out_flags import FLAGS
from tests.serving.tiny import AS_OF, N_ITEMS, N_USERS

EVENTS = "POST /v1/events"
USERS = [f"user-{row}" for row in range(N_USERS - 1)]
CHANGED = {"user": f"user-{N_USERS - 1}", "item": "i39", "creator": "c4"}
"""The subjects whose opt-outs requests change, so that the other users keep personalized feeds and post events."""
ITEMS = [f"i{row}" for row in range(N_ITEMS)]
user_ids, item_ids = st.sampled_from([*USERS, *USERS, CHANGED["user"], "stranger"]), st.sampled_from(ITEMS)
rows = st.fixed_dictionaries(
    {
        "user_id": user_ids,
        "item_id": item_ids,
        "action": st.sampled_from([*Action]).map(str),
        "timestamp": st.datetimes(datetime(2017, 2, 1), AS_OF.replace(tzinfo=None)).map(  # noqa: DTZ001  hypothesis wants none
            lambda at: at.replace(tzinfo=UTC).isoformat()
        ),
    },
    optional={"position": st.integers(0, 200), "propensity": st.floats(0.001, 1), "event_id": st.text(max_size=9)},
)


def requests(operation: APIOperation, cursors: list[str]) -> st.SearchStrategy[Case]:
    """Requests that follow the document, with values of the lake or without, and requests that do not follow it."""
    valid = operation.as_strategy()
    if not (list(operation.iter_parameters()) or operation.body):
        return valid
    return with_known_values(valid, cursors) | valid | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)


@st.composite
def with_known_values(draw: st.DrawFn, valid: st.SearchStrategy[Case], cursors: list[str]) -> Case:
    """A valid request with values of the lake."""
    case = draw(valid)
    if case.path_parameters:
        case.path_parameters |= draw(_path_values(case.path_parameters))
    case.query |= draw(_query_values(set(case.query), cursors))
    if isinstance(case.body, dict) and not isinstance(case.body, NotSet):
        case.body |= draw(_body_values(set(case.body)))
    return case


def _path_values(given: dict[str, Any]) -> st.SearchStrategy[dict[str, str]]:
    if "subject_type" in given:
        subjects = st.sampled_from([(kind, flag) for kind, flags in FLAGS.items() for flag in flags])
        return subjects.map(lambda pair: {"subject_type": pair[0], "subject_id": CHANGED[pair[0]], "flag": pair[1]})
    return st.fixed_dictionaries({"user_id": user_ids} if "user_id" in given else {})


def _query_values(given: set[str], cursors: list[str]) -> st.SearchStrategy[dict[str, str]]:
    known = {"user_id": user_ids, "item_id": item_ids, "cursor": st.sampled_from(cursors)}
    return st.fixed_dictionaries({name: values for name, values in known.items() if name in given})


def _body_values(given: set[str]) -> st.SearchStrategy[dict[str, Any]]:
    known = {
        "user_ids": st.lists(user_ids, min_size=1, max_size=6),
        "events": st.lists(rows, min_size=1, max_size=6),
    }
    return st.fixed_dictionaries({name: values for name, values in known.items() if name in given})


@dataclass
class Tally:
    """The answers of each operation, by status."""

    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    posts_with_stored_events: int = 0

    def add(self, operation: str, answer: Response) -> None:
        """Count one answer."""
        self.statuses[operation][answer.status_code] += 1
        if operation == EVENTS and answer.status_code == 200 and answer.json()["accepted"]:
            self.posts_with_stored_events += 1

    @property
    def posts(self) -> int:
        """How many batches of events were posted."""
        return self.statuses[EVENTS].total()

    @property
    def total(self) -> int:
        """All answers."""
        return sum(of_one.total() for of_one in self.statuses.values())

    def __str__(self) -> str:
        columns = sorted({status for of_one in self.statuses.values() for status in of_one})
        lines = [f"{'':53}" + "".join(f"{status:>8}" for status in columns)]
        for name, of_one in self.statuses.items():
            lines.append(f"{name:53}" + "".join(f"{of_one[status] or '':>8}" for status in columns))
        return "\n".join(lines)
