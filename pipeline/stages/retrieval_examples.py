"""What the two-tower learns from: each user's clicks and saves in order."""

import features
from pipeline.run_context import Night, Summary


def retrieval_examples(night: Night) -> Summary:
    """One row a cut and user."""
    rows = features.retrieval_examples(
        night.read("sessions"), night.plan.cuts, opted_out_of_training=night.untrainable_users()
    )
    night.overwrite("retrieval_examples", rows)
    return {"rows": night.count("retrieval_examples")}
