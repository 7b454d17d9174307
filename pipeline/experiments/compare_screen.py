"""`tastefeed compare` on a terminal: the runs that can be compared, and the differences of two of them."""

from itertools import groupby

import polars as pl
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from evaluation import Comparison, Difference, rich_table
from evaluation.anonymized_metrics import ITEMS, USERS
from evaluation.metrics_tables import heading
from pipeline.code_version import short
from pipeline.experiments.compare import MOST_LISTED, SHORT, Compared, group_of, started
from pipeline.experiments.mlflow_logger import COMMIT
from pipeline.experiments.run_log import LoggedRun

MAX_SETTINGS = 12
VERDICT = "◂"


def runs_table(runs: pl.DataFrame) -> RenderableType:
    """A table of the runs that can be compared."""
    empty = [name for name in ("label", "differs") if not any(runs[name])]
    table = rich_table(runs.drop(empty), "Runs that can be compared where the question is the same")
    for column in table.columns:
        column.overflow = "fold"  # whole names and values, on several lines
        column.no_wrap = column.header in ("Run", "Name", "Question")  # what the user copies
    if len(runs) == MOST_LISTED:
        table.caption = f"The newest {MOST_LISTED} runs; name an older one by its id."
    return table


def screen(runs: Compared) -> RenderableType:
    """The differences on one screen."""
    data, main = runs.a.fingerprint, runs.differences.main
    heading_line = f"One question: {data.dataset}, k {data.k}, {main.users:,} users, {data.digest[:SHORT]}"
    parts = [
        _title("A", runs.a),
        _title("B", runs.b),
        Text(heading_line),
        _settings_table(runs),
        _differences_table(runs.differences),
        _figures(runs),
        Text(runs.differences.verdict, style="bold"),
    ]
    return Group(*[part for part in parts if part])


def _title(letter: str, logged: LoggedRun) -> Text:
    commit = short(logged.run.data.tags[COMMIT])
    named = [letter, logged.path, *filter(None, [logged.label]), logged.run.info.run_id[:SHORT]]
    return Text("  ".join([*named, started(logged.run), f"commit {commit}"]))


def _settings_table(runs: Compared) -> RenderableType:
    differ = runs.settings
    if not differ:
        return Text("No setting differs.")
    table = Table("setting", "A", "B")
    for setting in differ[:MAX_SETTINGS]:
        table.add_row(*map(Text, setting))
    if len(differ) > MAX_SETTINGS:
        table.add_row(f"and {len(differ) - MAX_SETTINGS} more", "", "")
    return table


def _differences_table(comparison: Comparison) -> Table:
    numbers = [Column(name, justify="right") for name in ("users", "A", "B", "B − A", "95 % interval")]
    table = Table("", *numbers, "together")
    for part in [comparison.metrics, *(tuple(rows) for _, rows in groupby(comparison.groups, key=_kind))]:
        table.add_section()
        for each in part:
            name = f"{heading(each.metric)} {group_of(each) or (VERDICT if each is comparison.main else '')}".strip()
            table.add_row(*_cells(each, name), style="bold" if each is comparison.main else "")
    tests = f"{len(comparison.metrics)} metrics and {len(comparison.groups)} groups"
    table.caption = (
        f"{VERDICT} the verdict reads this row. Together: still significant after correction for {tests} "
        "(Bonferroni, each table)."
    )
    return table


def _kind(difference: Difference) -> str:
    return difference.group.split(":")[0] if difference.group.startswith(USERS) else ITEMS


def _cells(each: Difference, name: str) -> list[str]:
    low, high = f"{each.interval.low:+.4f}", f"{each.interval.high:+.4f}"
    word = ("B higher" if each.corrected.mean > 0 else "A higher") if each.corrected.excludes_zero else "–"
    numbers = [f"{each.users:,}", f"{each.a:.4f}", f"{each.b:.4f}", f"{each.interval.mean:+.4f}"]
    return [name, *numbers, f"[{low}, {high}]", word]


def _figures(runs: Compared) -> Text:
    figures = [f"{heading(name)} {_short(a)} and {_short(b)}" for name, a, b in runs.figures]
    return Text(f"One a run, A and B: {'; '.join(figures)}." if figures else "")


def _short(value: float) -> str:
    return f"{value:,.4f}" if abs(value) < 1 else f"{value:,.1f}"
