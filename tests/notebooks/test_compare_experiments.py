"""The notebook runs its benchmarks on the bundled data and compares them, from the first cell to the last."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]


def test_the_notebook_runs(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("BENCH_OUT", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(ROOT / "notebooks" / "compare_experiments.ipynb", as_version=4)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert sum("image/png" in out.get("data", {}) for out in outputs) == 4
    printed = "".join(out.get("text", "") + out.get("data", {}).get("text/plain", "") for out in outputs)
    assert "One question: deskdrop, k 20, 70 users" in printed
    assert printed.count("A and B do not differ") + printed.count("B is better") + printed.count("B is worse") == 2
    assert "users have a better list" in printed
