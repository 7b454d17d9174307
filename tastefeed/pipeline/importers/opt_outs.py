"""Opt-outs handed in as a file go to the opt-out store, not to the landing zone. A row that cannot be understood stops
the import before anything lands: an opt-out that is passed over in silence is a broken promise."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from tastefeed.contracts import OptOut
from tastefeed.contracts import columns as c
from tastefeed.contracts.errors import UnknownOptOut, UnreadableInput
from tastefeed.contracts.opt_outs import checked
from tastefeed.pipeline.importers.mapping import NO_MAPPING, Mapping
from tastefeed.pipeline.importers.readers import ReadTable, read_table


class OptOutWriter(Protocol):
    """Where opt-outs are kept."""

    def load(self, opt_outs: Iterable[OptOut]) -> object:
        """Keep many at once, all or none; of two about the same flag, the later `effective_at` counts."""
        ...


def read_opt_outs(path: Path, mapping: Mapping = NO_MAPPING) -> tuple[tuple[OptOut, ...], ReadTable]:
    """The file's opt-outs. Raises `UnreadableInput` and `UnknownOptOut`, each naming the file and the row."""
    read = read_table(path, "opt_outs", mapping)
    return tuple(_opt_out(path, number, row) for number, row in enumerate(read.frame.iter_rows(named=True), 1)), read


def _opt_out(path: Path, number: int, row: dict[str, Any]) -> OptOut:
    missing = [column for column, value in row.items() if value is None]
    if missing:
        raise UnreadableInput(
            f"{path}: row {number} has no readable {', '.join(missing)}; correct it: nothing was imported"
        )
    try:
        subject_type, flag = checked(str(row[c.SUBJECT_TYPE]), str(row[c.FLAG]))
    except UnknownOptOut as error:
        raise UnknownOptOut(f"{path}: row {number}: {error}") from None
    return OptOut(subject_type, str(row[c.SUBJECT_ID]), flag, bool(row[c.OPTED_OUT]), row[c.EFFECTIVE_AT])
