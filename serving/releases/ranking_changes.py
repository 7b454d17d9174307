"""What a kill switch or an arm of an experiment changes in how a release ranks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ranking.candidates import CandidateConfig
from ranking.rank_users import RankingConfig
from ranking.slate import SlateConfig

Values = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class RankingChanges:
    """Sources that are off, and other values of settings; equal changes have equal hashes."""

    sources_off: frozenset[str] = frozenset()
    slate: Values = ()
    candidates: Values = ()

    @classmethod
    def of(
        cls, sources_off: frozenset[str], slate: Mapping[str, Any], candidates: Mapping[str, Any]
    ) -> "RankingChanges":
        """From settings by name."""
        return cls(sources_off, tuple(sorted(slate.items())), tuple(sorted(candidates.items())))

    def applied(self, config: RankingConfig) -> RankingConfig:
        """The changed configuration; a source that is off stays off."""
        slate = SlateConfig.model_validate({**config.slate.model_dump(), **dict(self.slate)})
        sizes = CandidateConfig.model_validate({**config.candidates.model_dump(), **dict(self.candidates)})
        return config.model_copy(update={"slate": slate, "candidates": sizes.without(self.sources_off)})


NO_CHANGES = RankingChanges()
