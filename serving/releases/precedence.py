"""Which release serves: the rule by which a new release replaces the one that serves, or does not.

A night never makes the feed worse. A release of an earlier day does not replace one of a later day, so that a backfill
leaves the feed in place. A reduced release does not replace a stronger one.
"""

from datetime import datetime

from serving.releases.manifest import Manifest, ReducedTo

STRENGTH = {ReducedTo.NON_PROFILED: 0, ReducedTo.TWO_TOWER: 1, None: 2}
KIND = {
    ReducedTo.NON_PROFILED: "the non-profiled list",
    ReducedTo.TWO_TOWER: "the two-tower without the re-ranker",
    None: "two-tower and re-ranker",
}
"""What a release serves, in words."""


def why_kept(
    serving: Manifest, as_of: datetime, reduced_to: ReducedTo | None, *, even_if_older: bool = False
) -> str | None:
    """Why the serving release stays, where a new one must not replace it. `even_if_older` allows an earlier `as_of`."""
    if STRENGTH[reduced_to] < STRENGTH[serving.reduced_to]:
        return f"it has {KIND[serving.reduced_to]}, the new release only {KIND[reduced_to]}"
    if as_of < serving.as_of and not even_if_older:
        return f"its as_of {serving.as_of:%Y-%m-%d} is later than {as_of:%Y-%m-%d}, and --publish was not given"
    return None


def why_replaced(serving: Manifest | None, new: Manifest) -> str:
    """Why a new release serves."""
    if serving is None:
        return "no readable release served before"
    if serving.version == new.version:
        return "it served before, and this night made the same content"
    old = f"{serving.as_of:%Y-%m-%d} of {serving.version}, which served before"
    if new.as_of < serving.as_of:
        return f"--publish was given, although its as_of is earlier than {old}"
    if new.as_of == serving.as_of:
        return f"it is the later run of its as_of; {serving.version} served before"
    return f"its as_of is later than {old}"
