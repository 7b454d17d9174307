"""`tastefeed compare`: two runs of one question on one screen, and a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import polars as pl
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from contracts import Settings
from contracts.errors import NotComparable
from evaluation import Comparison, Difference, compared, rich_table
from evaluation.anonymized_metrics import ITEMS, USERS
from evaluation.metrics_tables import heading
from pipeline.code_version import short
from pipeline.experiments.lookup import SHORT, comparable_runs, find_run, started, stores
from pipeline.experiments.run_log import COMMIT, LoggedRun

FIGURES = ("coverage_at_", "fit_seconds", "users_per_second", "peak_rss_mb")
"""What a run has one of: no person's, so no interval."""
MOST_SETTINGS = 12
VERDICT = "◂"


@dataclass(frozen=True)
class Compared:
    """Two runs, and what differs."""

    a: LoggedRun
    b: LoggedRun
    differences: Comparison

    @property
    def settings(self) -> list[tuple[str, str, str]]:
        """Each setting that is not the same in both: its name, A's value and B's."""
        names = sorted({*self.a.settings, *self.b.settings})
        pairs = [(name, self.a.settings.get(name, "–"), self.b.settings.get(name, "–")) for name in names]
        return [pair for pair in pairs if pair[1] != pair[2]]

    @property
    def figures(self) -> list[tuple[str, float, float]]:
        """Figures of the whole run, where both have them."""
        a, b = self.a.run.data.metrics, self.b.run.data.metrics
        return [(name, a[name], b[name]) for name in sorted({*a} & {*b}) if name.startswith(FIGURES)]


def compare_runs(
    word_a: str, word_b: str, *, lakes: Sequence[str] = (), uri: str = "", metric: str = "", settings: Settings
) -> Compared:
    """Find two runs and pair their people. Raises `UnknownRun` and `NotComparable`."""
    clients = stores(lakes, uri, settings)
    a, b = (find_run(word, clients) for word in (word_a, word_b))
    unlike = a.question.unlike(b.question)
    if unlike:
        raise NotComparable(f"{word_a} and {word_b} answer different questions: {unlike}; run both on the same data")
    return Compared(a, b, compared(a.marks, b.marks, metric or a.metric, seed=settings.seed))


def comparable_runs_table(lakes: Sequence[str], uri: str, settings: Settings) -> RenderableType:
    """A table of the runs that can be compared."""
    return rich_table(
        comparable_runs(stores(lakes, uri, settings)), "Runs that can be compared where the question is the same"
    )


def screen(found: Compared) -> RenderableType:
    """What differs, on one screen."""
    question, main = found.a.question, found.differences.main
    asked = f"One question: {question.dataset}, k {question.k}, {main.users:,} people, {question.fingerprint[:SHORT]}"
    parts = [
        _title("A", found.a),
        _title("B", found.b),
        Text(asked),
        _settings_table(found),
        _differences_table(found.differences),
        _figures(found),
        Text(found.differences.verdict, style="bold"),
    ]
    return Group(*[part for part in parts if part])


def _title(letter: str, marked: LoggedRun) -> Text:
    commit = short(marked.run.data.tags[COMMIT])
    told = (marked.path, marked.run.info.run_id[:SHORT], started(marked.run), f"commit {commit}")
    return Text("  ".join([letter, *told]))


def _settings_table(found: Compared) -> RenderableType:
    differ = found.settings
    if not differ:
        return Text("No setting differs.")
    table = Table("setting", "A", "B")
    for setting in differ[:MOST_SETTINGS]:
        table.add_row(*map(Text, setting))
    if len(differ) > MOST_SETTINGS:
        table.add_row(f"and {len(differ) - MOST_SETTINGS} more", "", "")
    return table


def _differences_table(found: Comparison) -> Table:
    numbers = [Column(name, justify="right") for name in ("people", "A", "B", "B − A", "95 % interval")]
    table = Table("", *numbers, "together")
    for part in [found.metrics, *(tuple(rows) for _, rows in groupby(found.groups, key=_kind))]:
        table.add_section()
        for each in part:
            name = f"{heading(each.metric)} {_group(each) or (VERDICT if each is found.main else '')}".strip()
            table.add_row(*_cells(each, name), style="bold" if each is found.main else "")
    tests = f"{len(found.metrics)} metrics and {len(found.groups)} groups"
    table.caption = (
        f"{VERDICT} what the verdict reads. Together: what holds once corrected for {tests} (Bonferroni, each table)."
    )
    return table


def _kind(difference: Difference) -> str:
    return difference.group.split(":")[0] if difference.group.startswith(USERS) else ITEMS


def _group(difference: Difference) -> str:
    return difference.group.replace(USERS, "").replace(ITEMS, "on items: ")


def _cells(each: Difference, name: str) -> list[str]:
    low, high = f"{each.interval.low:+.4f}", f"{each.interval.high:+.4f}"
    word = ("B higher" if each.corrected.mean > 0 else "A higher") if each.corrected.excludes_zero else "–"
    numbers = [f"{each.users:,}", f"{each.a:.4f}", f"{each.b:.4f}", f"{each.interval.mean:+.4f}"]
    return [name, *numbers, f"[{low}, {high}]", word]


def _figures(found: Compared) -> Text:
    told = [f"{heading(name)} {_short(a)} and {_short(b)}" for name, a, b in found.figures]
    return Text(f"One a run, A and B: {'; '.join(told)}." if told else "")


def _short(value: float) -> str:
    return f"{value:,.4f}" if abs(value) < 1 else f"{value:,.1f}"


def differences_frame(found: Comparison) -> pl.DataFrame:
    """One row a metric or group, for plots: `metric, group, users, a, b, mean, low, high, together`."""
    return pl.DataFrame(
        [
            {
                "metric": each.metric,
                "group": _group(each),
                "users": each.users,
                "a": each.a,
                "b": each.b,
                "mean": each.interval.mean,
                "low": each.interval.low,
                "high": each.interval.high,
                "together": each.corrected.excludes_zero,
            }
            for each in (*found.metrics, *found.groups)
        ]
    )
