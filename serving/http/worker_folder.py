"""The folder through which the workers of a server share their counts."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client reads this variable when it is imported."""


@contextmanager
def folder_of_workers(workers: int) -> Iterator[Path]:
    """Within this block, there is such a folder; several workers have their metrics in it."""
    with tempfile.TemporaryDirectory() as folder:
        if workers > 1:
            os.environ[MULTIPROCESS] = folder
        yield Path(folder)
