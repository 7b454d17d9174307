"""Other people's names of columns and actions: `--map theirs=ours`, `--action theirs=ours`, or a TOML file."""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tastefeed.contracts import Action
from tastefeed.contracts import columns as c
from tastefeed.contracts.errors import BadMapping, SchemaMismatch
from tastefeed.contracts.ids import BLANKS
from tastefeed.contracts.schemas import INCOMING
from tastefeed.pipeline.importers.casts import to_text

Pairs = tuple[tuple[str, str], ...]
TABLES = ("columns", "actions")


@dataclass(frozen=True)
class Mapping:
    """Pairs of their name and ours. A column's pair holds in each table whose contract has the column."""

    columns: Pairs = ()
    actions: Pairs = ()

    @property
    def their_columns(self) -> tuple[str, ...]:
        """The columns' names in the files."""
        return tuple(theirs for theirs, _ in self.columns)


NO_MAPPING = Mapping()


def read_mapping(columns: Sequence[str] = (), actions: Sequence[str] = (), file: Path | None = None) -> Mapping:
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
    return Mapping(column_pairs, action_pairs)


def mapped(raw: pl.DataFrame, table: str, mapping: Mapping, source: str) -> pl.DataFrame:
    """`raw` with our names of columns and actions. Raises `SchemaMismatch` where two columns would be one."""
    ours_of = [
        (theirs, ours) for theirs, ours in mapping.columns if theirs in raw.columns and ours in INCOMING[table].names
    ]
    _check_no_clash(raw, ours_of, source)
    renamed = raw.rename(dict(ours_of))
    if table != "events" or not mapping.actions or c.ACTION not in renamed.columns:
        return renamed
    text = to_text(c.ACTION, renamed.schema[c.ACTION])
    return renamed if text is None else renamed.with_columns(text.replace(dict(mapping.actions)).alias(c.ACTION))


def check_used(mapping: Mapping, columns: Iterable[str], actions: Iterable[str]) -> None:
    """Raises `BadMapping` for a name of theirs that no file has; `columns` and `actions` are those of all files."""
    for kind, pairs, found in (("column", mapping.columns, set(columns)), ("action", mapping.actions, set(actions))):
        absent = [theirs for theirs, _ in pairs if theirs not in found]
        if absent:
            raise BadMapping(
                f"no file has the {kind}{'s' * (len(absent) > 1)} {', '.join(absent)}; "
                "correct the mapping, or leave it out"
            )


def actions_of(raw: pl.DataFrame, mapping: Mapping) -> set[str]:
    """The actions that a file of events holds, under their own names."""
    names = {c.ACTION, *(theirs for theirs, ours in mapping.columns if ours == c.ACTION)}
    found: set[str] = set()
    for column in names & set(raw.columns):
        text = to_text(column, raw.schema[column])
        if text is not None:
            found |= set(raw.select(text.unique()).to_series().drop_nulls())
    return found


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


def _read_toml(path: Path) -> Mapping:
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
    return Mapping(*(tuple(pairs[name].items()) for name in TABLES))
