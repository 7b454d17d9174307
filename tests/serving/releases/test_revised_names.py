"""A setting that names a release finds the revisions that erasures made of it."""

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
