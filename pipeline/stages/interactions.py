"""What happened between each user and item, strengths decayed to each cut."""

import features
from pipeline.run_context import RunContext, Summary


def interactions(night: RunContext) -> Summary:
    """One row a cut, user and item."""
    rows = features.interactions(
        night.read("sessions"), night.splits.cutoffs, half_life_days=night.settings.half_life_days
    )
    night.overwrite("interactions", rows)
    return {"rows": night.count("interactions"), "cuts": len(night.splits.cutoffs)}
