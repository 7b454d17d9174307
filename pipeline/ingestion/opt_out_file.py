"""Opt-outs handed in as a file go to the opt-out store, not to the landing zone. A row that cannot be understood stops
the import before anything lands: an opt-out that is passed over in silence is a broken promise."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from contracts import OptOut
from contracts import columns as c
from contracts.errors import UnknownOptOut, UnreadableInput
from contracts.ids import read_id
from contracts.instants import CLOCK_SKEW
from contracts.opt_out_flags import checked
from pipeline.ingestion.lost_ids import why_unreadable
from pipeline.ingestion.name_mapping import NO_MAPPING, NameMapping
from pipeline.ingestion.readers import ReadTable, read_table

READ_AS = "an instant without a time zone is read as UTC"
LATER_SHOWN = 20


class OptOutWriter(Protocol):
    """Where opt-outs are kept."""

    def load(self, opt_outs: Iterable[OptOut]) -> object:
        """Keep many at once, all or none; of two about the same flag, the later `effective_at` counts."""
        ...


class Erasures(Protocol):
    """Who is erased."""

    def erased(self) -> Collection[str]:
        """Every user who is, in every spelling of the id."""
        ...

    def withhold(self, items_of: Mapping[str, Iterable[str]]) -> object:
        """Some creators are about to lose their name: keep their items out of feeds if the creator asked for it."""
        ...


def read_opt_outs(path: Path, mapping: NameMapping = NO_MAPPING) -> tuple[tuple[OptOut, ...], ReadTable]:
    """The file's opt-outs. Raises `UnreadableInput` and `UnknownOptOut`, each naming the file and the row."""
    read = read_table(path, "opt_outs", mapping)
    rows = enumerate(read.frame.iter_rows(named=True), 1)
    return tuple(_opt_out(path, read, number, row) for number, row in rows), read


def opt_out_lines(opt_outs: Sequence[OptOut], now: datetime) -> list[str]:
    """What an import says of them: how many were kept, and which of them hold when. It names nobody."""
    ahead = [word for word in opt_outs if word.opted_out and now < word.effective_at < now + CLOCK_SKEW]
    at_once = set(ahead)
    later = Counter(
        (word.effective_at, word.flag, word.subject_type, word.opted_out)
        for word in opt_outs
        if word.effective_at > now and word not in at_once
    )
    return [
        *([f"opt_outs: {len(opt_outs):,} kept in the opt-out store"] if opt_outs else []),
        *(
            [f"opt_outs: {len(ahead):,} of them lay ahead, by less than a day, and hold at once; {READ_AS}"]
            if ahead
            else []
        ),
        *(
            f"opt_outs: {count:,} {kind}{'s' * (count > 1)} will be {'opted out of' if out else 'opted in to'} {flag} "
            f"from {at:%Y-%m-%d %H:%M:%S} UTC"
            for (at, flag, kind, out), count in sorted(later.items())[:LATER_SHOWN]
        ),
        *([f"opt_outs: and at {len(later) - LATER_SHOWN:,} later instants"] if len(later) > LATER_SHOWN else []),
    ]


def _opt_out(path: Path, read: ReadTable, number: int, row: dict[str, Any]) -> OptOut:
    missing = [column for column, value in row.items() if value is None]
    if missing:
        wrong_id = c.SUBJECT_ID in missing
        why = f" (it {why_unreadable(path, read, c.SUBJECT_ID, number - 1)})" if wrong_id else ""
        raise UnreadableInput(
            f"{path}: row {number} has no readable {', '.join(missing)}; correct it: nothing was imported{why}"
        )
    try:
        subject_type, flag = checked(str(row[c.SUBJECT_TYPE]), str(row[c.FLAG]))
        subject_id = read_id(row[c.SUBJECT_ID])
    except UnknownOptOut as error:
        raise UnknownOptOut(f"{path}: row {number}: {error}") from None
    return OptOut(subject_type, subject_id, flag, bool(row[c.OPTED_OUT]), row[c.EFFECTIVE_AT])
