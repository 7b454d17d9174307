"""The items and creators that opted out, as last known: kept beside the releases for when the store cannot be read.

No feed reads this file while the store can be read.
"""

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from serving.privacy.store_marker import replace_file

LOG = logging.getLogger("tastefeed.last_known")
NAME = ".withheld.json"


@dataclass(frozen=True)
class Withheld:
    """Items, and creators of items, that are in no feed."""

    items: frozenset[str] = frozenset()
    creators: frozenset[str] = frozenset()


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: str
    words: int
    items: list[str]
    creators: list[str]

    @cached_property
    def withheld(self) -> Withheld:
        """As sets."""
        return Withheld(frozenset(self.items), frozenset(self.creators))


class LastKnown:
    """The file of one folder of releases, and in `seen` what this process read last from the store."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet."""
        self._path = folder / NAME
        self.seen = Withheld()
        self._file: _File | None = None
        self._stamp: tuple[int, int, int] | None = None

    def get(self) -> Withheld:
        """The union of what this process and the file know: it errs on the side of the opt-outs."""
        kept = self._read()
        if kept is None:
            return self.seen
        return Withheld(self.seen.items.union(kept.items), self.seen.creators.union(kept.creators))

    def differs(self, withheld: Withheld, *, identity: str, words: int) -> bool:
        """Whether a state is another one than the file's, and not older."""
        kept = self._read()
        if kept is None or kept.identity != identity:
            return True
        return kept.words <= words and kept.withheld != withheld

    def save(self, withheld: Withheld, *, identity: str, words: int) -> None:
        """Keep a state, unless a later one of the same store is there. Raises `OSError`."""
        if self.differs(withheld, identity=identity, words=words):
            new = _File(
                identity=identity, words=words, items=sorted(withheld.items), creators=sorted(withheld.creators)
            )
            replace_file(self._path, new.model_dump_json().encode())

    def _read(self) -> _File | None:
        try:
            found = self._path.stat()
            stamp = found.st_ino, found.st_mtime_ns, found.st_size
            if stamp != self._stamp:
                self._file, self._stamp = _File.model_validate_json(self._path.read_bytes()), stamp
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            LOG.error("%s cannot be read; the next state of the opt-out store replaces it", self._path)
            return None
        return self._file
