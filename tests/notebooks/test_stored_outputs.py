"""The notebooks are committed with outputs, which name neither a user nor a folder of the machine that made them."""

import json
import re

import nbformat
import polars as pl
import pytest

from tests.notebooks.notebooks import FOLDER, pictures

NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
DESKDROP = FOLDER.parent / "data" / "deskdrop"
ABSOLUTE_PATH = re.compile(r"(?<![\w./:])/(?:home|root|tmp|work|usr|opt|Users|var|mnt)/")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_cell_was_run_in_order(name: str) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert pictures(notebook) >= 4
    assert not [out for cell in notebook.cells for out in cell.get("outputs", []) if out.output_type == "error"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_outputs_name_no_user_and_no_folder(name: str) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    outputs = [
        {**out, "data": {**out.get("data", {}), "image/png": ""}}
        for cell in notebook.cells
        for out in cell.get("outputs", [])
    ]
    text = json.dumps(outputs, ensure_ascii=False)
    users = pl.scan_parquet(DESKDROP / "events.parquet").select(pl.col("user_id").unique()).collect()["user_id"]
    assert [user for user in users if user in text] == []
    assert ABSOLUTE_PATH.findall(text) == []
