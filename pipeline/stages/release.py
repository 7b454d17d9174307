"""The release that the home feed serves: written to a temporary folder, verified, then published in one step.

The folder is in the lake. If a night is killed, the next one removes the ids and histories in it.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np

from contracts import Action, SubjectType
from contracts.atomic_files import sha256_of_files
from contracts.errors import NightFailed
from contracts.opt_out_flags import UNREADABLE, opted_out
from contracts.schemas import WINDOWS_DAYS
from pipeline.champion import store_models
from pipeline.evaluation_lists import ranking_inputs, retrieval_alone
from pipeline.experiments.registered_models import promote, tag_release
from pipeline.feature_assembly import read_ingested_tables, read_items, read_snapshot
from pipeline.model_refusals import SUMMARY as REDUCED
from pipeline.model_refusals import serving_release_stays
from pipeline.run_context import RunContext, Summary
from pipeline.stages.candidates import MIN_SIMILARITY
from pipeline.stages.gates import JUDGED
from pipeline.stages.reranker import file_name
from pipeline.stages.two_tower import folder_name, load_tower
from pipeline.user_impressions import known_impressions
from ranking.candidates import fresh_rows, popular_rows
from ranking.feature_arrays import Items, Rows, Users, ids_of, marked
from ranking.feature_names import USER_FEATURE_NAMES
from ranking.rank_users import RankingConfig
from ranking.reranker import Reranker
from serving.ab_experiment import read_experiment, versions_beside
from serving.recent_interactions import INTERACTIONS, LONGEST_NIGHT
from serving.releases.array_files import without_users
from serving.releases.manifest import Manifest, ReducedTo
from serving.releases.publish import Publication, list_releases, publish
from serving.releases.revised_names import present_name
from serving.releases.serialization import ReleaseContents, write_release
from serving.stores.event_store import EventStore

POPULAR_DAYS = 7
"""The window of popularity for the non-profiled list."""
WIDER_DAYS = tuple(days for days in WINDOWS_DAYS if days > POPULAR_DAYS)
NO_TOWER = "none"
MODEL_STAGES = ("two_tower", "reranker")
"""The stages that register a model."""
KEPT_FOR_RELEASES = timedelta(days=90)
"""How long before the current release a release may be, and still leave out all that its users did since."""
KEPT_IMPRESSIONS = timedelta(days=28)
"""The same for what users were shown; the night counts impressions of so many days."""


def release(night: RunContext) -> Summary:
    """Publish the models and arrays of one night, or the part of them that passed the gates.

    Raises `ReleaseCorrupt`, `PublishRunning`, and `NightFailed` where a reduced night finds that a stronger release
    serves by now.
    """
    refusal = night.summary(REDUCED)
    if not refusal:
        return release_of_models(night)
    reduced_to = ReducedTo(refusal["reduced_to"])
    if kept := serving_release_stays(night, reduced_to):
        raise NightFailed(f"the release is refused, the old one keeps serving: {refusal['message']}; {kept}")
    alone = reduced_to is ReducedTo.TWO_TOWER
    contents = contents_alone(night, refusal) if alone else contents_without_models(night, refusal)
    with night.home.scratch() as scratch:
        write_release(contents, scratch.folder / "release")
        publication = published(night, scratch.folder)
    return ended(night, publication, MODEL_STAGES[:1] if alone else (), "FAILED")  # not all models of this night serve


def release_of_models(night: RunContext) -> Summary:
    """Publish both stages of models, and keep them for the comparisons of later nights."""
    with (
        night.home.scratch() as scratch,
        night.lake.open_folder("two_tower", night.splits.as_of) as towers,
        night.lake.open_folder("reranker", night.splits.as_of) as rerankers,
    ):
        ranker = rerankers / file_name(night.splits.end)
        contents = contents_of(night, towers, ranker)
        write_release(contents, scratch.folder / "release")
        store_models(night, towers, rerankers, contents.tower)  # first, so that every serving release can be measured
        publication = published(night, scratch.folder)
    return ended(night, publication, MODEL_STAGES)


def published(night: RunContext, folder: Path) -> Publication:
    """Publish the folder `release`, and keep those that answer beside it."""
    return publish(folder / "release", night.releases, even_if_older=night.publish, kept=answering_beside(night))


def answering_beside(night: RunContext) -> frozenset[str]:
    """The release that an operator pinned, and those of an experiment and of shadow mode, by their names after
    erasures."""
    beside = versions_beside(night.settings.shadow_release, read_experiment(night.settings.experiment))
    named = beside | {night.opt_outs.switches().pinned_release}
    return frozenset(present_name(night.releases, version) for version in named if version)


def ended(night: RunContext, publication: Publication, models: tuple[str, ...], status: str = "FINISHED") -> Summary:
    """End the night: where its release serves, its models become the champions, and posted events are no longer needed.

    Returns the summary of the stage.
    """
    manifest = publication.manifest
    for registered in filter(None, (night.summary(stage).get("registered") for stage in models)):
        tag_release(night.mlflow, registered, manifest.version)
        if publication.serves:
            promote(night.mlflow, registered)
    night.mlflow.tags(night.mlflow_run, {"release": manifest.version, "release_serves": str(publication.serves)})
    if publication.serves:
        delete_included(night.pending_events, night.releases, manifest, answering_beside(night))
    night.mlflow.end(night.mlflow_run, status)
    summary = {"version": manifest.version, "users": manifest.users, "items": manifest.items}
    reduced = {"reduced_to": manifest.reduced_to} if manifest.reduced_to else {}
    serving = {"version": publication.serving, "why": publication.why}
    return {**summary, **reduced, "serves": str(publication.serves), "serving": serving}


def delete_included(events: EventStore, root: Path, serving: Manifest, beside: Collection[str]) -> None:
    """Delete the posted events that every release includes, because an older one may answer again: by a rollback, a
    pin, an arm of an experiment, or a worker that has not loaded the new one. Impressions are many, and only demote:
    they stay for the serving release and those `beside` it."""
    releases = list_releases(root)
    as_of = max(min(each.as_of for each in releases), serving.as_of - KEPT_FOR_RELEASES)
    built_at = max(min(each.built_at for each in releases), serving.built_at - KEPT_FOR_RELEASES)
    events.delete_before(as_of, actions=INTERACTIONS, posted_before=built_at - LONGEST_NIGHT)
    answering = [each.as_of for each in releases if each.version in {serving.version, *beside}]
    shown_from = max(min(answering), serving.as_of - KEPT_IMPRESSIONS)
    events.delete_before(shown_from, actions=(Action.IMPRESSION,))


def contents_without_models(night: RunContext, refusal: Summary) -> ReleaseContents:
    """Fresh and popular items, the same for all users, with the reason why there are no models."""
    ingested = read_ingested_tables(night)
    items, rows = read_items(night, ingested, night.splits.end, None)
    return ReleaseContents(
        as_of=night.splits.end,
        tower=NO_TOWER,
        items=items,
        users=no_users(),
        catalogue=ingested.items[rows].to_arrow(),
        popular=popular_in_any_window(items),
        fresh=fresh_rows(items, len(items.ids)),
        ranker=None,
        ranking=night.config.ranking,
        index=night.config.index,
        metrics={REDUCED: refusal, JUDGED: False},
        reduced_to=ReducedTo.NON_PROFILED,
        unmeasured=True,
    )


def contents_alone(night: RunContext, refusal: Summary) -> ReleaseContents:
    """The two-tower alone: its nearest items in the order of its own scores, as the gates measured it."""
    with night.lake.open_folder("two_tower", night.splits.as_of) as towers:
        whole = contents_of(night, towers, None)
    return replace(
        whole,
        ranking=retrieval_alone(whole.ranking),
        metrics={**whole.metrics, REDUCED: refusal},
        reduced_to=ReducedTo.TWO_TOWER,
    )


def popular_in_any_window(items: Items) -> Rows:
    """The popular items of the usual window, or of the first wider one that has any interaction."""
    windows = (popular_rows(items, len(items.ids), days) for days in (POPULAR_DAYS, *WIDER_DAYS, None))
    return next((rows for rows in windows if len(rows)), np.zeros(0, np.int32))


def no_users() -> Users:
    """The users of a release without models: none."""
    rows, floats = np.zeros(0, np.int32), np.zeros(0, np.float32)
    return Users(
        ids=ids_of(()),
        region=rows,
        vectors=np.zeros((0, 0), np.float32),
        features=np.zeros((0, len(USER_FEATURE_NAMES)), np.float32),
        history_offsets=np.zeros(1, np.int64),
        history_items=rows,
        history_saves=floats,
        history_clicks=floats,
        history_hours=np.zeros(0),
    )


def contents_of(night: RunContext, towers: Path, ranker: Path | None) -> ReleaseContents:
    """The release in memory, without a re-ranker where its file is None."""
    model, index = load_tower(towers, night.splits.end), night.config.index
    ingested = read_ingested_tables(night)
    snapshot = read_snapshot(night, ingested, night.splits.end, model)
    items, ranking, users = snapshot.items, night.config.ranking, still_readable(night, snapshot.users)
    inputs = ranking_inputs(night, snapshot, Reranker.load(ranker), ranking, index) if ranker else None
    impressions = known_impressions(night, users.ids, items.ids, night.splits.end)
    return ReleaseContents(
        as_of=night.splits.end,
        tower=fingerprint(towers / folder_name(night.splits.end)),
        items=items,
        users=users,
        impressions=impressions if len(impressions.items) or (inputs and inputs.impressions) else None,
        catalogue=ingested.items[snapshot.catalogue_rows].to_arrow(),
        popular=popular_rows(items, len(items.ids), POPULAR_DAYS),
        fresh=fresh_rows(items, len(items.ids)),
        ranker=ranker,
        transitions=inputs.transitions if inputs else None,
        exposure=inputs.exposure if inputs else None,
        ranking=with_calibrated_reasons(night),
        index=index,
        metrics=release_metrics(night),
        encoder=model.encoder_name,
        unmeasured=not night.summary("gates")[JUDGED],
    )


def with_calibrated_reasons(night: RunContext) -> RankingConfig:
    """The settings of ranking, with the similarity that the night's labels show for reasons, unless it is set."""
    ranking, similarity = night.config.ranking, night.summary("candidates").get(MIN_SIMILARITY)
    if ranking.reasons.min_similarity is not None:
        return ranking
    return ranking.model_copy(update={"reasons": ranking.reasons.model_copy(update={MIN_SIMILARITY: similarity})})


def still_readable(night: RunContext, users: Users) -> Users:
    """The users without those that opted out while the night ran."""
    opted_out_users = opted_out(night.opt_outs, SubjectType.USER, UNREADABLE)
    return without_users(users, marked(users.ids, opted_out_users))


def release_metrics(night: RunContext) -> Summary:
    """The metrics and verdicts that a release contains."""
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
    """The first twelve characters of the checksum of a model's folder."""
    return sha256_of_files(*sorted(folder.rglob("*.safetensors")))[:12]
