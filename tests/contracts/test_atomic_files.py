import errno
import hashlib
import os
from pathlib import Path

import pytest

from contracts.atomic_files import (
    move_folder,
    naming,
    new_file,
    replace_file,
    replace_folder,
    replacing,
    require_fillable,
    sha256_of,
    sha256_of_files,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    replace_file(tmp_path / "note", b"old")
    replace_file(tmp_path / "note", b"new")
    assert (tmp_path / "note").read_bytes() == b"new"
    assert names(tmp_path) == ["note"]


def test_a_new_file_replaces_none_and_needs_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_file(tmp_path / "note") as fresh:
        fresh.write_bytes(b"first")
    with pytest.raises(FileExistsError), new_file(tmp_path / "note") as fresh:
        fresh.write_bytes(b"second")

    def without_links(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", without_links)
    with new_file(tmp_path / "other") as fresh:
        fresh.write_bytes(b"whole")
    assert [(tmp_path / name).read_bytes() for name in names(tmp_path)] == [b"first", b"whole"]
    assert names(tmp_path) == ["note", "other"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    replace_file(tmp_path / "note", b"old")
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "note") as fresh:
        fresh.with_name("absent").read_bytes()
    assert (tmp_path / "note").read_bytes() == b"old"
    assert names(tmp_path) == ["note"]


def test_a_writer_killed_before_the_rename_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_file(tmp_path / "note", b"old")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        replace_file(tmp_path / "note", b"new")
    assert (tmp_path / "note").read_bytes() == b"old"


def test_the_temporary_file_is_hidden_and_beside_its_target(tmp_path: Path) -> None:
    with replacing(tmp_path / "note") as fresh:
        fresh.write_bytes(b"")
        assert fresh.parent == tmp_path
        assert fresh.name.startswith(".note.")


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    replace_folder(tmp_path / "in" / "model", {"a": b"1", "b": b"2"})
    replace_folder(tmp_path / "in" / "model", {"c": b"3"})
    assert names(tmp_path / "in") == ["model"]
    assert names(tmp_path / "in" / "model") == ["c"]


def test_a_moved_folder_leaves_the_old_one_aside(tmp_path: Path) -> None:
    for name in ("fresh", "final"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_bytes(b"")
    move_folder(tmp_path / "fresh", tmp_path / "final", aside=tmp_path / "aside")
    assert names(tmp_path) == ["aside", "final"]
    assert names(tmp_path / "final") == ["fresh"]
    assert names(tmp_path / "aside") == ["final"]


def test_checksums_of_bytes_and_of_files_agree(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"tas")
    (tmp_path / "b").write_bytes(b"te")
    whole = hashlib.sha256(b"taste").hexdigest()
    assert sha256_of(b"taste") == whole
    assert sha256_of_files(tmp_path / "a", tmp_path / "b") == whole


def test_an_error_without_a_path_gets_one() -> None:
    with pytest.raises(OSError, match="full") as failed, naming("/some/file"):
        raise OSError(errno.ENOSPC, "full")
    assert failed.value.filename == "/some/file"


def test_a_folder_below_a_file_cannot_be_filled(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as failed:
        require_fillable(tmp_path / "file" / "lake")
    assert failed.value.filename == str(tmp_path / "file")


def test_a_check_leaves_no_folder_behind(tmp_path: Path) -> None:
    require_fillable(tmp_path / "not" / "there")
    assert names(tmp_path) == []
