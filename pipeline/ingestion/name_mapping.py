"""Other names of columns and actions: `--map theirs=ours`, `--action theirs=ours`, or a TOML file."""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from contracts import Action
from contracts import columns as c
from contracts.errors import BadMapping, SchemaMismatch
from contracts.ids import BLANKS
from contracts.schemas import INCOMING
from pipeline.ingestion.casts import to_text

Pairs = tuple[tuple[str, str], ...]
TABLES = ("columns", "actions")


@dataclass(frozen=True)
class NameMapping:
    """Pairs of the file's name and the contract's. A column's pair applies to each table that has the column."""

    columns: Pairs = ()
    actions: Pairs = ()

    @property
    def their_columns(self) -> tuple[str, ...]:
        """The names of the columns in the files."""
        return tuple(theirs for theirs, _ in self.columns)


NO_MAPPING = NameMapping()


def read_mapping(columns: Sequence[str] = (), actions: Sequence[str] = (), file: Path | None = None) -> NameMapping:
    """The mapping of `theirs=ours` texts and of a TOML file with the tables `columns` and `actions`.

    Raises `BadMapping` for an unknown name of ours, for one of theirs with two meanings, and for an unreadable file.
    """
    of_file = _read_toml(file) if file else NO_MAPPING
    column_pairs = tuple(dict.fromkeys((*of_file.columns, *(_pair("--map", text) for text in columns))))
    action_pairs = tuple(dict.fromkeys((*of_file.actions, *(_pair("--action", text) for text in actions))))
    known = list(dict.fromkeys(name for schema in INCOMING.values() for name in schema.names))
    _check("column", column_pairs, known)
    _check("action", action_pairs, list(Action))
    _check_once("action", [theirs for theirs, _ in action_pairs])
    return NameMapping(column_pairs, action_pairs)


def mapped(raw: pl.DataFrame, table: str, mapping: NameMapping, source: str) -> pl.DataFrame:
    """`raw` with the contract's names of columns and actions. Raises `SchemaMismatch` where two would be one."""
    pairs = renames(raw.columns, table, mapping)
    _check_no_clash(raw, pairs, source)
    renamed = raw.rename(dict(pairs))
    if table != "events" or not mapping.actions or c.ACTION not in renamed.columns:
        return renamed
    text = to_text(c.ACTION, renamed.schema[c.ACTION])
    if text is None:
        return renamed
    ours = {theirs: str(action) for theirs, action in mapping.actions}
    return renamed.with_columns(text.replace(ours).alias(c.ACTION))


def renames(columns: Iterable[str], table: str, mapping: NameMapping) -> list[tuple[str, str]]:
    """The pairs of the mapping that rename a column of this file of a table."""
    return [pair for pair in mapping.columns if pair[0] in columns and pair[1] in INCOMING[table].names]


def actions_of(raw: pl.DataFrame, table: str, mapping: NameMapping) -> frozenset[str]:
    """The actions of a file of events, by their own names; none where no action is mapped."""
    column = next((theirs for theirs, ours in renames(raw.columns, table, mapping) if ours == c.ACTION), c.ACTION)
    if table != "events" or not mapping.actions or column not in raw.columns:
        return frozenset()
    text = to_text(column, raw.schema[column])
    return frozenset() if text is None else frozenset(raw.select(text.unique()).to_series().drop_nulls())


def _check_no_clash(raw: pl.DataFrame, pairs: list[tuple[str, str]], source: str) -> None:
    _check_once("column", [theirs for theirs, _ in pairs])
    moved = {theirs for theirs, ours in pairs if theirs != ours}
    taken: dict[str, str] = {column: column for column in raw.columns if column not in moved}
    for theirs, ours in pairs:
        if theirs != ours and ours in taken:
            raise SchemaMismatch(
                f"{source}: {taken[ours]} and {theirs} would both be {ours}; map one of them, or drop a column"
            )
        taken[ours] = theirs


def _check(kind: str, pairs: Pairs, known: list[str]) -> None:
    for theirs, ours in pairs:
        if ours not in known:
            raise BadMapping(f"{theirs}={ours}: unknown {kind} {ours!r}; use one of {', '.join(known)}")


def _check_once(kind: str, theirs: list[str]) -> None:
    for name in theirs:
        if theirs.count(name) > 1:
            raise BadMapping(f"the {kind} {name} is mapped twice; keep one of the two")


def _pair(option: str, text: str) -> tuple[str, str]:
    theirs, equals, ours = text.rpartition("=")
    if not equals or not theirs.strip(BLANKS):
        raise BadMapping(f"{option} {text!r}: write theirs=ours, as in {option} visitorid=user_id")
    return theirs.strip(BLANKS), ours.strip(BLANKS)


def _read_toml(path: Path) -> NameMapping:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadMapping(f"{path}: cannot be read as TOML; write tables [columns] and [actions]") from error
    pairs = {name: content.pop(name, {}) for name in TABLES}
    if content or not all(isinstance(table, dict) for table in pairs.values()):
        raise BadMapping(f'{path}: want the tables [columns] and [actions] with lines such as visitorid = "user_id"')
    wrong = [theirs for table in pairs.values() for theirs, ours in table.items() if not isinstance(ours, str)]
    if wrong:
        raise BadMapping(f'{path}: {", ".join(wrong)}: want text, such as visitorid = "user_id"')
    return NameMapping(*(tuple(pairs[name].items()) for name in TABLES))
