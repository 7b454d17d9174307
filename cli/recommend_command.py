"""`tastefeed recommend`: lists from the current release, to a file or a folder of shards."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options
from cli.json_output import Json, print_json

if TYPE_CHECKING:
    from contracts import Settings
    from serving.privacy.opt_out_service import OptOutService
    from serving.release_choice import RunningExperiment
    from serving.releases.loaded_release import Release

LINE_EVERY_S = 30.0
OTHER_FORMATS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".txt", ".gz", ".pq")
"""Endings of a name that is meant as a file: it would become a folder."""


def recommend(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="F.parquet for one file; else a folder of shards.")],
    users: Annotated[
        Path | None, typer.Option("--users", "-u", help="Parquet, CSV or JSON lines with user_id; default: everyone.")
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Length of a list.")] = 50,
    users_per_shard: Annotated[int, typer.Option(min=1, help="Users of one file of a folder.")] = 1000,
    replace: Annotated[bool, typer.Option("--replace", help="Start anew in a folder with other lists.")] = False,
    lake: options.Lake = options.LAKE,
    json: Json = False,
) -> None:
    """Lists from the current release: user_id, item_id, rank, score, source. A folder's run can be stopped and
    continued: the same command keeps the finished shards."""
    from contracts import Settings
    from serving.list_shards import ShardWriter, write_one_file
    from serving.shown_items import fatigue_config

    if out.suffix.lower() in OTHER_FORMATS and not out.is_dir():
        raise typer.BadParameter(f"lists are parquet; name F.parquet or a folder instead of {out.name}")
    settings = Settings(lake=lake)
    release, stores, user_ids = _inputs_of_lists(settings, users)
    fatigue, running = fatigue_config(settings), _running_experiment(settings)
    opt_outs, events = stores.opt_outs, stores.events
    with _progress() as on_progress:
        if out.suffix == ".parquet" and not out.is_dir():
            rows = write_one_file(release, user_ids, k, opt_outs, events, out, on_progress, fatigue, running)
            document, text = {"out": out, "rows": rows}, f"{out}: {rows:,} rows"
        else:
            writer = ShardWriter(release, opt_outs, events, out, fatigue, running)
            manifest = writer.write(
                user_ids, k, users_per_shard=users_per_shard, replace=replace, on_progress=on_progress
            )
            document = {"out": out, **manifest.model_dump(mode="json", by_alias=True)}
            text = f"{out}: {manifest.rows:,} rows in {len(manifest.shards):,} files"
    if json:
        print_json(document)
    else:
        typer.echo(text)


def _inputs_of_lists(settings: "Settings", users: Path | None) -> tuple["Release", "OptOutService", list[str] | None]:
    """The current release, the stores, and the requested users: those of a file, or all."""
    from serving.http.light_imports import import_lightgbm
    from serving.privacy.opt_out_service import OptOutService
    from serving.releases import publish

    settings.require_lake_folder()
    import_lightgbm()
    stores = OptOutService.of(settings)
    release = publish.load(settings.release_root, stores.opt_outs.switches().pinned_release)
    if users is None and release.profiled:
        return release, stores, None
    return release, stores, _requested_users(settings.lake, users)


def _running_experiment(settings: "Settings") -> "RunningExperiment | None":
    """The experiment of `TASTEFEED_EXPERIMENT`, with the releases of its arms."""
    from serving.ab_experiment import read_experiment, versions_beside
    from serving.release_choice import RunningExperiment
    from serving.releases.extra_releases import ExtraReleases

    if (experiment := read_experiment(settings.experiment)) is None:
        return None
    running = RunningExperiment(experiment, ExtraReleases(settings.release_root, versions_beside("", experiment)))
    running.releases.load()
    return running


def _requested_users(lake: str, users: Path | None) -> list[str]:
    """The users of a file, else all of the lake: a release that ranks for no single user names none."""
    from pipeline.ingestion.import_files import read_user_ids
    from pipeline.ingestion.landing_zone import user_ids_of_events
    from pipeline.lake import Lake

    return read_user_ids(users) if users else user_ids_of_events(Lake(lake))


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """On a terminal a bar of the users done, elsewhere a line every thirty seconds; both on stderr."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console, printed = Console(stderr=True), time.monotonic()
    columns = (TextColumn("users"), *Progress.get_default_columns()[1:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("users", total=None)

        def on_progress(done: int, total: int) -> None:
            nonlocal printed
            bar.update(task, completed=done, total=total)
            if not console.is_terminal and time.monotonic() - printed >= LINE_EVERY_S:
                printed = time.monotonic()
                typer.echo(f"{done:,} of {total:,} users", err=True)

        yield on_progress
