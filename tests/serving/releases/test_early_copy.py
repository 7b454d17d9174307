"""The copy that a start makes while it imports the application."""

import shutil
import subprocess
import sys
from threading import Event, Thread

from serving.releases import publish as p
from serving.releases.early_copy import EarlyCopy
from serving.releases.serialization import _computed_lookups
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


def test_lookups_are_computed_while_the_large_files_are_copied(lake, tmp_path, monkeypatch):
    copies, computed, waited = shared_copies(lake.settings(shared_folder=tmp_path)), Event(), []
    copied = shutil.copyfile

    def copyfile(path, copy):
        if path.name == "users.safetensors":
            waited.append(computed.wait(5))
        return copied(path, copy)

    def lookups(folder, catalogue):
        computed.set()
        return _computed_lookups(folder, catalogue)

    monkeypatch.setattr("serving.releases.manifest.shutil.copyfile", copyfile)
    monkeypatch.setattr("serving.releases.serialization._computed_lookups", lookups)
    assert p.load(lake.releases, None, copies).copy
    assert waited == [True]


def test_a_process_with_too_many_threads_reads_the_release_without_a_copy(lake, tmp_path, monkeypatch):
    def start(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", start)
    assert p.load(lake.releases, None, shared_copies(lake.settings(shared_folder=tmp_path))).copy is None


def test_a_damaged_release_is_left_to_the_worker_that_reports_it(lake, tmp_path):
    (lake.releases / p.current(lake.releases) / "items.parquet").write_bytes(b"damaged")
    settings = lake.settings(shared_folder=tmp_path)
    with EarlyCopy(settings) as copying:
        copying.wait()
    assert not list(shared_copies(settings).folder.iterdir())
