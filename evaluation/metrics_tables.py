"""Tables of methods and metrics as data frames, Markdown and terminal output, with the best of each column marked."""

from collections.abc import Sequence

import polars as pl
from rich.table import Table

from evaluation.gates import Verdict, Verdicts
from evaluation.results import MethodMetrics

METHOD = "method"
USERS = "users"
HIGHER_IS_BETTER = ("ndcg", "recall", "hit_rate", "mrr")
"""Metrics whose best is marked. Coverage and distance have no best: random lists win both."""


def metrics_table(methods: Sequence[MethodMetrics], metrics: Sequence[str] | None = None) -> pl.DataFrame:
    """One row a method: `method, users`, and its means; `metrics` picks and orders columns (default all, as measured).

    A metric that a method lacks is null.
    """
    names = list(metrics) if metrics is not None else list(dict.fromkeys(name for m in methods for name in m.means))
    columns = {name: [method.means.get(name) for method in methods] for name in names}
    rows = {METHOD: [method.name for method in methods], USERS: [method.users for method in methods], **columns}
    schema = {METHOD: pl.String, USERS: pl.Int64, **dict.fromkeys(names, pl.Float64)}
    return pl.DataFrame(rows, schema=schema)


def verdicts_table(verdicts: Verdicts) -> pl.DataFrame:
    """One row a gate: `gate, passed, measured, wanted, low, high, sentence`; `low` and `high` bound the gain."""
    numbers = dict.fromkeys(("measured", "wanted", "low", "high"), pl.Float64)
    schema = {"gate": pl.String, "passed": pl.Boolean, **numbers, "sentence": pl.String}
    return pl.DataFrame([_verdict_row(verdict) for verdict in verdicts.verdicts], schema=schema, orient="row")


def _verdict_row(verdict: Verdict) -> tuple[object, ...]:
    low, high = (verdict.interval.low, verdict.interval.high) if verdict.interval else (None, None)
    measured, wanted = float(verdict.measured), float(verdict.wanted)
    return verdict.gate, verdict.passed, measured, wanted, low, high, verdict.sentence


def rich_table(frame: pl.DataFrame, title: str = "") -> Table:
    """The frame for a terminal, best values bold."""
    table = Table(title=title or None)
    for name, kind in frame.schema.items():
        table.add_column(heading(name), justify="right" if kind.is_numeric() else "left")
    for cells in _cells(frame, "[bold green]{}[/]"):
        table.add_row(*cells)
    return table


def markdown(frame: pl.DataFrame, *, marked: bool = True) -> str:
    """The frame as a GitHub table, best values bold where its rows compete."""
    head = [heading(name) for name in frame.columns]
    rules = ["---:" if kind.is_numeric() else "---" for kind in frame.dtypes]
    rows = [head, rules, *_cells(frame, "**{}**" if marked else "{}")]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def heading(name: str) -> str:
    """`ndcg_at_20` as a heading: `NDCG@20`."""
    words = name.replace("_at_", "@").replace("_", " ")
    return words.upper() if words.startswith(("ndcg", "mrr")) else words[:1].upper() + words[1:]


def _cells(frame: pl.DataFrame, marked: str) -> list[list[str]]:
    best = {name: frame[name].fill_nan(None).max() for name in frame.columns if name.startswith(HIGHER_IS_BETTER)}
    return [[_cell(row[name], best.get(name), marked) for name in frame.columns] for row in frame.iter_rows(named=True)]


def _cell(value: object, best: object, marked: str) -> str:
    if value is None or value != value:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return marked.format(text) if best is not None and value == best else text
