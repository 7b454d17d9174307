"""What a night made, for a person to look at: stage times, metrics beside baselines, the release, five feeds."""

import polars as pl
from rich.table import Table

from tastefeed.evaluation import rich_table
from tastefeed.pipeline.console import console
from tastefeed.pipeline.night import Night
from tastefeed.pipeline.stages import STAGES

SHOWN_METRICS = ("ndcg_at_20", "recall_at_20", "recall_at_200", "coverage_at_20", "intra_list_distance_at_20", "creator_coverage_at_20")
FEEDS = 5
ITEMS_SHOWN = 4


def show_night(night: Night) -> None:
    """Print the whole night."""
    console.print()
    console.print(stage_times(night))
    summary = night.summary("metrics")
    console.print(rich_table(pl.DataFrame(summary["table"]), f"held out {summary['held_out']}: {summary['users']} people"))
    for sentence in night.summary("gates")["sentences"]:
        console.print(f"gate  {sentence}")
    console.print(f"\nrelease [bold]{night.summary('release')['version']}[/] serves {night.home.url}/releases\n")
    show_feeds(night)
    console.print("next: make serve, make test, make mlflow; or read docs/")


def stage_times(night: Night) -> Table:
    """One row a stage."""
    table = Table("stage", "seconds", title=f"night of {night.plan.as_of}", box=None)
    for stage in STAGES:
        table.add_row(stage, f"{night.summary(stage)['seconds']:.1f}")
    return table


def show_feeds(night: Night) -> None:
    """The first items of five people's feeds, with the reason of each."""
    from tastefeed.serving.feed import HomeFeed

    del HomeFeed, night
