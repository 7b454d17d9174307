"""On what a benchmark ran: enough to compare costs, nothing that names a machine."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pipeline.code_version import UNKNOWN, git_commit, short

PACKAGES = ("tastefeed", "numpy", "scipy", "polars", "torch", "lightgbm", "implicit", "optuna")


def machine() -> dict[str, Any]:
    """Cores that this process may use, memory, precision in which models are trained, system and Python."""
    from models.two_tower.compute_device import CPU, half  # noqa: PLC0415  torch: who lists methods need not wait

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cores": cores,
        "memory_gb": round(memory / 1024**3, 1),
        "training": str(half(CPU)).removeprefix("torch."),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """The packages whose numbers these are, and the commit of ours where it is a checkout."""
    commit = git_commit()
    ours = {} if commit == UNKNOWN else {"commit": short(commit)}
    return ours | {name: found for name in PACKAGES if (found := _version(name))}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
