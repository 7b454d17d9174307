"""Threads of the numerical libraries, and how these threads wait. Both are read from the environment when a library is
loaded, so this module must run before numpy, torch or LightGBM is imported."""

import os

from contracts.settings import Settings

POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
"""Variables of the libraries with thread pools of their own."""
PASSIVE = {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}
"""OpenMP of GNU (torch, LightGBM, FAISS), then of LLVM or Intel. By default a thread that waits keeps its core busy.
Beside another job on that core, the thread that it waits for does not run: a training took nine times as long."""


def thread_environment(settings: Settings) -> dict[str, str]:
    """The variables for the settings, without those that the environment has already."""
    wanted = dict.fromkeys(POOLS, str(settings.threads)) if settings.threads else {}
    if settings.wait_policy == "passive":
        wanted |= PASSIVE
    return {name: value for name, value in wanted.items() if name not in os.environ}


def use_threads(settings: Settings) -> None:
    """Set the variables in this process, for the libraries that it loads later and for its children."""
    os.environ |= thread_environment(settings)
