"""`tastefeed compare`: two runs on the same evaluation data, shown on one screen with a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

import polars as pl
from mlflow import MlflowClient
from mlflow.entities import Run
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from contracts import Settings
from contracts.errors import NotComparable, UnknownRun
from evaluation import Comparison, Difference, compared, rich_table
from evaluation.anonymized_metrics import ITEMS, USERS
from evaluation.metrics_tables import heading
from pipeline.experiments.mlflow_logger import COMMIT, short, tracking_uri
from pipeline.experiments.run_log import FINGERPRINT, LoggedRun
from pipeline.lake import Lake

MIN_PREFIX, SHORT = 4, 8
NEWEST = ["attributes.start_time DESC"]
PARENT = "mlflow.parentRunId"
COMPARABLE = f"tags.`{FINGERPRINT}` LIKE '%'"


def stores(lakes: Sequence[str], uri: str, settings: Settings) -> list[MlflowClient]:
    """The tracking stores to search: `uri`, else that of the settings, else those in the folders.

    A folder is a lake, or the --out of a benchmark. Raises `UnknownRun` where a folder holds no store.
    """
    uri = uri or settings.mlflow_tracking_uri
    homes = [Lake(lake) for lake in lakes or [settings.lake]]
    for home in [] if uri else homes:
        if not (home.folder / "mlflow.db").exists():
            remedy = "give the lake of a night or the --out of a benchmark with --lake, or --tracking-uri"
            raise UnknownRun(f"{home.folder}: holds no mlflow.db; {remedy}")
    return [MlflowClient(uri)] if uri else [MlflowClient(tracking_uri(settings, home)) for home in homes]


def find_run(name: str, clients: Sequence[MlflowClient]) -> LoggedRun:
    """The run of an id, of the first characters of one, or the newest of an `experiment/name`.

    Raises `UnknownRun` and `NotComparable`.
    """
    runs = [LoggedRun(client, run) for client in clients for run in _matching(name, client)]
    if not runs:
        raise UnknownRun(f"{name}: no such run; `tastefeed compare` without runs lists those that can be compared")
    if "/" not in name and len(runs) > 1:
        ids = ", ".join(each.run.info.run_id for each in runs[:5])
        raise UnknownRun(f"{name}: the beginning of {len(runs)} runs ({ids}); give more of the id")
    chosen = max(runs, key=lambda each: each.run.info.start_time)
    if FINGERPRINT not in chosen.run.data.tags:
        raise NotComparable(f"{name}: run {chosen.name!r} holds no per-user metrics; {_alternatives(chosen)}")
    return chosen


def comparable_runs(clients: Sequence[MlflowClient], most: int = 30) -> pl.DataFrame:
    """The newest runs that can be compared: `run, name, dataset, question, metric, mean, started`.

    Only runs with the same question, the fingerprint of their evaluation data, can be compared with each other.
    """
    runs = [LoggedRun(client, run) for client in clients for run in _search(client, COMPARABLE)]
    if not runs:
        raise UnknownRun("no run here can be compared; run a night or `tastefeed bench retrieval --data …` first")
    return pl.DataFrame([_row(each) for each in runs]).sort("started", descending=True).head(most)


def started(run: Run) -> str:
    """When a run began, to the minute, UTC."""
    return f"{datetime.fromtimestamp(run.info.start_time / 1000, UTC):%Y-%m-%d %H:%M}"


def _row(logged: LoggedRun) -> dict[str, object]:
    return {
        "run": logged.run.info.run_id[:SHORT],
        "name": logged.path,
        "dataset": logged.fingerprint.dataset,
        "question": logged.fingerprint.digest[:SHORT],
        "metric": logged.metric,
        "mean": logged.run.data.metrics.get(logged.metric),
        "started": started(logged.run),
    }


def _matching(name: str, client: MlflowClient) -> list[Run]:
    experiment, slash, run_name = name.partition("/")
    if slash:
        match = client.get_experiment_by_name(experiment)
        condition = f"attributes.run_name = {_quoted(run_name)}"
        return [] if match is None else _search(client, condition, match.experiment_id)
    if len(name) < MIN_PREFIX or not name.isalnum():
        raise UnknownRun(f"{name}: give a run's id, at least {MIN_PREFIX} characters of it, or experiment/name")
    return _search(client, f"attributes.run_id LIKE '{name}%'")


def _quoted(name: str) -> str:
    if "'" in name:
        raise UnknownRun(f"{name}: a name with a quote cannot be searched for; give the run's id")
    return f"'{name}'"


def _search(client: MlflowClient, condition: str, experiment: str = "") -> list[Run]:
    ids = [experiment] if experiment else [each.experiment_id for each in client.search_experiments()]
    return list(client.search_runs(ids, condition, order_by=NEWEST))


def _alternatives(parent: LoggedRun) -> str:
    condition = f"tags.`{PARENT}` = '{parent.run.info.run_id}' AND {COMPARABLE}"
    children = _search(parent.client, condition, parent.run.info.experiment_id)
    names = ", ".join(f"{run.info.run_name} {run.info.run_id[:SHORT]}" for run in children)
    return f"compare one of its methods: {names}" if names else "run it again to have them"


FIGURES = ("coverage_at_", "fit_seconds", "users_per_second", "peak_rss_mb")
"""Figures of a whole run. They have no value for each user, so no interval."""
MAX_SETTINGS = 12
VERDICT = "◂"


@dataclass(frozen=True)
class Compared:
    """Two runs and their differences."""

    a: LoggedRun
    b: LoggedRun
    differences: Comparison

    @property
    def settings(self) -> list[tuple[str, str, str]]:
        """Each setting that differs: its name, the value of A and the value of B."""
        names = sorted({*self.a.settings, *self.b.settings})
        pairs = [(name, self.a.settings.get(name, "–"), self.b.settings.get(name, "–")) for name in names]
        return [pair for pair in pairs if pair[1] != pair[2]]

    @property
    def figures(self) -> list[tuple[str, float, float]]:
        """Figures of the whole run that both have."""
        a, b = self.a.run.data.metrics, self.b.run.data.metrics
        return [(name, a[name], b[name]) for name in sorted({*a} & {*b}) if name.startswith(FIGURES)]


def compare_runs(
    name_a: str, name_b: str, *, lakes: Sequence[str] = (), uri: str = "", metric: str = "", settings: Settings
) -> Compared:
    """Find two runs and pair their users. Raises `UnknownRun` and `NotComparable`."""
    clients = stores(lakes, uri, settings)
    a, b = (find_run(name, clients) for name in (name_a, name_b))
    unlike = a.fingerprint.difference_to(b.fingerprint)
    if unlike:
        raise NotComparable(f"{name_a} and {name_b} answer different questions: {unlike}; run both on the same data")
    return Compared(a, b, compared(a.per_user, b.per_user, metric or a.metric, seed=settings.seed))


def comparable_runs_table(lakes: Sequence[str], uri: str, settings: Settings) -> RenderableType:
    """A table of the runs that can be compared."""
    return rich_table(
        comparable_runs(stores(lakes, uri, settings)), "Runs that can be compared where the question is the same"
    )


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
    return Text(
        "  ".join([letter, logged.path, logged.run.info.run_id[:SHORT], started(logged.run), f"commit {commit}"])
    )


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
            name = f"{heading(each.metric)} {_group(each) or (VERDICT if each is comparison.main else '')}".strip()
            table.add_row(*_cells(each, name), style="bold" if each is comparison.main else "")
    tests = f"{len(comparison.metrics)} metrics and {len(comparison.groups)} groups"
    table.caption = (
        f"{VERDICT} the verdict reads this row. Together: still significant after correction for {tests} "
        "(Bonferroni, each table)."
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


def _figures(runs: Compared) -> Text:
    figures = [f"{heading(name)} {_short(a)} and {_short(b)}" for name, a, b in runs.figures]
    return Text(f"One a run, A and B: {'; '.join(figures)}." if figures else "")


def _short(value: float) -> str:
    return f"{value:,.4f}" if abs(value) < 1 else f"{value:,.1f}"


def differences_frame(comparison: Comparison) -> pl.DataFrame:
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
            for each in (*comparison.metrics, *comparison.groups)
        ]
    )
