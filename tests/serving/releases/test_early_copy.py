"""The copy that a start makes while it imports the application."""

import subprocess
import sys

from serving.releases import publish as p
from serving.releases.early_copy import EarlyCopy
from serving.releases.shared_copies import shared_copies

HEAVY = """
import sys
import serving.releases.early_copy
print({"numpy", "pyarrow", "faiss", "lightgbm", "fastapi"} & sys.modules.keys())
"""


def test_a_start_begins_to_copy_before_it_imports_what_reads_the_copy():
    assert subprocess.check_output([sys.executable, "-c", HEAVY], text=True) == "set()\n"


def test_a_worker_finds_the_copy_complete_and_the_start_leaves_none_that_is_unused(lake, tmp_path):
    settings = lake.settings(shared_folder=tmp_path)
    copies = shared_copies(settings)
    with EarlyCopy(settings) as copying:
        copying.wait()
        (copy,) = (path for path in copies.folder.iterdir() if path.is_dir())
        before = (copy / "catalogue.arrow").stat().st_ino
        release = p.load(lake.releases, None, copies)
        assert release.copy.folder == copy
        assert (copy / "catalogue.arrow").stat().st_ino == before, "it was mapped, not made again"
        copies.close()
    assert not list(copies.folder.iterdir())


def test_a_damaged_release_is_left_to_the_worker_that_reports_it(lake, tmp_path):
    (lake.releases / p.current(lake.releases) / "items.parquet").write_bytes(b"damaged")
    settings = lake.settings(shared_folder=tmp_path)
    with EarlyCopy(settings) as copying:
        copying.wait()
    assert not list(shared_copies(settings).folder.iterdir())
