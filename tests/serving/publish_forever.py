"""Publish built folders in turns until killed (what test_publish does)."""

import sys
from itertools import cycle
from pathlib import Path

from serving.http.light_imports import without_unused_imports

with without_unused_imports():
    from serving.releases.publish import publish

root, *built = map(Path, sys.argv[1:])
print("begun", flush=True)
for turn, folder in enumerate(cycle(built)):
    publish(folder, root, keep=1 + turn % 3)
