"""The lake: where each table is stored, and how a partition is replaced so that no reader ever sees half of it.

A partition is `<table>/as_of=YYYY-MM-DD/generation=<id>/`, and the file `_current` beside it names the generation that
is read. A writer fills a new generation, replaces that one small file, then removes the other generations. A writer
that fails removes its own. A killed one leaves a generation that is never read, and the next night removes it. No
folder is renamed, so this works on object stores as well.
"""

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import polars as pl
import pyarrow.dataset as ds
from filelock import FileLock, Timeout
from fsspec import AbstractFileSystem

from contracts.atomic_files import naming, replace_file
from contracts.errors import LakeMissing, MissingPartition
from contracts.lake_path import file_system_of, how_to_make_lake, require_plain_path

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

CURRENT, SCRATCH, IN_USE = "_current", "_scratch", ".lock"


class Lake:
    """A folder or fsspec URL of zstd parquet."""

    def __init__(self, root: str | Path) -> None:
        """Neither reads nor writes. Raises `BadSetting` for a path in which nothing would be found, and for a URL of an
        unknown kind or without its library."""
        self.fs, self.root = file_system_of(str(root))
        require_plain_path(self.root)
        self.url = self.fs.unstrip_protocol(self.root) if self.remote else self.root

    @property
    def remote(self) -> bool:
        """Whether the lake is stored elsewhere than on this machine's disk."""
        return "file" not in self.fs.protocol

    @property
    def folder(self) -> Path:
        """The lake's local folder: its own, or `lake` in the working directory where the lake is remote."""
        return Path("lake") if self.remote else Path(self.root)

    def require(self) -> None:
        """Raise `LakeMissing` where there is no such lake; reading does not create one."""
        if not self.fs.isdir(self.root):
            what = "is a file, not a lake" if self.fs.exists(self.root) else "no such lake"
            raise LakeMissing(f"{self.url}: {what}; {how_to_make_lake(self.url)}")

    def partition(self, table: str, as_of: date) -> str:
        """The path of a partition, which may not exist."""
        return f"{self.root}/{table}/as_of={as_of.isoformat()}"

    def partitions(self, table: str) -> list[date]:
        """Every day that a table has a readable partition for, oldest first."""
        paths = self.fs.glob(f"{self.root}/{table}/as_of=*/{CURRENT}")
        return sorted(date.fromisoformat(path.split("/")[-2].removeprefix("as_of=")) for path in paths)

    def current(self, table: str, as_of: date) -> str:
        """The path of the generation that is read. Raises `MissingPartition`."""
        partition = self.partition(table, as_of)
        try:
            return f"{partition}/{self.fs.cat_file(f'{partition}/{CURRENT}').decode()}"
        except FileNotFoundError:
            raise MissingPartition(
                f"table {table!r} has no partition as_of={as_of}; run the night of that day first"
            ) from None

    @contextmanager
    def generation(self, table: str, as_of: date) -> Iterator[str]:
        """A path for a new generation, which is read once the block ends without an error."""
        partition, name = self.partition(table, as_of), f"generation={uuid4().hex}"
        self.fs.makedirs(f"{partition}/{name}", exist_ok=True)
        try:
            with naming(partition):
                yield f"{partition}/{name}"
        except BaseException:
            with suppress(OSError):  # a full disk needs the space for the next try
                self.fs.rm(f"{partition}/{name}", recursive=True)
            raise
        self._make_current(partition, name)
        self._sweep(partition, keep=name)

    def _make_current(self, partition: str, name: str) -> None:
        try:
            self.replace_file(f"{partition}/{CURRENT}", name.encode())
        except OSError:  # not for a signal: one that comes after the replacement leaves the generation
            with suppress(OSError):
                if not self._is_current(partition, name):
                    self.fs.rm(f"{partition}/{name}", recursive=True)
            raise

    def _is_current(self, partition: str, name: str) -> bool:
        try:
            return bool(self.fs.cat_file(f"{partition}/{CURRENT}") == name.encode())
        except FileNotFoundError:
            return False

    def replace_file(self, path: str, content: bytes) -> None:
        """Replace one file atomically."""
        replace_in(self.fs, path, content)

    def _sweep(self, partition: str, keep: str) -> None:
        kept = {keep, CURRENT}
        for path in self.fs.ls(partition, detail=False):
            if Path(path).name not in kept:
                self.fs.rm(path, recursive=True)

    def sweep_unfinished(self) -> None:
        """Remove the generations that killed writers left in any partition: no later night may write there."""
        for path in self.fs.glob(f"{self.root}/*/as_of=*/generation=*"):
            if not self._is_current(*path.rsplit("/", 1)):
                self.fs.rm(path, recursive=True)

    def overwrite(self, table: str, as_of: date, rows: "DataFrame | pl.DataFrame") -> None:
        """Replace a partition by `rows`."""
        with self.generation(table, as_of) as path:
            if isinstance(rows, pl.DataFrame):
                with self.fs.open(f"{path}/part-0.parquet", "wb") as file:
                    file.write(parquet(rows))
            else:
                rows.write.mode("overwrite").parquet(self.address(path), compression="zstd")

    def read(self, spark: "SparkSession", table: str, as_of: date) -> "DataFrame":
        """A partition as a Spark frame."""
        return spark.read.parquet(self.address(self.current(table, as_of)))

    def scan(self, table: str, as_of: date) -> pl.LazyFrame:
        """A partition as a lazy polars frame."""
        return pl.scan_parquet(f"{self.address(self.current(table, as_of))}/*.parquet", hive_partitioning=False)

    def dataset(self, table: str, as_of: date) -> ds.Dataset:
        """A partition as an Arrow dataset, for streaming."""
        return ds.dataset(self.current(table, as_of), filesystem=self.fs, format="parquet")

    @contextmanager
    def new_folder(self, table: str, as_of: date) -> Iterator[Path]:
        """A local folder for files of any kind; it becomes the partition once the block ends."""
        with tempfile.TemporaryDirectory() as local, self.generation(table, as_of) as path:
            with naming(local):
                yield Path(local)
            self.fs.put(f"{local}/", f"{path}/", recursive=True)

    @contextmanager
    def open_folder(self, table: str, as_of: date) -> Iterator[Path]:
        """A partition's files as a local folder."""
        path = self.current(table, as_of)
        if not self.remote:
            yield Path(path)
            return
        with tempfile.TemporaryDirectory() as local:
            self.fs.get(f"{path}/", f"{local}/", recursive=True)
            yield Path(local)

    @contextmanager
    def scratch(self) -> Iterator["Lake"]:
        """A temporary lake, removed at the end; its lock file shows that it is in use."""
        root = self.folder / SCRATCH / uuid4().hex
        root.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(root.with_suffix(IN_USE)) as lock:  # locked before the folder exists, so that no sweep removes it
            try:
                yield Lake(root)
            finally:
                shutil.rmtree(root, ignore_errors=True)
                Path(lock.lock_file).unlink(missing_ok=True)

    def scratch_exists(self, name: str) -> bool:
        """Whether there is a temporary lake of this name: after `sweep_scratch`, one that is in use."""
        return (self.folder / SCRATCH / f"{name}{IN_USE}").exists()

    def sweep_scratch(self) -> None:
        """Remove the temporary lakes that killed processes left, but none that is in use."""
        for lock in (self.folder / SCRATCH).glob(f"*{IN_USE}"):
            with suppress(Timeout), FileLock(lock, timeout=0):
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)

    def address(self, path: str) -> str:
        """A path of this lake in the form that Spark and polars accept."""
        return self.fs.unstrip_protocol(path) if self.remote else path


def parquet(rows: pl.DataFrame) -> memoryview:
    """The rows as a file's content. Written by polars itself, a full disk would be no `OSError`."""
    content = io.BytesIO()
    rows.write_parquet(content, compression="zstd")
    return content.getbuffer()


def replace_in(fs: AbstractFileSystem, path: str, content: bytes) -> None:
    """Replace one file of a file system as a whole, durably where it is local."""
    if "file" in fs.protocol:
        replace_file(Path(path), content)
    else:
        with naming(path):
            fs.pipe_file(path, content)  # object stores show an object once it is whole
