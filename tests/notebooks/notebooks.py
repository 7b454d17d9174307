"""Execute the notebooks: the tests do so in memory, and `make notebooks` stores the outputs in the files."""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[2] / "notebooks"
INLINE = "module://matplotlib_inline.backend_inline"


def executed(name: str, *, timeout_s: int) -> NotebookNode:
    """A notebook with the outputs of all its cells."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    where = {"metadata": {"path": str(FOLDER)}}
    return NotebookClient(notebook, timeout=timeout_s, resources=where, record_timing=False).execute()


def printed(notebook: NotebookNode) -> str:
    """All text of all outputs."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs)


def pictures(notebook: NotebookNode) -> int:
    """How many pictures the outputs show."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def without_warnings(notebook: NotebookNode) -> NotebookNode:
    """The notebook without what libraries wrote to stderr, which names folders of this machine."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


if __name__ == "__main__":
    os.environ["MPLBACKEND"] = INLINE
    for name in sys.argv[1:] or sorted(path.stem for path in FOLDER.glob("*.ipynb")):
        nbformat.write(without_warnings(executed(name, timeout_s=900)), FOLDER / f"{name}.ipynb")
