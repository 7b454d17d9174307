"""`tastefeed import` and its forecast of the next night."""

from pathlib import Path

import polars as pl
import pytest

from pipeline import stage_progress
from pipeline.ingestion.landing_zone import erase_rows
from tests import tiny

# Spark warns about its own dependencies when it is imported
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("spark")]


def events(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(("user_id,item_id,action,timestamp", *rows)) + "\n")
    return path


def batches(lake: Path) -> list[str]:
    return sorted(path.name for path in (lake / "landing").rglob("*.parquet"))


def imported(lake: Path, **files: Path) -> tuple[int, str, str]:
    arguments = [text for name, path in files.items() for text in (f"--{name}", path)]
    done = tiny.tastefeed_here("import", "--lake", lake, *arguments)
    return done.returncode, done.stdout, done.stderr


def test_events_without_items_are_all_kept_and_a_long_import_reports_its_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_progress, "LINE_EVERY_S", 0.02)
    file = events(tmp_path / "events.csv", "u1,i1,click,2024-03-01", "u2,i2,save,2024-03-02")
    status, output, _ = imported(tmp_path / "lake", events=file)
    assert status == 0
    assert "of 2 ingested events the night refuses 0" in output
    assert "check of events           0 s  running\n" in output


def test_an_import_that_the_night_would_refuse_as_a_whole_fails_and_leaves_the_lake_as_it_was(tmp_path: Path) -> None:
    lake, items = tmp_path / "lake", tmp_path / "items.csv"
    items.write_text("item_id\ni1\n")
    assert imported(lake, items=items, events=events(tmp_path / "a.csv", "u1,i1,click,2024-03-01"))[0] == 0
    before = batches(lake)
    unknown = events(tmp_path / "b.csv", "u1,other,click,2024-03-01", "u2,another,click,2024-03-02")
    status, _, complaint = imported(lake, events=unknown)
    assert status == 1
    assert complaint.count("\n") == 1
    assert "every event of this import would be refused by the night (2 unknown_item)" in complaint
    assert "--items" in complaint
    assert batches(lake) == before


@pytest.mark.parametrize(
    ("row", "reason", "remedy"),
    [
        ("u1,i1,view,2024-03-01", "1 unknown_action", "--action theirs=ours"),
        ("u1,i1,click,1901-03-01", "1 before_1990", "1990 or later"),
        ("u1,i1,click,2099-03-01", "1 in_the_future", "not in the future"),
    ],
)
def test_each_reason_has_a_remedy(tmp_path: Path, row: str, reason: str, remedy: str) -> None:
    status, _, complaint = imported(tmp_path / "lake", events=events(tmp_path / "events.csv", row))
    assert status == 1
    assert reason in complaint
    assert remedy in complaint
    assert batches(tmp_path / "lake") == []


def test_rows_ingested_before_are_no_failure(tmp_path: Path) -> None:
    rows = ["u1,i1,click,2024-03-01", "u2,i1,click,2024-03-02"]
    assert imported(tmp_path / "lake", events=events(tmp_path / "a.csv", *rows))[0] == 0
    status, output, _ = imported(tmp_path / "lake", events=events(tmp_path / "b.csv", *reversed(rows)))
    assert status == 0
    assert "2 duplicate_event_id" in output
    assert "next night stops" not in output


def test_items_alone_are_checked_against_the_events_and_nothing_is_removed(tmp_path: Path) -> None:
    lake, items = tmp_path / "lake", tmp_path / "items.csv"
    rows = ["u1,007,click,2024-03-01", "u2,i2,click,2024-03-02", "u3,i3,save,2024-03-02"]
    assert imported(lake, events=events(tmp_path / "events.csv", *rows))[0] == 0
    items.write_text("item_id\n7\ni3\n")  # without its zeros, and without i2
    status, output, _ = imported(lake, items=items)
    assert status == 0
    assert "of 3 ingested events the night refuses 2: 2 unknown_item" in output
    assert "warning: 67% of the events are broken, and the next night stops above 5%" in output
    assert len(batches(lake)) == 2
    assert "ingested events" not in imported(lake, items=items)[1]


def test_items_are_kept_where_no_event_remains_to_be_checked(tmp_path: Path) -> None:
    lake, items = tmp_path / "lake", tmp_path / "items.csv"
    assert imported(lake, events=events(tmp_path / "events.csv", "u1,i1,click,2024-03-01"))[0] == 0
    erase_rows(lake, ["u1"])
    items.write_text("item_id\ni1\n")
    status, output, _ = imported(lake, items=items)
    assert status == 0
    assert "ingested events" not in output


def test_the_words_for_an_item_do_not_depend_on_how_pandas_wrote_it(tmp_path: Path) -> None:
    items = tmp_path / "items.parquet"
    pl.DataFrame({"item_id": ["7", "x"]}).write_parquet(items)
    file = events(tmp_path / "events.csv", "u1,7.0,click,2024-03-01", "u1,x,click,2024-03-02")
    status, output, _ = imported(tmp_path / "lake", items=items, events=file)
    assert status == 0
    assert "refuses 0: none" in output


def test_an_import_warns_where_the_next_night_would_stop_and_names_the_file_to_remove(tmp_path: Path) -> None:
    rows = [f"u{row},i1,click,2024-03-0{row}" for row in range(1, 4)]
    status, output, _ = imported(
        tmp_path / "lake", events=events(tmp_path / "events.csv", *rows, "u1,,click,2024-03-01")
    )
    assert status == 0
    assert "warning: 25% of the events are broken, and the next night stops above 5%" in output
    (name,) = batches(tmp_path / "lake")
    assert f"landing/events/{name} has the most (1); remove that file from the lake and import the corrected" in output
