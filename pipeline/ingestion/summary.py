"""What an import did, for a person to read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from contracts import OptOut, Reason
from pipeline.ingestion.landing_zone import Batch
from pipeline.ingestion.opt_out_file import opt_out_lines


@dataclass(frozen=True)
class ImportSummary:
    """Rows read and landed by table, what the importer left out and why, and the files that landed.

    `warnings` speak of the files (unknown columns, values that became null), `notes` of what the importer chose.
    """

    source: str
    rows_read: Mapping[str, int]
    batches: tuple[Batch, ...]
    dropped: Mapping[Reason, int]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    opt_outs: Sequence[OptOut]
    imported_at: datetime

    @property
    def rows_landed(self) -> dict[str, int]:
        """Rows that this import added to each table; content that had landed before adds none."""
        tables = dict.fromkeys(batch.table for batch in self.batches)
        return {
            name: sum(batch.rows for batch in self.batches if batch.table == name and batch.is_new) for name in tables
        }

    def lines(self) -> list[str]:
        """The summary as the command line prints it."""
        erased = sum(batch.erased for batch in self.batches)
        return [
            *(f"{table}: {self._told(table)}" for table in self.rows_landed),
            *(f"left out: {count:,} rows, {reason}" for reason, count in self.dropped.items() if count),
            *([f"left out: {erased:,} rows or names of people who asked for erasure"] if erased else []),
            *opt_out_lines(self.opt_outs, self.imported_at),
            *(f"warning: {warning}" for warning in self.warnings),
            *(f"note: {note}" for note in self.notes),
        ]

    def _told(self, table: str) -> str:
        batches = [batch for batch in self.batches if batch.table == table]
        again = sum(not batch.is_new for batch in batches)
        known = f"; {again} of {len(batches)} files had landed before" if again else ""
        return f"{self.rows_read[table]:,} rows read, {self.rows_landed[table]:,} landed{known}"
