import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from contracts import Settings
from serving.http.app import create_app
from serving.privacy.opt_out_store import OptOutStore
from tests.serving.tiny import publish_tiny

FEED, ADMIN = {"Authorization": "Bearer f2"}, {"Authorization": "Bearer a1"}


def is_problem(answer, status: int) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert {"type", "title", "status", "detail"} <= problem.keys()
    assert problem["status"] == status
    return problem


def read_values(text: str) -> dict[str, float]:
    lines = text.splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


@dataclass
class Lake:
    """A lake with a store of opt-outs, and one tiny release once it is published."""

    folder: Path
    builds: Path

    def __post_init__(self) -> None:
        if not (self.folder / "opt_outs.db").exists():  # a copy has one
            store = OptOutStore.of(self.settings())
            store.create()
            store.close()

    @property
    def releases(self) -> Path:
        return self.folder / "releases"

    def publish(self, **changes) -> str:
        return publish_tiny(self.releases, self.builds, **changes).version

    def settings(self, **changes) -> Settings:
        return Settings(lake=str(self.folder), **changes)


@pytest.fixture(scope="session")
def published(tmp_path_factory) -> Path:
    """The releases of a lake that is not changed: what changes one gets a copy."""
    folder = tmp_path_factory.mktemp("published")
    lake = Lake(folder / "lake", folder / "builds")
    lake.publish()
    return lake.releases


def copied(published: Path, folder: Path) -> Lake:
    """A copy of the lake, which costs a third of a new one."""
    shutil.copytree(published.parent, folder / "lake")
    return Lake(folder / "lake", folder / "builds")


@pytest.fixture
def lake(tmp_path, published) -> Lake:
    return copied(published, tmp_path)


@pytest.fixture
def app(lake):
    return create_app(lake.settings())


@pytest.fixture
def client(app) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture
def keyed(lake):
    with TestClient(create_app(lake.settings(feed_keys="f1, f2", admin_keys="a1"))) as client:
        yield client


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("only root may mount a file system")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)
