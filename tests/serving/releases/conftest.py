"""Folders of releases."""

import pytest


@pytest.fixture
def root(tmp_path):
    return tmp_path / "releases"


@pytest.fixture
def shop(tmp_path):
    return tmp_path / "builds"
