"""A/B experiments: arms are settings of the slate or of the candidate sources, or releases.

The arm of a user is a salted hash of the id, so it is the same in every worker, and independent of other experiments.
Only users with a personalized feed have one, and only those that no release of an arm lacks.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from contracts.atomic_files import read_regular
from contracts.errors import BadSetting
from ranking.candidates import CandidateConfig
from ranking.slate import SlateConfig
from serving.privacy.subject_ids import canonical

MAX_FILE_BYTES = 1 << 20
HASH_BYTES = 8
Number = int | float


class Arm(BaseModel):
    """One variant: what differs from the settings of the release, or another release."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9_-]{1,40}$")
    weight: float = Field(1, gt=0, description="its share of the users, relative to the other arms")
    release: str | None = Field(None, description="the version that answers; empty: the current one")
    slate: dict[str, Number] = Field({}, description="settings of the slate")
    candidates: dict[str, int] = Field({}, description="sizes of the candidate sources")

    @model_validator(mode="after")
    def _has_valid_settings(self) -> Self:
        SlateConfig.model_validate(self.slate)
        CandidateConfig.model_validate(self.candidates)
        return self


class AbExperiment(BaseModel):
    """An experiment; the first arm is the control."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9_-]{1,40}$")
    salt: str = Field("", description="of the hash; empty: the name")
    arms: tuple[Arm, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _has_distinct_arms(self) -> Self:
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise ValueError(f"arms need different names, not {', '.join(names)}")
        return self

    @property
    def releases(self) -> tuple[str, ...]:
        """The versions that arms need."""
        return tuple(arm.release for arm in self.arms if arm.release)

    def arm_of(self, user_id: str) -> Arm:
        """The arm of a user, in every spelling of the id."""
        digest = sha256(f"{self.salt or self.name}:{canonical(user_id)}".encode()).digest()
        at = int.from_bytes(digest[:HASH_BYTES]) / 256**HASH_BYTES * sum(arm.weight for arm in self.arms)
        for arm in self.arms:
            at -= arm.weight
            if at < 0:
                return arm
        return self.arms[-1]

    def users_of_arms(self, user_ids: Iterable[str]) -> Iterator[tuple[Arm, list[str]]]:
        """The arms of these users, in the order of the file, each with its users."""
        users: dict[str, list[str]] = defaultdict(list)
        for user in user_ids:
            users[self.arm_of(user).name].append(user)
        return ((arm, users[arm.name]) for arm in self.arms if arm.name in users)


def versions_beside(shadow_release: str, experiment: AbExperiment | None) -> frozenset[str]:
    """The releases that serve beside the current one."""
    return frozenset({shadow_release, *(experiment.releases if experiment else ())} - {""})


def read_experiment(path: Path | None) -> AbExperiment | None:
    """The experiment of a JSON file; none without one. Raises `BadSetting`."""
    if path is None:
        return None
    try:
        return AbExperiment.model_validate_json(read_regular(path, max_bytes=MAX_FILE_BYTES))
    except OSError as error:
        raise BadSetting(f"TASTEFEED_EXPERIMENT: {path}: {error.strerror}; name a JSON file") from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors()[:3])
        raise BadSetting(f"TASTEFEED_EXPERIMENT: {path}: {wrong}") from None
