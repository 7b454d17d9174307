"""Which code ran."""

import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
UNKNOWN = "unknown"
SHORT = 8
"""Letters of a commit that people read."""


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
    """What `git_commit` said, with as much of the commit as people read."""
    name, plus, changes = commit.partition("+")
    return f"{name[:SHORT]}{plus}{changes}"


def _git(checkout: Path, *arguments: str) -> str:
    command = ["git", "-C", str(checkout), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603  no input
