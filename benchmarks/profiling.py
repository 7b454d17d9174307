"""One fit in a fresh process: how long it took, how much memory, how fast it recommends, and its lists.

A fresh process, because memory once taken is seldom given back: in one process each method would carry the peak of
those before it.
"""

import multiprocessing
import os
import platform
import resource
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from benchmarks.method_registry import Params, build
from evaluation.top_k import TopK
from pipeline.code_version import UNKNOWN, git_commit, short

PROCESSES = Path("/proc")
Request = TypeVar("Request")
Result = TypeVar("Result")


@dataclass(frozen=True)
class FitJob:
    """The method, its training rows, and the users that get lists."""

    method: str
    params: Params
    train: pl.DataFrame
    user_ids: pl.Series
    k: int
    seed: int
    threads: int


@dataclass(frozen=True)
class Fit:
    """What came of a job."""

    top: TopK
    item_ids: pl.Series
    fit_seconds: float
    recommend_seconds: float
    peak_rss_mb: float
    """Peak memory of the whole process."""
    start_rss_mb: float
    """The peak before the fit: Python, the method's library and the rows."""
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Figures of the training, one a step."""
    chosen: Mapping[str, Any] = field(default_factory=dict)
    """Settings that the method chose in its fit."""

    @property
    def costs(self) -> dict[str, float]:
        """The figures of a table."""
        return {
            "fit_seconds": round(self.fit_seconds, 3),
            "users_per_second": round(len(self.top.rows) / max(self.recommend_seconds, 1e-9), 1),
            "peak_rss_mb": round(self.peak_rss_mb, 1),
            "start_rss_mb": round(self.start_rss_mb, 1),
        }


def in_fresh_process(work: Callable[[Request], Result], request: Request) -> Result:
    """Work in a process that ends with it, and its memory with it; its errors are raised here."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=end_with_parent) as pool:
        return pool.submit(work, request).result()


def end_with_parent() -> None:
    """A benchmark that is killed leaves no fit behind, which would go on for minutes on all cores."""
    threading.Thread(target=_exit_after_parent, daemon=True).start()


def _exit_after_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def fit(job: FitJob) -> Fit:
    """Run the job here."""
    retriever = build(job.method, job.params, seed=job.seed, threads=job.threads)
    start_rss_mb, started = peak_rss_mb(), time.perf_counter()
    fitted = retriever.fit(job.train)
    fit_seconds = time.perf_counter() - started
    started = time.perf_counter()
    top = fitted.top_k(job.user_ids, job.k)
    recommend_seconds = time.perf_counter() - started
    return Fit(
        top, fitted.item_ids, fit_seconds, recommend_seconds, peak_rss_mb(), start_rss_mb, fitted.curves, fitted.chosen
    )


def peak_rss_mb() -> float:
    """The largest resident memory of this process so far, and of the processes that it has started.

    Linux hands `ru_maxrss` from the parent to a process it starts, so that a small child of a large parent looks
    large; VmHWM begins anew.
    """
    if (PROCESSES / "self" / "status").exists():
        return sum(_peak_mb(PROCESSES / number) for number in ("self", *_children()))
    scale = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def _peak_mb(process: Path) -> float:
    line = next(line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _children() -> list[str]:
    tasks = (PROCESSES / "self" / "task").glob("*/children")
    return [number for task in tasks for number in task.read_text().split()]


PACKAGES = ("tastefeed", "numpy", "scipy", "polars", "torch", "lightgbm", "implicit", "optuna")


def machine() -> dict[str, Any]:
    """Cores that this process may use, memory, precision in which models are trained, system and Python."""
    from models.two_tower.training_loop import CPU, half  # noqa: PLC0415  torch: who lists methods need not wait

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
    return ours | {name: version for name in PACKAGES if (version := _version(name))}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
