"""The kill switches: what an operator turns off for every feed, from the next request on."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from contracts.errors import TastefeedError

OFF = "off"
"""The value of every switch but `pinned_release`, whose value is a version."""


class UnknownSwitch(TastefeedError):
    """A switch that does not exist."""


class BadSwitch(TastefeedError):
    """A value that a switch cannot have."""


class SwitchName(StrEnum):
    """What can be switched off, and the release that can be pinned."""

    PERSONALIZATION = "personalization"
    TWO_TOWER = "two_tower"
    FRESH = "fresh"
    POPULAR = "popular"
    EXPLORATION = "exploration"
    PINNED_RELEASE = "pinned_release"


CANDIDATE_SOURCES = frozenset({SwitchName.TWO_TOWER, SwitchName.FRESH, SwitchName.POPULAR})
"""The switches that turn a source of candidates off; they have the names of the sources."""


@dataclass(frozen=True)
class Switches:
    """The switches that are set."""

    off: frozenset[SwitchName] = frozenset()
    pinned_release: str | None = None

    @classmethod
    def of(cls, values: Mapping[str, str]) -> "Switches":
        """From names and values; a name of a later version is left out."""
        known = {SwitchName(name): value for name, value in values.items() if name in set(SwitchName)}
        return cls(frozenset(known) - {SwitchName.PINNED_RELEASE}, known.get(SwitchName.PINNED_RELEASE))

    @property
    def values(self) -> dict[str, str]:
        """Names and values."""
        pinned = {SwitchName.PINNED_RELEASE.value: self.pinned_release} if self.pinned_release else {}
        return {**{name.value: OFF for name in sorted(self.off)}, **pinned}

    @property
    def sources_off(self) -> frozenset[str]:
        """The sources of candidates that are off."""
        return frozenset(self.off & CANDIDATE_SOURCES)

    def union(self, other: "Switches") -> "Switches":
        """Whatever is off in either."""
        return Switches(self.off | other.off, self.pinned_release or other.pinned_release)


NO_SWITCHES = Switches()
"""The usual state."""


def checked_name(name: str) -> SwitchName:
    """The switch with this name. Raises `UnknownSwitch` with the allowed ones."""
    if name not in set(SwitchName):
        raise UnknownSwitch(f"there is no switch {name!r}; use one of {', '.join(SwitchName)}")
    return SwitchName(name)


def checked_switch(name: str, value: str | None) -> tuple[SwitchName, str]:
    """Name and value of a switch to set. Raises `UnknownSwitch` and `BadSwitch`."""
    switch = checked_name(name)
    if switch is not SwitchName.PINNED_RELEASE:
        if value not in (None, OFF):
            raise BadSwitch(f"the switch {switch} has the value {OFF!r} only; clear it to turn it on again")
        return switch, OFF
    if not value:
        raise BadSwitch(f"the switch {switch} needs the version of a release; `tastefeed releases list` prints them")
    return switch, value
