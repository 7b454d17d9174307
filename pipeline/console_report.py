"""The console report of a night: stage times, metrics beside baselines, the release and five feeds."""

import shlex

import numpy as np
import polars as pl
from rich.markup import escape
from rich.table import Table

from evaluation import rich_table
from evaluation.results import FIRST_SHARE, OVERLAP
from pipeline.console import console
from pipeline.model_refusals import ALONE
from pipeline.model_refusals import SUMMARY as REDUCED
from pipeline.run_context import RunContext, Summary
from pipeline.stages import STAGE_NAMES
from serving.cursor import CursorSigner
from serving.feed import Feed, HomeFeed
from serving.feed_request import FeedParts, FeedRequest
from serving.privacy.consent import ConsentGate
from serving.releases import publish
from serving.releases.loaded_release import Release
from serving.releases.manifest import ReducedTo
from serving.releases.precedence import KIND
from serving.releases.release_loader import ReloadingRelease

SHOWN_METRICS = (
    "ndcg_at_20",
    "recall_at_20",
    "recall_at_200",
    OVERLAP,
    FIRST_SHARE,
    "coverage_at_20",
    "intra_list_distance_at_20",
    "creator_coverage_at_20",
)
"""The columns of every table that a command prints, where the catalogue allows to measure them."""
FEEDS = 5
ITEMS_SHOWN = 4


def show_night(night: RunContext) -> None:
    """Print the report. The last lines state which release serves and why, and for a reduced one what was refused."""
    show_metrics(night)
    refusal, published = night.summary(REDUCED), night.summary("release")
    serving = published["serving"]
    console.print()
    if serving["version"] != published["version"]:
        show_kept(night, published)
        return
    show_served(night)
    if refusal:
        show_refusal(night, refusal)
    else:
        show_next(night)
    what = f", with only {KIND[ReducedTo(refusal['reduced_to'])]}" if refusal else ""
    console.print(f"release [bold]{serving['version']}[/] serves {night.home.url}/releases{what}: {serving['why']}")


def show_served(night: RunContext) -> None:
    """Print feeds of the release that serves."""
    if publish.load(night.releases).profiled:
        show_feeds(night)
    else:
        show_feed(fallback_feed(night), "feed of all users")


def show_next(night: RunContext) -> None:
    """Print what to run next."""
    lake = shlex.quote(night.home.url)
    console.print(f"next: tastefeed serve --lake {lake}", markup=False)
    console.print(f"in a checkout also: make serve LAKE={lake}, make mlflow LAKE={lake}", markup=False)


def show_kept(night: RunContext, published: Summary) -> None:
    """Print which release keeps serving, and how to serve the new one."""
    serving, new = published["serving"], published["version"]
    console.print(f"release [bold]{serving['version']}[/] keeps serving {night.home.url}/releases: {serving['why']}")
    command = f"tastefeed releases rollback {new} --lake {shlex.quote(night.home.url)}"
    console.print(f"release {new} is kept beside it; to serve it: `{command}`, or a night with --publish")


def show_refusal(night: RunContext, refusal: Summary) -> None:
    """Print what was refused, and the settings that relax it."""
    console.print(f"the night publishes a reduced release: {escape(refusal['message'])}")
    for line in refusal["controls"]:
        console.print(escape(line))
    for sentence in night.summary("gates").get(ALONE, {}).get("failed", ()):
        console.print(f"the two-tower alone does not pass either: {escape(sentence)}")
    console.print("it serves until a night with all models passes its gates")


def night_document(night: RunContext) -> Summary:
    """The night as JSON: its day, the release that serves, and the summary of each stage."""
    return {
        "as_of": night.splits.as_of,
        "lake": str(night.home.url),
        "serving": publish.current_or_none(night.releases),
        "stages": {stage: summary for stage in STAGE_NAMES if (summary := night.summary(stage))},
    }


def show_metrics(night: RunContext) -> None:
    """Print the stage times, the metrics beside the baselines, and the verdicts of the gates, as far as they exist."""
    console.print()
    console.print(stage_times(night))
    summary = night.summary("metrics")
    if "table" not in summary:
        return
    console.print(
        rich_table(shown(pl.DataFrame(summary["table"])), f"held out {summary['held_out']}: {summary['users']} users")
    )
    for sentence in night.summary("gates")["sentences"]:
        console.print(f"gate  {escape(sentence)}")
    for note in night.summary("gates")["not_judged"]:
        console.print(f"gate  not judged: {escape(note)}")


def shown(table: pl.DataFrame, *more: str) -> pl.DataFrame:
    """The columns of a table of methods that are printed."""
    return table.select("method", *(metric for metric in SHOWN_METRICS if metric in table.columns), *more)


def stage_times(night: RunContext) -> Table:
    """A table with one row a stage."""
    table = Table("stage", "seconds", title=f"night of {night.splits.as_of}", box=None)
    for stage in STAGE_NAMES:
        if summary := night.summary(stage):
            table.add_row(stage, f"{summary['seconds']:.1f}")
    return table


def show_feeds(night: RunContext) -> None:
    """Print the first items of five users' feeds, from long to short histories, with the reason of each item."""
    release, feeds = publish.load(night.releases), home_feed(night)
    for number, user in enumerate(sample_users(release), start=1):
        show_feed(feeds.served(FeedRequest(user, ITEMS_SHOWN)).feed, f"feed {number}")


def show_feed(feed: Feed, title: str) -> None:
    """Print one feed as a table."""
    table = Table("", "title", "source", "because", title=title, box=None, title_justify="left")
    for item in feed.items:
        table.add_row(
            str(item.rank),
            (item.title or item.item_id)[:60],
            item.source,
            item.explanation.text if item.explanation else "",
        )
    console.print(table)


def fallback_feed(night: RunContext) -> Feed:
    """The first items of the non-profiled list."""
    return home_feed(night).served(FeedRequest(None, ITEMS_SHOWN)).feed


def home_feed(night: RunContext) -> HomeFeed:
    """The feed of the serving release."""
    release = ReloadingRelease(night.releases)
    release.load_first()
    gate = ConsentGate(night.opt_outs, night.pending_events)
    return HomeFeed(FeedParts(release, gate, CursorSigner.temporary()))


def sample_users(release: Release) -> list[str]:
    """Five users, evenly spread from the longest history to a short one; their ids are never printed."""
    lengths = np.diff(release.users.history_offsets)
    with_history = np.argsort(-lengths, kind="stable")[: int((lengths > 0).sum())]
    positions = np.unique(np.linspace(0, max(len(with_history) - 1, 0), FEEDS + 1)[:-1].astype(int))
    return [str(user) for user in release.users.ids[with_history[positions[positions < len(with_history)]]]]
