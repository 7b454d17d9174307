"""Publishing: a release is copied to a staging folder, verified and renamed; only then is one pointer switched.

    releases/current             the version that is served, one line
    releases/<version>/          a release; never changed once it has its name. One of an earlier day may never serve
    releases/.staging-…  .trash-…  what a killed publisher left; never read, deleted by the next publisher

A kill at any instant leaves the old release current and whole.
"""

import os
import shlex
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from filelock import FileLock, Timeout

from contracts.atomic_files import move_folder, read_regular, remove, replace_file
from contracts.errors import PublishRunning, ReleaseCorrupt, ReleaseMissing
from serving.releases.manifest import Manifest, ReducedTo, read_manifest, verify_folder
from serving.releases.precedence import STRENGTH, why_kept, why_replaced
from serving.releases.shared_copies import SharedCopies
from serving.releases.verified_copy import shared_copy

if TYPE_CHECKING:
    from serving.releases.loaded_release import Release

POINTER = "current"
MAX_POINTER_BYTES = 256
LOCK = ".lock"
FOLDER_MODE, FILE_MODE, GROUP_BITS, ALL_BITS = 0o750, 0o640, 0o050, 0o777
DAY = len("2017-03-01")
STAGING, TRASH = ".staging-", ".trash-"


@dataclass(frozen=True)
class Publication:
    """A published release, the version that serves afterwards, and why."""

    manifest: Manifest
    serving: str
    why: str

    @property
    def serves(self) -> bool:
        """Whether the published release serves."""
        return self.manifest.version == self.serving


def publish(
    folder: Path, root: Path, *, keep: int = 5, even_if_older: bool = False, kept: Collection[str | None] = ()
) -> Publication:
    """Copy a folder that `write_release` filled, make it the current release, and keep the newest `keep` releases and
    those `kept`.

    The serving release stays current where `precedence` has a reason; `even_if_older` overrides that of an earlier day.
    Content that is already published is only verified and pointed to. Raises `ReleaseCorrupt`, `PublishRunning`.
    """
    with publishing(root):
        manifest = install(folder, root)
        why = why_current_stays(root, manifest.as_of, manifest.reduced_to, even_if_older=even_if_older)
        if why is None:
            why = why_replaced(readable_current(root), manifest)
            point(root, manifest.version)
        prune(root, keep=keep, also=(manifest.version, *kept))
        return Publication(manifest, current(root), why)


def why_current_stays(
    root: Path, as_of: datetime, reduced_to: ReducedTo | None, *, even_if_older: bool = False
) -> str | None:
    """Why a new release must not replace the current one, if there is a reason.

    A whole release replaces one that cannot be read; a reduced one does not, because a server may still hold it.
    """
    try:
        return why_kept(show(root), as_of, reduced_to, even_if_older=even_if_older)
    except ReleaseMissing:
        return None
    except ReleaseCorrupt:
        return "it cannot be read, and the new release is reduced" if reduced_to else None


@contextmanager
def publishing(root: Path) -> Iterator[None]:
    """Be the only process that changes releases, after deleting what killed ones left. Raises `PublishRunning`."""
    root.mkdir(parents=True, exist_ok=True)
    if ~(mode := root.stat().st_mode) & GROUP_BITS:
        root.chmod(mode | GROUP_BITS)
    try:
        with FileLock(root / LOCK, timeout=0):
            _remove_leftovers(root)
            try:
                yield
            finally:
                _remove_leftovers(root)  # a publisher that fails on a full disk leaves it as it was
    except Timeout:
        raise PublishRunning(f"{root}: another process is changing releases; wait until it ends") from None


def _remove_leftovers(root: Path) -> None:
    for leftover in [*root.glob(f"{STAGING}*"), *root.glob(f"{TRASH}*"), *root.glob(f".{POINTER}.*")]:
        remove(leftover)


def install(folder: Path, root: Path) -> Manifest:
    """Copy a release's folder under its version, verified and synced to disk, without pointing to it."""
    staging = root / f"{STAGING}{uuid4().hex}"
    shutil.copytree(folder, staging)
    share_with_group(staging, *staging.iterdir())
    manifest = verify_folder(staging)
    final = root / manifest.version
    if _is_whole(final):
        remove(staging)
        share_with_group(final, *final.iterdir())
        return read_manifest(final)
    move_folder(staging, final, aside=root / f"{TRASH}{uuid4().hex}")
    return manifest


def share_with_group(*paths: Path) -> None:
    """Let the owner and the group read: the server may run as another user than the night."""
    for path in paths:
        mode = FOLDER_MODE if path.is_dir() else FILE_MODE
        if path.stat().st_mode & ALL_BITS != mode:
            path.chmod(mode)


def point(root: Path, version: str) -> None:
    """Switch the pointer atomically, unless it points there already. A damaged pointer is replaced."""
    with suppress(ReleaseCorrupt):
        if current_or_none(root) == version:
            return
    if (root / POINTER).is_dir() and not (root / POINTER).is_symlink():
        (root / POINTER).rename(root / f"{TRASH}{uuid4().hex}")  # a file cannot replace a folder
    replace_file(root / POINTER, f"{version}\n".encode())
    share_with_group(root / POINTER)


def current(root: Path) -> str:
    """The version that is served. Raises `ReleaseMissing`."""
    version = current_or_none(root)
    if version is None:
        raise ReleaseMissing(f"{root}: nothing is published yet; {how_to_publish(root)}")
    return version


def how_to_publish(root: Path) -> str:
    """The remedy where a lake has no release."""
    return f"run `tastefeed nightly --lake {shlex.quote(str(root.parent))}`"


def current_or_none(root: Path) -> str | None:
    """The version that is served, if any. Raises `ReleaseCorrupt` where the pointer cannot be read."""
    try:
        version = read_regular(root / POINTER, max_bytes=MAX_POINTER_BYTES).decode().strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(root, error.strerror if isinstance(error, OSError) else "is not UTF-8") from None
    if not _is_name(version or "none"):
        raise _unreadable(root, "names no release")
    return version or None


def _is_name(version: str) -> bool:
    return version.isprintable() and not version.startswith(".") and "/" not in version


def _unreadable(root: Path, problem: str | None) -> ReleaseCorrupt:
    there = ", ".join(manifest.version for manifest in list_releases(root)) or "none"
    remedy = "publish again, or name a release in `tastefeed releases rollback VERSION`"
    return ReleaseCorrupt(f"{root / POINTER}: {problem}; {remedy}; there are: {there}")


def readable_current(root: Path) -> Manifest | None:
    """The manifest of the release that is served, if there is one that can be read."""
    try:
        return show(root)
    except (ReleaseMissing, ReleaseCorrupt):
        return None


def list_releases(root: Path) -> list[Manifest]:
    """Every release with a readable manifest, the oldest first: by `as_of`, then by build."""
    manifests = []
    for folder in root.glob("[!.]*/"):
        with suppress(ReleaseCorrupt):  # the list omits it; `verify` reports what is wrong with it
            manifests.append(read_manifest(folder))
    return sorted(manifests, key=_age)


def substitutes(root: Path, version: str | None) -> list[str]:
    """Releases that may serve in place of a damaged one: whole ones before reduced ones, the newest first. Only older
    ones, since a rollback may have refused a newer one; where the manifest is damaged, its day decides. Without a
    version, all of them."""
    newest_first = [manifest for manifest in reversed(list_releases(root)) if manifest.version != version]
    others = sorted(newest_first, key=lambda manifest: -STRENGTH[manifest.reduced_to])
    if version is None:
        return [manifest.version for manifest in others]
    try:
        damaged = read_manifest(root / version)
    except (ReleaseMissing, ReleaseCorrupt):
        return [manifest.version for manifest in others if manifest.version[:DAY] <= version[:DAY]]
    return [manifest.version for manifest in others if _age(manifest) < _age(damaged)]


def _age(manifest: Manifest) -> tuple[datetime, datetime]:
    """Releases are ordered by the end of their data, then by when they were built."""
    return manifest.as_of, manifest.built_at


def show(root: Path, version: str | None = None) -> Manifest:
    """The manifest of a release, by default the current one. Raises `ReleaseMissing`."""
    return read_manifest(root / existing(root, version))


def verify(root: Path, version: str | None = None) -> Manifest:
    """Verify every file of a release and the name of its folder. Raises `ReleaseCorrupt`."""
    version = existing(root, version)
    manifest = verify_folder(root / version)
    _check_folder_name(root / version, manifest.version)
    return manifest


def load(root: Path, version: str | None = None, copies: SharedCopies | None = None) -> "Release":
    """Read a release, by default the current one, or map its shared copy. Raises `ReleaseMissing`, `ReleaseCorrupt`."""
    from serving.releases.serialization import load_release  # noqa: PLC0415  a server begins to copy before it

    version = existing(root, version)
    release = load_release(root / version, copies)
    _check_folder_name(root / version, release.version)
    return release


def prepare_copy(root: Path, copies: SharedCopies, *, once_verified: Callable[[], object]) -> None:
    """Make the shared copy of the current release, for processes that load it in a moment. Raises `ReleaseMissing`,
    `ReleaseCorrupt`."""
    if copy := shared_copy(root / current(root), copies, once_verified=once_verified):
        copy.leave()


def _check_folder_name(folder: Path, version: str) -> None:
    if folder.name != version:
        raise ReleaseCorrupt(f"{folder}: holds release {version}; publish again or roll back")


def rollback(root: Path, version: str | None = None) -> Manifest:
    """Serve an older release again: the named one, or the one before the current. It is verified first."""
    with publishing(root):
        manifest = verify(root, version or _previous(root))
        point(root, manifest.version)
    return manifest


def prune(root: Path, *, keep: int, also: Collection[str | None] = ()) -> list[str]:
    """Remove all but the newest `keep` releases, the current one and `also`. Returns the removed versions."""
    kept = {current_or_none(root), *also}
    old = [manifest.version for manifest in list_releases(root)[: -max(keep, 1)] if manifest.version not in kept]
    for version in old:
        discard(root, version)
    return old


def discard(root: Path, version: str) -> None:
    """Remove a release; its name disappears before its files do."""
    trash = root / f"{TRASH}{uuid4().hex}"
    os.rename(root / version, trash)
    remove(trash)


def existing(root: Path, version: str | None) -> str:
    """The version if its folder exists, by default the current one. Raises `ReleaseMissing`."""
    version = version or current(root)
    if not _is_name(version) or not (root / version).is_dir():
        there = ", ".join(manifest.version for manifest in list_releases(root)) or "none"
        raise ReleaseMissing(f"no release {version!r}; there are: {there}")
    return version


def _previous(root: Path) -> str:
    served = current(root)
    versions = [manifest.version for manifest in list_releases(root)]
    older = versions[: versions.index(served)] if served in versions else versions
    if not older:
        raise ReleaseMissing(f"{root}: there is no release older than {served}; name one of the listed ones")
    return older[-1]


def _is_whole(folder: Path) -> bool:
    try:
        return verify_folder(folder).version == folder.name
    except (ReleaseMissing, ReleaseCorrupt):
        return False
