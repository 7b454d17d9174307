"""The manifest of a release: its version, its parts, and a checksum of every file, with the verification of all."""

import hashlib
import json
import mmap
import shutil
from collections.abc import Callable
from datetime import UTC
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from contracts.atomic_files import read_regular, sha256_of, sha256_of_files
from contracts.errors import ReleaseCorrupt, ReleaseMissing
from serving.index_config import IndexConfig

FORMAT = 3
"""Raised when a file of the release changes its meaning; another format is refused."""
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 18
"""A hundred times what a release needs. Parsing an endless one would take all memory, and block the process."""
REMEDY = "publish again or roll back"
TABLE = ".parquet"
DERIVED = ("index.faiss", "metrics.json")
"""Files outside the version's hash: two builds of an index from the same vectors may differ in bytes, and metrics
contain durations."""


class File(BaseModel):
    """One file of a release."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(description="of the whole file")
    size: int = Field(description="bytes")


class Versions(BaseModel):
    """The versions of the parts. Tower, index and ranker carry one version; a mixture is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tower: str = Field(description="the towers that computed every vector")
    index: str = Field(description="the towers whose item vectors are in the index")
    ranker: str = Field(description="the towers whose candidates the re-ranker ranks")
    code: str = Field(description="of tastefeed")


class ReducedTo(StrEnum):
    """The part of a night that a reduced release serves, because the rest failed a gate or could not be trained."""

    TWO_TOWER = "two_tower"
    NON_PROFILED = "non_profiled"


class Manifest(BaseModel):
    """`manifest.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(FORMAT, description="of the release's files")
    version: str = Field("", description="the folder's name: day, then a hash of the content")
    as_of: AwareDatetime = Field(description="the release saw only events strictly before this")
    built_at: AwareDatetime = Field(description="when the files were written")
    versions: Versions = Field(description="of the parts")
    index: IndexConfig = Field(description="how the index was built")
    users: int = Field(description="users with a vector")
    items: int = Field(description="items in the catalogue")
    encoder: str = Field("", description="the encoder that the night selected; empty without a model")
    profiled: bool = Field(True, description="false: no model, only the non-profiled list")
    reduced_to: ReducedTo | None = Field(None, description="all that is served of the night; null: everything")
    unmeasured: bool = Field(False, description="true: no gate compared its lists, for lack of users")
    files: dict[str, File] = Field(default={}, description="every other file of the folder")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, fields: Any) -> Any:
        """Manifests of earlier versions have `profiled` alone."""
        if isinstance(fields, dict) and fields.get("profiled") is False:
            return {"reduced_to": ReducedTo.NON_PROFILED} | fields
        return fields

    def with_version(self) -> "Manifest":
        """The manifest with its version: equal content gives an equal name, and names sort by day."""
        checksums = {name: file.sha256 for name, file in self.files.items() if name not in DERIVED}
        content: list[Any] = [
            self.format,
            self.versions.model_dump(),
            self.index.model_dump(),
            sorted(checksums.items()),
        ]
        if not self.profiled:
            content.append("not profiled")
        elif self.reduced_to:
            content.append(self.reduced_to)
        if self.unmeasured:
            content.append("unmeasured")
        digest = sha256_of(json.dumps(content).encode())
        return self.model_copy(update={"version": f"{self.as_of.astimezone(UTC):%Y-%m-%d}-{digest[:12]}"})


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a release. Raises `ReleaseMissing` without a folder, `ReleaseCorrupt` where it is not one."""
    if not folder.is_dir():
        raise ReleaseMissing(f"{folder}: no such release; `tastefeed releases list` lists the existing ones")
    try:
        return Manifest.model_validate_json(read_regular(folder / MANIFEST, max_bytes=MAX_MANIFEST_BYTES))
    except FileNotFoundError:
        raise ReleaseCorrupt(f"{folder}: has no {MANIFEST}; {REMEDY}") from None
    except OSError as error:
        raise ReleaseCorrupt(f"{folder / MANIFEST}: {error.strerror}; {REMEDY}") from None
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "the document"
        raise ReleaseCorrupt(f"{folder / MANIFEST}: {where}: {error.errors()[0]['msg']}; {REMEDY}") from None


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """List and hash every file of the folder, name the version, write `manifest.json`."""
    files = {path.name: _described(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    complete = manifest.model_copy(update={"files": files}).with_version()
    (folder / MANIFEST).write_text(complete.model_dump_json(indent=1) + "\n")
    return complete


def verify_folder(
    folder: Path, *, into: Path | None = None, on_tables: Callable[[], object] = lambda: None
) -> Manifest:
    """The manifest, after every file was checked against it. Raises `ReleaseCorrupt` naming file and values.

    With `into`, each file is first copied to that folder, and the copy is checked: the original may change meanwhile.
    The tables come first, because lookups are computed from them; `on_tables` is called after them.
    """
    manifest = read_manifest(folder)
    _check_format_and_versions(folder, manifest)
    present = {path.name for path in folder.iterdir()} - {MANIFEST}
    for name in sorted(manifest.files.keys() - present):
        raise ReleaseCorrupt(f"{folder / name}: is missing, the manifest lists it; {REMEDY}")
    for name in sorted(present - manifest.files.keys()):
        raise ReleaseCorrupt(f"{folder / name}: is not in the manifest; {REMEDY}")
    for name, want in sorted(manifest.files.items(), key=lambda file: not file[0].endswith(TABLE)):
        if not name.endswith(TABLE):
            on_tables()
        if not (folder / name).is_file():
            raise ReleaseCorrupt(f"{folder / name}: is no regular file; the manifest lists it; {REMEDY}")
        have = sha256_of_files(folder / name) if into is None else _copied(folder / name, into, want.size)
        if have != want.sha256:
            raise ReleaseCorrupt(
                f"{folder / name}: sha256 is {have[:12]}…, the manifest has {want.sha256[:12]}…; {REMEDY}"
            )
    if (want_version := manifest.with_version().version) != manifest.version:
        raise ReleaseCorrupt(f"{folder}: the content is {want_version}, the manifest has {manifest.version}; {REMEDY}")
    if into is not None:
        (into / MANIFEST).write_text(manifest.model_dump_json())
    return manifest


def _copied(path: Path, into: Path, size: int) -> str:
    """Copy a file, and return the sha256 of the copy. Raises `ReleaseCorrupt` for another size, before it is copied:
    there is no space for any size.

    Both are single calls that do without Python's lock. In many small ones, a start that imports meanwhile took a
    second longer for 800 MB, because each call waits for the lock.
    """
    if (have := path.stat().st_size) != size:
        raise ReleaseCorrupt(f"{path}: has {have:,} bytes, the manifest has {size:,}; {REMEDY}")
    copy = shutil.copyfile(path, into / path.name)
    if not size:
        return sha256_of_files(copy)  # an empty file cannot be mapped
    with copy.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return hashlib.sha256(content).hexdigest()


def _check_format_and_versions(folder: Path, manifest: Manifest) -> None:
    if manifest.format != FORMAT:
        raise ReleaseCorrupt(f"{folder}: format is {manifest.format}, this code reads {FORMAT}; {REMEDY}")
    versions = manifest.versions
    if not versions.tower == versions.index == versions.ranker:
        raise ReleaseCorrupt(
            f"{folder}: mixes versions: tower {versions.tower!r}, index {versions.index!r}, "
            f"ranker {versions.ranker!r}; {REMEDY}"
        )


def _described(path: Path) -> File:
    return File(sha256=sha256_of_files(path), size=path.stat().st_size)
