"""The last known exclusions, in a file beside the releases. They are used while the opt-out store cannot be read."""

import logging
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.atomic_files import read_regular, replace_file
from contracts.switches import Switches
from serving.privacy.exclusions import CachedExclusions, Exclusions

LOG = logging.getLogger("tastefeed.last_known_exclusions")
EXCLUSIONS_FILE = ".withheld.json"
MAX_EXCLUSIONS_BYTES = 1 << 30


class _ExclusionsFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    identity: str
    changes: int = Field(alias="words")
    items: list[str]
    creators: list[str]
    switches: dict[str, str] = {}

    @cached_property
    def exclusions(self) -> Exclusions:
        """As sets."""
        return Exclusions(frozenset(self.items), frozenset(self.creators), Switches.of(self.switches))


class LastKnownExclusions:
    """The excluded items and creators, and the switches, in a file beside the releases. It is read only while the store
    cannot be read."""

    def __init__(self, folder: Path) -> None:
        """Reads nothing yet. `seen` is what this process last read from the store."""
        self._path = folder / EXCLUSIONS_FILE
        self.seen = Exclusions()
        self._file: _ExclusionsFile | None = None
        self._stamp: tuple[int, int, int] | None = None

    def get(self) -> Exclusions:
        """The union of what this process and the file hold: where they differ, the opt-outs win."""
        recorded = self._read()
        if recorded is None:
            return self.seen
        items, creators = self.seen.items.union(recorded.items), self.seen.creators.union(recorded.creators)
        return Exclusions(items, creators, self.seen.switches.union(recorded.exclusions.switches))

    def differs(self, state: CachedExclusions) -> bool:
        """Whether a state of the store differs from the file's and is not older."""
        recorded = self._read()
        if recorded is None or recorded.identity != state.identity:
            return True
        return recorded.changes <= state.changes and recorded.exclusions != state.exclusions

    def save(self, state: CachedExclusions) -> None:
        """Write a state, unless the file holds a later one of the same store. Raises `OSError`."""
        if self.differs(state):
            items, creators = sorted(state.exclusions.items), sorted(state.exclusions.creators)
            new = _ExclusionsFile(
                identity=state.identity,
                changes=state.changes,
                items=items,
                creators=creators,
                switches=state.exclusions.switches.values,
            )
            replace_file(self._path, new.model_dump_json(exclude_defaults=True).encode())

    def _read(self) -> _ExclusionsFile | None:
        try:
            status = self._path.stat()
            stamp = status.st_ino, status.st_mtime_ns, status.st_size
            if stamp != self._stamp:
                content = read_regular(self._path, max_bytes=MAX_EXCLUSIONS_BYTES)
                self._file, self._stamp = _ExclusionsFile.model_validate_json(content), stamp
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            LOG.error("%s cannot be read; the next state of the opt-out store replaces it", self._path)
            return None
        return self._file
