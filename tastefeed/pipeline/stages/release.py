"""What the home feed serves: written elsewhere, proven, then switched to in one step."""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tastefeed.contracts import SubjectType
from tastefeed.contracts.opt_outs import UNREADABLE
from tastefeed.pipeline.arrays import View, read_landed, read_view
from tastefeed.pipeline.champion import keep_models
from tastefeed.pipeline.night import Night, Summary
from tastefeed.pipeline.stages.gates import JUDGED
from tastefeed.pipeline.stages.reranker import file_name
from tastefeed.pipeline.stages.two_tower import folder_name, load_tower
from tastefeed.ranking.candidates import fresh_rows, popular_rows
from tastefeed.ranking.tables import Users
from tastefeed.serving.arrays import without_users
from tastefeed.serving.publish import publish
from tastefeed.serving.release import Contents, write_release

POPULAR_DAYS = 7
"""The window of popularity that everyone's list shows."""


def release(night: Night) -> Summary:
    """Publish everything that one night made. Raises `ReleaseCorrupt`, `PublishRunning`."""
    with (
        TemporaryDirectory() as folder,
        night.lake.open_folder("two_tower", night.plan.as_of) as towers,
        night.lake.open_folder("reranker", night.plan.as_of) as rerankers,
    ):
        view = read_view(night, read_landed(night), night.plan.end, load_tower(towers, night.plan.end))
        tower = fingerprint(towers / folder_name(night.plan.end))
        contents = contents_of(night, view, tower, rerankers / file_name(night.plan.end))
        write_release(contents, Path(folder) / "release")
        keep_models(night, towers, rerankers, tower)  # before the switch: whatever serves can be measured
        manifest = publish(Path(folder) / "release", night.releases)
    night.pending_events.forget_before(night.plan.end)
    night.tracking.end(night.run)
    return {"version": manifest.version, "users": manifest.users, "items": manifest.items}


def contents_of(night: Night, view: View, tower: str, ranker: Path) -> Contents:
    """The release in memory."""
    config, items = night.config.ranking, view.items
    landed = read_landed(night).items[view.catalogue_rows]
    return Contents(
        as_of=night.plan.end,
        tower=tower,
        items=items,
        users=still_readable(night, view.users),
        catalogue=landed.to_arrow(),
        popular=popular_rows(items, len(items.ids), POPULAR_DAYS),
        fresh=fresh_rows(items, len(items.ids)),
        ranker=ranker,
        ranking=config,
        index=night.config.index,
        metrics=told(night),
    )


def still_readable(night: Night, users: Users) -> Users:
    """Without whoever opted out while the night ran."""
    gone = night.opt_outs.subjects(SubjectType.USER, UNREADABLE)
    return without_users(users, np.isin(users.ids, np.array(sorted(gone), dtype=np.str_)))


def told(night: Night) -> Summary:
    """What a release says of its quality."""
    measured, gates = night.summary("metrics"), night.summary("gates")
    return {
        "held_out": measured["held_out"],
        "users": measured["users"],
        "methods": measured["table"],
        "intervals": measured["intervals"],
        "people": measured["people"],
        "items": measured["items"],
        "champion": measured["champion"],
        "gates": gates["sentences"],
        "not_judged": gates["not_judged"],
        "verdicts": gates["verdicts"],
        "thresholds": gates["thresholds"],
        JUDGED: gates[JUDGED],
    }


def fingerprint(folder: Path) -> str:
    """The content of a model's folder, in twelve letters."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
