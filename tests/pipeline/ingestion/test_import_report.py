from datetime import UTC, datetime, timedelta

import polars as pl

from contracts import Flag, OptOut, Reason, SubjectType
from pipeline.ingestion.import_report import ImportSummary, most_frequent, names_of, opt_out_lines
from pipeline.ingestion.landing_zone import Batch

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


def opt_out(user: str, effective_at: datetime, *, opted_out: bool = True) -> OptOut:
    return OptOut(SubjectType.USER, user, Flag.TRAINING, opted_out, effective_at)


def summary(*batches: Batch, read: int = 5, dropped: dict[Reason, int] | None = None) -> ImportSummary:
    return ImportSummary("files", {"events": read}, batches, dropped or {}, ("look",), ("fyi",), (), NOW)


def test_a_summary_counts_rows_read_and_stored() -> None:
    new, old = Batch("events", "a", 3, is_new=True), Batch("events", "b", 2, is_new=False)
    assert summary(new, old).rows_ingested == {"events": 3}
    assert summary(new, old).lines() == [
        "events: 5 rows read, 3 ingested; 1 of 2 files had been ingested before",
        "warning: look",
        "note: fyi",
    ]


def test_a_summary_counts_rows_left_out() -> None:
    lines = summary(Batch("events", "a", 2, is_new=True, erased=1), dropped={Reason.OWN_ITEM: 2}).lines()
    assert "left out: 2 rows, own_item" in lines
    assert "left out: 1 rows or names of users who asked for erasure" in lines


def test_opt_outs_are_counted_by_the_instant_from_which_they_hold() -> None:
    days_ahead = NOW + timedelta(days=3)
    lines = opt_out_lines(
        [opt_out("ann", NOW), opt_out("bob", NOW + timedelta(hours=1)), opt_out("eve", days_ahead)], NOW
    )
    assert lines == [
        "opt_outs: 3 kept in the opt-out store",
        "opt_outs: 1 of them lay ahead, by less than a day, and hold at once; "
        "an instant without a time zone is read as UTC",
        "opt_outs: 1 user will be opted out of training from 2024-05-04 12:00:00 UTC",
    ]
    assert not any(name in line for line in lines for name in ("ann", "bob", "eve"))


def test_without_opt_outs_there_is_no_line() -> None:
    assert opt_out_lines([], NOW) == []


def test_values_of_a_file_without_header_are_not_printed() -> None:
    assert names_of(["user_id", "4711-secret"]) == "user_id, 1 that are no names (has it a header line?)"


def test_ties_are_in_alphabetical_order() -> None:
    assert most_frequent(pl.Series(["b", "a", "c", "c"]), 2) == [("c", 2), ("a", 1)]
