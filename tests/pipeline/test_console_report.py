"""What a night prints, as far as it came; and never a user id."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipeline.console import print_stage
from pipeline.console_report import night_document, sample_users, show_metrics, show_night, shown, stage_times
from pipeline.run_context import RunContext, open_run_context
from serving.releases.publish import load
from tests.pipeline.handmade_lake import DAY
from tests.serving.tiny import N_USERS, publish_tiny


@pytest.fixture
def night(tmp_path: Path) -> RunContext:
    """A night with a release of five users."""
    night = open_run_context(str(tmp_path / "lake"), DAY)
    night.opt_outs.create()
    version = publish_tiny(night.releases, tmp_path / "fits").version
    write_release_summary(night, version, "no readable release served before")
    return night


def write_release_summary(night: RunContext, version: str, why: str, serving: str = "") -> None:
    outcome = {"version": serving or version, "why": why}
    night.write_summary("release", {"seconds": 0.5, "version": version, "serving": outcome})


def measured(night: RunContext) -> None:
    table = [{"method": "final", "users": 40, "ndcg_at_20": 0.4321, "mrr_at_20": 0.1}]
    night.write_summary("metrics", {"seconds": 2.0, "table": table, "held_out": "the last week", "users": 40})
    gates = {"seconds": 0.1, "sentences": ["passed: final beats [popular]"], "not_judged": ["no champion is compared"]}
    night.write_summary("gates", gates)


def test_a_stage_is_one_line_of_its_short_figures(capsys: pytest.CaptureFixture[str]) -> None:
    print_stage("events", {"seconds": 1.25, "kept": 12345, "share": 0.5, "quarantine": {"bad": 1}, "of": "lake"})
    line = capsys.readouterr().out
    assert line.split() == ["events", "1.2", "s", "kept", "12,345,", "share", "0.5,", "of", "lake"]


def test_only_stages_that_ran_have_a_time(night: RunContext) -> None:
    measured(night)
    table = stage_times(night)
    assert list(table.columns[0].cells) == ["metrics", "gates", "release"]
    assert list(table.columns[1].cells) == ["2.0", "0.1", "0.5"]


def test_the_document_of_a_night_has_what_serves_and_what_each_stage_reported(night: RunContext) -> None:
    measured(night)
    document = night_document(night)
    assert (document["as_of"], document["serving"]) == (DAY, night.summary("release")["version"])
    assert list(document["stages"]) == ["metrics", "gates", "release"]
    assert document["stages"]["metrics"]["users"] == 40


def test_metrics_and_verdicts_are_printed_as_far_as_they_exist(
    night: RunContext, capsys: pytest.CaptureFixture[str]
) -> None:
    show_metrics(night)
    assert "gate" not in capsys.readouterr().out
    measured(night)
    show_metrics(night)
    printed = capsys.readouterr().out
    assert "held out the last week: 40 users" in printed
    assert "0.4321" in printed
    assert "gate  passed: final beats [popular]" in printed
    assert "gate  not judged: no champion is compared" in printed


def test_a_whole_night_ends_with_feeds_and_what_to_run_next(
    night: RunContext, capsys: pytest.CaptureFixture[str]
) -> None:
    measured(night)
    show_night(night)
    printed = capsys.readouterr().out
    version, lines = night.summary("release")["version"], printed.splitlines()
    assert lines[-1] == f"release {version} serves {night.home.url}/releases: no readable release served before"
    assert "feed 4" in printed, "four of five users are sampled: the shortest history is left out"
    assert "next: tastefeed serve --lake " in printed
    assert "user-" not in printed, "a user id was printed"


def test_a_night_whose_release_does_not_serve_ends_with_the_one_that_does(
    night: RunContext, capsys: pytest.CaptureFixture[str]
) -> None:
    live = night.summary("release")["version"]
    write_release_summary(night, "2016-01-01-old", "its as_of is later", serving=live)
    show_night(night)
    *_, serving, command = capsys.readouterr().out.splitlines()
    assert serving == f"release {live} keeps serving {night.home.url}/releases: its as_of is later"
    assert f"`tastefeed releases rollback 2016-01-01-old --lake {night.home.url}`" in command


def test_a_reduced_night_ends_with_the_settings_that_relax_its_gates(
    night: RunContext, capsys: pytest.CaptureFixture[str]
) -> None:
    controls = ["gate reranked_beats_two_tower: controlled by TASTEFEED_GATES__MIN_GAIN (now 0.0)"]
    night.write_summary("reduced", {"message": "refused", "controls": controls, "reduced_to": "two_tower"})
    show_night(night)
    printed = capsys.readouterr().out
    assert controls[0] in printed
    assert "releases, with only the two-tower without the re-ranker: no readable" in printed.splitlines()[-1]


def test_a_table_shows_the_metrics_that_were_measured() -> None:
    table = pl.DataFrame({"method": ["final"], "mrr_at_20": [0.1], "ndcg_at_20": [0.4], "gain": ["+0.1"]})
    assert shown(table, "gain").columns == ["method", "ndcg_at_20", "gain"]


def test_the_sampled_users_have_histories_from_long_to_short(night: RunContext) -> None:
    release = load(night.releases)
    users = sample_users(release)
    assert len(users) == len(set(users)) == N_USERS - 1
    lengths = dict(zip(release.users.ids, np.diff(release.users.history_offsets), strict=True))
    assert [lengths[user] for user in users] == sorted((lengths[user] for user in users), reverse=True)
