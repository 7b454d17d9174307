"""What a night made, for a person to look at: stage times, metrics beside baselines, the release, five feeds."""

import numpy as np
import polars as pl
from rich.markup import escape
from rich.table import Table

from evaluation import rich_table
from pipeline.console import console
from pipeline.model_refusals import SUMMARY as NOT_PROFILED
from pipeline.run_context import RunContext, Summary
from pipeline.stages import STAGE_NAMES
from serving.feed import Feed, HomeFeed
from serving.privacy.consent import Doorkeeper
from serving.releases import publish
from serving.releases.loaded_release import Release
from serving.releases.release_loader import HeldRelease

SHOWN_METRICS = (
    "ndcg_at_20",
    "recall_at_20",
    "recall_at_200",
    "coverage_at_20",
    "intra_list_distance_at_20",
    "creator_coverage_at_20",
)
"""The columns of every table that a command prints, as far as the catalogue lets them be measured."""
FEEDS = 5
ITEMS_SHOWN = 4


def show_night(night: RunContext) -> None:
    """Print the whole night. The last lines of one that made no models say why, and what controls it."""
    if refusal := night.summary(NOT_PROFILED):
        show_not_profiled(night, refusal)
        return
    show_metrics(night)
    console.print(f"\nrelease [bold]{night.summary('release')['version']}[/] serves {night.home.url}/releases\n")
    show_feeds(night)
    console.print("next: make serve, make test, make mlflow; or read docs/")


def show_not_profiled(night: RunContext, refusal: Summary) -> None:
    """As far as the night came, the list of everyone, and why it is no more than that."""
    show_metrics(night)
    console.print()
    show_feed(everyones_feed(night), "feed of everyone")
    console.print(f"no model of this night serves: {escape(refusal['message'])}")
    for line in refusal["controls"]:
        console.print(escape(line))
    version = night.summary("release")["version"]
    console.print(f"release [bold]{version}[/] serves {night.home.url}/releases: the non-profiled list, the same for")
    console.print("everyone (fresh and popular items in turns), until a night with models passes its gates")


def show_metrics(night: RunContext) -> None:
    """Stage times, metrics beside the baselines, and what the gates say, as far as a night came."""
    console.print()
    console.print(stage_times(night))
    summary = night.summary("metrics")
    if "table" not in summary:
        return
    console.print(
        rich_table(shown(pl.DataFrame(summary["table"])), f"held out {summary['held_out']}: {summary['users']} people")
    )
    for sentence in night.summary("gates")["sentences"]:
        console.print(f"gate  {escape(sentence)}")
    for note in night.summary("gates")["not_judged"]:
        console.print(f"gate  not judged: {escape(note)}")


def shown(table: pl.DataFrame, *more: str) -> pl.DataFrame:
    """The columns of a table of methods that people see."""
    return table.select("method", *(metric for metric in SHOWN_METRICS if metric in table.columns), *more)


def stage_times(night: RunContext) -> Table:
    """One row a stage."""
    table = Table("stage", "seconds", title=f"night of {night.splits.as_of}", box=None)
    for stage in STAGE_NAMES:
        if summary := night.summary(stage):
            table.add_row(stage, f"{summary['seconds']:.1f}")
    return table


def show_feeds(night: RunContext) -> None:
    """The first items of the feeds of five people with rich and poor histories, with the reason of each."""
    release, feeds = publish.load(night.releases), home_feed(night)
    for number, user in enumerate(some_people(release), start=1):
        show_feed(feeds.feed(user, limit=ITEMS_SHOWN), f"feed {number}")


def show_feed(feed: Feed, title: str) -> None:
    """One feed as a table."""
    table = Table("", "title", "source", "because", title=title, box=None, title_justify="left")
    for item in feed.items:
        table.add_row(str(item.rank), (item.title or item.item_id)[:60], item.source, item.explanation.text)
    console.print(table)


def everyones_feed(night: RunContext) -> Feed:
    """The first items of the list that is the same for everyone."""
    return home_feed(night).feed(None, limit=ITEMS_SHOWN)


def home_feed(night: RunContext) -> HomeFeed:
    """The feed of the release that serves."""
    held = HeldRelease(night.releases)
    held.read_first()
    return HomeFeed(held, Doorkeeper(night.opt_outs, night.pending_events))


def some_people(release: Release) -> list[str]:
    """Five people, evenly spread from the longest history to a short one; their ids are never printed."""
    lengths = np.diff(release.users.history_offsets)
    known = np.argsort(-lengths, kind="stable")[: int((lengths > 0).sum())]
    places = np.unique(np.linspace(0, max(len(known) - 1, 0), FEEDS + 1)[:-1].astype(int))
    return [str(user) for user in release.users.ids[known[places[places < len(known)]]]]
