"""`tastefeed releases`, and `recommend` and `serve`: lists from the current release, to a file or over HTTP."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.json_output import Json, print_json
from cli.switch_commands import audit_of, operator

if TYPE_CHECKING:
    from contracts import Settings
    from serving.privacy.opt_out_service import OptOutService
    from serving.release_choice import RunningExperiment
    from serving.releases.loaded_release import Release
    from serving.releases.manifest import Manifest


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

    settings = Settings(lake=lake)
    release, stores, user_ids = _inputs_of_lists(settings, users)
    fatigue, running = fatigue_config(settings), _running_experiment(settings)
    one_file = out.suffix == ".parquet" and not out.is_dir()
    with _progress() as on_progress:
        if one_file:
            rows = write_one_file(
                release, user_ids, k, stores.opt_outs, stores.events, out, on_progress, fatigue, running
            )
            document: dict[str, Any] = {"out": out, "rows": rows}
        else:
            writer = ShardWriter(release, stores.opt_outs, stores.events, out, fatigue, running)
            manifest = writer.write(
                user_ids, k, users_per_shard=users_per_shard, replace=replace, on_progress=on_progress
            )
            rows, document = manifest.rows, {"out": out, **manifest.model_dump(mode="json", by_alias=True)}
    if json:
        print_json(document)
    else:
        typer.echo(f"{out}: {rows:,} rows" + ("" if one_file else f" in {len(manifest.shards):,} files"))


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


LINE_EVERY_S = 30.0


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


def serve(
    *,
    lake: options.Lake = options.LAKE,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; keys are needed beyond loopback.")] = (
        "127.0.0.1"
    ),
    port: options.Port = 8000,
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, help="Number of server processes.")] = 1,
    tls_cert: Annotated[
        Path | None, typer.Option(envvar="TASTEFEED_TLS_CERT", help="Certificate chain (PEM), to serve HTTPS.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(envvar="TASTEFEED_TLS_KEY", help="Private key of the certificate (PEM).")
    ] = None,
) -> None:
    """Serve the home feed of the current release."""
    from contracts import Settings
    from contracts.thread_settings import use_threads

    settings = Settings(lake=lake, tls_cert=tls_cert, tls_key=tls_key)
    settings.require_lake_folder()
    # requests already run in parallel: threads of FAISS and BLAS that wait for each other double the processor time
    use_threads(settings.model_copy(update={"threads": settings.threads or 1}))
    from serving.http.server import serve as run_server

    run_server(settings, host=host, port=port, workers=workers)


releases = typer.Typer(help="Published releases.", no_args_is_help=True)
Version = Annotated[str | None, typer.Argument(help="A release; default: the current one.")]
Previous = Annotated[str | None, typer.Argument(help="A release; default: the one before the current.")]


@releases.command("list")
def list_(*, lake: options.Lake = options.LAKE, json: Json = False) -> None:
    """Every release, newest first; the current one is marked."""
    from serving.releases import publish
    from serving.releases.precedence import KIND

    root = _root(lake)
    current, manifests = publish.current_or_none(root), list(reversed(publish.list_releases(root)))
    if json:
        print_json([_described(manifest, current) for manifest in manifests])
        return
    for manifest in manifests:
        mark = "*" if manifest.version == current else " "
        users = f"{manifest.users:,} users" if manifest.profiled else "not profiled"
        reduced = f", {KIND[manifest.reduced_to]}" if manifest.profiled and manifest.reduced_to else ""
        unmeasured = ", unmeasured" if manifest.unmeasured else ""
        typer.echo(f"{mark} {manifest.version}  as of {manifest.as_of:%Y-%m-%d}, {users}{reduced}{unmeasured}")


def _described(manifest: "Manifest", current: str | None) -> dict[str, Any]:
    """A manifest without its list of files, as JSON, with whether the release serves."""
    return {"current": manifest.version == current, **manifest.model_dump(mode="json", exclude={"files"})}


@releases.command("show")
def show(version: Version = None, *, lake: options.Lake = options.LAKE, json: Json = False) -> None:
    """A release's manifest, as JSON with or without --json."""
    from serving.releases import publish

    del json  # accepted, so that every command of the group takes it
    typer.echo(publish.show(_root(lake), version).model_dump_json(indent=1))


@releases.command("verify")
def verify(version: Version = None, *, lake: options.Lake = options.LAKE, json: Json = False) -> None:
    """Check every file of a release against its manifest."""
    from serving.releases import publish

    root = _root(lake)
    manifest = publish.verify(root, version)
    if json:
        print_json(_described(manifest, publish.current_or_none(root)))
    else:
        typer.echo(f"{manifest.version} is whole")


@releases.command("rollback")
def rollback(version: Previous = None, *, lake: options.Lake = options.LAKE, json: Json = False) -> None:
    """Serve an earlier release again."""
    from serving.releases import publish

    manifest = publish.rollback(_root(lake), version)
    _record_rollback(lake, manifest.version)
    if json:
        print_json(_described(manifest, manifest.version))
    else:
        typer.echo(f"{manifest.version} serves now")


def _record_rollback(lake: str, version: str) -> None:
    """Add the rollback to the audit. It comes second, because a lost store must not prevent a rollback."""
    from contracts.errors import TastefeedError

    try:
        audit = audit_of(lake)
        audit.add(operator(), "release.rollback", version)
        pinned = audit.switches().pinned_release
    except TastefeedError as error:
        typer.echo(f"the rollback is not in the audit: {error}", err=True)
        return
    if pinned not in (None, version):
        typer.echo(f"{pinned} is pinned and serves until `tastefeed switches clear pinned_release`", err=True)


def _root(lake: str) -> Path:
    from contracts import Settings

    settings = Settings(lake=lake)
    settings.require_lake_folder()
    return settings.release_root
