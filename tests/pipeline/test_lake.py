import errno
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from fsspec.registry import known_implementations

from contracts.errors import BadSetting, MissingPartition
from pipeline.lake import CURRENT, Lake

DAY = date(2017, 3, 1)
ONE, TWO = pl.DataFrame({"n": [1]}), pl.DataFrame({"n": [2]})


def write_and_die(lake: Lake) -> None:
    with lake.generation("numbers", DAY) as path:
        Path(path, "part-0.parquet").write_text("half a file")
        raise KeyboardInterrupt


def test_the_second_write_replaces_the_first(tmp_path):
    lake = Lake(tmp_path)
    lake.overwrite("numbers", DAY, ONE)
    lake.overwrite("numbers", DAY, TWO)
    assert lake.scan("numbers", DAY).collect()["n"].to_list() == [2]
    assert lake.dataset("numbers", DAY).count_rows() == 1
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


def test_a_killed_writer_leaves_what_was_there_and_the_next_one_sweeps(tmp_path):
    lake = Lake(tmp_path)
    lake.overwrite("numbers", DAY, ONE)
    with pytest.raises(KeyboardInterrupt):
        write_and_die(lake)
    assert lake.scan("numbers", DAY).collect()["n"].to_list() == [1]
    lake.overwrite("numbers", DAY, TWO)
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


def test_a_signal_just_after_a_generation_became_current_removes_nothing_of_it(tmp_path, monkeypatch):
    lake, replace_file = Lake(tmp_path), Lake.replace_file

    def interrupted(self: Lake, path: str, content: bytes) -> None:
        replace_file(self, path, content)
        raise KeyboardInterrupt

    monkeypatch.setattr(Lake, "replace_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lake.overwrite("numbers", DAY, ONE)
    assert lake.scan("numbers", DAY).collect()["n"].to_list() == [1]


@pytest.mark.parametrize("replaced", [False, True])
def test_a_full_disk_at_the_last_step_leaves_one_generation(tmp_path, monkeypatch, *, replaced):
    lake, replace_file = Lake(tmp_path), Lake.replace_file
    lake.overwrite("numbers", DAY, ONE)

    def full(self: Lake, path: str, content: bytes) -> None:
        if replaced:
            replace_file(self, path, content)
        raise OSError(errno.ENOSPC, "full", path)

    monkeypatch.setattr(Lake, "replace_file", full)
    with pytest.raises(OSError, match="full"):
        lake.overwrite("numbers", DAY, TWO)
    assert lake.scan("numbers", DAY).collect()["n"].to_list() == [2 if replaced else 1]
    assert len(list(tmp_path.rglob("generation=*"))) == (2 if replaced else 1), "an old one goes at the next sweep"


def test_a_partition_that_was_never_finished_does_not_exist(tmp_path):
    lake = Lake(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        write_and_die(lake)
    assert lake.partitions("numbers") == []
    with pytest.raises(MissingPartition, match="'numbers' has no partition as_of=2017-03-01; run the night"):
        lake.scan("numbers", DAY)


def test_partitions_come_oldest_first(tmp_path):
    lake = Lake(tmp_path)
    for day in (date(2017, 3, 2), DAY):
        lake.overwrite("numbers", day, ONE)
    assert lake.partitions("numbers") == [DAY, date(2017, 3, 2)]


def test_a_folder_of_files_is_a_partition_too(tmp_path):
    lake = Lake(tmp_path)
    with lake.new_folder("model", DAY) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "weights.txt").write_text("1.5")
    with lake.open_folder("model", DAY) as folder:
        assert (folder / "deep" / "weights.txt").read_text() == "1.5"


def test_an_object_store_needs_no_renaming_of_folders():
    lake = Lake("memory://lake")
    lake.overwrite("numbers", DAY, ONE)
    lake.overwrite("numbers", DAY, TWO)
    assert lake.remote
    assert lake.partitions("numbers") == [DAY]
    names = [path for path in lake.fs.find(lake.root) if not path.endswith(CURRENT)]
    assert len(names) == 1


def test_a_scratch_lake_is_gone_afterwards(tmp_path):
    with Lake(tmp_path).scratch() as scratch:
        scratch.overwrite("numbers", DAY, ONE)
        assert scratch.partitions("numbers") == [DAY]
    assert not list(tmp_path.rglob("*.parquet"))


def test_scratch_of_the_killed_is_swept_and_of_the_living_kept(tmp_path):
    lake = Lake(tmp_path)
    (tmp_path / "_scratch" / "left" / "numbers").mkdir(parents=True)
    (tmp_path / "_scratch" / "left.lock").touch()  # a killed process leaves the file, and no process holds it
    with lake.scratch() as used:
        used.overwrite("numbers", DAY, ONE)
        lake.sweep_scratch()
        assert used.partitions("numbers") == [DAY]
        assert not list((tmp_path / "_scratch").glob("left*"))
    assert not list((tmp_path / "_scratch").iterdir())


def test_a_path_in_which_no_table_would_be_found_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"a\[1\]: the path of a lake must not contain \[ \]; rename the folder"):
        Lake(tmp_path / "a[1]")


def test_a_url_of_an_unknown_kind_is_refused_with_the_value_and_the_remedy() -> None:
    with pytest.raises(BadSetting) as error:
        Lake("foo://ann:secret@b/x")
    assert str(error.value) == (
        "foo://ann:********@b/x: Protocol not known: foo; name a folder, or a URL of a kind that fsspec has, such as "
        "s3://, gs:// or abfs://"
    )


def test_a_url_without_its_library_is_refused_with_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = {"class": "far_store.FileSystem", "err": "Install far_store to access Far"}
    monkeypatch.setitem(known_implementations, "far", kind)
    with pytest.raises(BadSetting) as error:
        Lake("far://b/x")
    assert str(error.value) == "far://b/x: Install far_store to access Far; pip install far_store, or name a folder"
