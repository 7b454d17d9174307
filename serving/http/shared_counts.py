"""The counts of rate limits that the workers of a server share: an LMDB file, where one count takes some microseconds.

LMDB frees its lock when a worker is killed that holds it. The file has one entry for each limit of each key.
"""

import struct
import time
from pathlib import Path

import lmdb
from limits.errors import StorageError
from limits.storage import Storage

ENTRY = struct.Struct("<Qd")
"""How many requests came in the period, and when it ends, in seconds since 1970."""
MAP_BYTES = 1 << 24
"""What the file may grow to: some hundred thousand entries."""
Entry = tuple[int, float]


class SharedCounts(Storage):
    """A storage of `limits`. Its errors are `limits.errors.StorageError`."""

    STORAGE_SCHEME = None

    def __init__(self, path: Path) -> None:
        """Creates the file, or opens that of another worker. A process can open a file once. Raises `StorageError`."""
        super().__init__(wrap_exceptions=True)
        try:
            self._file = lmdb.open(str(path), subdir=False, map_size=MAP_BYTES, sync=False)
        except lmdb.Error as error:
            raise StorageError(error) from None
        self._file.reader_check()  # a worker that was killed while it read would keep old pages in use

    @property
    def base_exceptions(self) -> type[Exception]:
        """What a full disk or a full file raises."""
        return lmdb.Error

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count requests in the current period, or in a new one of `expiry` seconds."""
        with self._file.begin(write=True) as transaction:
            now = time.time()  # within the transaction, so that no worker's instant is before that of the last one
            count, ends_at = _entry(transaction, key)
            if not now < ends_at <= now + expiry:  # a later end is of a clock that was set back since
                count, ends_at = 0, now + expiry
            transaction.put(key.encode(), ENTRY.pack(count + amount, ends_at))
        return count + amount

    def get(self, key: str) -> int:
        """How many requests came in the current period."""
        count, ends_at = self._read(key)
        return count if ends_at > time.time() else 0

    def get_expiry(self, key: str) -> float:
        """When the current period ends."""
        return max(self._read(key)[1], time.time())

    def check(self) -> bool:
        """Whether the file can be read."""
        return bool(self._file.stat())

    def reset(self) -> int | None:
        """Forget all counts."""
        with self._file.begin(write=True) as transaction:
            transaction.drop(self._file.open_db(txn=transaction), delete=False)
        return None

    def clear(self, key: str) -> None:
        """Forget one count."""
        with self._file.begin(write=True) as transaction:
            transaction.delete(key.encode())

    def _read(self, key: str) -> Entry:
        with self._file.begin() as transaction:
            return _entry(transaction, key)


def _entry(transaction: lmdb.Transaction, key: str) -> Entry:
    found = transaction.get(key.encode())
    if found is None:
        return 0, 0.0
    count, ends_at = ENTRY.unpack(found)
    return count, ends_at
