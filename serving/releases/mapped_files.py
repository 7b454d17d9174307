"""Files that are mapped into memory instead of read: processes that map one file share its pages.

A mapped file must never become shorter. `shared_copies` has files for which this holds.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

LENGTH = np.dtype("<u8")
"""A safetensors file begins with the length of its header, a JSON object; the arrays follow in one block."""
METADATA = "__metadata__"
TYPES = {"F64": "<f8", "F32": "<f4", "I64": "<i8", "I32": "<i4", "I16": "<i2", "U8": "|u1", "BOOL": "|b1"}


def mapped_tensors(path: Path) -> dict[str, Any]:
    """Every array of a safetensors file. Raises `ValueError` and `LookupError` for another file.

    Writing to an array changes it in this process only: numba compiles other code for arrays that cannot be written.
    """
    content = np.memmap(path, np.uint8, mode="c")
    start = LENGTH.itemsize + int(content[: LENGTH.itemsize].view(LENGTH)[0])
    header = json.loads(content[LENGTH.itemsize : start].tobytes())
    return {name: _array(content[start:], **entry) for name, entry in header.items() if name != METADATA}


def _array(block: Any, dtype: str, shape: list[int], data_offsets: list[int]) -> Any:
    part = np.asarray(block[slice(*data_offsets)])
    return part.view(TYPES[dtype]).reshape(shape)


def write_array(array: Any, path: Path) -> None:
    """Write one array in NumPy's format, which has text too."""
    np.save(path, array, allow_pickle=False)


def mapped_array(path: Path) -> Any:
    """The array of a file that `write_array` wrote; writing to it changes it in this process only."""
    return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table in the format in which it is in memory."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table.combine_chunks())


def mapped_table(path: Path) -> pa.Table:
    """The table of a file that `write_table` wrote."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
