"""`tastefeed import` by the command line: mappings, and `--dry-run`, which keeps nothing."""

from pathlib import Path

import polars as pl
import pytest

from tests import tiny

RETAILROCKET = """timestamp,visitorid,event,itemid,transactionid
1433221332117,257597,view,355908,
1433224214164,992329,view,248676,
1433221999827,111016,addtocart,318965,
1433221955914,483717,transaction,253185,4000
"""
MAPPED = (
    *("--map", "visitorid=user_id", "--map", "itemid=item_id", "--map", "event=action"),
    *("--action", "view=click", "--action", "addtocart=save", "--action", "transaction=save"),
)


@pytest.fixture
def events(tmp_path: Path) -> Path:
    (tmp_path / "events.csv").write_text(RETAILROCKET)
    return tmp_path / "events.csv"


def test_a_dry_run_shows_the_rows_as_parsed_and_creates_no_lake(events: Path, tmp_path: Path) -> None:
    done = tiny.tastefeed_here("import", "--lake", tmp_path / "lake", "--events", events, *MAPPED, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert (
        "columns used: user_id (from visitorid), item_id (from itemid), action (from event), timestamp" in done.stdout
    )
    assert "columns left out: transactionid" in done.stdout
    assert "columns absent: event_id, session_id, request_id, position, propensity" in done.stdout
    row = next(line for line in done.stdout.splitlines() if "111016" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "111016", "318965", "save", "2015-06-02T05:13:19.827000+00:00"
    ]  # fmt: skip
    assert "of 4 events the night would refuse 0: none" in done.stdout
    assert not (tmp_path / "lake").exists()


def test_a_dry_run_counts_what_the_night_would_refuse(events: Path, tmp_path: Path) -> None:
    rows = RETAILROCKET + "1433221332117,257597,view,355908,\n12,1,view,355908,\n1433221332117,,view,355908,\n"
    events.write_text(f"{rows}1433221332117,1,shrug,355908,\n1433221332117,1,view,elsewhere,\n")
    (tmp_path / "items.csv").write_text("item_id;title\n355908;[bold]One[/bold]\x1b[2J\n248676;\n318965;\n253185;\n")
    done = tiny.tastefeed_here(
        *("import", "--lake", tmp_path / "lake", "--events", events, "--items", tmp_path / "items.csv", *MAPPED),
        "--dry-run",
    )
    assert done.returncode == 0, done.stderr
    assert (
        "of 9 events the night would refuse 5: 1 null_id, 1 unknown_action, 1 bad_timestamp, 1 duplicate_event_id, "
        "1 unknown_item" in " ".join(done.stdout.split())
    )
    assert "[bold]One[/bold]?[2J" in done.stdout
    assert not (tmp_path / "lake").exists()


def test_a_dry_run_beside_a_lake_leaves_it_as_it_was(events: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    (tmp_path / "items.csv").write_text("item_id\n355908\n")
    assert tiny.tastefeed_here("import", "--lake", lake, "--items", tmp_path / "items.csv").returncode == 0
    before = sorted((path, path.stat().st_mtime_ns) for path in lake.rglob("*"))
    done = tiny.tastefeed_here("import", "--lake", lake, "--events", events, *MAPPED, "--dry-run")
    assert "of 4 events the night would refuse 3: 3 unknown_item" in done.stdout
    assert sorted((path, path.stat().st_mtime_ns) for path in lake.rglob("*")) == before


def test_a_dry_run_fails_where_the_import_would(events: Path, tmp_path: Path) -> None:
    done = tiny.tastefeed_here("import", "--lake", tmp_path / "lake", "--events", events, "--dry-run")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "events lack the required columns user_id, item_id, action" in done.stderr
    assert "give other names with --map theirs=user_id" in done.stderr


def test_a_mapping_file_ingests_the_events(events: Path, tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(
        '[columns]\nvisitorid = "user_id"\nitemid = "item_id"\nevent = "action"\n'
        '[actions]\nview = "click"\naddtocart = "save"\ntransaction = "save"\n'
    )
    (tmp_path / "items.csv").write_text("item_id\n355908\n248676\n318965\n253185\n")
    done = tiny.tastefeed_here(
        *("import", "--lake", tmp_path / "lake", "--events", events, "--items", tmp_path / "items.csv"),
        *("--mapping", tmp_path / "shop.toml"),
    )
    assert done.returncode == 0, done.stderr
    ingested = pl.read_parquet(tmp_path / "lake" / "landing" / "events")
    assert ingested["timestamp"].dt.year().to_list() == [2015] * 4
    assert sorted(ingested["action"]) == ["click", "click", "save", "save"]


def test_a_mapping_that_does_not_fit_is_one_line(events: Path, tmp_path: Path) -> None:
    done = tiny.tastefeed_here("import", "--lake", tmp_path / "lake", "--events", events, "--map", "visitorid=usr")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "visitorid=usr: unknown column 'usr'; use one of event_id, user_id" in done.stderr
    assert not (tmp_path / "lake").exists()
