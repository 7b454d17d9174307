"""Values as exports and clients write them, valid and invalid, and the expected reading at every entry point."""

import csv
import io
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from hypothesis import strategies as st

from contracts import Action, Reason
from contracts.ids import BLANKS, is_id, read_id
from contracts.instants import EARLIEST, read_instant

BLANK = st.sampled_from(["", " ", "\t", "  ", "\xa0", "\u3000"])
WRITABLE = st.characters(exclude_categories=("Cs",))
"""Every character that a file can hold: no lone surrogate."""
WORDS = st.text(string.ascii_letters + string.digits + "-_.:/@#?%&=+~", min_size=1, max_size=12)

plain_ids = st.one_of(
    WORDS,
    st.integers(-10, 10**20).map(str),
    st.integers(0, 99).map("{:05}".format),
    st.integers(-5, 10**6).map("{}.0".format),
    st.sampled_from(
        ["https://example.org/a/1?b=2#c", "acct/42", "at://did:plc:x/3k", "null", "None", "..", "%2F", "a//b"]
    ),
    st.text(WRITABLE, min_size=1, max_size=8),
    st.integers(500, 520).map(lambda length: "x" * length),
)
ids = st.builds("{}{}{}".format, BLANK, plain_ids, BLANK) | st.just("")
integer_columns = st.lists(st.integers(0, 999).map("{}.0".format), min_size=1)

actions = st.one_of(st.sampled_from([*Action, " save", "click ", "SAVE", "view", ""]), st.text(WRITABLE, max_size=5))

ZONES = ("+09:00", "-11:30", "+2", "+0530", "Z", " UTC")
_moments = st.integers(473_385_600, 1_735_603_200).map(lambda second: datetime.fromtimestamp(second, UTC))
timestamps = st.one_of(
    _moments.map(datetime.isoformat),
    _moments.map("{:%Y-%m-%d}".format),
    _moments.map("{:%Y%m%d}".format),
    _moments.map("{:%Y%m%dT%H%M%SZ}".format),
    _moments.map("{:%Y%m%d%H%M%S}".format),
    _moments.map("{:%d/%m/%Y}".format),
    _moments.map(lambda moment: str(int(moment.timestamp()))),
    _moments.map(lambda moment: str(int(moment.timestamp() * 1000))),
    _moments.map(lambda moment: str(int(moment.timestamp() * 1_000_000))),
    _moments.map(lambda moment: f"{moment.timestamp():.7E}"),
    st.builds(
        "{:%Y-%m-%dT%H:%M:%S}{}".format, _moments, st.sampled_from(["+09:00", "-11:30", "+2", "+0530", "Z", " UTC"])
    ),
    st.sampled_from(
        ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", "2017-02-30", "42795", "0", "1e400", "nan"]
    ),
    st.text(WRITABLE, max_size=12),
)


@dataclass(frozen=True)
class Row:
    """The four required values of an event, as text."""

    user_id: str
    item_id: str
    action: str
    timestamp: str


rows = st.builds(Row, ids, ids, actions, timestamps)
"""One event as another program wrote it."""


@dataclass(frozen=True)
class Reading:
    """What a row is read as; with a `reason`, why it is refused."""

    user_id: str | None = None
    item_id: str | None = None
    action: str | None = None
    timestamp: datetime | None = None
    reason: Reason | None = None


def reading(row: Row) -> Reading:
    """The oracle: what every entry point makes of one row."""
    if not is_id(row.user_id) or not is_id(row.item_id):
        return Reading(reason=Reason.NULL_ID)
    action = row.action.strip(BLANKS)
    if action not in set(Action):
        return Reading(reason=Reason.UNKNOWN_ACTION)
    instant = read_instant(row.timestamp)
    if instant is None:
        return Reading(reason=Reason.BAD_TIMESTAMP)
    if instant < EARLIEST:
        return Reading(reason=Reason.BEFORE_1990)
    return Reading(read_id(row.user_id), read_id(row.item_id), action, instant)


def as_csv(table: Sequence[Row], *, delimiter: str = ",", first: int = 0) -> str:
    """The rows as a file, each with an id of its own, numbered from `first`."""
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(["event_id", "user_id", "item_id", "action", "timestamp"])
    writer.writerows([f"e{n}", *vars(row).values()] for n, row in enumerate(table, first))
    return file.getvalue()


def as_json(table: Sequence[Row], *, first: int = 0) -> list[dict[str, str]]:
    """The rows as they are posted, each with an id of its own, numbered from `first`."""
    return [{"event_id": f"e{n}", **vars(row)} for n, row in enumerate(table, first)]
