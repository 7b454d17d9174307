"""Releases that serve beside the current one: those of an experiment's arms, and the one in shadow mode."""

import logging
from collections.abc import Iterable
from pathlib import Path

from contracts.errors import TastefeedError
from serving.releases.loaded_release import Release
from serving.releases.publish import load
from serving.releases.shared_copies import SharedCopies

LOG = logging.getLogger("tastefeed.extra_releases")


class ExtraReleases:
    """Some versions, loaded when the server starts."""

    def __init__(self, root: Path, versions: Iterable[str], copies: SharedCopies | None = None) -> None:
        """Reads nothing yet."""
        self._root, self._versions, self._copies = root, frozenset(versions), copies
        self._loaded: dict[str, Release] = {}

    def load(self) -> None:
        """Load each version; one that cannot be read is logged and stays absent."""
        for version in sorted(self._versions):
            try:
                self._loaded[version] = load(self._root, version, self._copies)
            except (TastefeedError, OSError) as error:
                LOG.error("a release of an experiment or of shadow mode cannot be loaded: %s", error)

    def drop_replaced(self) -> None:
        """Drop each version that is no longer published. Its revision lacks the users that an erasure removed."""
        for version in [each for each in self._loaded if not (self._root / each).is_dir()]:
            self._loaded.pop(version).replaced()
            LOG.error("release %s is no longer published: an erasure gives it another name; name that one", version)

    def get(self, version: str) -> Release | None:
        """The release, if it could be loaded."""
        return self._loaded.get(version)
