"""A worker that starts slowly, as on a busy machine or a cold disk, is waited for."""

import os
from pathlib import Path

from tests.serving.test_server import HTTP, served

ROOT = Path(__file__).parents[2]
SLOW_S = 6
"""uvicorn gives a worker five seconds by default, and then starts it anew without end."""
SLOW_START = f"""
import sys, time
if any("spawn_main" in argument for argument in sys.orig_argv):
    time.sleep({SLOW_S})
"""


def test_a_slow_worker_is_not_started_anew(lake, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SLOW_START)
    log = tmp_path / "server.log"
    paths = os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")])
    with served(lake, log, workers=2, PYTHONPATH=paths) as url:
        assert HTTP.get(f"{url}/readyz").status_code == 200
    assert "died" not in log.read_text()
