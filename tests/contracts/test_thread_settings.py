"""The variables of the numerical libraries: those of the settings, unless the environment has its own."""

import pytest

from contracts import Settings
from contracts.thread_settings import POOLS, thread_environment
from tests import tiny


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*POOLS, "OMP_WAIT_POLICY", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)


def test_threads_wait_without_a_core_by_default() -> None:
    assert thread_environment(Settings()) == {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}


def test_active_waiting_leaves_the_libraries_as_they_are() -> None:
    assert thread_environment(Settings(wait_policy="active")) == {}


def test_the_number_of_threads_is_that_of_every_pool() -> None:
    set_to_two = thread_environment(Settings(threads=2, wait_policy="active"))
    assert set_to_two == dict.fromkeys(POOLS, "2")


def test_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = thread_environment(Settings(threads=2))
    assert "OMP_WAIT_POLICY" not in found
    assert "OMP_NUM_THREADS" not in found


def test_a_command_sets_them_before_it_loads_a_library(tmp_path) -> None:
    """OpenMP prints what it was loaded with; the vector index of the server is linked to it."""
    done = tiny.tastefeed("recommend", "--lake", tmp_path, "--out", tmp_path / "o.parquet", OMP_DISPLAY_ENV="true")
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr
    assert "OMP_WAIT_POLICY = 'ACTIVE'" not in done.stderr
