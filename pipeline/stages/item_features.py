"""What is known of each item at each cut."""

import features
from pipeline.landed import read_landed_items
from pipeline.run_context import RunContext, Summary


def item_features(night: RunContext) -> Summary:
    """One row a cut and item that exists then."""
    items = read_landed_items(night.spark, night.home, night.opt_outs)
    rows = features.item_features(
        night.read("sessions"), items, night.splits.cutoffs, opted_out_of_training=night.untrainable_users()
    )
    night.overwrite("item_features", rows)
    return {"rows": night.count("item_features")}
