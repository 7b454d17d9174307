"""What an import reports: rows read and stored, values lost and why, and values that look like another format.

Values of a file are shown as patterns (`99/99/9999`), ids not at all; actions are words, and shown as they are.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from contracts import Action, OptOut, Reason
from contracts import columns as c
from contracts.ids import BLANKS
from contracts.instants import CLOCK_SKEW
from contracts.schemas import INCOMING
from pipeline.ingestion.casts import Kind
from pipeline.ingestion.id_casts import ID_COLUMNS, is_placeholder, note_of

READ_AS = "an instant without a time zone is read as UTC"
LATER_SHOWN = 20


if TYPE_CHECKING:
    from pipeline.ingestion.landing_zone import Batch


@dataclass(frozen=True)
class ImportSummary:
    """Rows read and stored by table, rows left out with the reason, and the stored files.

    `warnings` are about the files (unknown columns, values that became null), `notes` about choices of the import.
    """

    source: str
    rows_read: Mapping[str, int]
    batches: tuple["Batch", ...]
    dropped: Mapping[Reason, int]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    opt_outs: Sequence[OptOut]
    imported_at: datetime

    @property
    def rows_ingested(self) -> dict[str, int]:
        """Rows that this import added to each table; content that had been stored before adds none."""
        tables = dict.fromkeys(batch.table for batch in self.batches)
        return {
            name: sum(batch.rows for batch in self.batches if batch.table == name and batch.is_new) for name in tables
        }

    def lines(self) -> list[str]:
        """The summary as the command line prints it."""
        erased = sum(batch.erased for batch in self.batches)
        return [
            *(f"{table}: {self._line(table)}" for table in self.rows_ingested),
            *(f"left out: {count:,} rows, {reason}" for reason, count in self.dropped.items() if count),
            *([f"left out: {erased:,} rows or names of users who asked for erasure"] if erased else []),
            *opt_out_lines(self.opt_outs, self.imported_at),
            *(f"warning: {warning}" for warning in self.warnings),
            *(f"note: {note}" for note in self.notes),
        ]

    def document(self) -> dict[str, Any]:
        """The summary as JSON; it contains no id."""
        return {
            "source": self.source,
            "imported_at": self.imported_at,
            "rows_read": dict(self.rows_read),
            "rows_ingested": self.rows_ingested,
            "rows_left_out": {str(reason): count for reason, count in self.dropped.items() if count},
            "opt_outs_stored": len(self.opt_outs),
            "warnings": self.warnings,
            "notes": self.notes,
        }

    def _line(self, table: str) -> str:
        batches = [batch for batch in self.batches if batch.table == table]
        again = sum(not batch.is_new for batch in batches)
        newest = "" if table == "events" else "; each of its rows is the newest again"
        repeated = f"; {again} of {len(batches)} files had been ingested before{newest}" if again else ""
        return f"{self.rows_read[table]:,} rows read, {self.rows_ingested[table]:,} ingested{repeated}"


def opt_out_lines(opt_outs: Sequence[OptOut], now: datetime) -> list[str]:
    """How many opt-outs were stored, and from when they hold. The lines contain no id."""
    ahead = [record for record in opt_outs if record.opted_out and now < record.effective_at < now + CLOCK_SKEW]
    at_once = set(ahead)
    kept = f"opt_outs: {len(opt_outs):,} kept in the opt-out store"
    early = f"opt_outs: {len(ahead):,} of them lay ahead, by less than a day, and hold at once; {READ_AS}"
    later = [record for record in opt_outs if record.effective_at > now and record not in at_once]
    return [*([kept] if opt_outs else []), *([early] if ahead else []), *_later_lines(later)]


def _later_lines(later: Sequence[OptOut]) -> list[str]:
    counts = Counter((each.effective_at, each.flag, each.subject_type, each.opted_out) for each in later)
    lines = [
        f"opt_outs: {count:,} {kind}{'s' * (count > 1)} will be {'opted out of' if out else 'opted in to'} {flag} "
        f"from {at:%Y-%m-%d %H:%M:%S} UTC"
        for (at, flag, kind, out), count in sorted(counts.items())[:LATER_SHOWN]
    ]
    more = len(counts) - LATER_SHOWN
    return [*lines, *([f"opt_outs: and at {more:,} later instants"] if more > 0 else [])]


CONTRACT_COLUMNS = frozenset(name for schema in INCOMING.values() for name in schema.names)
KEYS = {"items": c.ITEM_ID, "users": c.USER_ID}
"""The key of these tables."""
PATTERNS_SHOWN, PATTERN_LENGTH = 3, 30
ACTIONS_SHOWN = 5
WORD = r"^\pL[\pL_ .:/-]{0,30}$"
"""The form of an action; a value with digits may be an id in the wrong column."""
TEXTS_THAT_MAY_BE_JSON = (c.TITLE, c.LANGUAGE, c.REGION, c.URL, c.IMAGE_URL)
INVISIBLE = "[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
"""A soft hyphen, a zero-width space, signs of direction, a byte-order mark. Joiners are part of words and of emoji."""
DECOMPOSED = "are not in Unicode's form NFC, and are other ids than the same letters in NFC; export one form everywhere"
HIDDEN = "hold an invisible character, such as a byte-order mark, and are other ids than without it; remove it"
SEPARATORS = (", ", ";", " > ", "/", ",")
"""Separators of categories in other systems."""


def header_of(columns: list[str], known: Collection[str] = ()) -> str:
    """The columns of a file that lacks some, if one is of the contract or `known`; else they may be a row, with ids."""
    if CONTRACT_COLUMNS.union(known).isdisjoint(columns):
        return "no known column (has it a header line?)"
    return names_of(columns)


def names_of(columns: list[str]) -> str:
    """The columns that look like names; the others are values of a file without a header, and may be ids."""
    names = [column for column in columns if column.isidentifier()]
    rest = f"{len(columns) - len(names)} that are no names (has it a header line?)" if len(names) < len(columns) else ""
    return ", ".join([*names, rest] if rest else names)


def lost_values(given: pl.Series, read: pl.Series, kind: Kind) -> pl.DataFrame:
    """The values of a column that could not be read, as `value, reason`. Blank texts and NaN count as absent."""
    if given.dtype == pl.String:
        absent = given.is_null() | (given.str.strip_chars(BLANKS) == "")
    else:
        absent = (given.fill_nan(None) if given.dtype.is_float() else given).is_null()
    values = given.filter(~absent & read.is_null()).rename("value")
    reasons = kind.reasons(values) if len(values) else pl.Series([], dtype=pl.String)
    return pl.DataFrame([values, reasons.rename("reason")]).filter(pl.col("reason").is_not_null())


def warnings_of(raw: pl.DataFrame, frame: pl.DataFrame, table: str, lost: dict[str, pl.DataFrame]) -> list[str]:
    """Values that were lost or look wrong, one line each."""
    return [
        *_unknown(raw, table),
        *(f"{column}: {_unreadable(column, values)}" for column, values in lost.items() if len(values)),
        *_unusable(frame, table),
        *_placeholders(frame),
        *_confusable_ids(frame),
        *_unknown_actions(frame),
        *_other_formats(frame),
    ]


def notes_of(raw: pl.DataFrame, frame: pl.DataFrame) -> list[str]:
    """How columns were read whose form differs from the contract's."""
    notes = {column: note_of(raw[column], frame[column]) for column in ID_COLUMNS if _in_both(column, raw, frame)}
    return [f"{column}: {note}" for column, note in notes.items() if note]


def _in_both(column: str, raw: pl.DataFrame, frame: pl.DataFrame) -> bool:
    return column in raw.columns and column in frame.columns


def _unknown(raw: pl.DataFrame, table: str) -> list[str]:
    unknown = [column for column in raw.columns if column not in INCOMING[table].names]
    return [f"unknown columns left out: {names_of(unknown)}"] if unknown else []


def _unreadable(column: str, lost: pl.DataFrame) -> str:
    by_reason = lost.group_by("reason", maintain_order=True).agg("value", pl.len().alias("count"))
    parts = [
        f"{count:,} {reason}{'' if column in ID_COLUMNS else _patterns(pl.Series(values))}"
        for reason, values, count in by_reason.sort("count", descending=True, maintain_order=True).rows()
    ]
    return f"{len(lost):,} values cannot be read and count as null: {', '.join(parts)}"


def _patterns(values: pl.Series) -> str:
    if isinstance(values.dtype, pl.List | pl.Array | pl.Struct):
        return ""
    shape = values.cast(pl.String, strict=False).str.strip_chars(BLANKS).str.slice(0, PATTERN_LENGTH)
    shape = shape.str.replace_all(r"\d", "9").str.replace_all(r"\pL", "a").str.replace_all(r"[^\x20-\x7e]", "?")
    return f" (such as {' or '.join(value for value, _ in most_frequent(shape, PATTERNS_SHOWN))})"


def most_frequent(values: pl.Series, k: int) -> list[tuple[str, int]]:
    """The `k` most frequent values with their counts; ties in alphabetical order."""
    counts = values.rename("value").value_counts().sort("count", "value", descending=[True, False])
    return counts.head(k).rows()


def _unusable(frame: pl.DataFrame, table: str) -> list[str]:
    """Rows of items and users that are never used; rows of events go to quarantine with a reason instead."""
    if table not in KEYS:
        return []
    ids = frame[KEYS[table]]
    anonymized, repeated = ids.null_count(), len(ids.drop_nulls()) - ids.drop_nulls().n_unique()
    return [
        *([f"{anonymized:,} rows without {KEYS[table]} count for nothing"] if anonymized else []),
        *([f"{repeated:,} rows repeat an {KEYS[table]}; the last row of each counts"] if repeated else []),
    ]


def _placeholders(frame: pl.DataFrame) -> list[str]:
    lines = []
    for column in ID_COLUMNS:
        placeholders = frame[column].filter(is_placeholder(frame[column])) if column in frame.columns else pl.Series([])
        if len(placeholders):
            counts = ", ".join(f"{value} {count:,}" for value, count in most_frequent(placeholders, len(placeholders)))
            lines.append(
                f"{column}: {len(placeholders):,} values stand for a missing value ({counts}); export them as empty"
            )
    return lines


def _confusable_ids(frame: pl.DataFrame) -> list[str]:
    """Ids that look like another id: an opt-out of the other one would not apply to them."""
    lines = []
    for column in set(ID_COLUMNS) & set(frame.columns):
        ids = frame[column].drop_nulls()
        ids = ids.filter(ids.str.len_bytes() != ids.str.len_chars())
        reasons = {DECOMPOSED: ids.str.normalize("NFC") != ids, HIDDEN: ids.str.contains(INVISIBLE)}
        lines += [f"{column}: {found.sum():,} values {reason}" for reason, found in reasons.items() if found.any()]
    return sorted(lines)


def _unknown_actions(frame: pl.DataFrame) -> list[str]:
    if c.ACTION not in frame.columns:
        return []
    unknown = frame[c.ACTION].filter(~frame[c.ACTION].is_in(list(Action)))
    if unknown.is_empty():
        return []
    words = [word for word, _ in most_frequent(unknown.filter(unknown.str.contains(WORD)), ACTIONS_SHOWN)]
    shown = f" ({', '.join(words)})" if words else ""
    theirs = words[0] if words else "theirs"
    ours = theirs.lower() if theirs.lower() in list(Action) else Action.CLICK
    return [
        f"action: {len(unknown):,} rows have an action that the contract does not have{shown}; known are "
        f"{', '.join(Action)}; map others, as in --action '{theirs}={ours}'"
    ]


def _other_formats(frame: pl.DataFrame) -> list[str]:
    texts = {column: frame[column].drop_nulls() for column in TEXTS_THAT_MAY_BE_JSON if column in frame.columns}
    lines = [
        f"{column}: most values look like JSON; export plain text"
        for column, values in texts.items()
        if _most(values.str.contains(r"^(?:\{.*\}|\[.*\])$"))
    ]
    if c.CATEGORIES in frame.columns:
        lines.extend(_other_separator(frame[c.CATEGORIES].drop_nulls()))
    return lines


def _other_separator(categories: pl.Series) -> list[str]:
    single = categories.filter(categories.list.len() == 1).list.first()
    for separator in SEPARATORS:
        if 2 * int(single.str.contains(separator, literal=True).sum()) > len(categories):
            return [
                f"categories: most values hold {separator.strip()!r} and count as one category; "
                "write | between categories, or a JSON list"
            ]
    return []


def _most(matches: pl.Series) -> bool:
    return 2 * int(matches.sum()) > len(matches)
