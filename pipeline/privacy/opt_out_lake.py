"""The opt-outs of a lake, for commands, imports and nights: only these may create the opt-out store."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts import Flag, OptOut, Settings, SubjectType
from contracts import columns as c
from contracts.errors import LakeMissing, OptOutStoreUnavailable
from contracts.ids import spellings
from pipeline.ingestion import ingested_files
from pipeline.lake import Lake
from pipeline.privacy.opt_out_backups import Backup, backups, keep_backup, last_backup
from serving.privacy.opt_out_recovery import identity_behind, replace_store
from serving.privacy.opt_out_service import OptOutService
from serving.privacy.switch_store import SwitchStore
from serving.releases import publish
from serving.stores.event_store import user_hash


@dataclass(frozen=True)
class OptOutLake:
    """A lake and its two stores."""

    home: Lake
    settings: Settings
    opt_out_service: OptOutService

    @classmethod
    def of(cls, lake: str, settings: Settings | None = None) -> "OptOutLake":
        """The opt-outs of a lake, which may not exist yet."""
        settings = (settings or Settings()).model_copy(update={"lake": lake})
        return cls(Lake(lake), settings, OptOutService.of(settings))

    @classmethod
    def existing(cls, lake: str) -> "OptOutLake":
        """The opt-outs of an existing lake. Raises `LakeMissing`."""
        opt_outs = cls.of(lake)
        if not opt_outs.home.fs.exists(opt_outs.home.root):
            raise LakeMissing(f"{lake}: there is no such lake; `tastefeed init --lake {lake}` or an import makes one")
        return opt_outs

    def create(self) -> None:
        """Create the store where there has never been one, with a first backup. Raises `OptOutStoreUnavailable`."""
        store = self.opt_out_service.opt_outs
        if not store.existed() and not store.exists() and self._had_one():
            raise OptOutStoreUnavailable(
                f"{self.home.url}: this lake had an opt-out store and it is missing; run `tastefeed opt-out restore`"
            )
        store.create()
        if not backups(self.home):
            keep_backup(self.home, store)

    def back_up(self) -> None:
        """Write a backup of the current state."""
        keep_backup(self.home, self.opt_out_service.opt_outs)

    def load(self, opt_outs: Iterable[OptOut]) -> int:
        """Keep many records at once, all or none; for an import, which may be the lake's first."""
        self.create()
        return self.opt_out_service.load(opt_outs)

    def erased(self) -> frozenset[str]:
        """Every erased user; for an import, which may be the lake's first."""
        self.create()
        return self.opt_out_service.erased()

    def withhold(self, items_of: Mapping[str, Iterable[str]]) -> None:
        """Opt items out of recommendation where their creator has, because the creator's name will be removed."""
        creators = self.opt_out_service.opt_outs.among(SubjectType.CREATOR, items_of, [Flag.RECOMMENDATION])
        items = {item for creator in creators for item in items_of[creator]}
        new = items - self.opt_out_service.opt_outs.among(SubjectType.ITEM, items, [Flag.RECOMMENDATION])
        now = datetime.now(UTC)
        if new:
            self.load(OptOut(SubjectType.ITEM, item, Flag.RECOMMENDATION, True, now) for item in sorted(new))

    def restore(self, *, force: bool = False) -> "Restored":
        """Put the last backup in the place of the store. Raises `OptOutStoreUnavailable` where there is none, or where
        the store is whole and `force` is not given."""
        if not force:
            self._refuse_to_overwrite()
        backup = last_backup(self.home)
        if backup is None and not force:
            damaged = f"that can be read (damaged: {len(backups(self.home))}) " if backups(self.home) else ""
            raise OptOutStoreUnavailable(
                f"{self.home.url}: there is no backup {damaged}of the opt-out store; with --force an empty one takes "
                "its place"
            )
        lost, tombstones = _lost(self.opt_out_service, backup), self.opt_out_service.events.tombstones()
        marker = replace_store(self.settings.opt_out_dsn, backup.records if backup else ())
        switches = self.opt_out_service.opt_outs.last_known().switches
        withheld = self.opt_out_service.opt_outs.adopt(marker)
        SwitchStore(self.opt_out_service.opt_outs).set_again(switches, by="opt-out restore")
        since = backup.taken_at if backup else datetime.min.replace(tzinfo=UTC)
        later = {key for key, at in tombstones.items() if at > since}
        recovered = [*self._erasures_among(later), *_withheld_since(self.opt_out_service, withheld)]
        self.opt_out_service.load(recovered)
        self.back_up()
        return Restored(backup, lost, len(recovered))

    def _had_one(self) -> bool:
        # every night makes the store, so a lake with a release had one
        return bool(backups(self.home)) or publish.current_or_none(self.settings.release_root) is not None

    def _refuse_to_overwrite(self) -> None:
        try:
            self.opt_out_service.opt_outs.check()
        except OptOutStoreUnavailable:
            database = identity_behind(self.settings.opt_out_dsn)
            marker = self.opt_out_service.opt_outs.marker_or_none()
            if database and marker and database[0] != marker.identity and database[1]:
                raise OptOutStoreUnavailable(
                    "the database holds the opt-outs of another lake; correct TASTEFEED_OPT_OUT_URL, or overwrite them"
                    " with `tastefeed opt-out restore --force`"
                ) from None
            return
        raise OptOutStoreUnavailable(
            "the opt-out store is whole, nothing was restored; `tastefeed opt-out restore --force` replaces it by the "
            "last backup, and forgets what was recorded since"
        )

    def _erasures_among(self, tombstones: set[str]) -> list[OptOut]:
        """Users of this lake that have a tombstone in the store of posted events, and no erasure here."""
        erased = self.opt_out_service.erased()
        missing = [user for user in self._ingested_users() if user not in erased and _hashes(user) & tombstones]
        now = datetime.now(UTC)
        return [OptOut(SubjectType.USER, user, Flag.ERASURE, True, now) for user in missing]

    def _ingested_users(self) -> list[str]:
        users: set[str] = set()
        for table in ("events", "users"):
            for path in ingested_files(self.home.url, table):
                with self.home.fs.open(path, "rb") as file:
                    column = pq.read_table(file, columns=[c.USER_ID])[c.USER_ID]
                users.update(pc.unique(column.drop_null()).cast(pa.string()).to_pylist())
        return sorted(users)


@dataclass(frozen=True)
class Restored:
    """What a restore did. `lost` records are newer than the backup; `None`: unknown."""

    backup: Backup | None
    lost: int | None
    recovered: int

    def lines(self) -> list[str]:
        """The report as lines; it contains no id."""
        if self.backup is None:
            return ["the opt-out store is empty now: there was no backup that can be read"]
        taken = f"{self.backup.taken_at:%Y-%m-%d %H:%M:%S} UTC"
        skipped = [f"left out, because it cannot be read: {path}" for path in self.backup.damaged]
        return [f"restored {len(self.backup.records):,} opt-outs of the backup of {taken}", *skipped, self._loss()]

    def _loss(self) -> str:
        if self.lost is None:
            return "how many were recorded since is not known"
        if not self.lost:
            return "nothing was recorded since: nothing is lost"
        return (
            f"{self.lost:,} opt-outs were recorded since, and {self.recovered:,} of them were found elsewhere "
            "(erasures by their tombstones, items and creators beside the releases); the others are lost: "
            "set them again"
        )


def _lost(opt_out_service: OptOutService, backup: Backup | None) -> int | None:
    marker = opt_out_service.opt_outs.marker_or_none()
    if backup is None or marker is None or marker.identity != backup.marker.identity:
        return None
    records: int = marker.changes - backup.marker.changes
    return records


def _withheld_since(opt_out_service: OptOutService, before: dict[SubjectType, frozenset[str]]) -> list[OptOut]:
    """Items and creators that were last known as opted out, and that the backup does not have."""
    now = datetime.now(UTC)
    return [
        OptOut(kind, name, Flag.RECOMMENDATION, True, now)
        for kind, names in before.items()
        for name in sorted(names - opt_out_service.opt_outs.subjects(kind, [Flag.RECOMMENDATION]))
    ]


def _hashes(user_id: str) -> set[str]:
    return {user_hash(spelling) for spelling in spellings(user_id)}
