"""What the re-ranker learns from: what people took up in the days after each cut."""

import features
from pipeline.landed import read_landed_items
from pipeline.run_context import RunContext, Summary


def ranking_examples(night: RunContext) -> Summary:
    """One row a cut, user and new item."""
    rows = features.ranking_examples(
        night.read("sessions"),
        read_landed_items(night.spark, night.home, night.opt_outs),
        night.splits.label_cutoffs,
        label_days=night.splits.label_days,
        opted_out_of_training=night.untrainable_users(),
    )
    night.overwrite("ranking_examples", rows)
    return {"rows": night.count("ranking_examples")}
