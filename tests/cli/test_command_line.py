"""Every command explains itself, and wrong usage is status 2 with one message."""

import subprocess
from pathlib import Path

import pytest

from tests import tiny

ROOT = Path(__file__).parents[2]

COMMANDS = (
    "demo",
    "import",
    "init",
    "nightly",
    "recommend",
    "serve",
    "opt-out",
    "releases",
    "backtest",
    "bench",
    "compare",
    "settings",
)
GROUPS = {
    "opt-out": ("set", "clear", "show", "restore"),
    "releases": ("list", "show", "verify", "rollback"),
    "bench": ("retrieval", "ranking", "report"),
}
SUBCOMMANDS = [(group, name) for group, names in GROUPS.items() for name in names]


def test_help_lists_every_command() -> None:
    done = tiny.tastefeed_here("--help")
    assert done.returncode == 0
    assert [name for name in COMMANDS if name not in done.stdout] == []


@pytest.mark.parametrize("command", [*((name,) for name in COMMANDS), *SUBCOMMANDS], ids=" ".join)
def test_every_command_has_help(command: tuple[str, ...]) -> None:
    done = tiny.tastefeed_here(*command, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout
    assert " ".join(command) in done.stdout
    assert "Traceback" not in done.stderr


WRONG = [
    ("no-such-command",),
    ("releases", "no-such"),
    ("nightly", "--no-such-option"),
    ("opt-out", "set"),
    ("recommend", "--out", "lists.csv"),
]


@pytest.mark.parametrize("command", WRONG)
def test_wrong_usage_is_status_2_and_names_the_way_to_the_help(command: tuple[str, ...]) -> None:
    done = tiny.tastefeed_here(*command)
    assert done.returncode == 2
    assert "--help" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_one_line(option: str) -> None:
    done = tiny.tastefeed_here(option)
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    assert any(character.isdigit() for character in done.stdout)


def test_a_shell_completes_the_words_of_a_command() -> None:
    words = {"COMP_WORDS": "tastefeed releases roll", "COMP_CWORD": "2"}
    done = tiny.tastefeed(_TASTEFEED_COMPLETE="complete_bash", **words)
    assert (done.returncode, done.stdout) == (0, "rollback\n")


def test_make_clean_keeps_the_lake_and_make_clean_lake_asks(tmp_path: Path) -> None:
    lake, environment = tmp_path / "lake", tmp_path / "venv"
    lake.mkdir()
    environment.mkdir()

    def make(target: str, answer: str = "") -> str:
        command = ["make", target, f"LAKE={lake}", f"VENV={environment}"]
        return subprocess.run(command, cwd=ROOT, input=answer, capture_output=True, text=True, check=True).stdout

    make("clean")
    assert lake.exists()
    assert not environment.exists()
    assert f"remove {lake} with its releases, runs and opt-outs" in make("clean-lake", "no\n")
    assert lake.exists()
    make("clean-lake", "yes\n")
    assert not lake.exists()
