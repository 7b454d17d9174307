"""What all peers share: a config, where they run, and that they take any data."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

from benchmarks.datasets import Split


@dataclass(frozen=True)
class Peer:
    """A method before it has seen anything."""

    config: Any
    _: KW_ONLY
    seed: int
    threads: int

    def refuses(self, split: Split) -> str:
        """Nothing speaks against any data."""
        del split
        return ""
