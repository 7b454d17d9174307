"""The notebook runs from the first cell to the last on a lake that a night has crossed."""

from pathlib import Path

import pytest

from tests.notebooks.notebooks import INLINE, executed, pictures


def test_the_notebook_runs(crossed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEFEED_LAKE", str(crossed))
    monkeypatch.setenv("MPLBACKEND", INLINE)
    assert pictures(executed("first_night", timeout_s=120)) == 5
