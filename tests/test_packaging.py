"""The wheel holds what the commands need, and its metadata is complete."""

import shutil
import subprocess
import sys
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
FROM_THE_WHEEL = """
import cli.demo_command, contracts
assert contracts.__version__
assert (cli.demo_command.BUNDLED / "events.parquet").is_relative_to(%r)
assert (cli.demo_command.BUNDLED / "events.parquet").is_file()
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel, built from a copy, because a build writes into its source."""
    folder = tmp_path_factory.mktemp("wheel")
    skipped = shutil.ignore_patterns(".*", "lake*", "tests", "docs", "notebooks", "build", "bench-out", "*.egg-info")
    shutil.copytree(ROOT, folder / "source", ignore=skipped)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, folder / "source"], check=True)
    (wheel,) = folder.glob("*.whl")
    ZipFile(wheel).extractall(folder / "installed")
    return folder / "installed"


def test_the_wheel_holds_the_bundled_data_the_pages_and_the_dag(installed: Path) -> None:
    for name in (
        "data/deskdrop/events.parquet",
        "serving/http/templates/home.html",
        "features/log4j2.properties",
        "dags/nightly.py",
    ):
        assert (installed / name).is_file(), name
    assert not (installed / "client").exists(), "the client is a package of its own"
    done = subprocess.run(
        [sys.executable, "-c", FROM_THE_WHEEL % str(installed)],
        cwd=installed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_metadata_is_complete(installed: Path) -> None:
    (folder,) = installed.glob("*.dist-info")
    metadata = Parser().parsestr((folder / "METADATA").read_text())
    for field in (
        "Summary",
        "Author",
        "License-Expression",
        "Keywords",
        "Project-URL",
        "Requires-Python",
        "Classifier",
    ):
        assert metadata[field], field
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "## Quick start" in metadata.get_payload()
