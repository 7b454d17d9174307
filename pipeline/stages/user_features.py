"""What is known of each user at each cut."""

import features
from pipeline.landed import read_landed_items
from pipeline.run_context import RunContext, Summary


def user_features(night: RunContext) -> Summary:
    """One row a cut and user."""
    items = read_landed_items(night.spark, night.home, night.opt_outs)
    night.overwrite("user_features", features.user_features(night.read("sessions"), items, night.splits.cutoffs))
    return {"rows": night.count("user_features")}
