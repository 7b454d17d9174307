"""One real process serves the demo of a finished lake; the tests of `make nightly` cover the night before it."""

import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.demo_command import AS_OF, BUNDLED, READER, holds_other_events
from pipeline.as_of_day import end_of_last_day
from pipeline.ingestion import ImportRequest, import_files
from pipeline.ingestion.landing_zone import user_ids_of_events
from pipeline.lake import Lake
from tests import tiny
from tests.serving.http.test_server import free_port, wait_for
from tests.serving.tiny import publish_tiny


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    assert tiny.tastefeed_here("init", "--lake", folder / "lake").returncode == 0
    publish_tiny(folder / "lake" / "releases", folder / "builds")
    return folder / "lake"


def test_a_finished_lake_is_served_the_page_opens_and_ctrl_c_ends_it(lake: Path, tmp_path: Path) -> None:
    port, opened, log = free_port(), tmp_path / "opened", tmp_path / "log"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    command = tiny.command("demo", "--lake", lake, "--port", port)
    with log.open("w") as output, subprocess.Popen(
        command, env=tiny.environment(BROWSER=f"{browser} %s"), stdout=output, stderr=output
    ) as demo:  # fmt: skip
        wait_for(f"http://127.0.0.1:{port}/readyz", demo)
        for name in ("serve", "demo"):
            started = time.monotonic()
            second = tiny.tastefeed_here(name, "--lake", lake, "--port", port)
            assert (second.returncode, second.stdout) == (1, "")
            assert f"cannot listen on 127.0.0.1:{port} (Address already in use)" in second.stderr
            assert "give another --port" in second.stderr
            assert time.monotonic() - started < 5  # no release was loaded
        while not opened.exists():
            time.sleep(0.05)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(20) == 0
    assert opened.read_text() == f"http://127.0.0.1:{port}/\n"  # this release has no bundled user
    assert "Traceback" not in log.read_text()


def test_the_demo_leaves_other_data_alone(tmp_path: Path) -> None:
    tiny.ingest(tmp_path / "lake")
    done = tiny.tastefeed_here("demo", "--lake", tmp_path / "lake", "--port", free_port())
    assert done.returncode == 1
    assert "holds other events than the bundled ones" in done.stderr
    assert f"tastefeed nightly --lake {tmp_path / 'lake'}" in done.stderr


def test_the_bundled_data_ends_on_the_day_of_the_demo_and_has_its_reader(tmp_path: Path) -> None:
    request = ImportRequest(events=[BUNDLED / "events.parquet"])
    import_files(request, lake_root=tmp_path, landed_at=datetime(2017, 4, 1, tzinfo=UTC))
    assert not holds_other_events(str(tmp_path), request)  # an interrupted demo goes on
    assert READER in user_ids_of_events(Lake(tmp_path))
    assert end_of_last_day(Lake(tmp_path)).date() == AS_OF
