"""A lake that a night crosses in seconds: forty users, sixty items, nine weeks, and tastes that can be learned."""

import io
import os
import random
import subprocess
import sys
import warnings
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import polars as pl
import pytest

from cli import main
from pipeline.ingestion import ImportRequest, import_files

START = datetime(2017, 1, 1, tzinfo=UTC)
DAYS = 63
LAST_DAY = (START + timedelta(days=DAYS)).date()
USERS, ITEMS = 40, 60
LANGUAGES = ("en", "pt")
MADE_BY = {40: "person-08-zq", 41: "person-03-zq", 56: "person-08-zq", 57: "person-03-zq"}
"""Items whose creator is also a user."""
FAST = {
    "TASTEFEED_LABEL_WEEKS": "2",
    "TASTEFEED_TWO_TOWER__EPOCHS": "1",
    "TASTEFEED_TWO_TOWER__EMBEDDING_SIZE": "8",
    "TASTEFEED_RANKING__RERANKER__ROUNDS": "5",
    "TASTEFEED_SPARK_SHUFFLE_PARTITIONS": "1",
    "TASTEFEED_SPARK_DRIVER_MEMORY": "1g",
    "OMP_NUM_THREADS": "1",
}
"""Settings with which the same night costs little."""


BOUND_BY_PERMISSIONS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--")
"""What a command begins with so that permissions of files bind it, even if root runs it."""
UNCOVERED = ("COV_", "COVERAGE_")
"""Variables by which coverage finds its way into processes that tests start."""


def items() -> pl.DataFrame:
    """A new item a day; even ones are English and by `ann`, odd ones Portuguese and by `bob`, but for those that two of
    the users made."""
    rows = range(ITEMS)
    return pl.DataFrame(
        {
            "item_id": [f"item-{row:02}" for row in rows],
            "title": [f"{'garden' if row % 2 == 0 else 'futebol'} number {row}" for row in rows],
            "creator_id": [MADE_BY.get(row) or ("ann" if row % 2 == 0 else "bob") for row in rows],
            "categories": [["green" if row % 2 == 0 else "ball"] for row in rows],
            "language": [LANGUAGES[row % 2] for row in rows],
            "created_at": [START + timedelta(days=row) for row in rows],
            "url": [f"https://example.org/{row}" for row in rows],
        }
    )


def users() -> pl.DataFrame:
    """Half of them in SP, half in TX."""
    return pl.DataFrame({"user_id": [name(row) for row in range(USERS)], "region": ["SP", "TX"] * (USERS // 2)})


def name(row: int) -> str:
    """Ids that are easily found, and never part of anything else."""
    return f"person-{row:02}-zq"


def events(seed: int = 7) -> pl.DataFrame:
    """On most days each user opens a session and clicks a young item of their own language, sometimes saving it."""
    random_ = random.Random(seed)
    rows = []
    for day in range(1, DAYS):
        for user in range(USERS):
            if random_.random() < 0.5:
                continue
            young = [row for row in range(max(0, day - 6), min(day, ITEMS)) if row % 2 == user % 2]
            if not young:
                continue
            at = START + timedelta(days=day, seconds=random_.randrange(80_000))
            item = f"item-{random_.choice(young):02}"
            rows.append((name(user), item, "click", at))
            if random_.random() < 0.3:
                rows.append((name(user), item, "save", at + timedelta(minutes=2)))
    return pl.DataFrame(rows, schema=["user_id", "item_id", "action", "timestamp"], orient="row")


def ingest(lake: Path, extra: pl.DataFrame | None = None) -> None:
    """Import the tables into a lake."""
    folder = lake.parent / f"{lake.name}-files"
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"events": events() if extra is None else pl.concat([events(), extra]), "items": items(), "users": users()}
    for table, frame in tables.items():
        frame.write_parquet(folder / f"{table}.parquet")
    import_files(
        ImportRequest(
            events=[folder / "events.parquet"], items=folder / "items.parquet", users=folder / "users.parquet"
        ),
        lake_root=lake,
        landed_at=datetime(2017, 4, 1, tzinfo=UTC),
    )


def environment(**settings: str) -> dict[str, str]:
    """The process environment with the fast settings, and without the caller's own."""
    foreign = ("TASTEFEED_", "AIRFLOW", *UNCOVERED)
    outer = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return outer | FAST | settings


def covered() -> dict[str, str]:
    """What makes a process count towards the suite's coverage: one night does, for counting slows it down."""
    return {name: value for name, value in os.environ.items() if name.startswith(UNCOVERED)}


def tastefeed(*arguments: object, prefix: tuple[str, ...] = (), **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    words = [*prefix, *command(*arguments)]
    return subprocess.run(words, env=environment(**settings), capture_output=True, text=True, check=False)


def tastefeed_here(*arguments: object, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in this process, which has imported already what a new one takes seconds to import, and has
    a JVM. Airflow keeps the home of its import, so all nights of this process share one."""
    settings = {"TASTEFEED_AIRFLOW_HOME": os.environ["AIRFLOW_HOME"]} | settings
    printed, complained = io.StringIO(), io.StringIO()
    with ExitStack() as around:
        around.enter_context(patch.dict(os.environ, environment(**settings), clear=True))
        around.enter_context(patch.object(sys, "argv", command(*arguments)))
        around.enter_context(redirect_stdout(printed))
        around.enter_context(redirect_stderr(complained))
        around.enter_context(warnings.catch_warnings(action="ignore"))  # a process of its own shows none of them
        ended = around.enter_context(pytest.raises(SystemExit))
        main()
    status = ended.value.code or 0
    return subprocess.CompletedProcess(command(*arguments), status, printed.getvalue(), complained.getvalue())


def command(*arguments: object) -> list[str]:
    """The command line of this environment."""
    return [str(Path(sys.executable).with_name("tastefeed")), *map(str, arguments)]


def make_read_only(folder: Path) -> None:
    """Take the permission to write from a folder and everything in it."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)


def day(offset: int = 0) -> date:
    """The last day, or some days before it."""
    return LAST_DAY - timedelta(days=offset)
