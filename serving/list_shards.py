"""Lists for many users as a folder of Parquet files, with a manifest. A run that was stopped continues where it was."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts import OptOutReader
from contracts import columns as c
from contracts.atomic_files import remove_leftover, replace_file, replacing, sha256_of, sha256_of_files
from contracts.errors import TastefeedError
from ranking.fatigue import DEFAULT_FATIGUE, FatigueConfig
from serving.ab_experiment import AbExperiment
from serving.batch_inference import LISTS, Refusals, lists_of, recommend, requested_users, user_groups
from serving.release_choice import RunningExperiment
from serving.releases.loaded_release import Release
from serving.stores.event_store import EventStore

MANIFEST, LOCK, SHARD = "_manifest.json", ".lock", "part-{}.parquet"
FORMAT = 1
USERS_PER_SHARD = 1000
EXPERIMENT = "tastefeed.experiment"
"""The key of the running experiment, as JSON, in the metadata of a single file."""
Progress = Callable[[int, int], None]
"""Called with the users done and the users of the whole run."""


def no_progress(done: int, total: int) -> None:
    """Report nothing."""


class ShardsRefused(TastefeedError):
    """A folder that a run cannot write its shards to."""


class Plan(BaseModel):
    """What a run makes. Two runs with equal plans write the same lists, unless opt-outs or posted events change."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    release: str
    as_of: datetime = Field(description="the release saw only events strictly before this")
    k: int = Field(description="items of a list at most")
    users: int
    users_sha256: str = Field(description="of the ids, each followed by a line break")
    users_per_shard: int
    columns: dict[str, str] = Field(alias="schema", description="name and type of each column")
    experiment: AbExperiment | None = Field(None, description="the one whose arms the users have")

    @classmethod
    def of(
        cls,
        release: Release,
        users: Sequence[str],
        k: int,
        users_per_shard: int,
        experiment: AbExperiment | None,
    ) -> "Plan":
        """The plan of a run over these users."""
        return cls(
            release=release.version,
            as_of=release.manifest.as_of,
            k=k,
            users=len(users),
            users_sha256=sha256_of("".join(f"{user}\n" for user in users).encode()),
            users_per_shard=users_per_shard,
            schema={field.name: str(field.type) for field in LISTS},
            experiment=experiment,
        )


class Shard(BaseModel):
    """One finished file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    sha256: str
    users: int
    rows: int
    arms: dict[str, int] = Field({}, description="users of each arm; the others have none")


class ShardsManifest(Plan):
    """`_manifest.json`, a name that readers of Parquet folders skip. It is written again after each shard, so that it
    lists what is finished."""

    complete: bool = False
    rows: int = Field(0, description="of all finished shards")
    written_at: datetime
    shards: list[Shard] = []

    @property
    def plan(self) -> Plan:
        """What the run makes."""
        return Plan.model_validate(self.model_dump(by_alias=True, include=set(Plan.model_fields)))


class ShardWriter:
    """Writes the lists of one release to one folder, a shard at a time."""

    def __init__(
        self,
        release: Release,
        opt_outs: OptOutReader,
        events: EventStore | None,
        folder: Path,
        fatigue: FatigueConfig = DEFAULT_FATIGUE,
        running: RunningExperiment | None = None,
    ) -> None:
        """Opt-outs and posted events are read anew for each shard."""
        self._release, self._opt_outs, self._events, self._folder = release, opt_outs, events, folder
        self._fatigue, self._running = fatigue, running

    def write(
        self,
        user_ids: Sequence[str] | None,
        k: int,
        *,
        users_per_shard: int = USERS_PER_SHARD,
        replace: bool = False,
        on_progress: Progress = no_progress,
    ) -> ShardsManifest:
        """Write every shard that is not there yet. Raises `ShardsRefused` for a folder with other content, with the
        lists of another plan unless `replace`, or where another run is writing; and `OptOutStoreUnavailable`."""
        users = requested_users(self._release, user_ids)
        experiment = self._running.experiment if self._running else None
        plan = Plan.of(self._release, users, k, users_per_shard, experiment)
        with _locked(self._folder):
            manifest = self._started(plan, replace=replace)
            for number, start in enumerate(range(0, len(users), users_per_shard)):
                some = users[start : start + users_per_shard]
                if number >= len(manifest.shards) or not self._holds(manifest.shards[number], some, k):
                    shards = [*manifest.shards[:number], self._shard(number, some, k), *manifest.shards[number + 1 :]]
                    manifest = self._saved(manifest.model_copy(update={"shards": shards}))
                on_progress(start + len(some), len(users))
            return self._saved(manifest.model_copy(update={"complete": True}))

    def _started(self, plan: Plan, *, replace: bool) -> ShardsManifest:
        for left_over in self._folder.glob(f".{SHARD.format('*')}.*"):  # of a killed run
            remove_leftover(left_over)
        fresh = ShardsManifest(**plan.model_dump(by_alias=True), written_at=datetime.now(UTC))
        found = read_manifest(self._folder)
        if found is None:
            if others := sorted(path.name for path in self._folder.iterdir() if not path.name.startswith(".")):
                raise ShardsRefused(f"{self._folder}: has {others[0]!r} and no {MANIFEST}; give an empty folder")
        elif found.plan == plan:
            return found.model_copy(update={"complete": False})
        elif not replace:
            raise ShardsRefused(
                f"{self._folder}: {_differences(found.plan, plan)}; give another folder, or --replace to start anew"
            )
        else:
            self._saved(fresh)  # before the files go, so that no manifest lists a file that is gone
            for shard in found.shards:
                (self._folder / shard.file).unlink(missing_ok=True)
        return self._saved(fresh)

    def _saved(self, manifest: ShardsManifest) -> ShardsManifest:
        rows = sum(shard.rows for shard in manifest.shards)
        manifest = manifest.model_copy(update={"rows": rows, "written_at": datetime.now(UTC)})
        replace_file(self._folder / MANIFEST, manifest.model_dump_json(by_alias=True, indent=1).encode() + b"\n")
        return manifest

    def _shard(self, number: int, users: Sequence[str], k: int) -> Shard:
        refusals = Refusals.of(self._opt_outs)
        groups = user_groups(self._release, users, refusals, self._running)
        lists = lists_of(groups, users, k, refusals, self._events, self._fatigue)
        path = self._folder / SHARD.format(f"{number:05}")
        with replacing(path) as fresh:
            pq.write_table(lists, fresh, compression="zstd")
        arms = {group.arm: len(group.user_ids) for group in groups if group.arm}
        return Shard(file=path.name, sha256=sha256_of_files(path), users=len(users), rows=lists.num_rows, arms=arms)

    def _holds(self, shard: Shard, users: Sequence[str], k: int) -> bool:
        """Whether a finished shard is whole, and respects the opt-outs of this moment."""
        path = self._folder / shard.file
        if not path.is_file() or sha256_of_files(path) != shard.sha256:
            return False
        lists, refusals = pq.read_table(path), Refusals.of(self._opt_outs)
        for group in user_groups(self._release, users, refusals, self._running):
            withheld = pa.array(group.release.items.ids[refusals.items(group.release)], pa.string())
            if pc.any(pc.is_in(_of_users(lists, group.user_ids)[c.ITEM_ID], withheld)).as_py():
                return False
        refused = [user for user in users if refusals.forbids_profile(user)]
        have = _of_users(lists, refused)
        return bool(have.equals(recommend(self._release, refused, k, self._opt_outs)))


def _of_users(lists: pa.Table, user_ids: Sequence[str]) -> pa.Table:
    return lists.filter(pc.is_in(lists[c.USER_ID], pa.array(user_ids, pa.string())))


def write_one_file(
    release: Release,
    user_ids: Sequence[str] | None,
    k: int,
    opt_outs: OptOutReader,
    events: EventStore | None,
    path: Path,
    on_progress: Progress = no_progress,
    fatigue: FatigueConfig = DEFAULT_FATIGUE,
    running: RunningExperiment | None = None,
) -> int:
    """Write all lists to one file, as a whole or not at all; returns the number of rows. The metadata of the file has
    the running experiment."""
    users, rows = requested_users(release, user_ids), 0
    schema = LISTS.with_metadata({EXPERIMENT: running.experiment.model_dump_json()}) if running else LISTS
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as fresh, pq.ParquetWriter(fresh, schema, compression="zstd") as writer:
        for start in range(0, len(users), USERS_PER_SHARD):
            some = users[start : start + USERS_PER_SHARD]
            lists = recommend(release, some, k, opt_outs, events=events, fatigue=fatigue, running=running)
            writer.write_table(lists)
            rows += lists.num_rows
            on_progress(min(start + USERS_PER_SHARD, len(users)), len(users))
    return rows


def read_manifest(folder: Path) -> ShardsManifest | None:
    """The manifest of a folder of shards, if there is one. Raises `ShardsRefused` where it cannot be read."""
    try:
        return ShardsManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        reason = error.errors(include_input=False)[0]["msg"]
        raise ShardsRefused(f"{folder / MANIFEST}: {reason}; give another folder, or delete this one") from None


def _differences(have: Plan, want: Plan) -> str:
    old, new = have.model_dump(), want.model_dump()
    changed = [name for name in new if old[name] != new[name] and name not in {"as_of", "users_sha256"}]
    if not changed:
        return "has the lists of other users"
    return "has the lists of " + ", ".join(f"{name} {old[name]}, not {new[name]}" for name in changed)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, blocking=False):
            yield
    except Timeout:
        raise ShardsRefused(f"{folder}: another run is writing there; wait for it, or give another folder") from None
