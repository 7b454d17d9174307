"""The notebook runs its benchmarks on the bundled data and compares them, from the first cell to the last."""

from pathlib import Path

import pytest

from tests.notebooks.notebooks import INLINE, executed, pictures, printed


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_OUT", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", INLINE)
    notebook = executed("compare_experiments", timeout_s=240)
    text = printed(notebook)
    assert pictures(notebook) == 4
    assert "One question: deskdrop, k 20, 70 users" in text
    assert text.count("A and B do not differ") + text.count("B is better") + text.count("B is worse") == 2
    assert "users have a better list" in text
