"""What the two-tower learns from: each user's clicks and saves in order."""

import features
from pipeline.run_context import RunContext, Summary


def retrieval_examples(night: RunContext) -> Summary:
    """One row a cut and user."""
    rows = features.retrieval_examples(
        night.read("sessions"), night.splits.cutoffs, opted_out_of_training=night.untrainable_users()
    )
    night.overwrite("retrieval_examples", rows)
    return {"rows": night.count("retrieval_examples")}
