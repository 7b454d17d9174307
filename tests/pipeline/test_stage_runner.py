"""A stage is run by its name: timed, summed up and printed; a refusal of models ends only the work on models."""

from datetime import date
from pathlib import Path

import pytest

from contracts.errors import GateRefused, TooManyBadRows, UntrainableInput
from pipeline import stage_runner
from pipeline.run_context import RunContext, open_run_context
from pipeline.stage_runner import run_stage
from pipeline.stages import STAGES, Stage


class Mlflow:
    """Records the tags of the night's run."""

    def __init__(self) -> None:
        self.logged: dict[str, str] = {}

    def tags(self, run: str, values: dict[str, str]) -> None:
        assert run == "parent"
        self.logged |= values


@pytest.fixture
def night(tmp_path: Path) -> RunContext:
    night = open_run_context(str(tmp_path), date(2017, 3, 5))
    vars(night)["mlflow"] = Mlflow()  # a cached property: a real store takes seconds to make
    night.write_summary("forget", {"mlflow_run": "parent"})
    return night


def replace(monkeypatch: pytest.MonkeyPatch, name: str, function) -> None:
    """Let a stage run another function."""
    old = STAGES[name]
    stage = Stage(name, old.upstream, lambda: function, needs_models=old.needs_models)
    monkeypatch.setitem(stage_runner.STAGES, name, stage)


def refusing(error: Exception):
    def stage(night: RunContext):
        raise error

    return stage


def test_the_summary_is_timed_kept_and_printed(
    night: RunContext, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(monkeypatch, "sessions", lambda night: {"sessions": 1234, "table": [1, 2]})
    summary = run_stage(night, "sessions")
    assert night.summary("sessions") == summary
    assert summary["sessions"] == 1234
    assert 0 <= summary["seconds"] < 60
    line = capsys.readouterr().out
    assert line.startswith("sessions ")
    assert "sessions 1,234" in line
    assert "table" not in line, "only short figures are printed"


def test_an_error_that_is_no_refusal_of_models_ends_the_night(
    night: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(monkeypatch, "events", refusing(TooManyBadRows("half of the rows are bad")))
    with pytest.raises(TooManyBadRows):
        run_stage(night, "events")
    assert night.summary("events") == {}
    assert night.summary("reduced") == {}


def test_after_a_refusal_only_stages_without_models_run(night: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    replace(monkeypatch, "two_tower", refusing(UntrainableInput("no user has two clicks")))
    for name in ("candidates", "release"):
        replace(monkeypatch, name, lambda night, name=name: ran.append(name) or {})
    assert run_stage(night, "two_tower")["refused"] == "no user has two clicks"
    assert run_stage(night, "candidates")["skipped"] == "two_tower refused"
    run_stage(night, "release")
    assert ran == ["release"]
    assert vars(night)["mlflow"].logged == {"refused_by": "two_tower", "reduced_to": "non_profiled"}


def test_the_figures_that_a_stage_wrote_before_it_refused_are_kept(
    night: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:

    def gates(night: RunContext):
        verdict = {"gate": "enough_users", "sentence": "3 users", "passed": False}
        night.write_summary("gates", {"seconds": 0.0, "verdicts": [verdict]})
        raise GateRefused("enough_users")

    replace(monkeypatch, "gates", gates)
    summary = run_stage(night, "gates")
    assert summary["refused"] == "the gates refuse the models of this night"
    assert summary["verdicts"][0]["gate"] == "enough_users"


def test_a_stage_that_runs_again_forgets_its_own_refusal(night: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    night.write_summary("reduced", {"stage": "two_tower", "message": "no user has two clicks"})
    replace(monkeypatch, "two_tower", lambda night: {"cutoffs": 3})
    assert run_stage(night, "two_tower")["cutoffs"] == 3
    assert night.summary("reduced") == {}


def test_stages_before_the_one_that_refused_run(night: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    night.write_summary("reduced", {"stage": "gates", "message": "refused"})
    replace(monkeypatch, "events", lambda night: {"kept": 5})
    assert run_stage(night, "events")["kept"] == 5
