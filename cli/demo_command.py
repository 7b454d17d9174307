"""`tastefeed demo`: from the bundled data to a served feed, in one command."""

import json
import os
import sys
import tempfile
import threading
import time
import webbrowser
from contextlib import suppress
from datetime import UTC, date, datetime
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.request import urlopen

import typer

from cli import options

if TYPE_CHECKING:
    from pipeline.ingestion import ImportRequest

BUNDLED = Path(__file__).parents[1] / "data" / "deskdrop"
AS_OF = date(2017, 3, 1)
"""The midnight that ends the last bundled day."""
READER = "-1443636648652872475"
"""A user of the bundled data, whose feed the page shows first."""
HOST = "127.0.0.1"
LONGEST_START_S = 120


def demo(
    context: typer.Context,
    *,
    lake: options.Lake = options.LAKE,
    port: options.Port = 8000,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
) -> None:
    """Import the bundled data, run its night, serve the feed and open the page. A lake with a release is served."""
    from contracts import Settings
    from serving.http.server import require_port, serve
    from serving.releases import publish

    settings = Settings(lake=lake)
    require_port(HOST, port)  # before a night of minutes, not after it
    if publish.current_or_none(settings.release_root) is None:
        _make_release(lake, debug=context.find_root().params["debug"])
        publish.current(settings.release_root)
        sys.stdout.flush()
        # the night has loaded torch and a JVM; a new process serves in a tenth of the memory
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  the same command, without a shell
    url = f"http://{HOST}:{port}"
    typer.echo(f"the feed of {lake} comes to {url}/ (Ctrl-C ends it)")
    if open_page:
        threading.Thread(target=_open_when_ready, args=(url,), daemon=True).start()
    serve(settings, host=HOST, port=port)


def _make_release(lake: str, *, debug: bool) -> None:
    from contracts import Settings
    from contracts.errors import UnreadableInput
    from pipeline.console_report import show_night
    from pipeline.ingestion import ImportRequest
    from pipeline.ingestion.import_command import import_and_report
    from pipeline.local_runner import run_nightly

    tables = {table: BUNDLED / f"{table}.parquet" for table in ("events", "items", "users")}
    request = ImportRequest(events=[tables["events"]], items=tables["items"], users=tables["users"])
    if holds_other_events(lake, request):
        raise UnreadableInput(
            f"{lake}: holds other events than the bundled ones, and no release; run `tastefeed nightly --lake {lake}`, "
            "or name another --lake for the demo"
        )
    import_and_report(request, lake)
    show_night(run_nightly(lake, AS_OF, Settings(), debug=debug))


def holds_other_events(lake: str, request: "ImportRequest") -> bool:
    """Whether the lake has event files that are not the bundled one; files are named after their content."""
    from pipeline.ingestion import convert, ingested_files, store_batch

    ingested = {path.rsplit("/", 1)[-1] for path in ingested_files(lake, "events")}
    if not ingested:
        return False
    with tempfile.TemporaryDirectory(prefix="tastefeed-") as folder:
        frames = convert(request).frames("events")
        bundled = {Path(store_batch("events", frame, folder, datetime.now(UTC)).path).name for frame in frames}
    return not ingested <= bundled


def _open_when_ready(url: str) -> None:
    """Open the page in a browser as soon as the server is ready, with a bundled user if the release has one."""
    ends = time.monotonic() + LONGEST_START_S
    while time.monotonic() < ends:
        with suppress(OSError, HTTPException), urlopen(f"{url}/readyz"):  # noqa: S310  our own address
            webbrowser.open(f"{url}/?user_id={READER}" if _is_known(url, READER) else f"{url}/")
            return
        time.sleep(0.1)


def _is_known(url: str, user: str) -> bool:
    with suppress(OSError, HTTPException), urlopen(f"{url}/v1/users/{user}/home-feed?limit=1") as feed:  # noqa: S310
        return bool(json.load(feed)["personalized"])
    return False  # where the server has keys, it answers 401
