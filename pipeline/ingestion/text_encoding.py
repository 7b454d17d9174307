"""A text file as plain UTF-8 on disk, whatever its encoding, packed or not, in memory that does not grow with it."""

import codecs
import gzip
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from contracts import Settings
from contracts.errors import UnreadableInput

CHUNK = 1 << 20
MAX_RATIO, ALWAYS_ALLOWED = 100, 64 << 20
"""A packed file may unpack to 64 MiB, or to 100 times its size: tables shrink to a twentieth, at most to a fiftieth."""
GZIP_MAGIC = b"\x1f\x8b"
OTHER_PACKERS = {b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip"}
OTHER_PACKERS |= {GZIP_MAGIC: "gzip in gzip", b"x\x01": "zlib", b"x^": "zlib", b"x\x9c": "zlib", b"x\xda": "zlib"}
"""By their first bytes. polars would unpack some of them itself, however large they grow."""
BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
NOT_UTF8 = "is neither UTF-8 nor UTF-16 with a byte-order mark"


@contextmanager
def as_utf8(path: Path) -> Iterator[Path]:
    """The file itself where it is UTF-8 without a byte-order mark; else a copy that is, and goes away afterwards.

    Raises `UnreadableInput` for a packed file that is damaged or far larger than it looks, and for text of another
    encoding than it claims.
    """
    start = head_of(path, 8)
    if not start.startswith((GZIP_MAGIC, *(mark for mark, _ in BOMS))):
        _check_plain(path, start, path.name.lower().endswith(".gz"))
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="tastefeed-") as folder:
        try:
            plain = _unpacked(path, Path(folder) / "unpacked") if start.startswith(GZIP_MAGIC) else path
            yield _decoded(path, plain, Path(folder) / "decoded")
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UnreadableInput(f"{path}: is no whole gzip file; export it again") from error


def head_of(path: Path, size: int = 1 << 16) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as file:
        return file.read(size)


def encoding_fault(path: Path) -> str | None:
    """What is wrong with a file's encoding, with the first line that shows it; None where it is UTF-8."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return f"line {number} {NOT_UTF8} ({_guess(line)})"
    return None


def _guess(line: bytes) -> str:
    name = "WINDOWS-1252" if re.search(rb"[\x80-\x9f]", line) else "LATIN1"
    return f"perhaps {name}; convert it: iconv -f {name} -t UTF-8 OLD > NEW"


def _check_plain(path: Path, start: bytes, named_gzip: bool) -> None:  # noqa: FBT001
    packer = next((name for magic, name in OTHER_PACKERS.items() if start.startswith(magic)), None)
    if packer:
        raise UnreadableInput(f"{path}: is a {packer} file; unpack it, or pack it with gzip")
    if named_gzip:
        raise UnreadableInput(f"{path}: is no whole gzip file; export it again")
    if b"\0" in start:
        raise UnreadableInput(f"{path}: {NOT_UTF8} (it holds NUL characters); save it as UTF-8")


def _unpacked(path: Path, copy: Path) -> Path:
    limit = max(ALWAYS_ALLOWED, MAX_RATIO * path.stat().st_size)
    limit = min(limit, Settings().max_unpacked_mb << 20)
    with gzip.open(path, "rb") as packed, copy.open("wb") as out:
        _copy_up_to(limit, packed, out, path)
    return copy


def _copy_up_to(limit: int, packed: gzip.GzipFile, out: IO[bytes], path: Path) -> None:
    done = 0
    while chunk := packed.read(CHUNK):
        done += len(chunk)
        if done > limit:
            raise UnreadableInput(
                f"{path}: unpacks to more than {limit >> 20:,} MB, which is {MAX_RATIO} times its size or "
                "TASTEFEED_MAX_UNPACKED_MB; look at it, and unpack it yourself if it is what you expect"
            )
        out.write(chunk)


def _decoded(path: Path, plain: Path, copy: Path) -> Path:
    start = head_of(plain, 1 << 12)
    mark, encoding = next(((mark, name) for mark, name in BOMS if start.startswith(mark)), (b"", ""))
    if not mark:
        _check_plain(path, start[:8], named_gzip=False)
        return plain
    with plain.open("rb") as source, copy.open("wb") as out:
        source.seek(len(mark))
        if encoding == "utf-8":
            shutil.copyfileobj(source, out, CHUNK)
            return copy
        try:
            _write_utf8(source, encoding, out)
        except UnicodeError as error:
            raise UnreadableInput(f"{path}: is no whole {encoding[:6].upper()} file; save it as UTF-8") from error
    return copy


def _write_utf8(source: BinaryIO, encoding: str, out: BinaryIO) -> None:
    decoder = codecs.getincrementaldecoder(encoding)()
    while chunk := source.read(CHUNK):
        out.write(decoder.decode(chunk).encode("utf-8"))
    decoder.decode(b"", final=True)
