"""`--json` prints one document on stdout, and nothing else."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from cli.json_output import print_json
from tests import tiny
from tests.serving.tiny import publish_tiny

NOISY = """
import ctypes, os, subprocess, sys
from cli.json_output import print_json, progress_on_stderr
with progress_on_stderr(wanted=True):
    print("python")
    os.write(1, b"native\\n")
    subprocess.run([sys.executable, "-c", "print('child')"], check=True)
print_json({"done": True})
"""


def answer(*arguments: object) -> Any:
    done = tiny.tastefeed_here(*arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("json")
    assert tiny.tastefeed_here("init", "-l", folder / "lake").returncode == 0
    publish_tiny(folder / "lake" / "releases", folder / "builds")
    return folder / "lake"


def test_what_is_no_number_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"ndcg": float("nan"), "day": date(2017, 3, 1), "users": [float("inf"), 0]})
    assert json.loads(capsys.readouterr().out) == {"ndcg": None, "day": "2017-03-01", "users": [None, 0]}


def test_releases_are_printed_as_their_manifests(lake: Path) -> None:
    (release,) = answer("releases", "list", "-l", lake, "-j")
    assert release["current"]
    assert answer("releases", "verify", "--lake", lake, "--json") == release
    assert answer("releases", "show", "--lake", lake, "--json")["version"] == release["version"]
    assert answer("releases", "rollback", release["version"], "--lake", lake, "--json") == release


def test_recommend_prints_where_the_lists_are_and_how_many(lake: Path, tmp_path: Path) -> None:
    out = tmp_path / "lists.parquet"
    done = answer("recommend", "-l", lake, "-k", 3, "-o", out, "-j")
    assert done["out"] == str(out)
    assert done["rows"] > 0


@pytest.mark.parametrize("user", ["-1443636648652872475", "-lake", "-jh", "u1"])
def test_an_opt_out_of_an_id_that_may_begin_with_a_dash(lake: Path, user: str) -> None:
    done = answer("opt-out", "set", "user", user, "personalization", "--lake", lake, "--json")
    assert done["subject_id"] == user
    (flag,) = done["flags"]
    assert (flag["flag"], flag["opted_out"]) == ("personalization", True)
    assert answer("opt-out", "show", "user", user, "--lake", lake, "--json") == done
    cleared = answer("opt-out", "clear", "user", user, "personalization", "--lake", lake, "--json")
    assert not cleared["flags"][0]["opted_out"]


def test_import_prints_the_rows_and_the_warnings(tmp_path: Path) -> None:
    users = tmp_path / "users.csv"
    users.write_text("user_id,age\nu1,30\nu2,40\n")
    done = answer("import", "-u", users, "-l", tmp_path / "lake", "-j")
    assert done["rows_read"] == done["rows_ingested"] == {"users": 2}
    assert done["warnings"] == [f"{users}: unknown columns left out: age"]


def test_everything_but_the_document_goes_to_stderr() -> None:
    done = subprocess.run([sys.executable, "-c", NOISY], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"done": True}
    assert done.stderr.split() == ["python", "native", "child"]
