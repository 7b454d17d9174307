"""How many rows were refused, why, and whether that is too many for the night to go on."""

from collections.abc import Mapping

from pyspark.sql import DataFrame

from contracts import HARMLESS, Reason
from contracts import columns as c
from contracts.errors import TooManyBadRows
from contracts.schemas import QUARANTINE
from features.conform import conform


def quarantine_counts(quarantine: DataFrame) -> dict[Reason, int]:
    """Refused rows by reason, in the order of `Reason`; a reason without rows is absent. Runs a Spark job."""
    rows = conform(quarantine, QUARANTINE).groupBy(c.REASON).count().collect()
    found = {row[c.REASON]: int(row["count"]) for row in rows}
    return {reason: found[reason] for reason in Reason if reason in found}


def bad_share(counts: Mapping[Reason, int], total: int) -> float:
    """The share of broken rows among `total` landed ones; rows with a harmless reason count on neither side."""
    harmless = sum(counts.get(reason, 0) for reason in HARMLESS)
    considered = total - harmless
    return (sum(counts.values()) - harmless) / considered if considered else 0.0


def accept(counts: Mapping[Reason, int], total: int, *, max_bad_share: float) -> float:
    """The bad share. Raises `TooManyBadRows` where it is above `max_bad_share`."""
    share = bad_share(counts, total)
    if share > max_bad_share:
        reasons = ", ".join(f"{reason} {count}" for reason, count in counts.items() if reason not in HARMLESS)
        raise TooManyBadRows(
            f"{share:.2%} of the landed events are broken ({reasons}), accepted are {max_bad_share:.2%}; look at the "
            "table quarantine, mend the source or raise TASTEFEED_MAX_BAD_SHARE"
        )
    return share
