"""The commit that runs. It is read without MLflow, which a fresh process of a benchmark would import in seconds."""

import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
UNKNOWN = "unknown"
SHORT = 8
"""Letters of an abbreviated commit."""


def git_commit(checkout: Path = CHECKOUT) -> str:
    """The commit of this checkout, with `+changes` where files differ from it; `unknown` where it is no checkout."""
    if not (checkout / ".git").exists():  # an installed package may lie inside a repository that is not ours
        return UNKNOWN
    try:
        commit = _git(checkout, "rev-parse", "HEAD")
        changed = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN
    return f"{commit}+changes" if changed else commit


def short(commit: str) -> str:
    """The result of `git_commit` with an abbreviated commit."""
    name, plus, changes = commit.partition("+")
    return f"{name[:SHORT]}{plus}{changes}"


def _git(checkout: Path, *arguments: str) -> str:
    command = ["git", "-C", str(checkout), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603  no input
