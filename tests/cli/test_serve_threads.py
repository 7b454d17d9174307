"""`tastefeed serve` starts its workers with one thread for each numerical library."""

import os

import pytest
from typer.testing import CliRunner

from cli.command_line import app
from contracts.thread_settings import POOLS


@pytest.mark.parametrize(("given", "used"), [({}, "1"), ({"TASTEFEED_THREADS": "3"}, "3"), ({POOLS[0]: "2"}, "2")])
def test_a_server_uses_one_thread_of_each_library_unless_more_are_set(monkeypatch, tmp_path, given, used):
    inherited = {name: value for name, value in os.environ.items() if name not in POOLS} | given
    monkeypatch.setattr(os, "environ", inherited)
    seen: dict[str, str] = {}
    monkeypatch.setattr("serving.http.server.serve", lambda *_, **__: seen.update(os.environ))
    assert CliRunner().invoke(app, ["serve", "--lake", str(tmp_path)]).exit_code == 0
    assert seen[POOLS[0]] == used
