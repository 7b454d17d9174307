"""A setting that names a release finds the revisions that erasures made of it."""

import os
from pathlib import Path

import pytest

from serving.releases.revised_names import REVISED_FILE, present_name, record_revision


def published(root: Path, *versions: str) -> None:
    for version in versions:
        (root / version).mkdir()


def test_a_name_leads_to_the_revision_of_its_revision(tmp_path: Path) -> None:
    published(tmp_path, "b")
    record_revision(tmp_path, "a", "b")
    published(tmp_path, "c")
    (tmp_path / "b").rmdir()
    record_revision(tmp_path, "b", "c")
    assert [present_name(tmp_path, name) for name in "abcx"] == ["c", "c", "c", "x"]


def test_a_published_release_keeps_its_name(tmp_path: Path) -> None:
    published(tmp_path, "a", "b")
    record_revision(tmp_path, "a", "b")
    assert present_name(tmp_path, "a") == "a", "its revision exists already, and both are whole"


def test_names_of_deleted_releases_are_forgotten(tmp_path: Path) -> None:
    published(tmp_path, "b", "d")
    record_revision(tmp_path, "a", "b")
    (tmp_path / "b").rmdir()
    record_revision(tmp_path, "c", "d")
    assert (tmp_path / REVISED_FILE).read_text() == '{"c":"d"}'


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": "a"}', '{"a": "b", "b": "a"}'])
def test_a_damaged_file_names_no_revision_and_ends_no_server(tmp_path: Path, content: str) -> None:
    (tmp_path / REVISED_FILE).write_text(content)
    assert present_name(tmp_path, "a") == "a"
    published(tmp_path, "d")
    record_revision(tmp_path, "c", "d")
    assert present_name(tmp_path, "c") == "d"


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}'])
def test_a_damaged_file_is_reported_and_kept(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / REVISED_FILE).write_text(content)
    present_name(tmp_path, "a")
    assert f"{REVISED_FILE}: is damaged; a release that an erasure renamed is not found" in caplog.text
    record_revision(tmp_path, "c", "d")
    assert (tmp_path / f"{REVISED_FILE}.damaged").read_text() == content


def test_the_group_may_read_the_names_whatever_the_umask(tmp_path: Path) -> None:
    published(tmp_path, "b")
    before = os.umask(0o077)
    try:
        record_revision(tmp_path, "a", "b")
    finally:
        os.umask(before)
    assert (tmp_path / REVISED_FILE).stat().st_mode & 0o777 == 0o640


def test_names_that_cannot_be_read_are_reported_and_never_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path, *, max_bytes: int) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    published(tmp_path, "b", "d")
    record_revision(tmp_path, "a", "b")
    with monkeypatch.context() as patched:
        patched.setattr("serving.releases.revised_names.read_regular", forbidden)
        assert present_name(tmp_path, "a") == "a"
        assert f"{REVISED_FILE}: Permission denied; a release that an erasure renamed is not found" in caplog.text
        with pytest.raises(PermissionError):
            record_revision(tmp_path, "c", "d")
    assert present_name(tmp_path, "a") == "b"
