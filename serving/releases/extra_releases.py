"""Releases that serve beside the current one: those of an experiment's arms, and the one in shadow mode."""

import logging
from collections.abc import Iterable
from pathlib import Path

from contracts.errors import TastefeedError
from serving.releases.loaded_release import Release
from serving.releases.publish import load
from serving.releases.revised_names import present_name
from serving.releases.shared_copies import SharedCopies

LOG = logging.getLogger("tastefeed.extra_releases")


class ExtraReleases:
    """Some versions, loaded when the server starts. An erasure gives a release another name: its revision answers."""

    def __init__(self, root: Path, versions: Iterable[str], copies: SharedCopies | None = None) -> None:
        """Reads nothing yet."""
        self._root, self._versions, self._copies = root, frozenset(versions), copies
        self._loaded: dict[str, Release] = {}

    def load(self) -> None:
        """Load each version; one that cannot be read is logged and stays absent."""
        for version in sorted(self._versions):
            if release := self._read(version):
                self._loaded[version] = release

    def follow(self) -> None:
        """Replace each release that an erasure replaced, because it has the erased users."""
        for version, replaced in list(self._loaded.items()):
            if (self._root / replaced.version).is_dir():
                continue
            if revision := self._read(version):
                self._loaded[version] = revision
            else:
                del self._loaded[version]
            replaced.replaced()

    def get(self, version: str) -> Release | None:
        """The release, if it could be loaded."""
        return self._loaded.get(version)

    def _read(self, version: str) -> Release | None:
        try:
            return load(self._root, present_name(self._root, version), self._copies)
        except (TastefeedError, OSError) as error:
            LOG.error("a release of an experiment or of shadow mode cannot be loaded: %s", error)
            return None
